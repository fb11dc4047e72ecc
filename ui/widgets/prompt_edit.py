"""A field for a question: grows with its lines up to six; Enter submits, Shift+Enter makes a line."""

from __future__ import annotations

from PySide6.QtCore import QMimeData, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QTextCursor, QTextOption
from PySide6.QtWidgets import QPlainTextEdit, QSizePolicy, QWidget

from ui import theme
from ui.widgets.long_text import SteppedInsertion

MOST_LINES = 6
LONG_TEXT = 60_000  # characters; what is longer goes in piece by piece, so that the window never stands still


class PromptEdit(QPlainTextEdit):
    """`files_dropped` carries the paths of files that were dropped or pasted."""

    submitted = Signal()
    escaped = Signal()
    files_dropped = Signal(list)

    def __init__(self, name: str, placeholder: str = "", bare: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        if bare:
            theme.set_role(self, "bare")
        self._is_bare = bare
        self._whole: str | None = None
        self._filling = SteppedInsertion(self)
        self._filling.stepped.connect(self._on_stepped)
        font = theme.current().font("section")
        self.setFont(font)
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(2)
        self.viewport().setAutoFillBackground(False)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self._fit()

    def text(self) -> str:
        """What the field holds, also while a long text is still going in."""
        return self.toPlainText() if self._whole is None else self._whole

    def set_text(self, text: str) -> None:
        self.clear()
        self._insert(text)

    def clear(self) -> None:
        self._filling.stop()
        self._end_filling()
        super().clear()

    def _insert(self, text: str) -> None:
        """Replaces the selection."""
        if len(text) <= LONG_TEXT:
            self.insertPlainText(text)
            return
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        before, after, cursor = self.textCursor(), self.textCursor(), self.textCursor()
        before.setPosition(cursor.selectionStart())
        before.movePosition(QTextCursor.MoveOperation.Start, QTextCursor.MoveMode.KeepAnchor)
        after.setPosition(cursor.selectionEnd())
        after.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        self._whole = _selected(before) + text + _selected(after)
        self.setReadOnly(True)
        self._filling.start(cursor, text)

    def _on_stepped(self) -> None:
        if not self._filling.is_running:
            self._end_filling()
            self.ensureCursorVisible()

    def _end_filling(self) -> None:
        if self._whole is not None:
            self._whole = None
            self.setReadOnly(False)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.submitted.emit()
        elif event.key() == Qt.Key.Key_Escape:
            self.escaped.emit()
            event.ignore()
        else:
            super().keyPressEvent(event)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        return source.hasUrls() or super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData) -> None:
        files = [url.toLocalFile() for url in source.urls() if url.isLocalFile()]
        if files:
            self.files_dropped.emit(files)
        elif not self._filling.is_running:
            self._insert(source.text())

    def sizeHint(self) -> QSize:
        return QSize(200, self.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(80, self._line_height() + self._frame())

    def _fit(self) -> None:
        # A QPlainTextEdit measures its document in lines.
        lines = max(1, min(MOST_LINES, round(self.document().size().height())))
        self.setFixedHeight(lines * self._line_height() + self._frame())

    def _line_height(self) -> int:
        return self.fontMetrics().lineSpacing()

    def _frame(self) -> int:
        return 6 if self._is_bare else 16


def _selected(cursor: QTextCursor) -> str:
    return cursor.selectedText().replace("\u2029", "\n").replace("\u2028", "\n")
