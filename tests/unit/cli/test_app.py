"""How the program ends when something goes wrong that nobody expected."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest

from workbench.cli import app as program
from workbench.cli import exit_codes, output
from workbench.cli.exit_codes import ExitCode
from workbench.cli.output import Duty
from workbench.errors import StorageFull


def ends_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def broken(**options: object) -> None:
        raise error

    monkeypatch.setattr(program, "app", broken)
    monkeypatch.setattr(program, "_make_streams_safe", lambda: None)
    return program.run_program()


def test_a_bug_is_one_sentence_and_its_traceback_is_in_the_log(
    workbench_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends_with(monkeypatch, RuntimeError("the impossible")) == ExitCode.BUG
    said = capsys.readouterr().err
    log = workbench_home / "logs" / "workbench.log"
    assert said.count("\n") == 1
    assert "the impossible" in said
    assert str(log) in said
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_a_fault_of_the_world_is_its_sentence_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends_with(monkeypatch, StorageFull("The disk is full.")) == ExitCode.STORAGE
    assert capsys.readouterr().err == "The disk is full.\n"


def test_ctrl_c_outside_a_run_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(monkeypatch, KeyboardInterrupt()) == ExitCode.CANCELLED
    assert capsys.readouterr().err == ""


def test_a_failure_with_json_is_one_object_on_standard_output(
    workbench_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    endings = [
        (RuntimeError("the impossible"), ExitCode.BUG, "failed", "bug"),
        (StorageFull("The disk is full."), ExitCode.STORAGE, "failed", "storage_full"),
        (KeyboardInterrupt(), ExitCode.CANCELLED, "cancelled", None),
        (SystemExit(130), ExitCode.CANCELLED, "cancelled", None),
    ]
    monkeypatch.setattr(output, "begin", lambda: None)
    for error, code, status, error_code in endings:
        monkeypatch.setattr(output, "duty", Duty(is_json=True, is_run=True))
        assert ends_with(monkeypatch, error) == code
        found = json.loads(capsys.readouterr().out)
        assert found["status"] == status
        assert (found["error"] or {}).get("code") == error_code
    monkeypatch.setattr(output, "duty", Duty(is_json=True))
    ends_with(monkeypatch, StorageFull("The disk is full."))
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "The disk is full."


def test_a_document_that_is_out_is_not_followed_by_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "begin", lambda: None)
    monkeypatch.setattr(output, "duty", Duty(is_json=True, is_run=True, is_done=True))
    assert ends_with(monkeypatch, StorageFull("The disk is full.")) == ExitCode.STORAGE
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "The disk is full.\n")


def test_every_error_code_of_the_program_has_an_exit_code() -> None:
    folder = Path(program.__file__).parents[1]
    found = {
        code
        for path in folder.rglob("*.py")
        for code in re.findall(r"\bcode ?= ?\"([a-z_]+)\"", path.read_text(encoding="utf-8"))
    }
    assert {"prompt_empty", "architecture_unsupported", "storage_full"} <= found
    assert found - set(exit_codes._BY_ERROR_CODE) == set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("architecture_unsupported", ExitCode.MODEL),
        ("not_generative", ExitCode.MODEL),
        ("context_refused", ExitCode.MODEL),
        ("template_failed", ExitCode.MODEL),
        ("prompt_empty", ExitCode.USAGE),
        ("grammar_invalid", ExitCode.USAGE),
        ("logit_bias_invalid", ExitCode.USAGE),
        ("load_cancelled", ExitCode.CANCELLED),
    ],
)
def test_a_run_that_is_known_by_its_error_code_ends_as_documented(code: str, expected: ExitCode) -> None:
    assert exit_codes.for_error_code(code) == expected


def test_a_log_that_cannot_be_written_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from workbench.cli.session import QuietFileHandler

    handler = QuietFileHandler(tmp_path / "x.log")
    handler.close()
    stream = io.StringIO()
    stream.close()
    handler.stream = stream  # type: ignore[assignment]
    handler.emit(logging.LogRecord("x", logging.ERROR, "x", 1, "hello", None, None))
    assert capsys.readouterr().err == ""
