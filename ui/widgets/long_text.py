"""Texts that are too long for a view that is as tall as its text: what is shown of them, and the whole on request."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ui import theme
from workbench.units import count_text

MOST_CHARACTERS, MOST_LINES = 20_000, 400
HEAD_CHARACTERS, HEAD_LINES = 4_000, 60
TAIL_CHARACTERS, TAIL_LINES = 1_000, 12
STEP_CHARACTERS = 30_000


@dataclass(frozen=True, slots=True)
class Excerpt:
    head: str
    tail: str
    hidden: int


def excerpt(text: str) -> Excerpt | None:
    """Beginning and end of a long text, both of whole lines where lines are short; None: short enough as it is."""
    if len(text) <= MOST_CHARACTERS and text.count("\n") < MOST_LINES:
        return None
    head, tail = text[:HEAD_CHARACTERS], text[-TAIL_CHARACTERS:]
    if "\n" in head:
        head = "\n".join(head.split("\n")[: min(HEAD_LINES, head.count("\n"))])
    if "\n" in tail:
        tail = "\n".join(tail.split("\n")[-min(TAIL_LINES, tail.count("\n")) :])
    return Excerpt(head, tail, len(text) - len(head) - len(tail))


class SteppedInsertion(QObject):
    """Inserts a long text where a cursor stands, a piece at each turn of the event loop; one undo takes it all back.

    `stepped` comes after each piece, also the last one. Nothing else may change the document until `is_running` ends.
    """

    stepped = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._cursor = QTextCursor()
        self._text, self._done = "", 0
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._step)

    @property
    def is_running(self) -> bool:
        return self._timer.isActive()

    def start(self, cursor: QTextCursor, text: str) -> None:
        """Replaces the cursor's selection. The first piece is there when this returns."""
        self._cursor, self._text, self._done = cursor, text, 0
        self._timer.start()
        self._step()

    def stop(self) -> None:
        self._timer.stop()
        self._text = ""

    def _step(self) -> None:
        # Whole lines: Qt lays a line out again from its beginning whenever something is added to it.
        end = self._text.find("\n", self._done + STEP_CHARACTERS)
        piece = self._text[self._done :] if end < 0 else self._text[self._done : end + 1]
        if self._done:
            self._cursor.joinPreviousEditBlock()
        else:
            self._cursor.beginEditBlock()
        self._cursor.insertText(piece)
        self._cursor.endEditBlock()
        self._done += len(piece)
        if self._done >= len(self._text):
            self.stop()
        self.stepped.emit()


class LongTextDialog(QDialog):
    def __init__(self, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.resize(860, 640)
        self._text = text
        self.view = QPlainTextEdit()
        self.view.setReadOnly(True)
        self.view.setUndoRedoEnabled(False)
        self.view.setAccessibleName(title)
        self.view.setFont(theme.current().font("body"))
        heading = QLabel(title)
        theme.set_role(heading, "title")
        size = QLabel(f"{count_text(len(text))} characters, {count_text(text.count(chr(10)) + 1)} lines")
        theme.set_role(size, "dim")
        self.copy, close = QPushButton("Copy"), QPushButton("Close")
        self.copy.clicked.connect(lambda: QApplication.clipboard().setText(self._text))
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.copy)
        foot.addWidget(close)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 20, 24, 16)
        box.setSpacing(12)
        box.addWidget(heading)
        box.addWidget(size)
        box.addWidget(self.view, 1)
        box.addLayout(foot)
        self.filling = SteppedInsertion(self)
        self.filling.start(QTextCursor(self.view.document()), text)


class Gap(QWidget):
    """The line between beginning and end: how much is not shown, and what to do about it."""

    show_clicked = Signal()
    copy_clicked = Signal()

    def __init__(self, hidden: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QLabel(f"… {count_text(hidden)} characters not shown")
        theme.set_role(self.label, "dim")
        self.show_all, self.copy = QPushButton("Show all"), QPushButton("Copy")
        self.show_all.setAccessibleName("Show the whole question")
        self.copy.setToolTip("Copy the whole question")
        self.copy.setAccessibleName("Copy the whole question")
        for button in (self.show_all, self.copy):
            theme.set_role(button, "link")
        self.show_all.clicked.connect(self.show_clicked)
        self.copy.clicked.connect(self.copy_clicked)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 4, 0, 4)
        row.setSpacing(12)
        row.addWidget(self.label)
        row.addWidget(self.show_all)
        row.addWidget(self.copy)
        row.addStretch(1)
