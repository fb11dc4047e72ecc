"""A message where the thing happened: an icon, a sentence, one action or two and a way to close it."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

from ui import icons, theme

NoticeTone = Literal["info", "good", "warn", "bad"]
_ICONS = {
    "info": ("info", "accent"),
    "good": ("finished", "good"),
    "warn": ("warning", "warn"),
    "bad": ("error", "bad"),
}
_WORDS = {"info": "Note", "good": "Done", "warn": "Warning", "bad": "Error"}


class Notice(QFrame):
    """Hidden until `show_message`."""

    action_clicked = Signal()
    second_clicked = Signal()
    closed = Signal()

    def __init__(self, parent: QWidget | None = None, closable: bool = True) -> None:
        super().__init__(parent)
        theme.set_role(self, "notice")
        self._tone = "info"
        self._mark = QLabel()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.LinksAccessibleByMouse
        )
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._action = QPushButton()
        self._action.clicked.connect(self.action_clicked)
        self._second = QPushButton()
        self._second.clicked.connect(self.second_clicked)
        self._close = QToolButton()
        theme.set_role(self._close, "icon")
        icons.show_on(self._close, "close", "text-dim", 16)
        self._close.setAccessibleName("Close this message")
        self._close.setToolTip("Close this message")
        self._close.clicked.connect(self._on_close_clicked)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 6, 6)
        row.setSpacing(10)
        row.addWidget(self._mark)
        row.addWidget(self._text, 1)
        row.addWidget(self._action)
        row.addWidget(self._second)
        row.addWidget(self._close)
        self._close.setVisible(closable)  # before it has a parent, this would open a window of its own
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        theme.current().changed.connect(self._draw_mark)
        self.hide()

    def show_message(
        self, tone: NoticeTone, text: str, action_text: str | None = None, second_text: str | None = None
    ) -> None:
        self._tone = tone
        theme.set_tone(self, tone)
        self._text.setText(text)
        self.setAccessibleName(f"{_WORDS[tone]}: {text}")
        self._action.setText(action_text or "")
        self._action.setVisible(action_text is not None)
        self._second.setText(second_text or "")
        self._second.setVisible(second_text is not None)
        self._draw_mark()
        self.show()

    def text(self) -> str:
        return self._text.text()

    def action_text(self) -> str:
        return self._action.text()

    def _on_close_clicked(self) -> None:
        self.hide()
        self.closed.emit()

    def _draw_mark(self) -> None:
        key, role = _ICONS[self._tone]
        self._mark.setPixmap(icons.pixmap(key, role, 18))
        self._mark.setAccessibleName(_WORDS[self._tone])
