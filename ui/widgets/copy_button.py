"""A button that copies a text and says for a moment that it did."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPushButton, QWidget

SHOWN_MS = 1500
DONE = "Copied"


class CopyButton(QPushButton):
    """`text` is asked at each press. The button is as wide as the longer one of its two words."""

    def __init__(self, word: str, text: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(word, parent)
        self._word, self._copied = word, text
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SHOWN_MS)
        self._timer.timeout.connect(lambda: self.setText(word))
        self.clicked.connect(self._on_clicked)

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        shown, *words = (self._width_of(text) for text in (self.text(), self._word, DONE))
        return hint + QSize(max(words) - shown, 0)

    def _width_of(self, text: str) -> int:
        return self.fontMetrics().size(Qt.TextFlag.TextShowMnemonic, text).width()

    def _on_clicked(self) -> None:
        QGuiApplication.clipboard().setText(self._copied())
        self.setText(DONE)
        self._timer.start()
