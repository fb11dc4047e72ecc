"""Formats of running text: fonts, colours and margins of every kind of block, taken from the theme."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from PySide6.QtGui import QColor, QFont, QFontDatabase, QTextBlockFormat, QTextCharFormat, QTextFormat

from ui import theme
from ui.widgets.code_highlight import CodeRole
from ui.widgets.markdown import Block, Span

_SEPARATOR = int(QTextFormat.Property.UserProperty.value) + 1
_SEPARATOR_MARK = "|"  # PySide gives an empty string back as an empty list.

_HEADING_PX = {1: 20, 2: 17, 3: 15}
_CODE_ROLES: dict[CodeRole, str] = {
    "keyword": "accent",
    "string": "good",
    "number": "warn",
    "comment": "text-dim",
    "name": "thinking",
    "added": "good",
    "removed": "bad",
}
LINE_HEIGHT_PERCENT = 145.0
CODE_PADDING = 12


def set_separator(style: QTextBlockFormat, separator: str) -> None:
    """Remembers in a block's format which characters of the source stand before the block."""
    style.setProperty(_SEPARATOR, _SEPARATOR_MARK + separator)


def separator_of(style: QTextBlockFormat) -> str | None:
    """What `set_separator` remembered; None for a block that Qt made by itself."""
    found = style.property(_SEPARATOR)
    return found.removeprefix(_SEPARATOR_MARK) if isinstance(found, str) else None


@dataclass(frozen=True)
class TextStyle:
    """One look of running text. `role` is the colour of plain text."""

    size_px: int = 15
    role: str = "text"

    @cached_property
    def font(self) -> QFont:
        font = theme.current().font()
        font.setPixelSize(self.size_px)
        return font

    @cached_property
    def plain(self) -> QTextCharFormat:
        style = QTextCharFormat()
        style.setForeground(theme.current().color(self.role))
        style.setProperty(QTextFormat.Property.FontPixelSize, self.size_px)
        return style

    @cached_property
    def code(self) -> QTextCharFormat:
        style = QTextCharFormat()
        style.setFontFamilies([QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family()])
        style.setFontFixedPitch(True)
        style.setProperty(QTextFormat.Property.FontPixelSize, self.size_px - 2)
        style.setForeground(theme.current().color(self.role))
        return style

    @cached_property
    def code_background(self) -> QColor:
        return theme.current().color("raised")

    def code_role(self, role: CodeRole) -> QTextCharFormat:
        style = QTextCharFormat()
        style.setForeground(theme.current().color(_CODE_ROLES[role]))
        if role == "comment":
            style.setFontItalic(True)
        return style

    def span(self, span: Span, block: Block) -> QTextCharFormat:
        style = QTextCharFormat(self.code if span.code else self.plain)
        if span.code:
            style.setBackground(self.code_background)
        if span.bold or block.kind == "heading":
            style.setFontWeight(QFont.Weight.DemiBold)
        if span.italic:
            style.setFontItalic(True)
        if span.strike:
            style.setFontStrikeOut(True)
        if span.link:
            style.setForeground(theme.current().color("accent"))
            style.setFontUnderline(True)
            style.setToolTip(span.link)
        if block.kind == "heading":
            style.setProperty(QTextFormat.Property.FontPixelSize, _HEADING_PX.get(block.level, 15))
        if block.kind == "quote":
            style.setForeground(theme.current().color("text-dim"))
        return style

    def block(self, block: Block, separator: str, is_first: bool) -> QTextBlockFormat:
        """Margins of a block that `separator` parts from the one before it."""
        style = QTextBlockFormat()
        style.setLineHeight(LINE_HEIGHT_PERCENT, int(QTextBlockFormat.LineHeightTypes.ProportionalHeight.value))
        set_separator(style, separator)
        if not is_first and separator:
            style.setTopMargin(self._gap(block, separator))
        match block.kind:
            case "quote":
                style.setLeftMargin(16.0 * block.level)
            case "paragraph" if block.level:
                style.setLeftMargin(24.0 * block.level)
            case "heading":
                style.setHeadingLevel(block.level)
                style.setBottomMargin(2)
            case "rule":
                style.setProperty(QTextFormat.Property.BlockTrailingHorizontalRulerWidth, 1)
        return style

    def _gap(self, block: Block, separator: str) -> int:
        is_apart = separator.count("\n") > 1
        if block.kind == "heading":
            return 18 if is_apart else 12
        if block.kind == "item":
            return 6 if is_apart else 3
        return 12 if is_apart or block.kind == "quote" else 0

    def code_line(self, separator: str, is_first: bool, is_document_start: bool) -> QTextBlockFormat:
        style = QTextBlockFormat()
        style.setLineHeight(135.0, int(QTextBlockFormat.LineHeightTypes.ProportionalHeight.value))
        style.setLeftMargin(CODE_PADDING)
        style.setRightMargin(CODE_PADDING)
        set_separator(style, separator)
        if is_first:
            style.setTopMargin(CODE_PADDING + (0 if is_document_start else 10))
        return style
