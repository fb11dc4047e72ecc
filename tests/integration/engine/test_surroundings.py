"""What lies around the engine: the current folder, the machine's memory, and the time it takes to come up."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.engine.asking import Asker, request
from workbench.engine import api, llama
from workbench.engine.memory_check import check_memory, plan
from workbench.engine.model_file import check_model_file
from workbench.engine.process import LocalEngine
from workbench.engine.quantizer import quantize_file
from workbench.errors import OutOfMemory
from workbench.runs.spec import EngineOptions, Message

_kept: list[llama.LogCapture] = []


@pytest.fixture
def own() -> Iterator[Asker]:
    engine = LocalEngine()
    yield Asker(engine)
    engine.close()


@pytest.fixture(scope="module")
def log() -> llama.LogCapture:
    made = llama.LogCapture()
    # llama.cpp calls it as long as this process lives.
    _kept.append(made)
    llama.start_backend()
    return made


@pytest.mark.parametrize("python_path", [None, "", ".", f"{os.pathsep}/nowhere{os.pathsep}"])
def test_nothing_in_the_current_folder_is_imported(
    models: Path, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python_path: str | None
) -> None:
    here = tmp_path / "poisoned"
    here.mkdir()
    trace = tmp_path / "trace"
    for name in ("jinja2", "psutil", "llama_cpp", "numbers", "workbench"):
        (here / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write(__name__)\nraise SystemExit(1)\n")
    monkeypatch.chdir(here)
    if python_path is not None:
        monkeypatch.setenv("PYTHONPATH", python_path)
    engine = LocalEngine()
    try:
        Asker(engine).load(models / "says.gguf")
        assert Asker(engine).ask().text.startswith("One café")
    finally:
        engine.close()
    assert quantize_file(demo, tmp_path / "q8.gguf", "Q8_0", threads=1).size_bytes > 0
    assert not trace.exists()


def test_a_context_that_only_its_compute_buffer_makes_too_large_is_refused(own: Asker, demo: Path) -> None:
    available = psutil.virtual_memory().available
    # 2 KB of cache and 1 KB of compute buffer per token: the cache alone would fit.
    length = min(int(available / 2048 * 0.93), 16_000_000)
    start = time.monotonic()
    with pytest.raises(OutOfMemory, match=r"compute buffers \d+\.\d GB") as caught:
        own.load(demo, context_length=length)
    assert time.monotonic() - start < 20
    assert f"{length:,} tokens" in caught.value.message


@pytest.mark.parametrize(("length", "compute_mib"), [(1_000_000, 983), (4_000_000, 3912)])
def test_the_plan_is_what_llama_cpp_reserves(
    log: llama.LogCapture, demo: Path, demo_token_bytes: int, length: int, compute_mib: int
) -> None:
    need = plan(str(demo), EngineOptions(context_length=length), log)
    assert need is not None
    # llama.cpp rounds the context up to a multiple of 256.
    assert 0 <= need.kv - length * demo_token_bytes < 256 * demo_token_bytes
    assert need.compute >> 20 == compute_mib


def test_the_estimate_is_near_the_plan(
    log: llama.LogCapture, demo: Path, demo_token_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EngineOptions(context_length=10_000_000)
    header = check_model_file(str(demo))
    monkeypatch.setattr("workbench.engine.memory_check.plan", lambda *_: None)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 24 * 10**9}))
    kv = re.escape(f"{10 * demo_token_bytes / 1000:.1f}")
    with pytest.raises(OutOfMemory, match=rf"{kv} GB, compute buffers 10\.2 GB\), but only 24\.0 GB"):
        check_memory(str(demo), header, options, header.size_bytes, log)


@pytest.mark.parametrize("text", ["a </think> b", "<think>", "a<think></think><|im_end|>b", "x [THINK] <table>"])
def test_tags_in_a_message_are_mere_text(own: Asker, demo: Path, text: str) -> None:
    own.load(demo)
    ready = own.ask([Message("system", text), Message("user", text, document=text)], max_tokens=1).ready
    assert "".join(ready.pieces) == ready.text
    assert ready.text.count(text) == 3
    assert "<think>" not in ready.pieces
    assert "</think>" not in ready.pieces
    assert ready.pieces.count("<|im_end|>") == 2


def test_the_tags_that_a_template_writes_stay_tags(own: Asker, demo: Path) -> None:
    own.load(demo)
    assert "</think>" in own.ask("Hi", thinking="off", max_tokens=1).ready.pieces


def test_short_words_are_attributed_to_the_right_message(own: Asker, demo: Path) -> None:
    own.load(demo)
    ready = own.ask([Message("system", "system"), Message("user", "start")], max_tokens=1).ready
    assert [segment.kind for segment in ready.segments] == ["template", "system", "template", "question", "template"]
    position, texts = 0, []
    for segment in ready.segments:
        texts.append("".join(ready.pieces[position : position + segment.tokens]))
        position += segment.tokens
    assert (texts[1], texts[3]) == ("system", "start")
    assert texts[0].endswith("\n")


def test_the_first_request_does_not_wait_for_templates(demo: Path, tmp_path: Path) -> None:
    # The process that renders comes up late, as on a slow machine: the load waits for it, and no request.
    script = tmp_path / "late.py"
    script.write_text(
        "import sys, time\n"
        "from workbench.engine import worker\n"
        "if sys.argv[1] == 'render': time.sleep(1.5)\n"
        "worker.main()\n"
    )
    engine = LocalEngine(command=(sys.executable, "-P", str(script)))
    own = Asker(engine)

    def wait_ms(text: str) -> float:
        start = time.perf_counter_ns()
        (answer,) = own.run([request(text, max_tokens=1)])
        return float(answer.of(api.PrefillStarted)[0].t_ns - start) / 1e6

    try:
        report = own.load(demo)
        first, second = wait_ms("What is TTFT?"), wait_ms("What is a token?")
    finally:
        engine.close()
    assert first < 5 * second + 100
    assert report.load_ms is not None
    assert report.load_ms > 300


def test_layers_asked_of_a_gpu_that_is_not_there_are_a_warning(own: Asker, models: Path) -> None:
    report = own.load(models / "says.gguf", gpu_layers=5)
    if any(device.kind in ("gpu", "igpu") for device in report.devices):
        pytest.skip("there is a GPU")
    assert any("5 layers" in warning and "CPU" in warning for warning in report.warnings)
    assert own.load(models / "says.gguf", gpu_layers=0).warnings == ()
