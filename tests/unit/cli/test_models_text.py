"""Repositories, memory and downloads as words, cells and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.cli import models_find, models_json, models_memory, models_text, models_transfer
from workbench.cli.exit_codes import ExitCode
from workbench.cli.models_choice import choice_sentence, choose, wanted
from workbench.cli.models_pull import code_of
from workbench.cli.options import UsageProblem
from workbench.errors import ModelNotFound
from workbench.history.model_figures import CheckedPart, MemoryCheck
from workbench.hub.memory import CurvePoint, MemoryEstimate, MemoryPart
from workbench.hub.repository import RepoFile, RepoQuantization, Repository, RepoSummary, SortBy
from workbench.hub.speed import SpeedEstimate
from workbench.hub.transfers import DownloadOrder, DownloadView

SUMMARY = RepoSummary(
    "someone/Tiny-GGUF",
    downloads=1200,
    likes=7,
    updated_at="2026-01-02T03:04:05Z",
    license="mit",
    is_gated=True,
    parameters=1_540_000_000,
    architecture="llama",
    context_trained=32768,
)
SMALL = RepoQuantization("Q4_K_M", "Q4_K_M", (RepoFile("tiny-Q4_K_M.gguf", 900, "a" * 64),), 4.85, "A good compromise.")
LARGE = RepoQuantization("F16", "F16", (RepoFile("tiny-F16.gguf", 3000),), 16.0)
REPOSITORY = Repository(SUMMARY, "c" * 40, (SMALL, LARGE))
ORDER = DownloadOrder("someone/Tiny-GGUF", "c" * 40, "Q4_K_M", SMALL.files)
ESTIMATE = MemoryEstimate(
    (
        MemoryPart("weights", "CPU", 1000, 900),
        MemoryPart("kv", "CUDA0", 500, 500),
        MemoryPart("compute", "CUDA0", 300, None),
    ),
    context_length=4096,
    kv_type="q8_0",
    gpu_layers=12,
    basis="engine",
)


def view(state: str, **changes: object) -> DownloadView:
    return DownloadView("d1", ORDER, state, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "count"),
    [("0.5B", 500_000_000), ("500m", 500_000_000), ("494032768", 494_032_768), ("1.5k", 1500), (None, None)],
)
def test_a_number_of_parameters_is_read_as_people_write_it(text: str | None, count: int | None) -> None:
    assert models_text.read_parameters(text, "--min-size") == count


@pytest.mark.parametrize("text", ["", "big", "4GB", "-1", "1e9", "4 B B"])
def test_what_is_no_number_of_parameters_names_its_option(text: str) -> None:
    with pytest.raises(UsageProblem, match="--min-size"):
        models_text.read_parameters(text, "--min-size")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "—"), (999, "999"), (42_000_000, "42.0M"), (494_032_768, "494M"), (999_600_000, "1.00B"),
        (1_540_000_000, "1.54B"), (14_770_000_000, "14.8B"), (123_000_000_000, "123B"),
    ],
)  # fmt: skip
def test_parameters_are_shown_with_three_digits(count: int | None, text: str) -> None:
    assert models_text.parameters_text(count) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name:Q4_K_M", ("org/name", "Q4_K_M")),
        ("org/name", ("org/name", None)),
        ("https://huggingface.co/org/name", ("https://huggingface.co/org/name", None)),
        ("http://localhost:8080/org/name:Q8_0", ("http://localhost:8080/org/name", "Q8_0")),
        ("demo:Q2_K", ("demo", "Q2_K")),
        ("C:\\models\\x.gguf", ("C:\\models\\x.gguf", None)),
        ("name:", ("name:", None)),
        (":x", (":x", None)),
    ],
)
def test_the_quantization_stands_behind_the_last_colon(text: str, expected: tuple[str, str | None]) -> None:
    assert models_text.split_tag(text) == expected


def test_the_option_has_the_last_word_and_a_file_with_a_colon_is_a_file(tmp_path: Path) -> None:
    assert wanted("org/name:Q4_K_M", "Q8_0") == ("org/name", "Q8_0")
    odd = tmp_path / "a:b.gguf"
    odd.touch()
    assert wanted(str(odd), None) == (str(odd), None)


def test_the_recommended_one_is_taken_and_the_reason_told() -> None:
    assert choose(REPOSITORY, None) is SMALL
    assert choice_sentence(REPOSITORY, SMALL, None).endswith("A good compromise.")
    assert choose(REPOSITORY, "f16") is LARGE
    assert "compromise" not in choice_sentence(REPOSITORY, SMALL, "Q4_K_M")


def test_a_quantization_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ModelNotFound, match=r"no Q9; it has: Q4_K_M, F16"):
        choose(REPOSITORY, "Q9")
    with pytest.raises(ModelNotFound, match="no GGUF model"):
        choose(Repository(SUMMARY, "c" * 40, ()), None)


def test_several_models_and_none_recommended_is_a_question_not_a_guess() -> None:
    unmarked = Repository(SUMMARY, "c" * 40, (LARGE, RepoQuantization("Q8_0", "Q8_0", ())))
    with pytest.raises(UsageProblem, match="--quant: F16, Q8_0"):
        choose(unmarked, None)


def test_a_repository_in_a_list_and_in_full() -> None:
    assert models_text.search_cells(SUMMARY) == ["someone/Tiny-GGUF", "1.54B", "1,200", "7", "mit", "gated"]
    assert models_text.search_cells(RepoSummary("a/b")) == ["a/b", "—", "—", "—", "—", "open"]
    lines = models_text.repository_lines(REPOSITORY)
    assert lines[1] == "llama, 1.54B parameters, context 32,768, licence mit, gated"
    assert lines[2] == "1,200 downloads, 7 likes, changed 2026-01-02"
    assert models_text.quantization_cells(SMALL, {"Q4_K_M"}) == ["Q4_K_M", "900 B", "4.85", "1", "recommended, on disk"]


def test_json_of_a_repository_has_sizes_hashes_and_what_is_here() -> None:
    found = json.loads(json.dumps(models_json.repository_object(REPOSITORY, {"F16"})))
    assert (found["repository"], found["revision"], found["gated"]) == ("someone/Tiny-GGUF", "c" * 40, True)
    small, large = found["quantizations"]
    assert (small["size_bytes"], small["recommended"], small["on_disk"]) == (900, True, False)
    assert small["files"] == [{"name": "tiny-Q4_K_M.gguf", "size_bytes": 900, "sha256": "a" * 64, "is_xet": False}]
    assert (large["on_disk"], large["reason"]) == (True, None)


def test_memory_is_itemised_and_summed_for_each_device() -> None:
    assert models_memory.memory_rows(ESTIMATE) == [
        ["weights", "CPU", "1.00 kB", "900 B"],
        ["KV cache", "CUDA0", "500 B", "500 B"],
        ["compute buffers", "CUDA0", "300 B", "—"],
        ["sum", "CPU", "1.00 kB", "900 B"],
        ["sum", "CUDA0", "800 B", "800 B"],
        ["sum", "all", "1.80 kB", "1.70 kB"],
    ]
    assert models_memory.basis_sentence(ESTIMATE) == (
        "Context 4,096, KV cache q8_0, 12 layers on the GPU: planned by llama.cpp itself, which took no memory for it."
    )
    computed = models_memory.basis_sentence(replace(ESTIMATE, basis="arithmetic", note="llama.cpp did not start."))
    assert computed == "Context 4,096, KV cache q8_0, 12 layers on the GPU: computed from the header."
    found = models_json.estimate_object(ESTIMATE)
    assert (found["reserved_bytes"], found["resident_bytes"], found["basis"]) == (1800, 1700, "engine")
    assert found["parts"][2]["resident_bytes"] is None


def test_the_bar_of_a_curve_is_what_is_resident_of_what_is_reserved() -> None:
    rows = models_memory.curve_rows([CurvePoint(512, 100, 50), CurvePoint(4096, 200, 200)])
    assert [row[0] for row in rows] == ["512", "4,096"]
    width = models_memory.BAR_WIDTH
    assert rows[0][3] == "#" * (width // 4) + "-" * (width // 4)
    assert rows[1][3] == "#" * width
    assert models_memory.curve_rows([]) == []


def test_an_error_of_a_prediction_has_its_sign_and_an_unknown_one_none() -> None:
    parts = (CheckedPart("kv", 101, 100), CheckedPart("compute", 95, 100), CheckedPart("total resident", 5, 0))
    check = MemoryCheck("2026-11-21T10:00:00+00:00", "/m", None, 4096, "f16", 0, "engine", parts)
    rows = models_memory.check_rows([check])
    assert rows[0] == ["2026-11-21", "4,096", "f16", "KV cache", "101 B", "100 B", "+1.0%"]
    assert [(row[3], row[6]) for row in rows[1:]] == [("compute buffers", "-5.0%"), ("total, resident", "—")]
    assert [part["error"] for part in models_json.check_object(check)["parts"]] == [
        pytest.approx(0.01),
        pytest.approx(-0.05),
        None,
    ]


def test_many_loads_are_summed_up_and_the_newest_few_shown() -> None:
    def loaded(number: int) -> MemoryCheck:
        parts = [CheckedPart("kv", 100 + number, 100)]
        parts += [CheckedPart("total resident", 98, 100)] if number == 3 else []
        return MemoryCheck(f"2026-11-{20 - number}T10:00:00+00:00", "/m", None, 4096, "f16", 0, "engine", tuple(parts))

    checks = [loaded(number) for number in range(8)]
    assert models_memory.check_lines(checks) == [
        "Memory of past loads, predicted and measured, the newest 5 of 8:",
        "What llama.cpp reserved: median 3.5%, worst 7.0% off over 8 loads.",
        "In all, with a filled context: 2.0% off in 1 load.",
    ]
    assert [row[0] for row in models_memory.check_rows(checks)] == [
        f"2026-11-{20 - number}" for number in (0, 1, 2, 3, 3, 4)
    ]
    assert models_memory.check_lines(checks[:1])[0] == "Memory of past loads, predicted and measured:"


def test_speed_is_a_range_with_its_basis() -> None:
    estimate = SpeedEstimate(20.4, 25.0, 300.0, 410.0, "from this machine's measured 27 GB/s")
    assert models_memory.speed_sentence(estimate) == (
        "Speed: 20.4 to 25.0 tok/s decoding, 300 to 410 tok/s reading the prompt, from this machine's measured 27 GB/s."
    )
    assert "cannot be told" in models_memory.speed_sentence(None)
    assert models_json.speed_object(None) is None


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (view("running", done_bytes=450, bytes_per_s=90.0, remaining_s=5.0), "450 B of 900 B  90 B/s  5.0 s left"),
        (
            view("running", note="the server is busy: retry 3 of 7 in 8 s"),
            "0 B of 900 B  the server is busy: retry 3 of 7 in 8 s",
        ),
        (view("queued"), "0 B of 900 B  queued"),
        (view("verifying", done_bytes=900), "900 B of 900 B  comparing the content with the Hub's hash"),
    ],
)
def test_a_download_in_words(shown: DownloadView, text: str) -> None:
    assert models_transfer.amounts(shown) == text


def test_the_end_of_a_download_says_how_to_go_on() -> None:
    (here,) = models_transfer.ending(view("finished", done_bytes=900, resumed=2))
    assert "2 times" in here
    stopped = models_transfer.ending(view("paused", done_bytes=450))
    assert stopped[0].endswith("450 B of 900 B are kept.")
    assert stopped[1] == "It goes on with: workbench models pull someone/Tiny-GGUF:Q4_K_M"
    failed = models_transfer.ending(view("failed", error_code="download_broken", error="Wrong content.\x1b[2J"))
    assert failed == ["someone/Tiny-GGUF:Q4_K_M: Wrong content.[2J"]


def test_lines_come_at_a_change_of_state_and_not_for_every_byte(capsys: pytest.CaptureFixture[str]) -> None:
    lines = models_transfer.Lines()
    for done in range(0, 900, 100):
        lines.show([view("running", done_bytes=done)])
    lines.show([view("verifying", done_bytes=900)])
    lines.show([view("finished", done_bytes=900)])
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split("  ")[1] for line in said.err.splitlines()] == ["0%", "100%"]


def test_each_pause_is_a_line_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = models_transfer.Lines()
    notes = (None, None, "retry 1 of 7 in 1 s", "retry 1 of 7 in 1 s", "retry 2 of 7 in 2 s", None, None)
    for note in notes:
        lines.show([view("running", note=note)])
    said = [line.split("  ")[3:] for line in capsys.readouterr().err.splitlines()]
    assert said == [[], ["retry 1 of 7 in 1 s"], ["retry 2 of 7 in 2 s"]]


def test_the_exit_code_is_that_of_the_first_failure() -> None:
    assert code_of([view("finished")]) == ExitCode.FINISHED
    assert code_of([view("finished"), view("paused")]) == ExitCode.CANCELLED
    assert code_of([view("paused"), view("failed", error_code="storage_full")]) == ExitCode.STORAGE
    assert code_of([view("failed", error_code="download_broken")]) == ExitCode.HUB
    assert code_of([view("failed", error_code="hub_access_denied")]) == ExitCode.ACCESS


def test_json_of_a_download_is_the_same_for_every_ending() -> None:
    good = models_json.download_object(view("finished", done_bytes=900, path=Path("/x/tiny.gguf")))
    bad = models_json.download_object(view("failed", error_code="download_broken", error="Wrong."))
    assert good.keys() == bad.keys()
    assert (good["path"], good["error"], good["quantization"]) == ("/x/tiny.gguf", None, "Q4_K_M")
    assert (bad["path"], bad["error"]["code"]) == (None, "download_broken")


def test_choices_written_out_for_a_quick_help_are_those_of_the_hub() -> None:
    from typing import get_args

    assert tuple(models_find.Sort) == get_args(SortBy)
