"""Where the contents of messages stand in a rendered prompt. Runs in the template process, on strangers' output.

The template is rendered once more with marks around every content, so that its own words are never mistaken for a
content. The places count only if this text without its marks is the plain one: else the marks changed its course.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

# (index of the message, start, end): a piece of its content whose place is wanted.
Part = tuple[int, int, int]
# (index of the part, start, end) in the rendered text; -1 where the template cut that end off.
Place = tuple[int, int, int]

# Private-use planes: characters without a meaning that no template handles apart from others.
_MARKS = [*range(0xF0000, 0xFFFFE), *range(0x100000, 0x10FFFE)]
_MARK = re.compile("[\U000f0000-\U000ffffd\U00100000-\U0010fffd]")


def locate(
    render: Callable[[list[dict[str, Any]]], str], messages: Sequence[dict[str, Any]], parts: Sequence[Part], text: str
) -> tuple[Place, ...]:
    """`text` is what `render` makes of `messages`. Empty when the template does other things with marked contents."""
    used = {mark for message in messages for mark in _MARK.findall(message["content"])}
    marks = [chr(code) for code in _MARKS[: 2 * len(parts) + len(used)] if chr(code) not in used][: 2 * len(parts)]
    if len(marks) < 2 * len(parts):
        return ()
    # Marks at the very ends keep a template from trimming; then they are put inside of what it trims.
    for inside in (False, True):
        places = _read(render(_with_marks(messages, parts, marks, inside=inside)), marks, text)
        if places is not None:
            return places
    return ()


def _with_marks(
    messages: Sequence[dict[str, Any]], parts: Sequence[Part], marks: Sequence[str], *, inside: bool
) -> list[dict[str, Any]]:
    places: dict[int, list[tuple[int, str]]] = {}
    for number, (index, start, end) in enumerate(parts):
        piece = messages[index]["content"][start:end]
        if inside:
            start += len(piece) - len(piece.lstrip())
            end -= len(piece) - len(piece.rstrip())
        if start < end:
            places.setdefault(index, []).extend([(start, marks[2 * number]), (end, marks[2 * number + 1])])
    marked = []
    for index, message in enumerate(messages):
        content, at, pieces = message["content"], 0, []
        for place, mark in places.get(index, []):
            pieces += [content[at:place], mark]
            at = place
        marked.append({**message, "content": "".join([*pieces, content[at:]])})
    return marked


def _read(marked: str, marks: Sequence[str], text: str) -> tuple[Place, ...] | None:
    numbers = {mark: number for number, mark in enumerate(marks)}
    places: list[Place] = []
    opened: dict[int, int] = {}
    pieces: list[str] = []
    length = at = 0
    for match in _MARK.finditer(marked):
        number = numbers.get(match[0])
        if number is None:
            continue
        pieces.append(marked[at : match.start()])
        length += len(pieces[-1])
        at = match.end()
        part, is_end = divmod(number, 2)
        if is_end:
            places.append((part, opened.pop(part, -1), length))
        else:
            opened[part] = length
    pieces.append(marked[at:])
    if "".join(pieces) != text:
        return None
    return (*places, *((part, start, -1) for part, start in opened.items()))
