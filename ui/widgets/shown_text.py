"""From a model's characters to those that Qt can show, one for one, and between their two ways of counting."""

from __future__ import annotations

import re
from bisect import bisect_right

# What Qt takes for block borders or draws as nothing; the source keeps them.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\ufdd0\ufdd1\ufffc]")


class Utf16:
    """Offsets between Python's characters and Qt's UTF-16 units."""

    def __init__(self, text: str) -> None:
        self._wide = [index for index, character in enumerate(text) if character > "\uffff"]

    def at(self, index: int) -> int:
        return index + bisect_right(self._wide, index - 1) if self._wide else index

    def index(self, units: int) -> int:
        if not self._wide:
            return units
        low = units
        while self.at(low) > units:
            low -= 1
        return low


def shown(text: str) -> str:
    """`text` with what cannot be drawn replaced, character by character."""
    return _UNSHOWABLE.sub("\ufffd", text.replace("\r", "\u200b"))


def utf16_length(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def lines_of(text: str) -> list[str]:
    """Pieces that end at "\\n" only; str.splitlines would also part at form feeds and U+2028."""
    pieces = text.split("\n")
    return [f"{piece}\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
