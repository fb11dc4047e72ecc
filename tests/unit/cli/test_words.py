"""What the commands accept and how errors become exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from workbench import errors
from workbench.cli import exit_codes, history, options
from workbench.cli.exit_codes import ExitCode
from workbench.history.store import ExportFormat
from workbench.runs.record import RunStatus
from workbench.runs.spec import GPU_LAYERS_ALL, Overflow, Placement


def test_choices_written_out_for_a_quick_help_are_those_of_the_core() -> None:
    assert tuple(options.OverflowPolicy) == get_args(Overflow)
    assert set(history.Status) == set(get_args(RunStatus))
    assert tuple(history.ExportFormat) == get_args(ExportFormat)


def test_every_exit_code_has_a_meaning_and_stands_in_the_help() -> None:
    assert set(exit_codes.MEANINGS) == set(ExitCode)
    for code in ExitCode:
        assert f"{int(code)} {exit_codes.MEANINGS[code]}" in exit_codes.epilog()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ModelNotFound("x"), ExitCode.MODEL),
        (errors.ModelFileError("x"), ExitCode.MODEL),
        (errors.OutOfMemory("x"), ExitCode.OUT_OF_MEMORY),
        (errors.PromptTooLong("x"), ExitCode.PROMPT_TOO_LONG),
        (errors.EngineCrashed("x"), ExitCode.ENGINE_CRASHED),
        (errors.EngineStartFailed("x"), ExitCode.ENGINE_CRASHED),
        (errors.ProfileError("x"), ExitCode.PROFILE),
        (errors.SettingsError("x"), ExitCode.PROFILE),
        (errors.HistoryError("x"), ExitCode.STORAGE),
        (errors.HistoryError("x", code="history_closed"), ExitCode.STORAGE),
        (errors.StorageFull("x"), ExitCode.STORAGE),
        (errors.UserError("x", code="folder_not_writable"), ExitCode.STORAGE),
        (errors.UserError("x", code="run_not_found"), ExitCode.USAGE),
        (errors.SpecError("x"), ExitCode.USAGE),
        (errors.WorldError("x"), ExitCode.FAILED),
        (errors.Bug("x"), ExitCode.BUG),
    ],
)
def test_errors_end_in_their_exit_code(error: errors.WorkbenchError, code: ExitCode) -> None:
    assert exit_codes.for_error(error) is code


@pytest.mark.parametrize(("text", "layers"), [(None, None), ("auto", None), ("all", GPU_LAYERS_ALL), ("12", 12)])
def test_gpu_layers(text: str | None, layers: int | None) -> None:
    assert options.gpu_layers(text) == layers


@pytest.mark.parametrize("text", ["some", "-1", "1.5", ""])
def test_gpu_layers_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(options.UsageProblem, match="--gpu-layers"):
        options.gpu_layers(text)


def test_a_byte_order_mark_and_the_last_line_end_are_no_part_of_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_bytes(b"\xef\xbb\xbfhello\n")
    assert options.read_prompt(None, path) == "hello"


def test_broken_bytes_of_the_command_line_become_a_mark() -> None:
    assert options.read_prompt("a\udcffb", None) == "a\ufffdb"


def test_a_document_is_a_file_or_a_pipe_of_bounded_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    with pytest.raises(options.UsageProblem, match="folder"):
        options.read_text(tmp_path)
    with pytest.raises(options.UsageProblem, match="device"):
        options.read_text(Path("/dev/zero"))
    monkeypatch.setattr(options, "LARGEST_TEXT_BYTES", 1024**2)
    long = tmp_path / "long.txt"
    long.write_bytes(b"a" * (1024**2 + 1))
    with pytest.raises(options.UsageProblem, match="longer than 1 MiB"):
        options.read_text(long)
    reader, writer = os.pipe()  # what <(...) of a shell gives
    os.write(writer, b"piped")
    os.close(writer)
    assert options.read_text(Path(f"/dev/fd/{reader}")) == "piped"
    os.close(reader)


@pytest.mark.parametrize(
    ("typed", "placement"),
    [
        ((None, None, None), None),
        ((None, 1, None), Placement("none", 1)),
        ((None, None, "3, 1"), Placement("layer", 0, (3.0, 1.0))),
        ((options.SplitModeName.ROW, 1, "1,0.5"), Placement("row", 1, (1.0, 0.5))),
    ],
)
def test_a_main_gpu_without_a_split_mode_is_meant_alone(
    typed: tuple[options.SplitModeName | None, int | None, str | None], placement: Placement | None
) -> None:
    assert options.placement(*typed) == placement


def test_shares_that_are_no_numbers_are_a_sentence() -> None:
    with pytest.raises(options.UsageProblem, match="--tensor-split"):
        options.placement(None, None, "most")
