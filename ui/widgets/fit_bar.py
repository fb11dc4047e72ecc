"""A memory need against what is free, as one bar in a table: resident solid, only reserved hatched, with a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetrics, QHelpEvent, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QAbstractItemView, QStyledItemDelegate, QStyleOptionViewItem, QToolTip

from ui import theme
from ui.figures import FitFigures, FitPart
from ui.widgets.two_line_delegate import paint_row_ground

THICKNESS = 9
_MARGIN = 8
_GAP = 4
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Stretch:
    """A piece of the bar from left to right, as shares of its width."""

    start: float
    end: float
    colour: str
    is_resident: bool


def stretches(parts: Sequence[FitPart], scale_bytes: int) -> list[Stretch]:
    """Each part as its resident piece and, behind it, what is only reserved."""
    found, at = [], 0.0
    for part in parts:
        for amount, is_resident in ((part.resident_bytes, True), (part.reserved_bytes - part.resident_bytes, False)):
            if amount > 0 and scale_bytes > 0:
                found.append(Stretch(at / scale_bytes, (at + amount) / scale_bytes, part.colour, is_resident))
                at += amount
    return found


def paint_fit(painter: QPainter, area: QRectF, fit: FitFigures) -> None:
    """The bar, the line of what is free when the need is larger, and the line of text below."""
    active = theme.current()
    font = active.font("caption")
    height = THICKNESS + _GAP + QFontMetrics(font).height()
    bar = QRectF(area.left(), area.center().y() - height / 2, area.width(), THICKNESS)
    if fit.parts:
        _paint_bar(painter, bar, fit)
    below = QRectF(area.left(), bar.bottom() + _GAP, area.width(), QFontMetrics(font).height())
    strong = active.font("caption", QFont.Weight.DemiBold)
    verdict_width = QFontMetrics(strong).horizontalAdvance(fit.verdict) + 2
    painter.setFont(strong)
    painter.setPen(active.color("text-dim" if fit.tone == "dim" else fit.tone))
    painter.drawText(below, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, fit.verdict)
    painter.setFont(font)
    painter.setPen(active.color("text-dim"))
    room = int(below.width() - verdict_width - 12)
    measure = QFontMetrics(font)
    text = next((text for text in (fit.text, fit.short) if measure.horizontalAdvance(text) <= room), "")
    if not fit.parts:
        text, below = fit.text, QRectF(area.left(), area.top(), area.width(), area.height())
    painter.drawText(below, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, theme.elided(text, font, room))


def _paint_bar(painter: QPainter, bar: QRectF, fit: FitFigures) -> None:
    active = theme.current()
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    clip = QPainterPath()
    clip.addRoundedRect(bar, 4, 4)
    painter.setClipPath(clip)
    painter.fillRect(bar, active.color("hairline"))
    scale = max(fit.scale_bytes or fit.free_bytes or 0, fit.reserved_bytes)
    for piece in stretches(fit.parts, scale):
        left = bar.left() + piece.start * bar.width()
        width = max(1.0, (piece.end - piece.start) * bar.width() - 1)
        _paint_piece(painter, QRectF(left, bar.top(), width, bar.height()), active.part_color(piece.colour), piece)
    if fit.free_bytes is not None and scale > fit.free_bytes and fit.parts:
        at = bar.left() + fit.free_bytes / scale * bar.width()
        painter.fillRect(QRectF(at - 2, bar.top(), 4, bar.height()), active.color("window"))
        painter.fillRect(QRectF(at - 1, bar.top(), 2, bar.height()), active.color("bad"))
    painter.restore()


def _paint_piece(painter: QPainter, rect: QRectF, colour: QColor, piece: Stretch) -> None:
    if piece.is_resident:
        painter.fillRect(rect, colour)
        return
    faint = QColor(colour)
    faint.setAlpha(70)
    painter.fillRect(rect, faint)
    painter.fillRect(rect, QBrush(colour, Qt.BrushStyle.BDiagPattern))
    painter.setPen(QPen(colour, 1))
    painter.drawLine(rect.topLeft(), rect.topRight())
    painter.drawLine(rect.bottomLeft(), rect.bottomRight())


class FitDelegate(QStyledItemDelegate):
    """Paints the `FitFigures` that a table gives under `role`; their `tip` is the tooltip."""

    def __init__(self, role: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._role = role

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        paint_row_ground(painter, option)
        fit = index.data(self._role)
        if isinstance(fit, FitFigures):
            area = QRectF(option.rect).adjusted(_MARGIN, 0, -_MARGIN, 0)
            paint_fit(painter, area, fit)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(220, 46)

    def helpEvent(self, event: QHelpEvent, view: QAbstractItemView, option: QStyleOptionViewItem, index: Index) -> bool:
        fit = index.data(self._role)
        if event.type() == QEvent.Type.ToolTip and isinstance(fit, FitFigures) and fit.tip:
            QToolTip.showText(event.globalPos(), fit.tip, view)
            return True
        return bool(super().helpEvent(event, view, option, index))
