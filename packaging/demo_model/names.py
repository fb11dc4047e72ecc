"""The names that exercises are filled with, and which of them training never sees."""

from __future__ import annotations

import random
from functools import cache

from dialogue import is_held_out, load_content

ONE_IN = 6
INVENTED = ("starts", "middles", "ends")


@cache
def pool(kind: str, held_out: bool) -> tuple[str, ...]:
    """The names of one list of `content/names.toml` ("places", "people", ...) that are held out, or the others."""
    return tuple(name for name in load_content("names")[kind] if is_held_out(name, ONE_IN) == held_out)


@cache
def everything_held_out() -> frozenset[str]:
    """All held-out names of all lists, in lower case."""
    kinds = [kind for kind in load_content("names") if kind not in INVENTED]
    return frozenset(name.lower() for kind in kinds for name in pool(kind, True))


@cache
def syllables() -> dict[str, list[str]]:
    content = load_content("names")
    return {part: content[part] for part in INVENTED}


def invent(rng: random.Random, held_out: bool) -> str:
    """A name that nobody bears ("Belora"), held out or not by the same rule."""
    parts = syllables()
    while True:
        middle = rng.choice(parts["middles"]) if rng.random() < 0.6 else ""
        name = rng.choice(parts["starts"]) + middle + rng.choice(parts["ends"])
        if is_held_out(name, ONE_IN) == held_out and (held_out or name.lower() not in everything_held_out()):
            return name


def draw_name(rng: random.Random, kind: str, held_out: bool) -> str:
    return rng.choice(pool(kind, held_out))


def split_list(patterns: list[str], held_out: bool) -> list[str]:
    """Every sixth pattern of a list of a content file, which is held out, or the others: so each list has its share."""
    return [pattern for at, pattern in enumerate(patterns, 1) if (at % ONE_IN == 0) == held_out]
