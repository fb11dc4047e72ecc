"""`workbench run` as a person or a script meets it: what goes where, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.program import run, run_json

KEYS = {
    "run_id", "status", "started_at", "text", "thinking", "finish_reason", "ttft_ms", "ttfa_ms", "tps", "e2e_tps",
    "prefill_tps", "itl_ms", "ttlt_ms", "cold_start_ms", "prompt_tokens", "cached_tokens", "output_tokens",
    "thinking_tokens", "dropped_tokens", "memory", "cost", "spec", "model", "engine", "cancelled_by", "note", "error",
}  # fmt: skip
MEMORY_KEYS = {
    "weights_bytes", "kv_bytes", "compute_bytes", "resident_peak_bytes", "unique_bytes", "file_mapped_bytes",
    "gpu_bytes",
}  # fmt: skip


def test_a_pipe_gets_the_answer_alone_and_the_figures_go_to_standard_error() -> None:
    result = run("run", "What is TTFT?", "--max-tokens", "40")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert "\x1b" not in result.stdout
    assert "TTFT  " not in result.stdout
    for measure in ("TTFT", "TTFA", "TPS", "Prefill", "ITL p50 / p95 / p99", "TTLT", "Memory reserved", "Cold start"):
        assert measure in result.stderr
    assert result.stderr.count("(estimated)") == 3


def test_json_has_every_key_and_figures_that_fit_together() -> None:
    found = run_json("run", "What is TTFT?", "--mode", "thoughtful", "--max-tokens", "60", "--seed", "3")
    assert set(found) == KEYS
    assert found["status"] == "finished"
    assert found["error"] is None
    assert found["text"] or found["thinking"]
    assert 0 < found["ttft_ms"] <= found["ttlt_ms"]
    assert found["tps"] > 0
    assert found["e2e_tps"] == pytest.approx(found["output_tokens"] / found["ttlt_ms"] * 1000, rel=1e-6)
    assert found["itl_ms"]["count"] == found["output_tokens"] - 1
    assert found["itl_ms"]["p50"] <= found["itl_ms"]["p95"]
    assert found["itl_ms"]["p99"] is None, "p99 is not shown under 100 samples"
    assert found["prompt_tokens"] > 0
    assert 0 <= found["thinking_tokens"] <= found["output_tokens"] <= 60
    assert set(found["memory"]) >= MEMORY_KEYS
    assert found["memory"]["weights_bytes"] > 1_000_000
    assert set(found["cost"]) == {"api", "gpu", "electricity"}
    for estimate in found["cost"].values():
        assert set(estimate) == {"usd", "label", "formula", "price_date", "inputs", "reason"}
        assert (estimate["usd"] is None) == (estimate["reason"] is not None)
    assert found["spec"]["sampling"]["seed"] == 3
    assert found["spec"]["mode"]["name"] == "thoughtful"
    assert len(found["model"]["sha256"]) == 64
    assert found["model"]["architecture"] == "llama"
    assert Path(found["model"]["path"]).is_file()
    assert found["engine"]["threads"] >= 1
    assert found["engine"]["devices"]
    assert found["cold_start_ms"] > 0


@pytest.mark.parametrize("arguments", [("run",), ("run", "-")])
def test_the_prompt_comes_from_a_pipe(arguments: tuple[str, ...]) -> None:
    found = run_json(*arguments, "--max-tokens", "5", stdin="What is a Quantität?\n")
    assert found["spec"]["messages"][-1]["content"] == "What is a Quantität?"


def test_the_prompt_comes_from_a_file_and_a_document_goes_before_it(tmp_path: Path) -> None:
    prompt, document = tmp_path / "prompt.txt", tmp_path / "notes.txt"
    prompt.write_text("What does it say?\n", encoding="utf-8")
    document.write_text("The budget is 500 ms.", encoding="utf-8")
    found = run_json("run", "--file", str(prompt), "--document", str(document), "--max-tokens", "5")
    message = found["spec"]["messages"][-1]
    assert (message["content"], message["document"]) == ("What does it say?", "The budget is 500 ms.")
    assert message["document_name"] == "notes.txt"


def test_options_reach_the_spec() -> None:
    found = run_json(
        "run", "hello", "--quant", "Q8_0", "--context", "512", "--system", "Be short.", "--temperature", "0",
        "--threads", "1", "--kv-type", "q8_0", "--gpu-layers", "0", "--surface", "autocomplete", "--max-tokens", "8",
        "--overflow", "drop_oldest",
    )  # fmt: skip
    spec = found["spec"]
    assert found["model"]["quantization"] == "Q8_0"
    assert (spec["engine"]["context_length"], spec["engine"]["threads"]) == (512, 1)
    assert (spec["engine"]["kv_type_k"], spec["engine"]["gpu_layers"]) == ("q8_0", 0)
    assert spec["messages"][0] == {"role": "system", "content": "Be short.", "document": None, "document_name": None}
    assert (spec["sampling"]["temperature"], spec["limits"]["max_tokens"]) == (0.0, 8)
    assert (spec["surface"]["name"], spec["chat"]["overflow"]) == ("autocomplete", "drop_oldest")


def test_greedy_answers_are_the_same_streamed_and_not_streamed() -> None:
    arguments = ("run", "What is TTFT?", "--mode", "deterministic", "--max-tokens", "30")
    assert run(*arguments).stdout == run(*arguments, "--no-stream").stdout


def test_an_unknown_model_is_a_sentence_and_exit_code_3() -> None:
    result = run("run", "hello", "--model", "no-such-model")
    assert result.returncode == 3
    assert "no-such-model" in result.stderr
    assert result.stdout == ""
    found = run_json("run", "hello", "--model", "no-such-model", code=3)
    assert set(found) == KEYS
    assert (found["status"], found["error"]["code"]) == ("failed", "model_not_found")
    assert found["ttft_ms"] is None


def test_a_file_that_is_no_model_is_exit_code_3(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + b"\xff" * 200)
    found = run_json("run", "hello", "--model", str(path), code=3)
    assert found["error"]["code"] in ("model_file_invalid", "model_not_found")


def test_a_prompt_that_does_not_fit_is_exit_code_5_with_the_numbers() -> None:
    found = run_json("run", "word " * 2000, "--context", "256", code=5)
    assert set(found) == KEYS
    assert (found["status"], found["error"]["code"]) == ("failed", "prompt_too_long")
    assert "256" in found["error"]["message"]
    assert found["run_id"] is not None


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "hello", "--context", "3"), 2, "context_length"),
        (("run", "hello", "--gpu-layers", "many"), 2, "--gpu-layers"),
        (("run", "hello", "--seed", "x"), 2, "--seed"),
        (("run", "hello", "--no-such-option"), 2, "--no-such-option"),
        (("run", "hello", "--mode", "no-such-mode"), 7, "no-such-mode"),
        (("run", "hello", "--document", "no-such-file.txt"), 2, "no-such-file.txt"),
        (("run", "hello", "--file", "README.md"), 2, "not both"),
        (("run", "  "), 2, "empty"),
        (("no-such-command",), 2, "no-such-command"),
    ],
)
def test_mistakes_are_sentences(arguments: tuple[str, ...], code: int, words: str) -> None:
    result = run(*arguments)
    assert result.returncode == code
    assert words in result.stderr
    assert result.stdout == ""


def test_no_prompt_through_an_empty_pipe_is_a_mistake() -> None:
    assert run("run", stdin="").returncode == 2
    found = run_json("run", code=2)
    assert found["error"]["code"] == "usage"


def test_text_that_is_no_utf8_is_a_mistake() -> None:
    result = run("run", "-", stdin=b"\xff\xfe\x00abc")
    assert result.returncode == 2
    assert "UTF-8" in result.stderr


def test_a_home_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    blocker = tmp_path / "a-file"
    blocker.write_text("x", encoding="utf-8")
    result = run("run", "hello", WORKBENCH_HOME=str(blocker / "home"))
    assert result.returncode == 8
    assert str(blocker) in result.stderr
