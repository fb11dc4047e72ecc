"""The names that exercises are filled with, and which of them training never sees."""

from __future__ import annotations

import random
import re
from functools import cache

from dialogue import CONTENT, is_held_out, load_content

ONE_IN = 6
INVENTED = ("starts", "middles", "ends")
CLUSTERS = "br ch cl dr fl fr gl gr kl kr pl pr sh sl st th tr"
ONSETS = (*"bcdfghjklmnprstvwyz", *CLUSTERS.split())
VOWELS = (*"aaeeiioou", "ai", "ea", "ee", "ia", "io", "ou", "ue")
CODAS = (*"lmnrstdkgbpz", "ck", "ll", "lm", "nd", "ng", "nn", "nt", "rd", "rk", "rn", "rt", "ss", "st", "tt", "v", "x")
# Whose names are names: ordinary words, such as those of shops, are no secret.
PROPER = ("places", "people", "programs", "projects", "models")
BLENDED_SHARE = 0.4
# How often another word stands for a name in training. Without it, the model knew the few dozen trained teams and
# models by heart and put them in the place of held-out ones.
OTHER_WORD_SHARE = {"things": 0.6, "shops": 0.6, "teams": 0.7, "models": 0.6, "programs": 0.5, "projects": 0.5}


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
def plain_words() -> tuple[str, ...]:
    """Every longer word of the content files that is not held out."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(CONTENT.glob("*.toml")))
    hidden = {word for name in everything_held_out() for word in (name, *name.split())}
    return tuple(sorted(set(re.findall(r"\b[a-z]{4,12}\b", text)) - hidden))


@cache
def syllables() -> dict[str, list[str]]:
    content = load_content("names")
    return {part: content[part] for part in INVENTED}


def assembled(rng: random.Random) -> str:
    """From the syllables of `content/names.toml`: "Belora"."""
    parts = syllables()
    middle = rng.choice(parts["middles"]) if rng.random() < 0.6 else ""
    return rng.choice(parts["starts"]) + middle + rng.choice(parts["ends"])


def spelt(rng: random.Random) -> str:
    """From single sounds, far more kinds than any list has: "Threpuk", "Ilmo"."""
    text = rng.choice(ONSETS) if rng.random() < 0.85 else ""
    for _ in range(rng.choice((1, 2, 2, 3))):
        text += rng.choice(VOWELS) + rng.choice(CODAS)
    return (text + rng.choice(("", "", *"aeio"))).capitalize()


def blended(rng: random.Random) -> str:
    """The beginning of one plain word and the end of another: "Harquent"."""
    first, second = rng.choices(plain_words(), k=2)
    return (first[: rng.randint(1, len(first) - 1)] + second[rng.randint(1, len(second) - 2) :]).capitalize()


def invent(rng: random.Random, held_out: bool) -> str:
    """A name that nobody bears, held out or not by the same rule.

    In training, many are blends, so that tokens which else occur in words alone are copied as parts of names too.
    """
    while True:
        if not held_out and rng.random() < BLENDED_SHARE:
            name = blended(rng)
        else:
            name = assembled(rng) if rng.random() < 0.4 else spelt(rng)
        if is_held_out(name, ONE_IN) == held_out and (held_out or name.lower() not in everything_held_out()):
            return name


@cache
def _any_proper_name() -> re.Pattern[str]:
    names = {name for kind in PROPER for name in load_content("names")[kind]}
    return re.compile(rf"\b(?:{'|'.join(sorted(names, key=len, reverse=True))})\b")


def without_names(text: str, rng: random.Random) -> str:
    """The text with invented names in place of listed ones.

    A vocabulary learnt from it cuts trained and held-out names alike. With tokens of their own for the trained names,
    the model copied those and failed on every other one.
    """
    return _any_proper_name().sub(lambda _: invent(rng, held_out=False), text)


def draw_name(rng: random.Random, kind: str, held_out: bool) -> str:
    """A name of a list; in training often another word, so that any word can be copied in its place."""
    if held_out or rng.random() >= OTHER_WORD_SHARE.get(kind, 0.0):
        return rng.choice(pool(kind, held_out))
    word = invent(rng, held_out=False) if rng.random() < 0.5 else rng.choice(plain_words())
    return word.capitalize() if kind in PROPER else word.lower()


def split_list(patterns: list[str], held_out: bool) -> list[str]:
    """Every sixth pattern of a list of a content file, which is held out, or the others: so each list has its share."""
    return [pattern for at, pattern in enumerate(patterns, 1) if (at % ONE_IN == 0) == held_out]
