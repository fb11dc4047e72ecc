"""What the window does for each batch of tokens and each refresh of the figures, counted instead of timed."""

from __future__ import annotations

import cProfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from ui import theme
from ui.pages.run_metrics import MetricColumn
from ui.state.run_view import Figures
from ui.widgets.context_bar import ContextBar
from ui.widgets.line_chart import LineChart
from ui.widgets.transcript import Transcript
from workbench.core import Workbench
from workbench.runs.timings import Metrics

Show = Callable[..., QWidget]
STREAMING = Figures(
    metrics=Metrics(ttft_ms=142.0, tps=26.0, output_tokens=100, prompt_tokens=20, prefill_tps=300.0),
    tps_now=26.0,
    itl_p50_ms=38.0,
    itl_p95_ms=39.0,
    speed_series=tuple(26.0 + index % 3 for index in range(90)),
    itl_series=tuple(38.0 + index % 3 for index in range(90)),
)


class Events(QObject):
    """Counts events by the receiver's class while it is installed on the application; keeps what was painted."""

    def __init__(self, app: QApplication) -> None:
        super().__init__()
        self.counts: Counter[tuple[str, QEvent.Type]] = Counter()
        self.painted_heights: list[int] = []
        self._app = app

    def __enter__(self) -> Events:
        self._app.installEventFilter(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._app.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.counts[type(watched).__name__, event.type()] += 1
        if isinstance(event, QPaintEvent) and watched.objectName() == "qt_scrollarea_viewport":
            self.painted_heights.append(event.rect().height())
        return False

    def of(self, kind: QEvent.Type) -> dict[str, int]:
        return {name: count for (name, found), count in self.counts.items() if found == kind}


def calls(act: Callable[[], object]) -> Counter[str]:
    """How often each Python function was called, by its name without the class."""
    profile = cProfile.Profile()
    profile.runcall(act)
    profile.create_stats()
    found: Counter[str] = Counter()
    for (_, _, name), (_, count, *_) in profile.stats.items():  # type: ignore[attr-defined]
        found[name] += count
    return found


@pytest.fixture
def column(workbench: Workbench, show: Show, qtbot: QtBot) -> MetricColumn:
    made = MetricColumn(workbench.glossary)
    made.setFixedHeight(700)
    show(made, 316, 700)
    made.show_figures(STREAMING, None, None)
    qtbot.wait(50)
    return made


def test_the_theme_is_looked_up_once_and_not_at_every_call(active_theme: theme.Theme) -> None:
    theme.current()
    found = calls(lambda: [theme.current() for _ in range(100)])
    assert found["current"] == 100
    assert found["_find"] == 0
    assert theme.current() is active_theme


def test_a_refresh_of_the_figures_neither_measures_nor_lays_out_the_tiles(
    qtbot: QtBot, qapp: QApplication, column: MetricColumn
) -> None:
    later = replace(
        STREAMING,
        metrics=replace(STREAMING.metrics, output_tokens=126),
        tps_now=27.0,
        speed_series=(*STREAMING.speed_series, 27.0),
    )

    def refresh() -> None:
        column.show_figures(later, None, None)
        qapp.processEvents()

    with Events(qapp) as events:
        found = calls(refresh)
        qtbot.wait(20)
    assert found["_computed_height"] == 0
    assert found["sizeHint"] == found["minimumSizeHint"] == 0
    assert events.of(QEvent.Type.LayoutRequest) == {}
    assert events.of(QEvent.Type.Paint).get("MetricTile") == 1, "only the decode speed has changed"


def test_the_same_figures_again_repaint_nothing(qtbot: QtBot, qapp: QApplication, column: MetricColumn) -> None:
    with Events(qapp) as events:
        column.show_figures(replace(STREAMING), None, None)
        qtbot.wait(50)
    assert events.of(QEvent.Type.Paint) == {}


def test_tiles_are_measured_anew_when_the_figures_grow(column: MetricColumn, active_theme: theme.Theme) -> None:
    before = column.ttft.sizeHint().height()
    active_theme.set_metric_scale(2.0)
    assert column.ttft.sizeHint().height() > before


def test_a_count_of_the_same_width_lays_nothing_out(qtbot: QtBot, qapp: QApplication, show: Show) -> None:
    page = QWidget()
    box = QVBoxLayout(page)
    bar = ContextBar()
    box.addWidget(bar)
    show(page, 700, 100)
    bar.set_amounts({"question": 10, "answer": 100}, 4096)
    qtbot.wait(50)
    with Events(qapp) as events:
        bar.set_amounts({"question": 10, "answer": 126}, 4096)
        qtbot.wait(50)
    assert bar.count.text() == "136 of 4,096"
    assert events.of(QEvent.Type.LayoutRequest) == {}
    bar.set_amounts({"question": 10, "answer": 3126}, 4096)
    qtbot.wait(20)
    assert bar.count.width() == bar.count.sizeHint().width(), "a wider count is not cut off"


@pytest.fixture
def transcript(show: Show, qtbot: QtBot) -> Transcript:
    made = Transcript(QLabel(""))
    show(made, 700, 500)
    made.add_question("Why does context length cost memory?")
    made.add_answer("demo").append_answer("Every token in the context keeps ")
    qtbot.wait(50)
    return made


def test_a_word_repaints_its_line_and_nothing_under_the_text(
    qtbot: QtBot, qapp: QApplication, transcript: Transcript
) -> None:
    transcript.answers[-1].append_answer("a ")
    qtbot.wait(50)
    with Events(qapp) as events:
        transcript.answers[-1].append_answer("key ")
        qtbot.wait(50)
    assert events.of(QEvent.Type.Paint) == {"QWidget": 1}, "the viewport of the text alone"
    assert max(events.painted_heights) <= 30
    assert events.of(QEvent.Type.LayoutRequest) == {}


def test_what_is_painted_bit_by_bit_looks_as_painted_at_once(qtbot: QtBot, transcript: Transcript) -> None:
    text = "A **bold** word, then enough plain words for a line that wraps.\n\n> quoted\n\n```\ncode\n```\nend "
    view = transcript.answers[-1].view
    for start in range(0, len(text), 9):
        view.append_text(text[start : start + 9])
        qtbot.wait(20)
        shown = transcript.screen().grabWindow(transcript.winId()).toImage()
        view.viewport().repaint()
        assert shown == transcript.screen().grabWindow(transcript.winId()).toImage(), view.source()


def test_a_chart_draws_only_curves_that_changed(qtbot: QtBot, qapp: QApplication, show: Show) -> None:
    chart = LineChart("Decode speed", "token", "tok/s")
    show(chart, 500, 240)
    qtbot.waitUntil(lambda: chart.is_built, timeout=5_000)
    for name in ("this run", "run before"):
        chart.set_line(name, [1.0, 2.0], [3.0, 4.0], "accent")
    chart.set_budget_line(5.0, "budget")

    def refresh() -> None:
        chart.set_line("this run", [1.0, 2.0, 3.0], [3.0, 4.0, 3.5], "accent")
        chart.set_line("run before", [1.0, 2.0], [3.0, 4.0], "accent")
        chart.set_budget_line(5.0, "budget")

    found = calls(refresh)
    assert found["_show_line"] == 1
    assert found["_show_budgets"] == 0
