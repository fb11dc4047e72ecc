"""The thinking part of an answer: one line that says how long it took, and the text behind it."""

from __future__ import annotations

import time

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from ui import icons, theme
from ui.widgets.text_style import TextStyle
from ui.widgets.token_view import TokenView

HEIGHT = 30
_BAR = 3


class FoldLine(QWidget):
    """A line with a title and, dimmer, its detail. A click, Enter or Space emits `toggled`.

    `glyph_painted` carries `time.perf_counter_ns()` right after the first detail was drawn.
    """

    toggled = Signal(bool)
    glyph_painted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._detail = "", ""
        self._is_open = self._is_painted = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.current().changed.connect(self.update)

    @property
    def is_open(self) -> bool:
        return self._is_open

    def set_open(self, is_open: bool) -> None:
        if is_open != self._is_open:
            self._is_open = is_open
            self._describe()
            self.toggled.emit(is_open)

    def set_text(self, title: str, detail: str) -> None:
        if (title, detail) != (self._title, self._detail):
            self._title, self._detail = title, detail
            self._describe()

    def text(self) -> str:
        return f"{self._title}  {self._detail}".strip()

    def sizeHint(self) -> QSize:
        return QSize(200, HEIGHT)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.set_open(not self._is_open)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.set_open(not self._is_open)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        active = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(active.color("accent" if self.hasFocus() else "hairline"), 2 if self.hasFocus() else 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(frame, 4, 4)
        painter.fillRect(QRectF(0, 1, _BAR, self.height() - 2), active.color("thinking"))
        mark = icons.pixmap("chevron-down" if self._is_open else "chevron-right", "thinking", 14)
        painter.drawPixmap(14, (self.height() - 14) // 2, mark)
        title = active.font("body", QFont.Weight.DemiBold)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        left = 36
        painter.setFont(title)
        painter.setPen(active.color("thinking"))
        painter.drawText(QRectF(left, 0, self.width() - left, self.height()), flags, self._title)
        left += QFontMetrics(title).horizontalAdvance(self._title) + 8
        font = active.font("body")
        painter.setFont(font)
        painter.setPen(active.color("text-dim"))
        room = self.width() - left - 12
        painter.drawText(QRectF(left, 0, room, self.height()), flags, theme.elided(self._detail, font, room))
        painter.end()
        if self._detail and not self._is_painted:
            self._is_painted = True
            self.glyph_painted.emit(time.perf_counter_ns())

    def _describe(self) -> None:
        state = "open" if self._is_open else "folded"
        self.setAccessibleName(f"{self.text()}, {state}")
        self.setToolTip("Enter folds it" if self._is_open else "Enter shows what the model thought")
        self.update()


class ThoughtFold(QWidget):
    """Folded at first. While it grows, the line shows the last words of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = FoldLine()
        self.view = TokenView(style=TextStyle(13, "text-dim"))
        self.view.setAccessibleName("What the model thought")
        self.view.hide()
        self._title = "Thinking"
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        box.addWidget(self.line)
        inner = QVBoxLayout()
        inner.setContentsMargins(16, 0, 8, 4)
        inner.addWidget(self.view)
        box.addLayout(inner)
        self.line.toggled.connect(self.view.setVisible)
        self.line.set_text(self._title, "")

    def append_text(self, text: str) -> None:
        self.view.append_text(text)
        self.line.set_text(self._title, self.view.last_line()[-200:])

    def set_progress(self, title: str) -> None:
        """What the line says while there is no text to show."""
        self._title = title
        self.line.set_text(title, self.view.last_line()[-200:])

    def finish(self, title: str, detail: str) -> None:
        self._title = title
        self.view.finish()
        self.line.set_text(title, detail)
