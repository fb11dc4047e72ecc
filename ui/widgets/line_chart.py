"""A large chart of lines over time or position; pyqtgraph is imported when the first one is shown."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QContextMenuEvent, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QLabel, QMenu, QSizePolicy, QVBoxLayout, QWidget

from ui import theme

LABELLED_LINES = 3


def preload() -> None:
    """Imports pyqtgraph (0.2 to 1 s); may run on another thread, so that the first chart comes at once."""
    import pyqtgraph  # noqa: F401


@dataclass
class _Line:
    xs: Sequence[float]
    ys: Sequence[float]
    role: str
    is_dotted: bool
    item: Any = field(default=None, compare=False)
    label: Any = field(default=None, compare=False)


class LineChart(QWidget):
    """Axes start at zero. With three lines or fewer each has its name at its end, with more there is a legend."""

    failed = Signal(str)

    def __init__(self, title: str, x_label: str, y_label: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._x_label, self._y_label = title, x_label, y_label
        self._lines: dict[str, _Line] = {}
        self._budgets: dict[str, float] = {}
        self._budget_items: list[Any] = []
        self._plot: Any = None
        self._legend: Any = None
        self._hover_line: Any = None
        self._heading = QLabel(title)
        theme.set_role(self._heading, "strong")
        self._hover = QLabel("")
        theme.set_role(self._hover, "caption")
        self._hover.setMinimumHeight(16)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(4)
        self._box.addWidget(self._heading)
        self._box.addWidget(self._hover)
        self._waiting = QLabel("The chart is being prepared")
        theme.set_role(self._waiting, "dim")
        self._waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._box.addWidget(self._waiting, 1)
        self.setMinimumHeight(160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(f"Chart: {title}, {y_label} over {x_label}")
        theme.current().changed.connect(self._recolour)

    def set_line(self, name: str, xs: Sequence[float], ys: Sequence[float], role: str, dotted: bool = False) -> None:
        """Adds or replaces a line. `role` is a role of the theme or a series ("series-0")."""
        line = self._lines.get(name)
        if line == _Line(xs, ys, role, dotted):
            return
        if line is None:
            line = self._lines[name] = _Line(xs, ys, role, dotted)
        line.xs, line.ys = xs, ys
        if (line.role, line.is_dotted) != (role, dotted):
            line.role, line.is_dotted = role, dotted
            self._drop_items(line)
        if self._plot is not None:
            self._show_line(name, line)

    def remove_line(self, name: str) -> None:
        line = self._lines.pop(name, None)
        if line is not None:
            self._drop_items(line)

    def set_budget_line(self, y: float | None, label: str) -> None:
        """A dashed line labelled at the line; None takes the one with this label away."""
        if y == self._budgets.get(label):
            return
        if y is None:
            self._budgets.pop(label, None)
        else:
            self._budgets[label] = y
        self._show_budgets()

    def clear(self) -> None:
        """Takes all lines and budgets away."""
        for name in list(self._lines):
            self.remove_line(name)
        self._budgets.clear()
        self._show_budgets()

    @property
    def is_built(self) -> bool:
        """False until the first showing has made the plot."""
        return self._plot is not None

    def set_title(self, title: str) -> None:
        self._title = title
        self._heading.setText(title)
        self.setAccessibleName(f"Chart: {title}, {self._y_label} over {self._x_label}")

    def copy_picture(self) -> None:
        QGuiApplication.clipboard().setPixmap(self.grab())

    def data_rows(self) -> list[list[object]]:
        """What "Save data" writes: a header, then one row per point."""
        rows: list[list[object]] = [["line", self._x_label, self._y_label]]
        for name, line in self._lines.items():
            rows += [[name, x, y] for x, y in zip(line.xs, line.ys, strict=False)]
        return rows

    def save_data(self, path: Path) -> None:
        """Writes CSV. Raises OSError."""
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(self.data_rows())

    def showEvent(self, event: object) -> None:
        # After the first paint: the import must not hold the window back.
        QTimer.singleShot(0, self, self._build)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        for text, slot in (("Copy picture", self.copy_picture), ("Save data", self._on_save_chosen)):
            action = QAction(text, menu)
            action.triggered.connect(slot)
            menu.addAction(action)
        menu.exec(event.globalPos())

    def _on_save_chosen(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save data", f"{self._title}.csv", "CSV (*.csv)")
        if not name:
            return
        try:
            self.save_data(Path(name))
        except OSError as error:
            self.failed.emit(f"The data could not be saved to {name}: {error.strerror or error}.")

    def _build(self) -> None:
        if self._plot is not None:
            return
        import pyqtgraph as pg

        self._plot = pg.PlotWidget(enableMenu=False)
        self._plot.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        item = self._plot.getPlotItem()
        item.hideButtons()
        item.setMouseEnabled(x=False, y=False)
        item.showGrid(x=False, y=True, alpha=0.15)
        item.setDownsampling(auto=True, mode="peak")
        item.setClipToView(True)
        self._hover_line = pg.InfiniteLine(angle=90, movable=False)
        self._hover_line.hide()
        item.addItem(self._hover_line, ignoreBounds=True)
        self._plot.scene().sigMouseMoved.connect(self._on_mouse_moved)
        self._box.replaceWidget(self._waiting, self._plot)
        self._waiting.hide()
        self._recolour()

    def _recolour(self) -> None:
        if self._plot is None:
            return
        active = theme.current()
        self._plot.setBackground(active.color("surface"))
        for side, text in (("bottom", self._x_label), ("left", self._y_label)):
            axis = self._plot.getPlotItem().getAxis(side)
            axis.setPen(active.color("line"))
            axis.setTextPen(active.color("text-dim"))
            axis.enableAutoSIPrefix(False)
            axis.setStyle(tickFont=active.font("caption"))
            axis.setLabel(text, color=active.hex("text-dim"), **{"font-size": "11px"})
        self._hover_line.setPen(active.color("line"))
        for name, line in self._lines.items():
            self._drop_items(line)
            self._show_line(name, line)
        self._show_budgets()

    def _show_line(self, name: str, line: _Line) -> None:
        import pyqtgraph as pg

        if line.item is None:
            colour = theme.current().color(line.role)
            style = Qt.PenStyle.DotLine if line.is_dotted else Qt.PenStyle.SolidLine
            line.item = self._plot.plot(pen=pg.mkPen(colour, width=1, style=style), antialias=True)
            line.label = pg.TextItem(name, color=colour, anchor=(0, 0.5))
            line.label.setFont(theme.current().font("caption"))
            self._plot.addItem(line.label, ignoreBounds=True)
        line.item.setData(list(line.xs), list(line.ys))
        is_labelled = len(line.xs) > 0 and len(self._lines) <= LABELLED_LINES
        line.label.setVisible(is_labelled)
        if is_labelled:
            line.label.setPos(line.xs[-1], line.ys[-1])
        self._show_legend()
        self._fit()

    def _show_legend(self) -> None:
        item = self._plot.getPlotItem()
        if len(self._lines) <= LABELLED_LINES:
            if self._legend is not None:
                self._legend.hide()
            return
        if self._legend is None:
            self._legend = item.addLegend(offset=(-10, 10), labelTextColor=theme.current().color("text-dim"))
        self._legend.clear()
        for name, line in self._lines.items():
            if line.item is not None:
                self._legend.addItem(line.item, name)
        self._legend.show()

    def _show_budgets(self) -> None:
        if self._plot is None:
            return
        import pyqtgraph as pg

        for item in self._budget_items:
            self._plot.removeItem(item)
        colour = theme.current().color("warn")
        pen = pg.mkPen(colour, width=1, style=Qt.PenStyle.DashLine)
        self._budget_items = []
        for label, y in self._budgets.items():
            options = {"position": 0.02, "color": colour, "anchors": [(0, 1), (0, 1)]}
            item = pg.InfiniteLine(pos=y, angle=0, pen=pen, label=label, labelOpts=options)
            item.label.setFont(theme.current().font("caption"))
            self._plot.addItem(item, ignoreBounds=True)
            self._budget_items.append(item)
        self._fit()

    def _fit(self) -> None:
        ys = [max(line.ys) for line in self._lines.values() if len(line.ys)] + list(self._budgets.values())
        ends = [line.xs[-1] for line in self._lines.values() if len(line.xs)]
        top = max(ys, default=1.0) or 1.0
        self._plot.setYRange(0, top * 1.15, padding=0)
        # Names stand after the ends of their lines, so the axis goes on a little.
        room = 1.18 if 0 < len(self._lines) <= LABELLED_LINES else 1.01
        self._plot.setXRange(0, (max(ends, default=1.0) or 1.0) * room, padding=0)

    def _drop_items(self, line: _Line) -> None:
        if line.item is not None and self._plot is not None:
            self._plot.removeItem(line.item)
            self._plot.removeItem(line.label)
        line.item = line.label = None

    def _on_mouse_moved(self, position: QPointF) -> None:
        item = self._plot.getPlotItem()
        if not item.sceneBoundingRect().contains(position) or not self._lines:
            self._hover_line.hide()
            self._hover.setText("")
            return
        x = item.vb.mapSceneToView(position).x()
        self._hover_line.setPos(x)
        self._hover_line.show()
        said = [f"{name} {value:,.4g}" for name, value in self._values_at(x)]
        self._hover.setText(f"{self._x_label} {x:,.4g}:  " + ",  ".join(said) if said else "")

    def _values_at(self, x: float) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        for name, line in self._lines.items():
            if len(line.xs):
                index = min(range(len(line.xs)), key=lambda i: abs(line.xs[i] - x))
                found.append((name, line.ys[index]))
        return found
