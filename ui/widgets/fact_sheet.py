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
# Letters in a column of a table; longer texts may wrap.
LEAST, UNBROKEN = 6, 12
_PADDING = 2  # of a cell


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
        """The rows of a section have one cell, which is a sentence, or two, or as many as its first one, which then is
        the header of a table of figures.
        """
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
        first, gap = QTextBlockFormat(), QTextBlockFormat()
        gap.setTopMargin(14)
        for look in (first, gap):
            look.setLeftMargin(_PADDING)  # on the line of the cells below
        cursor.setBlockFormat(first)
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
    form.setCellPadding(_PADDING)
    form.setCellSpacing(0)
    form.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
    form.setColumnWidthConstraints([QTextLength(QTextLength.Type.PercentageLength, share) for share in _shares(rows)])
    table = cursor.insertTable(len(rows), columns, form)
    name, value = QTextCharFormat(), QTextCharFormat()
    name.setForeground(active.color("text-dim"))
    name.setFont(active.font("caption"))
    value.setForeground(active.color("text"))
    value.setFont(active.font())
    right = QTextBlockFormat()
    right.setAlignment(Qt.AlignmentFlag.AlignRight)
    for y, row in enumerate(rows):
        for x, text in enumerate(row):
            cell = table.cellAt(y, x).firstCursorPosition()
            if columns > 2 and x > 0:
                cell.setBlockFormat(right)
            first, *more = text.split("\n")
            is_name = (columns == 2 and x == 0) or (columns > 2 and y == 0)
            cell.insertText(first, name if is_name else value)
            for line in more:
                cell.insertBlock()
                cell.insertText(line, name)
    cursor.movePosition(QTextCursor.MoveOperation.End)


def _shares(rows: Sequence[Sequence[str]]) -> list[float]:
    """Percent of the width for each column: of a table of figures by its longest text, as far as that need not wrap."""
    columns = len(rows[0])
    if columns < 3:
        return [38, 62] if columns == 2 else [100]
    lengths = [max(len(line) for row in rows for line in row[x].split("\n")) for x in range(columns)]
    weights = [max(LEAST, min(length, UNBROKEN)) + 1 for length in lengths]
    return [100 * weight / sum(weights) for weight in weights]
