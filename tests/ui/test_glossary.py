"""Definitions in the window: tooltips in the glossary's own words, and the glossary itself by mouse and by keyboard."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.ui.test_main_window import cut_off, focusable_without_name
from ui.app import open_window
from ui.definitions import TOPIC
from ui.main_window import MainWindow
from ui.pages.run import RunPage
from ui.pages.run_advanced import AdvancedPopup, CostPopup
from ui.pages.run_metrics import TITLES, TOPICS
from ui.state import history as history_state
from ui.tables import history, models_library, models_quantizations
from ui.tables.history import HistoryTable
from ui.tables.models_library import LibraryTable
from ui.tables.models_quantizations import QuantizationTable
from ui.widgets.about_dialog import AboutDialog
from ui.widgets.glossary_dialog import GlossaryDialog
from workbench.core import Workbench

Show = Callable[..., QWidget]
LEFT = Qt.MouseButton.LeftButton
# Figures that are no term of the field: a size of a file says itself, and what the error is stands in its tooltip.
PLAIN_COLUMNS = {"Size", "Memory error"}


@pytest.fixture
def program(qtbot: QtBot, qapp: QApplication, workbench: Workbench) -> Iterator[MainWindow]:
    window = open_window(qapp, workbench)
    qtbot.addWidget(window)
    qtbot.waitExposed(window)
    yield window
    window.close()


@pytest.fixture
def page(qtbot: QtBot, program: MainWindow) -> RunPage:
    shown = program.show_page("run")
    assert isinstance(shown, RunPage)
    qtbot.waitUntil(lambda: bool(shown.state.view.choices.models), timeout=10_000)
    return shown


@pytest.fixture
def dialog(show: Show, workbench: Workbench) -> GlossaryDialog:
    made = GlossaryDialog(workbench.glossary)
    show(made, 780, 560)
    return made


def glossary_of(program: MainWindow) -> GlossaryDialog | None:
    return next((found for found in program.findChildren(GlossaryDialog) if found.isVisible()), None)


def escaped(text: str) -> str:
    return html.escape(text, quote=False)


# --- tooltips ----------------------------------------------------------------------------------------------------


def test_every_tile_begins_with_the_sentence_of_the_glossary(page: RunPage, workbench: Workbench) -> None:
    assert TOPICS.keys() == TITLES.keys() == page.metrics.tiles.keys()
    for key, tile in page.metrics.tiles.items():
        sentence = workbench.glossary.topic(TOPICS[key]).short
        assert tile.toolTip().split("\n")[0] == sentence
        assert tile.accessibleDescription().split("\n")[0] == sentence
        assert tile.property(TOPIC) == TOPICS[key]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (HistoryTable, history.COLUMNS), (LibraryTable, models_library.COLUMNS),
        (QuantizationTable, models_quantizations.COLUMNS),
    ],
)  # fmt: skip
def test_every_column_of_figures_has_its_definition(
    qapp: QApplication, workbench: Workbench, table: type[HistoryTable], columns: tuple[history.Column, ...]
) -> None:
    shown = table(workbench.glossary)
    for number, column in enumerate(columns):
        tip = shown.headerData(number, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole) or ""
        assert column.note in tip
        if column.topic:
            topic = workbench.glossary.topic(column.topic)
            assert tip.startswith(f"<p>{escaped(topic.short)}</p>")
            assert tip.endswith(f"<p>{escaped(topic.explanation)}</p>")
        else:
            assert not column.is_number or column.title in PLAIN_COLUMNS, f"{column.title} has no definition"


def test_every_widget_with_a_term_tells_it(qtbot: QtBot, program: MainWindow, page: RunPage) -> None:
    glossary = program._workbench.glossary
    popup = AdvancedPopup(page.state, page)
    for key in ("models", "history", "settings"):
        program.show_page(key)
    named = [widget for widget in program.findChildren(QWidget) if widget.property(TOPIC)]
    for widget in named:
        assert glossary.topic(widget.property(TOPIC)).short in html.unescape(widget.toolTip())
    terms = {widget.property(TOPIC) for widget in named}
    assert terms >= {
        *TOPICS.values(), "quantization", "context", "modes", "surface", "seed", "system", "contextused", "temperature",
        "outputlimit", "offload", "kvtype", "truncation", "lora", "electricity", "contextmemory",
    }  # fmt: skip
    popup.close()


def test_every_figure_of_a_run_in_the_history_has_its_definition(
    qtbot: QtBot, program: MainWindow, workbench: Workbench, page: RunPage
) -> None:
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        assert page.state.start("What is TTFT?")
    shown = program.show_page("history")
    qtbot.waitUntil(lambda: bool(shown.details._values), timeout=10_000)  # type: ignore[attr-defined]
    figures = [name for name, _ in shown.details._values]  # type: ignore[attr-defined]
    assert {name.text() for name in figures} == history_state.TOPICS.keys()
    for name in figures:
        topic = workbench.glossary.topic(history_state.TOPICS[name.text()])
        assert escaped(topic.short) in name.toolTip()


# --- the glossary ------------------------------------------------------------------------------------------------


def titles_of(dialog: GlossaryDialog) -> list[str]:
    return [dialog.terms.item(row).text() for row in range(dialog.terms.count())]


def test_the_glossary_lists_all_terms_by_alphabet_and_shows_the_first_one(
    dialog: GlossaryDialog, workbench: Workbench
) -> None:
    topics = sorted(workbench.glossary.topics, key=lambda topic: topic.title.casefold())
    assert titles_of(dialog) == [topic.title for topic in topics]
    assert dialog.shown is topics[0]
    text = dialog.text.toPlainText()
    assert topics[0].short in text
    assert topics[0].explanation in text
    assert "*" not in text
    assert dialog.search.hasFocus()


def test_typing_finds_terms_and_keys_choose_one(qtbot: QtBot, dialog: GlossaryDialog, workbench: Workbench) -> None:
    qtbot.keyClicks(dialog.search, "cache")
    assert 1 < dialog.terms.count() < 40
    assert titles_of(dialog) == [topic.title for topic in workbench.glossary.search("cache")], "the best match first"
    assert dialog.shown is not None
    assert dialog.shown.id == "kv"
    qtbot.keyClick(dialog.search, Qt.Key.Key_Down)
    assert dialog.terms.hasFocus()
    qtbot.keyClick(dialog.terms, Qt.Key.Key_Down)
    assert dialog.shown.id != "kv"
    assert dialog.shown.short in dialog.text.toPlainText()
    chosen = dialog.shown
    qtbot.keyClick(dialog.search, Qt.Key.Key_Escape)
    assert dialog.search.text() == ""
    assert dialog.isVisible()
    assert dialog.shown is chosen, "what one reads stays when the search is emptied"
    qtbot.keyClick(dialog.search, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_words_that_nothing_has_are_answered_with_a_sentence(qtbot: QtBot, dialog: GlossaryDialog) -> None:
    qtbot.keyClicks(dialog.search, "xyzzy")
    assert dialog.terms.count() == 0
    said = [label.text() for label in dialog.findChildren(QLabel) if label.isVisible()]
    assert "No term and no explanation has these words." in said
    dialog.search.clear()
    assert dialog.text.isVisible()


def test_nothing_in_the_glossary_is_cut_or_nameless(dialog: GlossaryDialog) -> None:
    assert cut_off(dialog) == []
    assert focusable_without_name(dialog) == []


def test_shift_f1_explains_what_has_the_focus(qtbot: QtBot, program: MainWindow, page: RunPage) -> None:
    page.metrics.itl.setFocus()
    QTest.keyClick(program, Qt.Key.Key_F1, Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: glossary_of(program) is not None)
    opened = glossary_of(program)
    assert opened is not None
    assert opened.shown is not None
    assert opened.shown.id == "itl"
    assert not opened.isModal()


def test_the_chart_has_a_way_to_the_explanation(qtbot: QtBot, program: MainWindow, page: RunPage) -> None:
    qtbot.mouseClick(page.metrics.ttfa, LEFT, pos=QPoint(20, 20))
    assert page.chart.explain_button.toolTip() == "Explain TTFA"
    qtbot.mouseClick(page.chart.explain_button, LEFT)
    opened = glossary_of(program)
    assert opened is not None
    assert opened.shown is not None
    assert opened.shown.id == "ttfa"


def test_the_menu_of_a_tile_and_the_panel_of_the_cost_explain(qtbot: QtBot, program: MainWindow, page: RunPage) -> None:
    (action,) = page.metrics.memory.actions()
    assert action.text() == "Explain Resident memory"
    action.trigger()
    opened = glossary_of(program)
    assert opened is not None
    assert opened.shown is not None
    assert opened.shown.id == "resident"
    qtbot.mouseClick(page.metrics.cost, LEFT, pos=QPoint(20, 20))
    popup = next(found for found in page.findChildren(CostPopup) if found.isVisible())
    qtbot.mouseClick(popup.explain, LEFT)
    assert not popup.isVisible()
    assert opened.shown.id == "costquery"


def test_about_leads_to_the_glossary(qtbot: QtBot, program: MainWindow) -> None:
    def press() -> None:
        about = next(w for w in QApplication.topLevelWidgets() if isinstance(w, AboutDialog) and w.isVisible())
        button = next(b for b in about.findChildren(QPushButton) if b.text() == "Glossary")
        qtbot.mouseClick(button, LEFT)

    QTimer.singleShot(300, press)
    qtbot.keyClick(program, Qt.Key.Key_F1)
    qtbot.waitUntil(lambda: glossary_of(program) is not None)
