"""Which numbers, wordings and nouns occur in the reckoning exercises, and which of them training never sees."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import TypeVar

from dialogue import is_held_out

THINKING_SHARE = 0.88
HELD_OUT_ONE_IN = 6

T = TypeVar("T")


def most_digits(difficulty: float) -> int:
    return 3 if difficulty >= 0.5 else 2


def draw_number(rng: random.Random, digits: int, least: int = 0) -> int:
    """A number of at most `digits` digits; single digits are drawn a little less often than each longer length."""
    length = rng.choices(range(1, digits + 1), (2, 3, 3)[:digits])[0]
    return rng.randint(max(least, 10 ** (length - 1) if length > 1 else 0), 10**length - 1)


def are_held_out(kind: str, numbers: Sequence[int]) -> bool:
    """One in twenty combinations of a kind of exercise never occurs in training.

    Single-digit pairs are always trained: there are too few of them to spare any.
    """
    if len(numbers) == 2 and max(numbers) < 10:
        return False
    return is_held_out(f"{kind}|{','.join(map(str, numbers))}", 20)


def part_of(items: Sequence[T], *, held_out: bool) -> list[T]:
    """The sixth of a list that training never sees, or the rest; of any two items or more, one is held out."""
    ranked = sorted(items, key=lambda item: zlib.crc32(str(item).encode()))
    count = max(1, round(len(items) / HELD_OUT_ONE_IN)) if len(items) > 1 else 0
    return ranked[:count] if held_out else ranked[count:]
