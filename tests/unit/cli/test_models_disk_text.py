"""Models on disk as rows, wide tables on narrow screens, and long work with its bar."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from workbench.cli import models_progress, models_shelf, models_table
from workbench.cli.exit_codes import ExitCode, for_error
from workbench.cli.json_output import file_object, model_object
from workbench.errors import EngineCrashed, UserError
from workbench.hub.deletion import Deletion
from workbench.hub.gguf import ModelFile
from workbench.hub.grouping import ModelEntry
from workbench.hub.index import LibraryIndex
from workbench.hub.lineage import Lineage
from workbench.hub.trash_record import TrashRecord

FILE = ModelFile(
    path=Path("/m/Tiny-Q4_K_M.gguf"),
    name="Tiny",
    architecture="llama",
    quantization="Q4_K_M",
    parameters=3_934_464,
    size_bytes=2_642_880,
    bits_per_weight=5.17,
    context_trained=2048,
    chat_templates=("default",),
    parts=(Path("/m/Tiny-Q4_K_M.gguf"),),
    origin="hub_cache",
    repo_id="someone/Tiny-GGUF",
    thinking="enable_thinking",
)
ENTRY = ModelEntry("Tiny", (FILE,), ("Q8_0",))
LINEAGE = Lineage("Q4_K_M", "/m/Tiny-F16.gguf", "a" * 64, "F16", "llama.cpp 1; AVX2", "2026-11-21T10:00:00+00:00", 9)


def test_old_fields_of_the_list_keep_their_names() -> None:
    found = model_object(ENTRY)
    assert {"name", "demo", "quantizations", "makeable", "problem", "files"} <= found.keys()
    old = {"path", "quantization", "architecture", "parameters", "size_bytes", "trained_context_length", "problem"}
    assert old <= found["files"][0].keys()
    assert (found["repository"], found["files"][0]["origin"]) == ("someone/Tiny-GGUF", "hub_cache")
    assert (found["files"][0]["last_used_at"], found["files"][0]["tps"]) == (None, None)
    assert file_object(FILE)["thinking_switch"] == "enable_thinking"


def test_a_file_never_used_has_no_date_and_no_speed() -> None:
    made, makeable = models_shelf.library_rows([ENTRY], {})
    assert made == [
        "Tiny", "Q4_K_M", "2.64 MB", "3.93M", "Hugging Face cache", "someone/Tiny-GGUF", "—", "—",
        "/m/Tiny-Q4_K_M.gguf",
    ]  # fmt: skip
    assert (makeable[1], makeable[-1]) == ("(Q8_0)", "made on first use")


def test_what_a_file_was_made_from_is_a_sentence() -> None:
    assert models_shelf.lineage_sentence(LINEAGE) == (
        "Made here from /m/Tiny-F16.gguf, F16, 2026-11-21, by llama.cpp 1."
    )
    rows = {row.name: (row.value, row.remark) for row in models_shelf.fact_rows("Tiny", FILE)}
    assert rows["Thinking"] == ("can be switched", "by enable_thinking of its template")
    assert rows["Parameters"] == ("3.93M", "3,934,464 in the file")


def test_columns_that_can_be_spared_go_in_order_until_the_rest_fits() -> None:
    headers, rows = ("a", "b", "c"), [["x" * 10, "y" * 10, "z" * 10]]
    assert models_table.columns_for(36, headers, rows, (2, 1)) == [0, 1, 2]
    assert models_table.columns_for(35, headers, rows, (2, 1)) == [0, 1]
    assert models_table.columns_for(12, headers, rows, (2, 1)) == [0]
    assert models_table.columns_for(5, headers, rows, (2, 1)) == [0]


def test_a_pipe_gets_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    models_table.print_narrowed(("a", "b"), [["x" * 200, "y"]], frozenset(), (0, 1))
    assert capsys.readouterr().out == f"a\tb\n{'x' * 200}\ty\n"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_is_a_wish_to_stop_and_a_child_that_died_of_it_is_no_crash() -> None:
    handler = signal.getsignal(signal.SIGINT)

    def work() -> None:
        with models_progress.watched("Making") as (_, cancel):
            os.kill(os.getpid(), signal.SIGINT)
            assert cancel.wait(5)
            raise EngineCrashed("The quantizer stopped unexpectedly.")

    with pytest.raises(UserError) as caught:
        work()
    assert for_error(caught.value) == ExitCode.CANCELLED
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_failure_without_ctrl_c_stays_what_it_is() -> None:
    with pytest.raises(EngineCrashed), models_progress.watched("Making"):
        raise EngineCrashed("The quantizer stopped unexpectedly.")


def test_work_in_a_pipe_says_nothing_while_it_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    with models_progress.watched("Making") as (report, _):
        for step in range(100):
            report(step / 100)
    assert capsys.readouterr().err == ""


def test_work_in_a_pipe_says_how_far_it_is_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(models_progress, "LINE_S", 0.05)
    with models_progress.watched("Making x") as (report, _):
        report(0.1)
        time.sleep(0.06)
        report(0.42)
        report(0.43)
    assert said.getvalue() == "Making x  42%\n"


def test_what_lies_in_the_trash_is_told_with_both_ways_out(tmp_path: Path) -> None:
    record = TrashRecord(("Tiny-Q4_K_M.gguf",), (), reclaimed_bytes=2_000_000)
    left = Deletion(tmp_path / "a.json", record, LibraryIndex(tmp_path / "library.json"))
    assert models_shelf.leftover_sentence([left]) == (
        "In the trash of a program that ended abruptly: Tiny-Q4_K_M.gguf, 2.00 MB. `workbench models undelete` brings "
        "it back, `workbench models undelete --discard` removes it for good."
    )
