"""The shell: pages, keys, notices, the state that is kept, and a close that returns even in the middle of a run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from pytestqt.exceptions import TimeoutError as QtTimeout
from pytestqt.qtbot import QtBot

from tests.fakes.scripted_engine import Script, ScriptedEngine
from tests.ui.keyboard import missed_by_tab
from ui import theme
from ui.app import open_window
from ui.main_window import MainWindow, PageEntry
from ui.pages.run import RunPage
from ui.tasks import Tasks
from ui.view_state import ViewState
from ui.widgets.about_dialog import AboutDialog
from workbench.core import Knobs, Workbench
from workbench.errors import Bug
from workbench.runs.record import TelemetrySample


class PlainPage(QWidget):
    """A page as the shell knows it."""

    busy_changed = Signal(bool)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.views_saved = 0
        box = QVBoxLayout(self)
        self.field = QLineEdit(name)
        self.field.setAccessibleName(name)
        box.addWidget(self.field)

    def save_view(self) -> None:
        self.views_saved += 1


@pytest.fixture
def built() -> list[str]:
    """Names of the pages that were built, in order."""
    return []


@pytest.fixture
def window(qtbot: QtBot, workbench: Workbench, tasks: Tasks, view: ViewState, built: list[str]) -> Iterator[MainWindow]:
    made = MainWindow(workbench, tasks, view)
    for key in ("one", "two", "three"):

        def factory(name: str = key) -> QWidget:
            built.append(name)
            return PlainPage(name)

        made.add_page(PageEntry(key, key.title(), "run", factory, "bottom" if key == "three" else "top"))
    qtbot.addWidget(made)
    made.resize(1280, 800)
    made.show_first_page()
    with qtbot.waitExposed(made):
        made.show()
    yield made
    made.close()


def test_pages_are_built_when_first_shown(qtbot: QtBot, window: MainWindow, built: list[str]) -> None:
    assert built == ["one"]
    qtbot.mouseClick(window._rail.button("two"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(window._rail.button("one"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(window._rail.button("two"), Qt.MouseButton.LeftButton)
    assert built == ["one", "two"]
    assert window.current_page == "two"
    assert window._rail.button("two").isChecked()
    assert not window._rail.button("one").isChecked()


def test_control_and_a_number_go_to_a_page(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.keyClick(window, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    assert window.current_page == "two"
    qtbot.keyClick(window, Qt.Key.Key_9, Qt.KeyboardModifier.ControlModifier)
    assert window.current_page == "two"


def test_arrows_move_in_the_rail(qtbot: QtBot, window: MainWindow) -> None:
    button = window._rail.button("one")
    button.setFocus()
    qtbot.keyClick(button, Qt.Key.Key_Down)
    assert window._rail.button("two").hasFocus()
    qtbot.keyClick(window._rail.button("two"), Qt.Key.Key_Space)
    assert window.current_page == "two"


def test_the_rail_shows_work_that_goes_on(window: MainWindow) -> None:
    page = window.page("one")
    assert isinstance(page, PlainPage)
    page.busy_changed.emit(True)
    assert window._rail.button("one").accessibleName() == "One, working"
    page.busy_changed.emit(False)
    assert window._rail.button("one").accessibleName() == "One"


def test_the_rail_is_narrow_in_a_narrow_window(qtbot: QtBot, window: MainWindow) -> None:
    window.resize(960, 640)
    qtbot.waitUntil(lambda: window._rail.width() == 48)
    window.resize(1100, 640)
    qtbot.waitUntil(lambda: window._rail.width() == 76)


def test_the_status_bar_says_engine_and_machine(qtbot: QtBot, window: MainWindow, workbench: Workbench) -> None:
    qtbot.waitUntil(lambda: "RAM" in window._status._machine.text())
    assert window._status._engine.text() == workbench.engine_state.text
    workbench.run(workbench.build_spec(Knobs(prompt="Hello")), lambda event: None)
    qtbot.waitUntil(lambda: "ready" in window._status._engine.text())
    load = workbench.engine_state.load
    assert load is not None
    assert window._status._build.text() == load.short_build


def test_an_error_without_a_place_is_shown_with_a_report(qtbot: QtBot, window: MainWindow) -> None:
    window.show_error(Bug("Something in the program failed.", detail="line 12"))
    assert window._notice.isVisible()
    button = next(b for b in window._notice.findChildren(QPushButton) if b.text() == "Copy report")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert "line 12" in QGuiApplication.clipboard().text()


def test_f1_opens_about_with_versions_and_shortcuts(qtbot: QtBot, window: MainWindow) -> None:
    seen: list[str] = []

    def look() -> None:
        dialog = next(w for w in QApplication.topLevelWidgets() if isinstance(w, AboutDialog) and w.isVisible())
        seen.append(dialog.text())
        dialog.accept()

    QTimer.singleShot(300, look)
    qtbot.keyClick(window, Qt.Key.Key_F1)
    assert "llama-cpp-python: " in seen[0]
    assert "Ctrl+Q" in seen[0]


def test_f11_doubles_the_figures_and_is_kept(qtbot: QtBot, window: MainWindow, workbench: Workbench) -> None:
    qtbot.keyClick(window, Qt.Key.Key_F11)
    assert theme.current().metric_scale == 2.0
    assert workbench.settings.current.presenter
    qtbot.keyClick(window, Qt.Key.Key_F11)
    assert theme.current().metric_scale == 1.0


def test_geometry_and_page_are_kept(
    qtbot: QtBot, window: MainWindow, workbench: Workbench, view: ViewState, built: list[str]
) -> None:
    window.resize(900, 707)  # as narrow as it can be: the screen of the offscreen platform has 800 x 800
    window.show_page("two")
    page = window.page("two")
    window.close()
    assert isinstance(page, PlainPage)
    assert page.views_saved == 1
    again = MainWindow(workbench, Tasks(window), ViewState(workbench.paths.data))
    qtbot.addWidget(again)
    for key in ("one", "two"):
        again.add_page(PageEntry(key, key, "run", lambda: PlainPage("again")))
    again.show_first_page()
    assert again.current_page == "two"
    assert (again.width(), again.height()) == (900, 707)


def test_control_q_in_the_middle_of_a_run_closes_soon_and_keeps_the_row(
    qtbot: QtBot, window: MainWindow, workbench: Workbench, engine: ScriptedEngine
) -> None:
    engine.scripts = [Script(words=["word "] * 5000, itl_ms=20, prefill_ms=10, real_time=True)]
    seen: list[object] = []
    job = workbench.start_run(workbench.build_spec(Knobs(prompt="Long", max_tokens=5000)), seen.append)
    qtbot.waitUntil(lambda: len(seen) > 8)
    start = time.monotonic()
    qtbot.keyClick(window, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
    assert not window.isVisible()
    assert time.monotonic() - start < 5
    record = job.wait(0)
    assert record is not None
    assert record.status == "cancelled"


# The whole program, with its real pages.


@pytest.fixture
def program(qtbot: QtBot, qapp: QApplication, workbench: Workbench) -> Iterator[MainWindow]:
    window = open_window(qapp, workbench)
    qtbot.addWidget(window)
    with qtbot.waitActive(window):
        window.activateWindow()
    yield window
    window.close()


def focusable_without_name(window: QWidget) -> list[str]:
    found = []
    for widget in window.findChildren(QWidget):
        if not widget.isVisible() or widget.focusPolicy() & Qt.FocusPolicy.TabFocus != Qt.FocusPolicy.TabFocus:
            continue
        text = widget.text() if isinstance(widget, QAbstractButton | QLabel) else ""
        if not (widget.accessibleName() or text):
            found.append(f"{type(widget).__name__} {widget.objectName()} in {type(widget.parent()).__name__}")
    return found


def cut_off(window: QWidget) -> list[str]:
    """Labels and buttons that are narrower than their text and do not wrap."""
    found = []
    for widget in window.findChildren(QWidget):
        if not widget.isVisible() or not isinstance(widget, QLabel | QPushButton | QToolButton):
            continue
        if isinstance(widget, QToolButton) and not widget.text():
            continue
        if isinstance(widget, QLabel) and (widget.wordWrap() or not widget.text() or widget.toolTip() == widget.text()):
            continue
        needed = widget.sizeHint().width() if isinstance(widget, QLabel) else widget.minimumSizeHint().width()
        if widget.width() < needed:
            found.append(f"{type(widget).__name__} {widget.text()!r}: {widget.width()} of {needed}")
    return found


SIZES = ((1024, 640), (1280, 800), (1920, 1080), (2560, 1440))


@pytest.mark.parametrize("key", ["run", "history", "settings"])
def test_everything_has_a_name_and_no_text_is_cut_off(
    qtbot: QtBot, program: MainWindow, workbench: Workbench, key: str
) -> None:
    workbench.run(workbench.build_spec(Knobs(prompt="A question of some length about costs")), lambda event: None)
    program.show_page(key)
    qtbot.wait(300)
    for width, height in SIZES:
        program.resize(width, height)
        qtbot.wait(60)
        assert focusable_without_name(program) == []
        with contextlib.suppress(QtTimeout):  # a label that has just got another text is laid out a moment later
            qtbot.waitUntil(lambda: not cut_off(program), timeout=500)
        assert cut_off(program) == [], f"{width} x {height}"
        assert program.width() == width, "the page needs more room than the window has"


@pytest.fixture
def thoughtful(qtbot: QtBot, program: MainWindow, workbench: Workbench, engine: ScriptedEngine) -> RunPage:
    """The Run page after two questions, the second with thinking: every tile shows all it has."""
    engine.report = replace(engine.report, start_ms=None, load_ms=None, context_ms=None)
    thoughts = ["hm "] * 1_024
    engine.scripts = [Script(itl_ms=4), Script(thoughts=thoughts, words=["a "] * 90, itl_ms=4, prompt_tokens=1_651,
                                               cached_tokens=1_116)]  # fmt: skip
    page = program.show_page("run")
    assert isinstance(page, RunPage)
    qtbot.waitUntil(lambda: bool(page.state.view.choices.models), timeout=10_000)
    for question in ("first", "second"):
        with qtbot.waitSignal(page.state.run_finished, timeout=20_000):
            assert page.state.start(question)
    sample = TelemetrySample(t_ns=0, engine_resident_bytes=1_234_000_000)
    costs = workbench.estimate_costs(page.state.figures.metrics, 1, (), 4_000_000)
    page.state._figures = replace(page.state.figures, sample=sample, costs=costs, shown_ms=161.0)
    page.state.figures_changed.emit()
    return page


@pytest.mark.parametrize("size", [(900, 600), (1024, 640), (1280, 800), (1920, 1080)])
def test_no_tile_cuts_its_text(qtbot: QtBot, program: MainWindow, thoughtful: RunPage, size: tuple[int, int]) -> None:
    program.resize(*size)
    qtbot.wait(100)
    assert (program.width(), program.height()) == size
    assert {key: tile.cut_texts() for key, tile in thoughtful.metrics.tiles.items() if tile.cut_texts()} == {}
    if size[0] <= 1024:
        tip = thoughtful.metrics.memory.toolTip()
        assert "1.23 GB resident" in tip
        assert "reserved" in tip


def test_the_column_fits_the_usual_window_with_banner_and_status_bar(
    qtbot: QtBot, program: MainWindow, thoughtful: RunPage
) -> None:
    for height in (800, 740):
        program.resize(1280, height)
        qtbot.wait(100)
        assert thoughtful.banner.isVisible()
        assert thoughtful.metrics.findChild(QScrollArea).verticalScrollBar().maximum() == 0, height
    assert thoughtful.metrics.speed.height() < 125, "tighter"
    program.resize(1280, 1000)
    qtbot.wait(100)
    assert thoughtful.metrics.speed.height() > 130


def test_the_smallest_window_is_large_enough_for_its_pages(
    qtbot: QtBot, program: MainWindow, thoughtful: RunPage
) -> None:
    program.resize(200, 200)
    assert (program.width(), program.height()) == (900, 600)
    for key in ("run", "history", "settings"):
        program.show_page(key)
        qtbot.wait(100)
        needed = program.minimumSizeHint()
        assert needed.width() <= 900, key
        assert needed.height() <= 600, key
        assert cut_off(program) == [], key
    thoughtful.state.new_chat()
    program.show_page("run")
    qtbot.wait(50)
    for button in thoughtful.suggestions.buttons:
        assert not button.visibleRegion().isEmpty()
        assert button.visibleRegion().boundingRect().height() == button.height()


def test_tab_reaches_every_control_of_settings(qtbot: QtBot, program: MainWindow) -> None:
    page = program.show_page("settings")
    qtbot.waitUntil(lambda: page.findChildren(QComboBox)[0].isEnabled())
    missed = missed_by_tab(qtbot, page, 80)
    assert not [name for name in missed if not name.startswith("QLineEdit ")], missed


def test_run_again_goes_from_history_to_run(qtbot: QtBot, program: MainWindow, workbench: Workbench) -> None:
    workbench.run(workbench.build_spec(Knobs(prompt="Ask this twice")), lambda event: None)
    page = program.show_page("history")
    button = next(b for b in page.findChildren(QPushButton) if b.text() == "Run again")
    qtbot.waitUntil(lambda: button.isVisible() and button.isEnabled())
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: program.current_page == "run")


def test_both_themes_paint_every_page(qtbot: QtBot, program: MainWindow) -> None:
    for choice in ("light", "dark"):
        theme.current().set_choice(choice)  # type: ignore[arg-type]
        for key in ("run", "history", "settings"):
            program.show_page(key)
            qtbot.wait(30)
            corner = program.grab().toImage().pixelColor(program.width() - 3, 3).name()
            assert corner == theme.current().hex("window")


def test_an_interrupted_run_is_told_at_the_start(
    qtbot: QtBot, qapp: QApplication, workbench: Workbench, tmp_path: Path
) -> None:
    workbench.interrupted_runs = 2
    window = open_window(qapp, workbench)
    qtbot.addWidget(window)
    qtbot.waitUntil(lambda: "2 runs were interrupted" in window._notice.text())
    window.close()
