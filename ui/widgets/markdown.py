"""Markdown of a model's answer as plain data: where blocks end in a growing text, and what a block contains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BlockKind = Literal["paragraph", "heading", "item", "quote", "rule", "code", "table"]

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$")
HEADING = re.compile(r"^ {0,3}#{1,6}([ \t]|$)")
ITEM = re.compile(r"^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+(?=\S)")
RULE = re.compile(r"^ {0,3}([-*_])([ \t]*\1){2,}[ \t]*$")
TABLE_ROW = re.compile(r"^ {0,3}\|")
_GROWING_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]")
_CLOSING = re.compile(r"[*_`~)]")
_LINE_START = re.compile(r"^[ \t]*(#{1,6}[ \t]+|>[ \t]?|[-*+][ \t]+|\d{1,9}[.)][ \t]+|\|)?[ \t]*")
INLINE_MARKS = re.compile(r"[*_`~\[\\&<#|>]|^\s*[-+=]|^\s*\d+[.)]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text in one style. `link` is the target; it is shown, never opened."""

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """`level`: heading 1 to 6, or nesting of an item or quote from 1. `number` None: a bullet."""

    kind: BlockKind
    spans: tuple[Span, ...] = ()
    level: int = 0
    number: int | None = None
    language: str = ""
    rows: tuple[tuple[tuple[Span, ...], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Fence:
    """An open code fence: `marker` closes it."""

    marker: str
    language: str


def open_fence(line: str) -> Fence | None:
    """The fence that a complete line opens."""
    found = FENCE.match(line)
    return Fence(found[1], found[2].strip().split(" ")[0]) if found else None


def closes(fence: Fence, line: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence.marker) and set(stripped) == {fence.marker[0]}


def begins_block(line: str, before: str) -> bool:
    """Whether a complete or growing line starts a block of its own, although no blank line came before it."""
    if RULE.match(line):
        # "---" under a paragraph is a heading, which the paragraph's own parse finds.
        return line.lstrip()[0] != "-"
    if _GROWING_HEADING.match(line):
        return True
    item = ITEM.match(line)
    if item is None:
        return False
    return not item[2][0].isdigit() or item[2][:-1] == "1" or ITEM.match(before) is not None


def ends_at_line_end(line: str) -> bool:
    """Whether a complete first line is a whole block."""
    return bool(HEADING.match(line)) or bool(RULE.match(line))


def is_plain(source: str) -> bool:
    """Whether no character in `source` could mean anything but itself."""
    return INLINE_MARKS.search(source) is None


def parse(source: str) -> list[Block]:
    """The blocks of a complete piece of Markdown. HTML in it is text; nothing in it is loaded or opened."""
    if is_plain(source):
        return [Block("paragraph", (Span(source),))]
    item = ITEM.match(source)
    depth = len(item[1].expandtabs(4)) // 2 if item else 0
    blocks = list(_walk(_parser().parse(_dedent(source))))
    return [replace(block, level=block.level + depth) if block.kind == "item" else block for block in blocks]


def parse_inline(source: str) -> list[Span]:
    """The spans of a piece that continues a paragraph: nothing at its start begins a list or a heading."""
    return [span for token in _parser().parseInline(source) for span in inline_spans(token)]


def may_close(text: str) -> bool:
    """Whether new text may have completed a mark of an unfinished line."""
    return _CLOSING.search(text) is not None


def parse_growing(line: str) -> list[Span]:
    """The spans of an unfinished line: marks that are open stay text, and so does what begins the line."""
    start = _LINE_START.match(line)
    prefix = start[0] if start else ""
    body = line[len(prefix) :]
    kept = body.rstrip()
    spans = parse_inline(kept)
    if all(span == Span(span.text) for span in spans):
        return []
    return [Span(prefix), *(span for span in spans if span.text), Span(body[len(kept) :])]


def _dedent(source: str) -> str:
    first = source.split("\n", 1)[0]
    width = len(first) - len(first.lstrip(" \t"))
    if not width:
        return source
    return "\n".join(line[width:] if line[:width].isspace() else line.lstrip() for line in source.split("\n"))


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # Indented code is off: models indent continued list items, and mean no code by it.
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True, "maxNesting": 20})
    return parser.enable(["table", "strikethrough"]).disable(
        ["code", "html_block", "html_inline", "image", "reference"]
    )


def _walk(tokens: list[Token]) -> Iterator[Block]:
    lists: list[int | None] = []
    quotes = 0
    is_item_start = False
    index = 0
    while index < len(tokens):
        token = tokens[index]
        match token.type:
            case "bullet_list_open":
                lists.append(None)
            case "ordered_list_open":
                lists.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "list_item_open":
                is_item_start = True
            case "blockquote_open":
                quotes += 1
            case "blockquote_close":
                quotes -= 1
            case "hr":
                yield Block("rule")
            case "fence":
                yield Block("code", (Span(token.content.removesuffix("\n")),), language=token.info.strip())
            case "table_open":
                end = next(i for i in range(index, len(tokens)) if tokens[i].type == "table_close")
                yield Block("table", rows=_rows(tokens[index:end]))
                index = end
            case "inline":
                yield _text_block(token, tokens[index - 1], lists, quotes, is_item_start)
                if is_item_start and lists and lists[-1] is not None:
                    lists[-1] += 1
                is_item_start = False
        index += 1


def _text_block(token: Token, opener: Token, lists: list[int | None], quotes: int, is_item_start: bool) -> Block:
    spans = tuple(inline_spans(token))
    if opener.type == "heading_open":
        return Block("heading", spans, level=int(opener.tag[1:]))
    if lists and is_item_start:
        return Block("item", spans, level=len(lists), number=lists[-1])
    if lists:
        return Block("paragraph", spans, level=len(lists))
    if quotes:
        return Block("quote", spans, level=quotes)
    return Block("paragraph", spans)


def _rows(tokens: list[Token]) -> tuple[tuple[tuple[Span, ...], ...], ...]:
    rows: list[list[tuple[Span, ...]]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(tuple(inline_spans(token)))
    return tuple(tuple(row) for row in rows)


def inline_spans(token: Token) -> Iterator[Span]:
    """The styled stretches of one inline token, in order."""
    style = Span("")
    for child in token.children or []:
        match child.type:
            case "text" | "html_inline" | "text_special":
                yield replace(style, text=child.content)
            case "softbreak" | "hardbreak":
                yield replace(style, text="\u2028")
            case "code_inline":
                yield replace(style, text=child.content, code=True)
            case "strong_open" | "strong_close":
                style = replace(style, bold=child.nesting == 1)
            case "em_open" | "em_close":
                style = replace(style, italic=child.nesting == 1)
            case "s_open" | "s_close":
                style = replace(style, strike=child.nesting == 1)
            case "link_open":
                style = replace(style, link=str(child.attrGet("href") or ""))
            case "link_close":
                style = replace(style, link=None)
