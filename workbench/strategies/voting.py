"""Which of several answers most of them agree on; pure text, knows no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"(?<![\w.,])[-−]?\d+(?:[.,]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Vote:
    """`winner` indexes the answers; `agreeing` of them reach its result."""

    winner: int
    agreeing: int


def majority(answers: Sequence[str]) -> Vote:
    """The first answer of the largest class of equal final results; of classes as large, the one that began first.

    The final result is the last line. When every last line ends with a number, the numbers are compared
    (1,234.50 equals 1234.5), else the lines without case, markup, punctuation and extra spaces.
    """
    lines = [last_line(answer) for answer in answers]
    numbers = [final_number(line) for line in lines]
    results = [n for n in numbers if n is not None]
    if len(results) < len(lines):
        results = [plain_line(line) for line in lines]
    counts = [results.count(result) for result in results]
    winner = counts.index(max(counts))
    return Vote(winner, counts[winner])


def last_line(text: str) -> str:
    """The last line with a letter or digit in it, or nothing."""
    lines = (line for line in reversed(text.splitlines()) if any(ch.isalnum() for ch in line))
    return next(lines, "").strip()


def final_number(line: str) -> str | None:
    """The number at the end of a line in one spelling; None when the line does not end with one."""
    matches = list(_NUMBER.finditer(line))
    if not matches or any(ch.isalnum() for ch in line[matches[-1].end() :]):
        return None
    digits = unicodedata.normalize("NFKC", matches[-1].group()).replace("−", "-")
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    if _GROUPED.fullmatch(digits):
        digits = digits.replace(",", "")
    whole, point, fraction = digits.partition(".")
    fraction = fraction.rstrip("0") if "." not in fraction else fraction
    number = (whole.lstrip("0") or "0") + (point + fraction if fraction else "")
    return number if number == "0" else sign + number


def plain_line(line: str) -> str:
    """A line without case, punctuation and extra spaces, for comparing."""
    letters = "".join(ch if ch.isalnum() else " " for ch in unicodedata.normalize("NFKC", line).casefold())
    return " ".join(letters.split())
