"""All reckoning of the corpus in its shares: sums, word problems, days between dates, unit prices."""

from __future__ import annotations

import random
import re

import sums
from dates import Dates
from dialogue import Dialogue
from prices import Prices
from word_problems import WordProblems

# Of the draws in training; what is held out is drawn evenly.
SHARES = {"sum": 0.26, "problem": 0.40, "days": 0.10, "price": 0.24}
# Below this difficulty there are only pairs of short numbers: the steps of which all the rest consists.
ONLY_PIECES_BELOW = 0.3

_KINDS = {"sum": sums.draw, "problem": WordProblems().draw, "days": Dates().draw, "price": Prices().draw}


def draw(rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
    """One exercise; which kind it is says `Dialogue.kind`."""
    if held_out:
        return draw_kind(rng, rng.choice(list(SHARES)), held_out=True, difficulty=difficulty)
    kind = "sum" if difficulty < ONLY_PIECES_BELOW else rng.choices(list(SHARES), list(SHARES.values()))[0]
    return draw_kind(rng, kind, held_out=held_out, difficulty=difficulty)


def draw_kind(rng: random.Random, kind: str, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
    """One exercise of a kind out of `SHARES`."""
    return _KINDS[kind](rng, held_out=held_out, difficulty=difficulty)


def is_right(dialogue: Dialogue, text: str) -> bool:
    """Whether the last number of the answer is the result; what stands around it does not matter."""
    numbers = re.findall(r"(?<![\w.])-?\d+(?:[.,]\d+)*", text)
    return bool(numbers) and numbers[-1].replace(",", "") == dialogue.expected
