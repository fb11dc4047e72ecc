"""The history page on a real database: find, sort, read, copy, export, delete and take back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.fakes import run_records
from tests.fakes.scripted_engine import Script, ScriptedEngine
from ui.pages.history import HistoryPage
from ui.state.history import PAGE_ROWS, HistoryState
from ui.tables.history import COLUMNS, STATUS_ROLE, HistoryTable
from ui.tasks import Tasks
from ui.view_state import ViewState
from workbench.core import Knobs, Workbench
from workbench.errors import ModelFileError
from workbench.glossary import Glossary
from workbench.history.store import RunSummary
from workbench.paths import resources

Show = Callable[..., QWidget]
NAMES = [column.title for column in COLUMNS]


@pytest.fixture
def page(qtbot: QtBot, workbench: Workbench, tasks: Tasks, view: ViewState) -> HistoryPage:
    made = HistoryPage(HistoryState(workbench, tasks), view)
    qtbot.addWidget(made)
    return made


@pytest.fixture
def runs(workbench: Workbench, engine: ScriptedEngine) -> list[str]:
    """Three runs, the newest last: slow and thoughtful, quick, failed."""
    engine.scripts = [
        Script(thoughts=("I", " think"), words=("Slow", " **answer**"), prefill_ms=400),
        Script(words=("Quick", " answer"), prefill_ms=40),
        Script(error=ModelFileError("The file ended early. Download it again.", detail="tensor data")),
    ]
    ids = []
    for prompt in ("Why is it\tslow?", "What is quick?", "What fails?"):
        ids.append(workbench.run(workbench.build_spec(Knobs(prompt=prompt)), lambda event: None).id)
        time.sleep(0.002)  # the order is that of the start times, in milliseconds
    return ids


def cell(page: HistoryPage, row: int, title: str) -> str:
    return str(page.table_model.index(row, NAMES.index(title)).data())


def click_header(qtbot: QtBot, page: HistoryPage, title: str) -> None:
    header = page.table.horizontalHeader()
    x = header.sectionViewportPosition(NAMES.index(title)) + 20
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, 10))


def shown(qtbot: QtBot, page: HistoryPage, show: Show, rows: int) -> None:
    show(page, 1400, 800)
    qtbot.waitUntil(lambda: page.table_model.rowCount() == rows)


def test_an_empty_history_says_what_fills_it(qtbot: QtBot, page: HistoryPage, show: Show) -> None:
    show(page)
    qtbot.waitUntil(lambda: page._empty.isVisible())
    button = next(b for b in page._empty.findChildren(QPushButton) if b.isVisible())
    with qtbot.waitSignal(page.run_page_requested):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_rows_show_figures_with_units_in_the_header(
    qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str]
) -> None:
    shown(qtbot, page, show, 3)
    assert [cell(page, row, "Status") for row in range(3)] == ["Failed", "Finished", "Finished"]
    assert cell(page, 2, "TTFT, ms") == "400"
    assert cell(page, 1, "TPS, tok/s") == "40.0"
    assert cell(page, 0, "TTFT, ms") == "—"
    right = page.table_model.index(1, NAMES.index("TTFT, ms")).data(Qt.ItemDataRole.TextAlignmentRole)
    assert right & Qt.AlignmentFlag.AlignRight
    assert page.table_model.index(0, 1).data(STATUS_ROLE) == "failed"


def test_details_show_texts_and_fold_the_thinking(qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str]) -> None:
    shown(qtbot, page, show, 3)
    qtbot.waitUntil(lambda: "The file ended early" in page.details.plain_text())
    assert "tensor data" in page.details.plain_text()
    page.table.setFocus()
    for _ in range(2):
        qtbot.keyClick(page.table, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: "Slow answer" in page.details.plain_text())
    assert "I think" not in page.details.plain_text()
    qtbot.mouseClick(page.thinking_button, Qt.MouseButton.LeftButton)
    assert "I think" in page.details.plain_text()
    assert page.thinking_button.text() == "Hide thinking"


def test_run_again_hands_over_the_selected_run(qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str]) -> None:
    shown(qtbot, page, show, 3)
    with qtbot.waitSignal(page.rerun_requested) as blocker:
        qtbot.mouseClick(page.rerun_button, Qt.MouseButton.LeftButton)
    assert blocker.args == [runs[2]]


def test_search_and_status_narrow_the_list(qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str]) -> None:
    shown(qtbot, page, show, 3)
    qtbot.keyClicks(page.search, "quick")
    qtbot.waitUntil(lambda: page.table_model.rowCount() == 1)
    assert cell(page, 0, "Prompt") == "What is quick?"
    page.search.setText("nothing has this")
    qtbot.waitUntil(lambda: page._empty.isVisible())
    button = next(b for b in page._empty.findChildren(QPushButton) if b.isVisible())
    assert button.text() == "Show all runs"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.table_model.rowCount() == 3)
    page.status.setFocus()
    qtbot.keyClicks(page.status, "Fai")
    qtbot.keyClick(page.status, Qt.Key.Key_Return)
    page.status.activated.emit(page.status.currentIndex())
    qtbot.waitUntil(lambda: page.table_model.rowCount() == 1)
    assert cell(page, 0, "Status") == "Failed"


def test_a_click_on_a_header_sorts_and_unknown_figures_stay_last(
    qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str]
) -> None:
    shown(qtbot, page, show, 3)
    click_header(qtbot, page, "TTFT, ms")
    assert [cell(page, row, "TTFT, ms") for row in range(3)] == ["40", "400", "—"]
    click_header(qtbot, page, "TTFT, ms")
    assert [cell(page, row, "TTFT, ms") for row in range(3)] == ["400", "40", "—"]


def test_copy_puts_a_table_on_the_clipboard(qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str]) -> None:
    shown(qtbot, page, show, 3)
    page.table.setFocus()
    qtbot.keyClick(page.table, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(page.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].split("\t") == NAMES
    assert len(lines) == 4
    assert lines[3].split("\t")[-1] == "Why is it slow?"


def test_delete_can_be_undone(
    qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str], workbench: Workbench
) -> None:
    shown(qtbot, page, show, 3)
    qtbot.mouseClick(page.delete_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.table_model.rowCount() == 2)
    assert workbench.history.count() == 2
    undo = next(b for b in page._notice.findChildren(QPushButton) if b.text() == "Undo")
    qtbot.mouseClick(undo, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.table_model.rowCount() == 3)
    assert workbench.history.count() == 3


def test_export_writes_all_runs(
    qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "runs.jsonl"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(target), ""))
    shown(qtbot, page, show, 3)
    page.export_button.menu().actions()[0].trigger()
    qtbot.waitUntil(lambda: "Exported" in page._notice.text())
    assert [json.loads(line)["id"] for line in target.read_text("utf-8").splitlines()] == runs[::-1]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / "no" / "x.csv"), ""))
    page.export_button.menu().actions()[1].trigger()
    qtbot.waitUntil(lambda: "was not written" in page._notice.text())


def test_a_run_that_ends_appears_by_itself(
    qtbot: QtBot, page: HistoryPage, show: Show, runs: list[str], workbench: Workbench, engine: ScriptedEngine
) -> None:
    shown(qtbot, page, show, 3)
    engine.scripts.append(Script())
    workbench.start_run(workbench.build_spec(Knobs(prompt="One more")), lambda event: None)
    qtbot.waitUntil(lambda: page.table_model.rowCount() == 4 and cell(page, 0, "Status") == "Finished")


def test_column_widths_are_remembered(
    qtbot: QtBot, page: HistoryPage, workbench: Workbench, tasks: Tasks, view: ViewState
) -> None:
    page.table.horizontalHeader().resizeSection(2, 333)
    page.save_view()
    view.save()
    again = HistoryPage(HistoryState(workbench, tasks), ViewState(workbench.paths.data))
    qtbot.addWidget(again)
    assert again.table.columnWidth(2) == 333


def test_pages_are_fetched_when_the_view_reaches_the_end(
    qtbot: QtBot, page: HistoryPage, show: Show, workbench: Workbench
) -> None:
    count = PAGE_ROWS + 40
    for number in range(count):
        workbench.history.open_run(run_records.running(f"run-{number:05d}", number))
    show(page, 1400, 800)
    qtbot.waitUntil(lambda: page.table_model.rowCount() == PAGE_ROWS)
    assert page._count.text() == f"{count} runs"
    page.table.scrollToBottom()
    qtbot.waitUntil(lambda: page.table_model.rowCount() == count)


def test_a_sort_of_a_part_loads_all_rows(qtbot: QtBot, page: HistoryPage, show: Show, workbench: Workbench) -> None:
    count = PAGE_ROWS + 10
    for number in range(count):
        workbench.history.open_run(run_records.running(f"run-{number:05d}", number))
    show(page, 1400, 800)
    qtbot.waitUntil(lambda: page.table_model.rowCount() == PAGE_ROWS)
    click_header(qtbot, page, "Started")
    qtbot.waitUntil(lambda: page.table_model.rowCount() == count)
    assert page.table_model.run_id(0) == "run-00000"


def test_fifty_thousand_rows_sort_quickly(qtbot: QtBot) -> None:
    base = RunSummary("0", "finished", "2026-11-21T03:00:00.000+00:00", "Demo", "F16", 4096, "fast", "chat", "Why?",
                      100.0, None, 60.0, 2000.0, 64, 0.0002, "Because.")  # fmt: skip
    rows = [replace(base, id=str(n), ttft_ms=None if n % 50 == 0 else float(n * 7919 % 50_000)) for n in range(50_000)]
    table = HistoryTable(Glossary(resources().glossary))
    table.set_rows(rows, len(rows))
    start = time.perf_counter()
    table.sort(NAMES.index("TTFT, ms"), Qt.SortOrder.AscendingOrder)
    assert time.perf_counter() - start < 2.0
    figures = [row.ttft_ms for row in table._rows]
    known = [figure for figure in figures if figure is not None]
    assert known == sorted(known)
    assert figures[-1000:] == [None] * 1000
