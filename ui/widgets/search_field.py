"""A search field that asks at Enter or after a pause in typing; Esc empties it."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QWidget

from ui import icons

PAUSE_MS = 400


class SearchField(QLineEdit):
    """`searched` carries the text without outer spaces, once for each text; at Enter also again."""

    searched = Signal(str)
    left_downwards = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._asked = ""
        self.setPlaceholderText(name)
        self.setAccessibleName(name)
        self.setClearButtonEnabled(True)
        mark = self.addAction(icons.icon("search", "text-dim", 16), QLineEdit.ActionPosition.LeadingPosition)
        icons.show_on(mark, "search", "text-dim", 16)
        clear = next((action for action in self.findChildren(QAction) if action is not mark), None)
        if clear is not None:
            icons.show_on(clear, "close", "text-dim", 16)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._on_pause)
        self.textChanged.connect(self._on_text_changed)
        self.setMinimumHeight(36)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._ask()
        elif key == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif key == Qt.Key.Key_Down:
            self.left_downwards.emit()
        else:
            super().keyPressEvent(event)

    def _on_text_changed(self, text: str) -> None:
        if text.strip():
            self._pause.start()
        else:
            self._ask()  # an empty field needs no pause

    def _on_pause(self) -> None:
        if self.text().strip() != self._asked:
            self._ask()

    def _ask(self) -> None:
        self._pause.stop()
        self._asked = self.text().strip()
        self.searched.emit(self._asked)
