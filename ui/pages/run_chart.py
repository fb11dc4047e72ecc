"""The large chart of one pinned figure of the Run page."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from ui import icons, theme
from ui.state.run_view import Figures
from ui.widgets.line_chart import LineChart
from workbench.profiles import SurfaceProfile
from workbench.runs.record import RunRecord

HEIGHT = 240
TITLES = {
    "speed": ("Decode speed over this answer", "token", "tok/s"),
    "itl": ("Time between tokens over this answer", "token", "ms"),
    "memory": ("Memory of the engine during this answer", "seconds since the start", "MB"),
    "ttft": ("Time to first token of the last runs", "run", "ms"),
    "ttfa": ("First answer token of the last runs", "run", "ms"),
    "prefill": ("Prefill speed of the last runs", "run", "tok/s"),
}


class RunChart(QFrame):
    """Hidden until `pin`. Charts are made when they are first asked for."""

    closed = Signal()
    explain_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "card")
        self.key: str | None = None
        self._chart: LineChart | None = None
        self.close_button = QToolButton()
        theme.set_role(self.close_button, "icon")
        icons.show_on(self.close_button, "close", "text-dim", 14)
        self.explain_button = QToolButton()
        theme.set_role(self.explain_button, "icon")
        icons.show_on(self.explain_button, "info", "text-dim", 14)
        self.explain_button.clicked.connect(self.explain_clicked)
        self.close_button.setToolTip("Close the chart")
        self.close_button.setAccessibleName("Close the chart")
        self.close_button.clicked.connect(self.closed)
        self._box = QVBoxLayout()
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 10, 8, 10)
        row.addLayout(self._box, 1)
        tools = QVBoxLayout()
        tools.addWidget(self.close_button)
        tools.addWidget(self.explain_button)
        tools.addStretch(1)
        row.addLayout(tools)
        self.setFixedHeight(HEIGHT)
        self.hide()

    def pin(self, key: str | None, term: str = "") -> None:
        """`term` is what the figure is called in the glossary."""
        self.explain_button.setToolTip(f"Explain {term}")
        self.explain_button.setAccessibleName(f"Explain {term}")
        if key != self.key:
            if self._chart is not None:
                self._box.removeWidget(self._chart)
                self._chart.deleteLater()
                self._chart = None
            self.key = key
            if key is not None:
                self._chart = LineChart(*TITLES[key])
                self._box.addWidget(self._chart)
        self.setVisible(key is not None)

    def show_figures(
        self, now: Figures, before: Figures | None, surface: SurfaceProfile | None, records: Sequence[RunRecord]
    ) -> None:
        chart, key = self._chart, self.key
        if chart is None or key is None:
            return
        if key in ("speed", "itl"):
            self._show_series(chart, key, now, before)
        elif key == "memory":
            xs, ys = _columns(now.memory_series)
            chart.set_line("this run", xs, ys, "series-0")
        else:
            self._show_runs(chart, key, records)
        budget = _budget(key, surface)
        chart.set_budget_line(budget, "budget")

    def _show_series(self, chart: LineChart, key: str, now: Figures, before: Figures | None) -> None:
        pairs = ((now, "this run", "accent", False), (before, "run before", "text-dim", True))
        for figures, name, role, is_dotted in pairs:
            if figures is None:
                continue
            ys = figures.speed_series if key == "speed" else figures.itl_series
            count = max(1, figures.metrics.output_tokens)
            xs = [count * (index + 1) / len(ys) for index in range(len(ys))]
            if ys:
                chart.set_line(name, xs, list(ys), role, is_dotted)

    def _show_runs(self, chart: LineChart, key: str, records: Sequence[RunRecord]) -> None:
        values = []
        for number, record in enumerate(records, start=1):
            metrics = record.metrics
            value = {"ttft": metrics.ttft_ms, "ttfa": metrics.ttfa_ms, "prefill": metrics.prefill_tps}[key]
            if value is not None:
                values.append((float(number), value))
        xs, ys = _columns(values)
        chart.set_line("runs", xs, ys, "accent")


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _budget(key: str, surface: SurfaceProfile | None) -> float | None:
    if surface is None:
        return None
    return {"ttft": surface.ttft_ms, "ttfa": surface.ttfa_ms, "itl": surface.itl_ms}.get(key)
