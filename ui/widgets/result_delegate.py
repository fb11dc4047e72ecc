"""Paints a found model in a list: title and pills above, its author and what is known of it below."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from ui import theme

HEIGHT = 54
_PAD, _PILL_HEIGHT = 12, 20
Index = QModelIndex | QPersistentModelIndex


class ResultDelegate(QStyledItemDelegate):
    """`pills_role` gives (word, tone) pairs; where they find no room beside the title the first ones stay."""

    def __init__(self, author_role: int, facts_role: int, pills_role: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._author, self._facts, self._pills = author_role, facts_role, pills_role

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(120, HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        active = theme.current()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        state = option.state
        ground = QRectF(option.rect).adjusted(0, 1, 0, -1)
        is_selected = bool(state & QStyle.StateFlag.State_Selected)
        if is_selected or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            colour = active.color("raised")
            if not is_selected:
                colour.setAlpha(110)
            painter.setBrush(colour)
            painter.drawRoundedRect(ground, 6, 6)
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(active.color("accent"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(ground.adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        area = ground.adjusted(_PAD, 7, -_PAD, -7)
        self._paint_title(painter, QRectF(area.left(), area.top(), area.width(), 20), index)
        self._paint_facts(painter, QRectF(area.left(), area.bottom() - 16, area.width(), 16), index)
        painter.restore()

    def _paint_title(self, painter: QPainter, line: QRectF, index: Index) -> None:
        font = theme.current().font("body", QFont.Weight.DemiBold)
        title = str(index.data() or "")
        needed = min(QFontMetrics(font).horizontalAdvance(title), int(line.width() * 0.7))
        right = self._paint_pills(painter, line, line.left() + needed + 10, index)
        painter.setFont(font)
        painter.setPen(theme.current().color("text"))
        room = int(right - line.left())
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, theme.elided(title, font, room))

    def _paint_pills(self, painter: QPainter, line: QRectF, start: float, index: Index) -> float:
        """From the right end to the left; returns where the title has to end."""
        active = theme.current()
        font = active.font("caption", QFont.Weight.DemiBold)
        measure, right = QFontMetrics(font), line.right()
        painter.setFont(font)
        for word, tone in index.data(self._pills) or ():
            width = measure.horizontalAdvance(word) + 16
            if right - width < start:
                break
            rect = QRectF(right - width, line.center().y() - _PILL_HEIGHT / 2, width, _PILL_HEIGHT)
            painter.setPen(QPen(active.color("line"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 10, 10)
            painter.setPen(active.color("text-dim" if tone == "dim" else tone))
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, word)
            right -= width + 6
        return right if right == line.right() else right - 4

    def _paint_facts(self, painter: QPainter, line: QRectF, index: Index) -> None:
        font = theme.current().font("caption")
        painter.setFont(font)
        painter.setPen(theme.current().color("text-dim"))
        facts, author = str(index.data(self._facts) or ""), str(index.data(self._author) or "")
        width = min(QFontMetrics(font).horizontalAdvance(facts) + 2, int(line.width() * 0.72))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(line, right, theme.elided(facts, font, width))
        room = int(line.width() - width - 12)
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, theme.elided(author, font, room))
