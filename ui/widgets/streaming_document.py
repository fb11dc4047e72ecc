"""A growing text in a QTextDocument: plain while it comes, Markdown once a block is complete, the source kept exact.

The block that grows is short whatever the model writes: complete blocks are never touched again, and a line
without an end is cut at a visual line, where nobody sees it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from PySide6.QtGui import (
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
)

from ui.widgets import block_rendering, markdown
from ui.widgets.code_highlight import highlight
from ui.widgets.markdown import Block, Fence
from ui.widgets.shown_text import Utf16, lines_of, shown, utf16_length
from ui.widgets.text_style import CODE_PADDING, TextStyle, separator_of

LONGEST_LINE = 1_500
LONGEST_CHUNK = 12_000
_PARAGRAPH = Block("paragraph")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where a finished piece stands in the document and in the source. `verbatim`: character by character."""

    start: int
    end: int
    source_start: int
    source_end: int
    verbatim: bool


@dataclass(frozen=True, slots=True)
class Region:
    """Code or a quotation, from one document position to another, for painting behind the text."""

    kind: Literal["code", "quote"]
    start: int
    end: int
    language: str = ""


class StreamingDocument:
    """Feeds a document. `append` may be called 30 times a second with whatever has come.

    `changed_from` is the first position that the last `append` changed.
    """

    def __init__(self, document: QTextDocument, style: TextStyle, is_markdown: bool = True) -> None:
        self.document = document
        self._is_markdown = is_markdown
        document.setUndoRedoEnabled(False)
        document.setDocumentMargin(0)
        self._pieces: list[str] = []
        self.clear(style)

    def clear(self, style: TextStyle | None = None) -> None:
        if style is not None:
            self.style = style
            self.document.setDefaultFont(style.font)
            self.document.setIndentWidth(20)
        self.document.clear()
        self._pieces.clear()
        self.chunks: list[Chunk] = []
        self.regions: list[Region] = []
        self.has_cut_lines = False
        self._lines: list[str] = []
        self._line = ""
        self._separator = ""
        self._fence: Fence | None = None
        self._chunk_start = 0
        self._source_start = 0
        self._source_length = 0
        self._is_cut_piece = self._is_styled = False
        self._is_block_fresh = True
        self._is_line_new = True
        self._follows_table = False
        self._after_table = -1
        self.changed_from = 0

    # --- reading -----------------------------------------------------------------------------------------

    def source(self) -> str:
        """Exactly what was appended."""
        if len(self._pieces) > 1:
            self._pieces[:] = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def ends_with_code(self) -> bool:
        return bool(self.regions) and self.regions[-1].end >= self.document.characterCount() - 1

    def plain_text(self) -> str:
        """What can be read in the document; equal to the source when that holds no Markdown."""
        parts: list[str] = []
        block = self.document.begin()
        while block.isValid():
            separator = separator_of(block.blockFormat())
            parts.append(("\n" if parts else "") if separator is None else separator)
            parts.append(block.text().replace("\u2028", "\n"))
            block = block.next()
        return "".join(parts) + ("" if self._line else self._separator)

    def source_of(self, start: int, end: int) -> str | None:
        """The stretch of the source that a selection shows; None: part of a block whose marks are not shown."""
        if start <= 0 and end >= self.document.characterCount() - 1:
            return self.source()
        first, last = self._chunk_at(start), self._chunk_at(end - 1)
        if first is last and not first.verbatim:
            is_whole = start <= first.start and end >= first.end
            return self.source()[first.source_start : first.source_end] if is_whole else None
        begin = first.source_start if start <= first.start else self._source_index(first, start)
        finish = self._source_index(last, end)
        return None if begin is None or finish is None else self.source()[begin:finish]

    def _chunk_at(self, position: int) -> Chunk:
        index = bisect_right(self.chunks, position, key=lambda chunk: chunk.start) - 1
        if position >= self._chunk_start or index < 0:
            return Chunk(self._chunk_start, self.document.characterCount() - 1,
                         self._source_start, self._source_length, not self._is_styled)  # fmt: skip
        return self.chunks[index]

    def _source_index(self, chunk: Chunk, position: int) -> int | None:
        visible = self._visible(chunk.start, min(position, chunk.end))
        if chunk.verbatim:
            return chunk.source_start + len(visible)
        source, index = self.source(), chunk.source_start
        for character in visible:
            found = source.find(character, index, chunk.source_end)
            if found < 0:
                return None
            index = found + 1
        return index

    def _visible(self, start: int, end: int) -> str:
        cursor = QTextCursor(self.document)
        cursor.setPosition(start)
        cursor.setPosition(max(start, end), QTextCursor.MoveMode.KeepAnchor)
        return cursor.selectedText().replace("\u2029", "\n").replace("\u2028", "\n")

    # --- growing -----------------------------------------------------------------------------------------

    def append(self, text: str) -> None:
        if not text:
            return
        self._pieces.append(text)
        self.changed_from = self.document.characterCount() - 1
        for start in range(0, len(text), LONGEST_LINE):
            cursor = QTextCursor(self.document)
            cursor.beginEditBlock()
            cursor.setPosition(self.document.characterCount() - 1)
            for piece in lines_of(text[start : start + LONGEST_LINE]):
                self._take(cursor, piece)
            self._style_growing_line(cursor, text)
            cursor.endEditBlock()
            self._cut_long_line()

    def finish(self) -> None:
        """The text is complete: what is still plain becomes what it means."""
        cursor = QTextCursor(self.document)
        cursor.beginEditBlock()
        if self._fence is not None:
            if self._line:
                self._lines.append(self._line)
                self._line = ""
            self._finish_code(cursor)
        elif self._line or self._lines:
            lines = [*self._lines, self._line] if self._line else self._lines
            self._line = ""
            self._finish_text(cursor, lines, self._source_length, "")
        cursor.endEditBlock()

    def _take(self, cursor: QTextCursor, piece: str) -> None:
        self._source_length += len(piece)
        content = piece.rstrip("\n") if piece.endswith("\n") else piece
        if content:
            self._grow(cursor, content)
        if piece.endswith("\n"):
            self._complete_line(cursor)

    def _grow(self, cursor: QTextCursor, content: str) -> None:
        if self._is_line_new:
            self._open_block(cursor)
            self._is_line_new = False
        self._line += content
        cursor.insertText(shown(content), self.style.code if self._fence else self.style.plain)
        if (
            self._is_markdown and self._fence is None and self._lines and len(self._line) - len(content) < 16
            and not markdown.RULE.match(self._line) and markdown.begins_block(self._line, self._lines[-1])
        ):  # fmt: skip
            line, self._line = self._line, ""
            self._finish_text(cursor, self._lines, self._source_length - len(line) - 1, "\n")
            self._source_start = self._source_length - len(line)
            self._open_block(cursor)
            self._is_line_new = False
            self._line = line
            cursor.insertText(shown(line), self.style.plain)

    def _style_growing_line(self, cursor: QTextCursor, text: str) -> None:
        """Shows marks that have been closed as what they mean, before their block is complete."""
        if not self._is_markdown or self._fence is not None or not markdown.may_close(text):
            return
        spans = markdown.parse_growing(self._line)
        if len(spans) < 2:
            return
        block = self.document.lastBlock()
        self._touch(block.position())
        cursor.setPosition(block.position())
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        for span in spans:
            cursor.insertText(shown(span.text), self.style.span(span, _PARAGRAPH))
        self._is_styled = True

    def _open_block(self, cursor: QTextCursor) -> None:
        """A new block at the end of the document for the line that begins."""
        is_first = not self._lines
        separator = self._separator if is_first else "\n"
        is_start = self._is_block_fresh and self.document.blockCount() == 1
        if self._fence is not None:
            style = self.style.code_line(separator, is_first, is_start)
        else:
            style = self.style.block(_PARAGRAPH, separator, is_start)
            if is_first:
                self._set_apart(style, self._chunk_start)
        self._insert_block(cursor, style)
        if is_first:
            self._chunk_start = cursor.position()
            self._separator = ""

    def _set_apart(self, style: QTextBlockFormat, position: int) -> None:
        """Leaves room under a table or a code block for the block that begins at `position`."""
        if self.regions and self.regions[-1].kind == "code" and self.regions[-1].end >= position - 1:
            style.setTopMargin(CODE_PADDING + 12)
        elif self._follows_table:
            style.setTopMargin(12)
            self._follows_table = False

    def _insert_block(self, cursor: QTextCursor, style: QTextBlockFormat) -> None:
        if self._is_block_fresh:
            cursor.setBlockFormat(style)
            self._is_block_fresh = False
        else:
            cursor.insertBlock(style, QTextCharFormat())

    def _complete_line(self, cursor: QTextCursor) -> None:
        line, self._line = self._line, ""
        was_new, self._is_line_new = self._is_line_new, True
        if self._fence is not None:
            if was_new:
                self._open_block(cursor)
            self._lines.append(line)
            if markdown.closes(self._fence, line):
                self._drop_last_line(cursor)
                self._finish_code(cursor)
        elif not line.strip():
            self._blank_line(cursor, line, was_new)
        elif self._is_markdown and (fence := markdown.open_fence(line)) is not None:
            self._begin_code(cursor, line, fence)
        else:
            self._lines.append(line)
            is_long = self._source_length - self._source_start > LONGEST_CHUNK
            if is_long or (self._is_markdown and markdown.ends_at_line_end(line)):
                self._finish_text(cursor, self._lines, self._source_length - 1, "\n")

    def _blank_line(self, cursor: QTextCursor, line: str, was_new: bool) -> None:
        if not was_new:
            self._remove_last_block(cursor)
        end = self._source_length - len(line) - 1
        if self._lines:
            self._finish_text(cursor, self._lines, max(self._source_start, end - 1), "\n")
        self._separator += line + "\n"
        self._source_start = self._source_length

    def _begin_code(self, cursor: QTextCursor, line: str, fence: Fence) -> None:
        self._remove_last_block(cursor)
        if self._lines:
            self._finish_text(cursor, self._lines, self._source_length - len(line) - 2, "\n")
        self._fence = fence
        self._source_start = self._source_length
        self._separator = self._separator or "\n"
        if self.document.blockCount() == 1 and self._is_block_fresh:
            self._separator = ""

    def _remove_last_block(self, cursor: QTextCursor) -> None:
        """Takes away the block of a line that turned out to be no text; earlier blocks stay as they are."""
        block = self.document.lastBlock()
        self._touch(max(0, block.position() - 1))
        if not self._lines:
            self._separator = separator_of(block.blockFormat()) or ""
        cursor.setPosition(block.position())
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        if block.position() not in (0, self._after_table):  # Qt keeps a block after a table
            cursor.deletePreviousChar()
        else:
            self._is_block_fresh = True

    def _drop_last_line(self, cursor: QTextCursor) -> None:
        """Removes the closing fence from the document and from the lines."""
        self._lines.pop()
        if self._lines:
            self._remove_last_block(cursor)
        else:
            cursor.setPosition(self.document.lastBlock().position())
            cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
            cursor.removeSelectedText()

    # --- completing --------------------------------------------------------------------------------------

    def _finish_text(self, cursor: QTextCursor, lines: list[str], source_end: int, separator: str) -> None:
        """Turns the piece that begins at `_chunk_start` into what it means; the text after it is gone then."""
        self._touch(self._chunk_start)
        source = "\n".join(lines)
        is_verbatim = not self._is_markdown or markdown.is_plain(source)
        if not is_verbatim:
            is_continued = self._is_cut_piece
            blocks = (
                [Block("paragraph", tuple(markdown.parse_inline(source)))] if is_continued else markdown.parse(source)
            )
            self._replace(cursor, blocks)
        elif self._has_growing_line(lines):
            self._remove_last_block(cursor)
        self._close_chunk(cursor, source_end, separator, is_verbatim)

    def _has_growing_line(self, lines: list[str]) -> bool:
        """Whether the document's last block shows a line that is not among the finished ones."""
        first = self.document.findBlock(self._chunk_start).blockNumber()
        return self.document.lastBlock().blockNumber() - first + 1 > len(lines)

    def _touch(self, position: int) -> None:
        self.changed_from = min(self.changed_from, position)

    def _close_chunk(self, cursor: QTextCursor, source_end: int, separator: str, is_verbatim: bool) -> None:
        cursor.movePosition(QTextCursor.MoveOperation.End)
        end = cursor.position()
        self.chunks.append(Chunk(self._chunk_start, end, self._source_start, source_end, is_verbatim))
        self._lines = []
        self._is_line_new = True
        self._is_cut_piece = self._is_styled = False
        self._separator = separator
        self._chunk_start = end + 1
        self._source_start = self._source_length

    def _replace(self, cursor: QTextCursor, blocks: list[Block]) -> None:
        first = self.document.findBlock(self._chunk_start)
        separator = separator_of(first.blockFormat()) or ""
        cursor.setPosition(self._chunk_start)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        self._is_block_fresh = True
        for index, block in enumerate(blocks):
            self._render(cursor, block, "\n" if index else separator)

    def _render(self, cursor: QTextCursor, block: Block, separator: str) -> None:
        is_start = self._is_block_fresh and self.document.blockCount() == 1
        style = self.style.block(block, separator, is_start)
        self._set_apart(style, cursor.position())
        self._insert_block(cursor, style)
        start = cursor.position()
        if block.kind == "table":
            block_rendering.insert_table(cursor, block, self.style)
            self._is_block_fresh = self._follows_table = True
            self._after_table = cursor.position()
            return
        if block.kind == "item":
            cursor.createList(block_rendering.list_format(block))
        for span in block.spans:
            if span.text:
                cursor.insertText(span.text, self.style.span(span, block))
        if block.kind == "quote":
            self.regions.append(Region("quote", start, cursor.position()))

    def _finish_code(self, cursor: QTextCursor) -> None:
        self._touch(self._chunk_start)
        language = self._fence.language if self._fence else ""
        if not self._lines and self._is_line_new and self._chunk_start > self.document.characterCount() - 1:
            self._open_block(cursor)
        start = self._chunk_start
        code = shown("\n".join(self._lines))
        offsets = Utf16(code)
        for position, length, role in highlight(code, language):
            cursor.setPosition(start + offsets.at(position))
            cursor.setPosition(start + offsets.at(position + length), QTextCursor.MoveMode.KeepAnchor)
            cursor.mergeCharFormat(self.style.code_role(role))
        cursor.movePosition(QTextCursor.MoveOperation.End)
        last = cursor.blockFormat()
        last.setBottomMargin(CODE_PADDING)
        cursor.setBlockFormat(last)
        self.regions.append(Region("code", start, cursor.position(), language))
        self._fence = None
        self._close_chunk(cursor, self._source_start + len(code), "\n", True)

    def _cut_long_line(self) -> None:
        """Ends the growing block at its last visual line, when it has become too long to lay out at each token."""
        while len(self._line) > LONGEST_LINE:
            index = self._visual_cut()
            head, tail = self._line[:index], self._line[index:]
            cursor = QTextCursor(self.document)
            cursor.beginEditBlock()
            self.has_cut_lines = True
            if self._fence is not None:
                self._cut_code_line(cursor, tail)
            else:
                self._cut_text_line(cursor, head, tail)
            cursor.endEditBlock()

    def _cut_code_line(self, cursor: QTextCursor, tail: str) -> None:
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.setPosition(cursor.position() - utf16_length(shown(tail)))
        cursor.insertBlock(self.style.code_line("", False, False))
        self._line = tail

    def _cut_text_line(self, cursor: QTextCursor, head: str, tail: str) -> None:
        cursor.movePosition(QTextCursor.MoveOperation.End)
        end = cursor.position()
        whole = self.document.lastBlock().position()
        cursor.setPosition(whole if self._is_styled else end - utf16_length(shown(tail)))
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        if self._is_styled:
            cursor.insertText(shown(head), self.style.plain)
        self._finish_text(cursor, [*self._lines, head], self._source_length - len(tail), "")
        self._source_start = self._source_length - len(tail)
        self._open_block(cursor)
        self._is_line_new = False
        self._is_cut_piece = True
        self._line = tail
        cursor.insertText(shown(tail), self.style.plain)

    def _visual_cut(self) -> int:
        """Index in the growing line where its last visual line begins."""
        block = self.document.lastBlock()
        self.document.documentLayout().blockBoundingRect(block)
        layout = block.layout()
        if layout.lineCount() > 2 and not self._is_styled:
            start = layout.lineAt(layout.lineCount() - 1).textStart()
            return max(1, Utf16(shown(self._line)).index(start))
        space = self._line.rfind(" ", LONGEST_LINE // 2, LONGEST_LINE)
        return space + 1 if space > 0 else LONGEST_LINE
