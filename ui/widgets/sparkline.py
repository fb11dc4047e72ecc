"""A line without axes for a tile: the series of this run, a ghost of the run before, one budget line."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QLinearGradient,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui import theme


def decimate(values: Sequence[float], width: int) -> list[tuple[float, float]]:
    """At most about 2 * `width` points (index, value) that keep each bucket's lowest and highest value."""
    count = len(values)
    if count <= 2 * width or width < 1:
        return [(float(index), value) for index, value in enumerate(values)]
    points: list[tuple[float, float]] = []
    for column in range(width):
        start, end = column * count // width, (column + 1) * count // width
        bucket = values[start:end]
        low, high = min(bucket), max(bucket)
        first, second = (low, high) if bucket.index(low) <= bucket.index(high) else (high, low)
        points.append((start, first))
        points.append((end - 0.5, second))
    return points


class Sparkline(QWidget):
    """Starts at zero unless `zero_based` is False. Series of any length; what is drawn fits the width."""

    def __init__(self, role: str = "accent", zero_based: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._role = role
        self._zero_based = zero_based
        self._count = 0
        self._points: list[tuple[float, float]] = []
        self._ghost: list[tuple[float, float]] = []
        self._ghost_count = 0
        self._line: float | None = None
        self._line_label = ""
        self._source: Sequence[float] = ()
        self._ghost_source: Sequence[float] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.current().changed.connect(self.update)

    def set_role(self, role: str) -> None:
        self._role = role
        self.update()

    def set_series(self, values: Sequence[float]) -> None:
        values = tuple(values)
        if values != self._source:
            self._source = values
            self._count = len(values)
            self._points = decimate(values, self._columns())
            self.update()

    def set_ghost(self, values: Sequence[float]) -> None:
        """The run before, dotted; an empty sequence takes it away."""
        values = tuple(values)
        if values != self._ghost_source:
            self._ghost_source = values
            self._ghost_count = len(values)
            self._ghost = decimate(values, self._columns())
            self.update()

    def set_line(self, y: float | None, label: str = "") -> None:
        if (y, label) != (self._line, self._line_label):
            self._line, self._line_label = y, label
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(160, 36)

    def minimumSizeHint(self) -> QSize:
        return QSize(40, 28)

    def resizeEvent(self, event: object) -> None:
        self._points = decimate(self._source, self._columns())
        self._ghost = decimate(self._ghost_source, self._columns())

    def paintEvent(self, event: QPaintEvent) -> None:
        active = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        low, high = self._range()
        count = max(self._count, self._ghost_count)
        if self._ghost:
            ghost = self._pixels(self._ghost, count, low, high)
            painter.setPen(QPen(active.color("line"), 1, Qt.PenStyle.DotLine))
            painter.drawPolyline(_polygon(ghost))
        if len(self._points) > 1:
            self._paint_series(painter, self._pixels(self._points, count, low, high), active.color(self._role))
        elif not self._ghost:
            painter.setPen(QPen(active.color("hairline"), 1))
            painter.drawLine(0, self.height() - 1, self.width(), self.height() - 1)
        if self._line is not None:
            self._paint_line(painter, self._line, low, high)
        painter.end()

    def _paint_series(self, painter: QPainter, points: list[tuple[float, float]], colour: QColor) -> None:
        painter.fillPath(self._area(points), self._fill(colour))
        polygon = _polygon(points)
        # Two lines of one pixel: Qt strokes a wider pen thirty times slower (measured with 500 points).
        painter.setPen(QPen(colour, 1))
        painter.drawPolyline(polygon)
        painter.drawPolyline(polygon.translated(0, 0.6))

    def _area(self, points: list[tuple[float, float]]) -> QPainterPath:
        """What lies under the series, coarse: filling every spike would cost more than all the rest."""
        step = max(1, len(points) // 40)
        area = QPainterPath(QPointF(points[0][0], self.height()))
        for start in range(0, len(points), step):
            bucket = points[start : start + step + 1]
            area.lineTo(bucket[0][0], max(y for _, y in bucket))
        area.lineTo(*points[-1])
        area.lineTo(points[-1][0], self.height())
        area.closeSubpath()
        return area

    def _fill(self, colour: QColor) -> QLinearGradient:
        top, bottom = QColor(colour), QColor(colour)
        top.setAlpha(80)
        bottom.setAlpha(0)
        fill = QLinearGradient(0, 0, 0, self.height())
        fill.setColorAt(0, top)
        fill.setColorAt(1, bottom)
        return fill

    def _paint_line(self, painter: QPainter, y: float, low: float, high: float) -> None:
        active = theme.current()
        height = self._y(y, low, high)
        painter.setPen(QPen(active.color("warn"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(0, height), QPointF(self.width(), height))
        font = active.font("caption")
        painter.setFont(font)
        measure = QFontMetrics(font)
        above = height >= measure.height()
        top = height - measure.height() if above else height + 1
        flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(0, top, self.width(), measure.height()), flags, self._line_label)

    def _range(self) -> tuple[float, float]:
        values = [value for _, value in self._points] + [value for _, value in self._ghost]
        if self._line is not None:
            values.append(self._line)
        if not values:
            return 0.0, 1.0
        low = 0.0 if self._zero_based else min(values)
        high = max(values)
        return low, high if high > low else low + 1.0

    def _columns(self) -> int:
        return max(8, self.width() // 3)

    def _y(self, value: float, low: float, high: float) -> float:
        return self._pixels([(0.0, value)], 1, low, high)[0][1]

    def _pixels(
        self, points: list[tuple[float, float]], count: int, low: float, high: float
    ) -> list[tuple[float, float]]:
        """Where (index, value) points lie in the widget when `count` values fill its width."""
        room = 14 if self._line is not None and self._line >= high else 2
        bottom = self.height() - 1
        across, up = self.width() / max(1, count - 1), (bottom - room) / (high - low)
        return [(x * across, bottom - (value - low) * up) for x, value in points]


def _polygon(points: list[tuple[float, float]]) -> QPolygonF:
    return QPolygonF([QPointF(x, y) for x, y in points])
