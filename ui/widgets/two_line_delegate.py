"""Paints a table cell as a strong line with a dim one below, and a word of its own behind the first."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from ui import theme

_MARGIN = 8
Index = QModelIndex | QPersistentModelIndex


class TwoLineDelegate(QStyledItemDelegate):
    """The first line is the display text. The roles give the second line, the word behind the first, and the tone
    of the first ("text", "dim", "good" ...).
    """

    def __init__(
        self, second_role: int, badge_role: int, tone_role: int, is_strong: bool = False, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._second, self._badge, self._tone = second_role, badge_role, tone_role
        self._weight = QFont.Weight.DemiBold if is_strong else QFont.Weight.Normal

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        paint_row_ground(painter, option)
        active = theme.current()
        first, second = active.font("body", self._weight), active.font("caption")
        area = QRectF(option.rect).adjusted(_MARGIN, 0, -_MARGIN, 0)
        below = str(index.data(self._second) or "")
        heights = QFontMetrics(first).height(), QFontMetrics(second).height() + 2 if below else 0
        top = area.center().y() - sum(heights) / 2
        side = index.data(Qt.ItemDataRole.TextAlignmentRole) or Qt.AlignmentFlag.AlignLeft
        across = Qt.AlignmentFlag.AlignRight if side & Qt.AlignmentFlag.AlignRight else Qt.AlignmentFlag.AlignLeft
        flags = across | Qt.AlignmentFlag.AlignVCenter
        text = str(index.data() or "")
        tone = str(index.data(self._tone) or "text")
        line = QRectF(area.left(), top, area.width(), heights[0])
        painter.setFont(first)
        painter.setPen(active.color("text-dim" if tone == "dim" else tone))
        painter.drawText(line, flags, theme.elided(text, first, int(area.width())))
        is_placed = self._paint_badge(painter, line, QFontMetrics(first).horizontalAdvance(text) + 10, index)
        painter.setFont(second)
        painter.setPen(active.color("text-dim"))
        line = QRectF(area.left(), top + heights[0], area.width(), heights[1])
        painter.drawText(line, flags, theme.elided(below, second, int(area.width())))
        if not is_placed:
            self._paint_badge(painter, line, QFontMetrics(second).horizontalAdvance(below) + 8, index)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        width = QFontMetrics(theme.current().font("body", self._weight)).horizontalAdvance(str(index.data() or ""))
        return QSize(width + 2 * _MARGIN, 46)

    def _paint_badge(self, painter: QPainter, line: QRectF, left: float, index: Index) -> bool:
        """False where the line has no room for the whole word."""
        badge = str(index.data(self._badge) or "")
        font = theme.current().font("caption", QFont.Weight.DemiBold)
        if left + QFontMetrics(font).horizontalAdvance(badge) > line.width():
            return False
        painter.setFont(font)
        painter.setPen(theme.current().color("accent"))
        painter.drawText(line.adjusted(left, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, badge)
        return True


class GroundDelegate(QStyledItemDelegate):
    """Paints no text: for cells with a widget of their own, which gets the whole cell."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        paint_row_ground(painter, option)

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        # The base class leaves out the padding that the style sheet gives to text.
        editor.setGeometry(option.rect)


def paint_row_ground(painter: QPainter, option: QStyleOptionViewItem) -> None:
    """The ground of a selected or hovered row; what the style sheet does for cells that the style paints."""
    state = option.state
    if state & QStyle.StateFlag.State_Selected:
        painter.fillRect(option.rect, theme.current().color("raised"))
