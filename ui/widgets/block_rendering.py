"""Lists and tables of Markdown as Qt's formats; the plain blocks are inserted where they grow."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtGui import (
    QTextBlockFormat,
    QTextCursor,
    QTextFrameFormat,
    QTextLength,
    QTextListFormat,
    QTextTableFormat,
)

from ui import theme
from ui.widgets.markdown import Block
from ui.widgets.text_style import TextStyle, set_separator


def list_format(block: Block) -> QTextListFormat:
    """Each item is a list of its own, so that items can be completed one by one and numbers stay right."""
    marker = QTextListFormat()
    marker.setIndent(block.level)
    is_numbered = block.number is not None
    marker.setStyle(QTextListFormat.Style.ListDecimal if is_numbered else QTextListFormat.Style.ListDisc)
    marker.setStart(block.number or 1)
    return marker


def insert_table(cursor: QTextCursor, block: Block, style: TextStyle) -> None:
    """Leaves the cursor in the empty block that Qt keeps after a table."""
    thin = cursor.blockFormat()
    thin.setLineHeight(1, int(QTextBlockFormat.LineHeightTypes.FixedHeight.value))
    cursor.setBlockFormat(thin)
    form = QTextTableFormat()
    form.setBorder(1)
    form.setBorderCollapse(True)
    form.setBorderBrush(theme.current().color("line"))
    form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
    form.setCellPadding(6)
    form.setCellSpacing(0)
    form.setHeaderRowCount(1)
    columns = max(map(len, block.rows))
    form.setColumnWidthConstraints([QTextLength(QTextLength.Type.VariableLength, 0)] * columns)
    table = cursor.insertTable(len(block.rows), columns, form)
    for row, cells in enumerate(block.rows):
        for column, spans in enumerate(cells):
            inside = table.cellAt(row, column).firstCursorPosition()
            cell_style = QTextBlockFormat()
            set_separator(cell_style, "\t" if column else "\n")
            inside.setBlockFormat(cell_style)
            for span in spans:
                inside.insertText(span.text, style.span(replace(span, bold=span.bold or row == 0), block))
    cursor.movePosition(QTextCursor.MoveOperation.End)
    cursor.setBlockFormat(thin)
