"""Memory against context length, one line per quantization, with what is free as a labelled line."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFont,
    QFontMetrics,
    QGuiApplication,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QFileDialog, QMenu, QSizePolicy, QWidget

from ui import theme
from ui.figures import CurveLine
from workbench import units

_LEFT, _TOP, _BOTTOM, _RIGHT = 58, 10, 36, 108
_NICE = (1, 2, 2.5, 4, 5, 8, 10)
LABELLED = 4


class MemoryCurve(QWidget):
    """The x axis is in powers of two. Arrow keys move the reading as the mouse does; `read` says it aloud."""

    failed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: tuple[CurveLine, ...] = ()
        self._free: int | None = None
        self._mark: int | None = None
        self._at: int | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(130)
        self._describe()
        theme.current().changed.connect(self.update)

    def show_lines(self, lines: Sequence[CurveLine], free_bytes: int | None, context_length: int | None) -> None:
        """`context_length` is marked on the axis: the one that the table beside the chart is about."""
        shown = tuple(line for line in lines if line.points)
        if (shown, free_bytes, context_length) == (self._lines, self._free, self._mark):
            return
        self._lines, self._free, self._mark = shown, free_bytes, context_length
        if self._at not in self.contexts():
            self._at = None
        self._describe()
        self.update()

    def contexts(self) -> list[int]:
        return sorted({context for line in self._lines for context, _ in line.points})

    def lines(self) -> tuple[CurveLine, ...]:
        return self._lines

    def reading(self) -> str:
        """What every line says at the context length that is pointed at."""
        if self._at is None:
            return ""
        said = [f"{line.name} {units.bytes_text(_value(line, self._at))}" for line in self._ordered()]
        return f"{self._at:,} tokens: {', '.join(said)}"

    def save_data(self, path: Path) -> None:
        """Writes CSV. Raises OSError."""
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["quantization", "context_tokens", "memory_bytes", "exact"])
            for line in self._lines:
                rows.writerows([line.name, context, count, line.is_exact] for context, count in line.points)

    def copy_picture(self) -> None:
        QGuiApplication.clipboard().setPixmap(self.grab())

    def sizeHint(self) -> QSize:
        return QSize(480, 240)

    # --- what a person does ------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        contexts = self.contexts()
        if contexts:
            x = event.position().x()
            self._point_at(min(contexts, key=lambda context: abs(self._x(context) - x)))

    def leaveEvent(self, event: object) -> None:
        self._point_at(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        contexts = self.contexts()
        if step is None or not contexts:
            super().keyPressEvent(event)
            return
        start = self._at if self._at is not None else self._mark
        place = contexts.index(start) + step if start in contexts else 0
        self._point_at(contexts[max(0, min(place, len(contexts) - 1))])

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.addAction("Copy picture").triggered.connect(self.copy_picture)
        menu.addAction("Save data").triggered.connect(self._on_save_chosen)
        menu.exec(event.globalPos())

    def focusInEvent(self, event: object) -> None:
        self.update()

    def focusOutEvent(self, event: object) -> None:
        self._point_at(None)
        self.update()

    def _on_save_chosen(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save data", "memory-against-context.csv", "CSV (*.csv)")
        if not name:
            return
        try:
            self.save_data(Path(name))
        except OSError as error:
            self.failed.emit(f"The data could not be saved to {name}: {error.strerror or error}.")

    def _point_at(self, context: int | None) -> None:
        if context != self._at:
            self._at = context
            self._describe()
            self.update()

    def _describe(self) -> None:
        self.setAccessibleName("Chart: memory against context length")
        free = f"Free: {units.bytes_text(self._free)}. " if self._free is not None else ""
        self.setAccessibleDescription(free + (self.reading() or "Arrow keys read the values."))

    # --- places ------------------------------------------------------------------------------------------

    def _plot(self) -> QRectF:
        return QRectF(_LEFT, _TOP, max(40, self.width() - _LEFT - _RIGHT), max(40, self.height() - _TOP - _BOTTOM))

    def _x(self, context: int) -> float:
        contexts, plot = self.contexts(), self._plot()
        low, high = math.log2(contexts[0]), math.log2(contexts[-1])
        share = (math.log2(context) - low) / (high - low) if high > low else 0.5
        return plot.left() + share * plot.width()

    def _y(self, count: float, top: float) -> float:
        plot = self._plot()
        return plot.bottom() - count / top * plot.height()

    def _top(self) -> float:
        """The highest value of the y axis: the need, and what is free when that is not far above it."""
        need = max((count for line in self._lines for _, count in line.points), default=1)
        highest = max(need, self._free) if self._free is not None and self._free < 2.5 * need else need
        step = _step(highest * 1.02 / 4)
        return math.ceil(highest * 1.02 / step) * step

    def _ordered(self) -> list[CurveLine]:
        """The line with the largest need first, as they stand in the picture."""
        return sorted(self._lines, key=lambda line: -line.points[-1][1])

    # --- painting ----------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.current().font("caption"))
        if self._lines:
            top = self._top()
            self._paint_axes(painter, top)
            self._paint_free(painter, top)
            self._paint_lines(painter, top)
            self._paint_names(painter, top)
            self._paint_reading(painter, top)
        if self.hasFocus():
            painter.setPen(QPen(theme.current().color("accent"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        painter.end()

    def _paint_axes(self, painter: QPainter, top: float) -> None:
        active, plot = theme.current(), self._plot()
        step = _step(top / 4)
        for number in range(round(top / step) + 1):
            y = self._y(number * step, top)
            painter.setPen(QPen(active.color("hairline" if number else "line"), 1))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(active.color("text-dim"))
            label = units.bytes_text(number * step) if number else "0"
            painter.drawText(QRectF(0, y - 8, _LEFT - 8, 16), _RIGHT_MIDDLE, _short(label))
        contexts = self.contexts()
        width = QFontMetrics(painter.font()).horizontalAdvance("256k") + 14
        every = max(1, math.ceil(len(contexts) * width / max(1.0, plot.width())))
        last = len(contexts) - 1
        for number, context in enumerate(contexts):
            if number != last and (number % every or number + every > last > 0 < every - 1):
                continue
            is_marked = context == self._mark
            painter.setPen(active.color("text" if is_marked else "text-dim"))
            area = QRectF(self._x(context) - 30, plot.bottom() + 3, 60, 16)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, short_tokens(context))
        painter.setPen(active.color("text-dim"))
        area = QRectF(plot.left(), self.height() - 17, plot.width(), 16)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "context length in tokens, log scale")
        if self._mark in contexts:
            painter.setPen(QPen(active.color("line"), 1, Qt.PenStyle.DotLine))
            x = self._x(self._mark or 0)
            painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))

    def _paint_free(self, painter: QPainter, top: float) -> None:
        if self._free is None:
            return
        active, plot = theme.current(), self._plot()
        text = f"{_short(units.bytes_text(self._free))} free"
        painter.setPen(active.color("warn"))
        if self._free > top:
            area = QRectF(plot.left(), plot.top() - 8, plot.width(), 16)
            painter.drawText(area, _RIGHT_MIDDLE, f"{text}, above the chart")
            return
        y = self._y(self._free, top)
        painter.drawText(QRectF(plot.right() + 6, y - 8, _RIGHT - 6, 16), Qt.AlignmentFlag.AlignVCenter, text)
        painter.setPen(QPen(active.color("warn"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))

    def _paint_lines(self, painter: QPainter, top: float) -> None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for line in sorted(self._lines, key=lambda line: line.is_current):
            points = [QPointF(self._x(context), self._y(count, top)) for context, count in line.points]
            style = Qt.PenStyle.SolidLine if line.is_exact else Qt.PenStyle.DotLine
            colour = theme.current().color(line.role)
            painter.setPen(QPen(colour, 2.4 if line.is_current else 1.2, style))
            painter.drawPolyline(QPolygonF(points))
            if line.is_current:
                painter.setBrush(colour)
                for point in points:
                    painter.drawEllipse(point, 2.0, 2.0)
                painter.setBrush(Qt.BrushStyle.NoBrush)

    def _paint_names(self, painter: QPainter, top: float) -> None:
        """At the end of the lines; where many lie close together the current, the first and the last are named."""
        ordered, plot = self._ordered(), self._plot()
        if len(ordered) > LABELLED:
            ordered = [line for n, line in enumerate(ordered) if line.is_current or n in (0, len(ordered) - 1)]
        height = 14.0
        wanted = [self._y(line.points[-1][1], top) for line in ordered]
        taken = [self._y(self._free, top)] if self._free is not None and self._free <= top else []
        for line, y in zip(ordered, spread(wanted, height, plot.top(), plot.bottom(), taken), strict=True):
            weight = QFont.Weight.DemiBold if line.is_current else QFont.Weight.Normal
            painter.setFont(theme.current().font("caption", weight))
            painter.setPen(theme.current().color(line.role))
            text = theme.elided(line.name, painter.font(), _RIGHT - 8)
            painter.drawText(QRectF(plot.right() + 6, y - 8, _RIGHT - 6, 16), Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_reading(self, painter: QPainter, top: float) -> None:
        if self._at is None:
            return
        active, plot, x = theme.current(), self._plot(), self._x(self._at)
        painter.setPen(QPen(active.color("line"), 1))
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
        rows = [(f"{self._at:,} tokens", "", "text-dim")]
        rows += [(line.name, units.bytes_text(_value(line, self._at)), line.role) for line in self._ordered()[:12]]
        if self._free is not None:
            rows.append(("free", units.bytes_text(self._free), "warn"))
        font = active.font("caption")
        measure = QFontMetrics(font)
        names = max(measure.horizontalAdvance(name) for name, _, _ in rows)
        values = max(measure.horizontalAdvance(value) for _, value, _ in rows)
        width, height = names + values + 34, len(rows) * 15 + 10
        left = x + 10 if x + 10 + width < plot.right() else x - 10 - width
        box = QRectF(left, max(2.0, min(plot.top() + 4, self.height() - height - 2)), width, height)
        painter.setPen(QPen(active.color("line"), 1))
        painter.setBrush(active.color("raised"))
        painter.drawRoundedRect(box, 6, 6)
        painter.setFont(font)
        for number, (name, value, role) in enumerate(rows):
            area = QRectF(box.left() + 10, box.top() + 5 + number * 15, width - 20, 15)
            painter.setPen(active.color(role))
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, name)
            painter.setPen(active.color("text"))
            painter.drawText(area, _RIGHT_MIDDLE, value)


_RIGHT_MIDDLE = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def short_tokens(count: int) -> str:
    """4096 as 4k, as the Run page names context lengths."""
    return f"{count // 1024}k" if count % 1024 == 0 else f"{count:,}"


def spread(
    wanted: Sequence[float], height: float, top: float, bottom: float, taken: Sequence[float] = ()
) -> list[float]:
    """Places for labels, in the same order, at least `height` apart and away from those that are `taken`."""
    placed: list[float] = []
    at = top - height
    for y in wanted:
        at = max(y, at + height)
        for other in taken:
            if abs(at - other) < height:
                at = other + height
        placed.append(at)
    # What was pushed below the plot moves up again, the last one first.
    limit = bottom
    for number in range(len(placed) - 1, -1, -1):
        placed[number] = min(placed[number], limit)
        limit = placed[number] - height
    return placed


def _value(line: CurveLine, context: int) -> int | None:
    return next((count for at, count in line.points if at == context), None)


def _short(text: str) -> str:
    """2.00 GB as 2 GB, for an axis."""
    figure, _, unit = text.partition(" ")
    return f"{figure.rstrip('0').rstrip('.') if '.' in figure else figure} {unit}".strip()


def _step(raw: float) -> float:
    """The next round number that is not smaller: 1, 2, 2.5, 4, 5, 8 times a power of ten."""
    power = 10 ** math.floor(math.log10(raw)) if raw > 0 else 1
    return next((nice * power for nice in _NICE if nice * power >= raw * 0.999), 10 * power)
