"""Which bytes of a prompt came from which message: what the template process located, and a search for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.engine.places import Part, Place
from workbench.runs.record import SegmentKind
from workbench.runs.spec import Message

Span = tuple[int, int, SegmentKind]


@dataclass(frozen=True, slots=True)
class Source:
    """A piece of a message's content: `text` is what the template gets there."""

    part: Part
    text: str
    kind: SegmentKind


def sources_of(messages: Sequence[Message]) -> list[Source]:
    """Documents and contents of all messages in their order, without empty ones."""
    last_user = max((i for i, m in enumerate(messages) if m.role == "user"), default=-1)
    sources: list[Source] = []
    for index, message in enumerate(messages):
        kind: SegmentKind = "question" if index == last_user else "history"
        if message.role == "system":
            kind = "system"
        whole = len(message.full_content)
        if message.document:
            document_kind: SegmentKind = "document" if index == last_user else kind
            sources.append(Source((index, 0, len(message.document)), message.document, document_kind))
        if message.content:
            sources.append(Source((index, whole - len(message.content), whole), message.content, kind))
    return sources


def find_spans(text: str, sources: Sequence[Source], places: Sequence[Place], mark: str) -> list[Span]:
    """Byte ranges in `text` without `mark`, in order. What a template changed may not be found."""
    found: list[tuple[int, int, int]] = []
    for number, start, end in places:
        if 0 <= number < len(sources) and max(start, end) <= len(text):
            found.append((*_both_ends(text, sources[number].text, start, end), number))
    known = {number: (start, end) for start, end, number in reversed(found)}
    position = 0
    for number, source in enumerate(sources):
        if number in known:
            position = max(position, known[number][1])
            continue
        for candidate in (source.text, source.text.strip()):
            at = text.find(candidate, position) if candidate else -1
            if at >= 0:
                position = at + len(candidate)
                found.append((at, position, number))
                break
    spans: list[Span] = []
    size = _ByteSizes(text, mark)
    last = 0
    for start, end, number in sorted(found):
        start = max(start, last)
        if start < end:
            spans.append((size.up_to(start), size.up_to(end), sources[number].kind))
            last = end
    return spans


def _both_ends(text: str, content: str, start: int, end: int) -> tuple[int, int]:
    """The other end of a content that a template cut off, from how much of the content stands there."""
    if start < 0:
        before = text[max(end - len(content), 0) : end]
        kept = _common_start(content[::-1], before[::-1])[::-1]
        # White space before a shortened content is rather the template's own.
        return end - len(kept if len(kept) == len(content) else kept.lstrip()), end
    if end < 0:
        kept = _common_start(content, text[start : start + len(content)])
        return start, start + len(kept if len(kept) == len(content) else kept.rstrip())
    return start, end


def _common_start(one: str, other: str) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    return one[: next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))]


class _ByteSizes:
    """Turns growing character offsets of a text into byte offsets, its marks not counted, encoding it once."""

    def __init__(self, text: str, mark: str) -> None:
        self._text, self._mark, self._characters, self._bytes = text, mark, 0, 0

    def up_to(self, characters: int) -> int:
        piece = self._text[self._characters : characters]
        if self._mark:
            piece = piece.replace(self._mark, "")
        self._bytes += len(piece.encode("utf-8", "replace"))
        self._characters = characters
        return self._bytes
