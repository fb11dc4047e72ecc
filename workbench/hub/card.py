"""The card in a model file's header: when, from what and how well the model was made, as its makers tell it.

The keys `workbench.card.*` are those that `packaging/demo_model/export.py` writes. Any file may carry them, so every
text is made plain and cut, and what has another type than expected is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "workbench.card."
LONGEST_TEXT = 600
_LONGEST_WORDS, _LONGEST_JSON = 60, 20_000  # characters of a date, of a figure's name and value; of all figures
_MOST_FIGURES = 40
_MOST = 2**63


@dataclass(frozen=True, slots=True)
class ModelCard:
    """`data` says from what the model was trained; `figures` are pairs of what was measured and its value."""

    date: str | None = None
    parameters: int | None = None
    trained_tokens: int | None = None
    data: str | None = None
    figures: tuple[tuple[str, str], ...] = ()

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Date and sizes in words, as far as they are told."""
        counts = (("Parameters", self.parameters, ""), ("Trained on", self.trained_tokens, " tokens"))
        sizes = [(name, f"{count:,}{unit}") for name, count, unit in counts if count is not None]
        return (("Made on", self.date), *sizes) if self.date is not None else tuple(sizes)


def read_card(metadata: Mapping[str, object]) -> ModelCard | None:
    """None for a header without a usable key of a card."""
    card = ModelCard(
        date=plain(metadata.get(f"{PREFIX}date"), _LONGEST_WORDS),
        parameters=_count(metadata.get(f"{PREFIX}parameters")),
        trained_tokens=_count(metadata.get(f"{PREFIX}trained_tokens")),
        data=plain(metadata.get(f"{PREFIX}data")),
        figures=_figures(metadata.get(f"{PREFIX}figures")),
    )
    return card if card != ModelCard() else None


def plain(value: object, longest: int = LONGEST_TEXT) -> str | None:
    """One line without control characters, cut at `longest` characters; None for what is no text or empty."""
    if not isinstance(value, str):
        return None
    words = "".join(letter if letter.isprintable() else " " for letter in value[: 4 * longest]).split()
    text = " ".join(words)
    return (text if len(text) <= longest else f"{text[: longest - 1]}…") or None


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 < value < _MOST else None  # type: ignore[operator,return-value]


def _figures(value: object) -> tuple[tuple[str, str], ...]:
    """JSON: a list of lists of a name and a text or a number; rows of any other form are left out."""
    if not isinstance(value, str) or len(value) > _LONGEST_JSON:
        return ()
    try:
        rows = json.loads(value)
    except (ValueError, RecursionError):
        return ()
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2] if isinstance(rows, list) else []
    told = [(plain(name, _LONGEST_WORDS), _figure(figure)) for name, figure in pairs]
    return tuple((name, figure) for name, figure in told if name is not None and figure is not None)[:_MOST_FIGURES]


def _figure(value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.6g}" if -_MOST < value < _MOST else None  # neither an endless number nor none at all
    return plain(value, _LONGEST_WORDS)
