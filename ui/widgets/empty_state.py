"""What an empty page shows: what the page is for in one sentence, and the one action that fills it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from ui import icons, theme


class EmptyState(QWidget):
    action_clicked = Signal()

    def __init__(
        self,
        title: str,
        sentence: str,
        action_text: str | None = None,
        icon_key: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._icon_key = icon_key
        self._mark = QLabel()
        self._title = QLabel(title)
        theme.set_role(self._title, "section")
        self._sentence = QLabel(sentence)
        theme.set_role(self._sentence, "dim")
        self._sentence.setWordWrap(True)
        self._action = QPushButton(action_text or "")
        theme.set_role(self._action, "primary")
        self._action.clicked.connect(self.action_clicked)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 24, 24, 24)
        box.setSpacing(8)
        box.addStretch(2)
        for label in (self._mark, self._title, self._sentence):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            box.addWidget(label)
        box.addSpacing(8)
        box.addWidget(self._action, 0, Qt.AlignmentFlag.AlignHCenter)
        self._action.setVisible(action_text is not None)  # before it has a parent, this would open a window of its own
        box.addStretch(3)
        theme.current().changed.connect(self._draw_mark)
        self._draw_mark()

    def resizeEvent(self, event: object) -> None:
        # Lines of at most about 70 characters; the margins take what is left.
        margin = max(24, (self.width() - 440) // 2)
        layout = self.layout()
        if layout is not None:
            layout.setContentsMargins(margin, 24, margin, 24)

    def set_text(self, title: str, sentence: str, action_text: str | None = None) -> None:
        self._title.setText(title)
        self._sentence.setText(sentence)
        self._action.setText(action_text or "")
        self._action.setVisible(action_text is not None)

    def _draw_mark(self) -> None:
        self._mark.setVisible(self._icon_key is not None)
        if self._icon_key is not None:
            self._mark.setPixmap(icons.pixmap(self._icon_key, "text-dim", 32))
