"""What an empty conversation shows: a sentence, and questions that can be asked with one press."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ui import theme
from ui.widgets.pill_button import PillButton

TWO_COLUMNS_BELOW = 236
LOWEST = 156


class Suggestions(QWidget):
    """The questions stand under each other, in a low place in two columns."""

    chosen = Signal(str)

    def __init__(self, title: str, questions: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        heading = QLabel(title)
        theme.set_role(heading, "section")
        hint = QLabel("Every answer is measured: first token, speed, memory and cost stand beside it.")
        theme.set_role(hint, "dim")
        hint.setWordWrap(True)
        box = QVBoxLayout(self)
        box.setSpacing(8)
        box.addStretch(2)
        for label in (heading, hint):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            box.addWidget(label)
        box.addSpacing(8)
        self.buttons: list[QPushButton] = []
        for question in questions:
            button = PillButton(question, "")
            button.clicked.connect(lambda _=False, text=question: self.chosen.emit(text))
            self.buttons.append(button)
        self._columns = 0
        self._grid = QGridLayout()
        self._grid.setSpacing(8)
        box.addLayout(self._grid)
        box.addStretch(3)
        self.setMinimumHeight(LOWEST)
        self._arrange(1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange(2 if self.height() < TWO_COLUMNS_BELOW else 1)

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        while self._grid.count():
            self._grid.takeAt(0)
        sides = (Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignLeft)
        for index, button in enumerate(self.buttons):
            side = sides[index % 2] if columns == 2 else Qt.AlignmentFlag.AlignHCenter
            self._grid.addWidget(button, index // columns, index % columns, side)
        for column in range(2):
            self._grid.setColumnStretch(column, 1 if column < columns else 0)
