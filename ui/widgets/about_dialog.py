"""About: versions, folders and the machine as rows that can be copied, and the list of shortcuts."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from ui import icons, theme
from ui.widgets.copy_button import CopyButton

Rows = Sequence[tuple[str, str]]


class AboutDialog(QDialog):
    """`sections` are a heading and its rows of name and value."""

    glossary_clicked = Signal()

    def __init__(
        self, title: str, summary: str, sections: Sequence[tuple[str, Rows]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("About")
        self._sections = sections
        self.resize(620, 560)
        heading = QLabel(title)
        theme.set_role(heading, "title")
        sentence = QLabel(summary)
        theme.set_role(sentence, "dim")
        sentence.setWordWrap(True)
        content = QWidget()
        theme.set_role(content, "scrolled")
        box = QVBoxLayout(content)
        box.setContentsMargins(0, 0, 8, 0)
        box.setSpacing(16)
        for name, rows in sections:
            box.addWidget(self._section(name, rows))
        box.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(content)
        area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        area.setAccessibleName("Versions, folders and shortcuts")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 20, 24, 16)
        layout.setSpacing(8)
        layout.addWidget(heading)
        layout.addWidget(sentence)
        layout.addSpacing(8)
        layout.addWidget(area, 1)
        layout.addLayout(self._buttons())

    def text(self) -> str:
        """What "Copy" takes along."""
        lines = []
        for name, rows in self._sections:
            lines += [name, *(f"  {label}: {value}" for label, value in rows)]
        return "\n".join(lines)

    def _buttons(self) -> QHBoxLayout:
        copy = CopyButton("Copy", self.text)
        icons.show_on(copy, "copy", "text", 16)
        glossary = QPushButton("Glossary")
        icons.show_on(glossary, "lessons", "text", 16)
        glossary.clicked.connect(self.accept)
        glossary.clicked.connect(self.glossary_clicked)
        close = QPushButton("Close")
        theme.set_role(close, "primary")
        close.setDefault(True)
        close.clicked.connect(self.accept)
        row = QHBoxLayout()
        row.addWidget(copy)
        row.addWidget(glossary)
        row.addStretch(1)
        row.addWidget(close)
        return row

    def _section(self, name: str, rows: Rows) -> QFrame:
        card = QFrame()
        theme.set_role(card, "card")
        grid = QGridLayout(card)
        grid.setContentsMargins(16, 12, 16, 12)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(6)
        grid.setColumnMinimumWidth(0, 130)
        grid.setColumnStretch(1, 1)
        heading = QLabel(name)
        theme.set_role(heading, "strong")
        grid.addWidget(heading, 0, 0, 1, 2)
        for index, (label, value) in enumerate(rows, start=1):
            left, right = QLabel(label), QLabel(value)
            theme.set_role(left, "dim")
            right.setWordWrap(True)
            right.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            grid.addWidget(left, index, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(right, index, 1)
        return card
