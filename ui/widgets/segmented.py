"""A choice of two to five, all visible, as one control: one tab stop, arrows move."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui import icons, theme

_PADDING, _ICON = 14, 16


class Segmented(QWidget):
    """`options` are (key, text, icon key); an empty icon key shows text alone."""

    chosen = Signal(str)

    def __init__(self, options: Sequence[tuple[str, str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._options = list(options)
        self._index = 0
        self._hovered = -1
        self._name = ""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.current().changed.connect(self.update)
        self._describe()

    def current(self) -> str:
        return self._options[self._index][0] if self._options else ""

    def set_current(self, key: str) -> None:
        """Shows `key` without the signal; an unknown key is ignored."""
        for index, option in enumerate(self._options):
            if option[0] == key:
                self._index = index
                self._describe()
                self.update()

    def set_options(self, options: Sequence[tuple[str, str, str]]) -> None:
        key = self.current()
        self._options = list(options)
        self._index = 0
        self.set_current(key)
        self._describe()
        self.updateGeometry()
        self.update()

    def set_label(self, label: str) -> None:
        """The name a screen reader says before the choice."""
        self._name = label
        self._describe()

    def sizeHint(self) -> QSize:
        return QSize(sum(self._widths()) + 8, 34)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        active = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(active.color("accent" if self.hasFocus() else "line"), 2 if self.hasFocus() else 1))
        painter.setBrush(active.color("surface"))
        painter.drawRoundedRect(frame.adjusted(0.5, 0.5, -0.5, -0.5) if self.hasFocus() else frame, 6, 6)
        for index, rect in enumerate(self._rects()):
            self._paint_option(painter, index, rect)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._choose(self._index_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hovered = self._index_at(event.position().x())
        self.update()

    def leaveEvent(self, event: object) -> None:
        self._hovered = -1
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1}
        if key in steps:
            self._choose((self._index + steps[key]) % len(self._options))
        elif key == Qt.Key.Key_Space:
            self._choose((self._index + 1) % len(self._options))
        elif key in (Qt.Key.Key_Home, Qt.Key.Key_End):
            self._choose(0 if key == Qt.Key.Key_Home else len(self._options) - 1)
        else:
            super().keyPressEvent(event)

    def _choose(self, index: int) -> None:
        if 0 <= index < len(self._options) and index != self._index:
            self._index = index
            self._describe()
            self.update()
            self.chosen.emit(self.current())

    def _describe(self) -> None:
        text = self._options[self._index][1] if self._options else ""
        self.setAccessibleName(f"{self._name}: {text}" if self._name else text)
        self.setAccessibleDescription("One of " + ", ".join(option[1] for option in self._options))

    def _paint_option(self, painter: QPainter, index: int, rect: QRectF) -> None:
        active = theme.current()
        is_current = index == self._index
        role = "accent-text" if is_current else ("text" if index == self._hovered else "text-dim")
        if not self.isEnabled():
            role = "line"
        if is_current or index == self._hovered:
            painter.setPen(Qt.PenStyle.NoPen)
            fill = "accent" if is_current and self.isEnabled() else "raised"
            painter.setBrush(active.color(fill))
            painter.drawRoundedRect(rect, 4, 4)
        _, text, icon_key = self._options[index]
        left = rect.left() + _PADDING
        if icon_key:
            mark = icons.pixmap(icon_key, role, _ICON, self.devicePixelRatioF())
            painter.drawPixmap(round(left), round(rect.center().y() - _ICON / 2), mark)
            left += _ICON + 6
        painter.setFont(self._font())
        painter.setPen(active.color(role))
        area = QRectF(left, rect.top(), rect.right() - left, rect.height())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)

    def _font(self) -> QFont:
        return theme.current().font("body", QFont.Weight.DemiBold)

    def _widths(self) -> list[int]:
        measure = QFontMetrics(self._font())
        return [measure.horizontalAdvance(o[1]) + 2 * _PADDING + (_ICON + 6 if o[2] else 0) for o in self._options]

    def _rects(self) -> list[QRectF]:
        left, rects = 4.0, []
        for width in self._widths():
            rects.append(QRectF(left, 4, width, self.height() - 8))
            left += width
        return rects

    def _index_at(self, x: float) -> int:
        return next((i for i, rect in enumerate(self._rects()) if rect.left() <= x < rect.right()), -1)
