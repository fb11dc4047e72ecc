"""Facts about one thing as headed lists of name and value, to read, select and copy."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextLength,
    QTextOption,
    QTextTableFormat,
)
from PySide6.QtWidgets import QTextBrowser, QWidget

from ui import theme

Fact = tuple[str, str]
Table = Sequence[Sequence[str]]


class FactSheet(QTextBrowser):
    """`sections` are (heading, facts). Long values such as paths and hashes break anywhere instead of being cut."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "bare")
        self.setAccessibleName(name)
        self.setOpenLinks(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._sections: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = ()
        theme.current().changed.connect(self._fill)

    def show_sections(self, sections: Sequence[tuple[str, Table]]) -> None:
        """The rows of a section have two cells, or as many as its first one, which then is its header."""
        wanted = tuple((heading, tuple(tuple(row) for row in rows)) for heading, rows in sections)
        if wanted != self._sections:
            self._sections = wanted
            self._fill()

    def _fill(self) -> None:
        active = theme.current()
        document = QTextDocument(self)
        document.setDefaultFont(active.font())
        document.setDocumentMargin(0)
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        document.setDefaultTextOption(option)
        cursor = QTextCursor(document)
        heading = QTextCharFormat()
        heading.setForeground(active.color("text-dim"))
        heading.setFont(active.font("caption", QFont.Weight.DemiBold))
        gap = QTextBlockFormat()
        gap.setTopMargin(14)
        for number, (name, rows) in enumerate(self._sections):
            if number:
                cursor.insertBlock(gap)
            if name:
                cursor.insertText(name, heading)
            if rows:
                _insert_table(cursor, rows)
        self.setDocument(document)


def _insert_table(cursor: QTextCursor, rows: Sequence[Sequence[str]]) -> None:
    active, columns = theme.current(), len(rows[0])
    form = QTextTableFormat()
    form.setBorder(0)
    form.setCellPadding(2)
    form.setCellSpacing(0)
    form.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
    first = 38 if columns == 2 else 100 / columns
    shares = [first, *([(100 - first) / (columns - 1)] * (columns - 1))]
    form.setColumnWidthConstraints([QTextLength(QTextLength.Type.PercentageLength, share) for share in shares])
    table = cursor.insertTable(len(rows), columns, form)
    name, value = QTextCharFormat(), QTextCharFormat()
    name.setForeground(active.color("text-dim"))
    name.setFont(active.font("caption"))
    value.setForeground(active.color("text"))
    value.setFont(active.font())
    for y, row in enumerate(rows):
        for x, text in enumerate(row):
            is_name = x == 0 if columns == 2 else y == 0
            table.cellAt(y, x).firstCursorPosition().insertText(text, name if is_name else value)
    cursor.movePosition(QTextCursor.MoveOperation.End)
