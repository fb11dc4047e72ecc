"""A label for a figure that changes many times a second: the layout around it moves only when its size changes."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import QLabel, QWidget


class SteadyLabel(QLabel):
    """Exactly as large as what `show_text` was given, one line of plain text. An ordinary label has its whole page laid
    out at each new text.
    """

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setIndent(0)  # else a label with a border has some room more at its left

    def show_text(self, text: str) -> None:
        if text != self.text():
            self.setText(text)
            self._fit()

    def sizeHint(self) -> QSize:
        """A label's own answer is that of the font before the style sheet, when it is asked while one is applied."""
        self.ensurePolished()
        margins = self.contentsMargins()
        text = self.fontMetrics().size(Qt.TextFlag.TextSingleLine, self.text())
        return text.grownBy(margins)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def _fit(self) -> None:
        wanted = self.sizeHint()
        if (self.minimumSize(), self.maximumSize()) != (wanted, wanted):
            self.setFixedSize(wanted)
