"""A label for a figure that changes many times a second: the layout around it moves only when its size changes."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QLabel


class SteadyLabel(QLabel):
    """Exactly as large as what `show_text` was given. A plain label has its whole page laid out at each new text."""

    def show_text(self, text: str) -> None:
        if text != self.text():
            self.setText(text)
            self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def _fit(self) -> None:
        wanted = self.sizeHint()
        if (self.minimumSize(), self.maximumSize()) != (wanted, wanted):
            self.setFixedSize(wanted)
