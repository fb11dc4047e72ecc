"""One bar of named parts of a total, with an optional legend beside or under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QHelpEvent, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from ui import theme

Part = tuple[str, float, str]
_DOT = 8


class StackedBar(QWidget):
    """`thickness` is the bar's height. With `legend`, a row of dot, name and amount is painted above it."""

    def __init__(
        self,
        thickness: int = 8,
        legend: bool = False,
        format_amount: Callable[[float], str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._parts: list[Part] = []
        self._total = 0.0
        self._thickness = thickness
        self._has_legend = legend
        self._format = format_amount or (lambda amount: f"{amount:,.0f}")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.current().changed.connect(self.update)

    def set_parts(self, parts: Sequence[Part], total: float) -> None:
        """`parts` are (label, amount, role, series ("series-0") or part name of `theme.part_color`)."""
        shown = [part for part in parts if part[1] > 0]
        total = max(total, sum(part[1] for part in shown))
        if (shown, total) == (self._parts, self._total):
            return
        self._parts, self._total = shown, total
        said = ", ".join(f"{label} {self._format(amount)}" for label, amount, _ in self._parts)
        self.setAccessibleName(f"{said} of {self._format(self._total)}" if said else "empty")
        self.update()

    def parts(self) -> list[Part]:
        return list(self._parts)

    def sizeHint(self) -> QSize:
        return QSize(160, self._thickness + (self._legend_height() if self._has_legend else 0))

    def minimumSizeHint(self) -> QSize:
        return QSize(40, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        active = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        bar = QRectF(0, self.height() - self._thickness, self.width(), self._thickness)
        clip = QPainterPath()
        radius = min(4.0, self._thickness / 2)
        clip.addRoundedRect(bar, radius, radius)
        painter.setClipPath(clip)
        painter.fillRect(bar, active.color("raised"))
        for rect, part in zip(self._rects(), self._parts, strict=True):
            painter.fillRect(rect, active.part_color(part[2]))
        painter.setClipping(False)
        if self._has_legend:
            self._paint_legend(painter)
        painter.end()

    def event(self, event: object) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QHelpEvent.Type.ToolTip:
            for rect, (label, amount, _) in zip(self._rects(), self._parts, strict=True):
                if rect.left() <= event.pos().x() <= rect.right():
                    QToolTip.showText(event.globalPos(), f"{label}: {self._format(amount)}", self)
                    return True
            QToolTip.hideText()
        return bool(super().event(event))  # type: ignore[arg-type]

    def _rects(self) -> list[QRectF]:
        left, rects = 0.0, []
        for _, amount, _ in self._parts:
            width = amount / self._total * self.width() if self._total else 0.0
            rects.append(QRectF(left, self.height() - self._thickness, max(1.0, width - 1), self._thickness))
            left += width
        return rects

    def _legend_height(self) -> int:
        return QFontMetrics(theme.current().font("caption")).height() + 6

    def _paint_legend(self, painter: QPainter) -> None:
        active = theme.current()
        font = active.font("caption")
        painter.setFont(font)
        measure = QFontMetrics(font)
        left = 0.0
        for label, amount, colour in self._parts:
            text = f"{label} {self._format(amount)}"
            width = measure.horizontalAdvance(text)
            if left + _DOT + 6 + width > self.width():
                break
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(active.part_color(colour))
            painter.drawRoundedRect(QRectF(left, (measure.height() - _DOT) / 2, _DOT, _DOT), 3, 3)
            painter.setPen(active.color("text-dim"))
            flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
            painter.drawText(QRectF(left + _DOT + 6, 0, width + 2, measure.height()), flags, text)
            left += _DOT + 6 + width + 14
