"""The names that exercises are filled with, and which of them training never sees."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from functools import cache

from chat import SPACE
from dialogue import CONTENT, UNSEEN, is_held_out, load_content

ONE_IN = 6
INVENTED = ("starts", "middles", "ends")
CLUSTERS = "br ch cl dr fl fr gl gr kl kr pl pr sh sl st th tr"
ONSETS = (*"bcdfghjklmnprstvwyz", *CLUSTERS.split())
VOWELS = (*"aaeeiioou", "ai", "ea", "ee", "ia", "io", "ou", "ue")
CODAS = (*"lmnrstdkgbpz", "ck", "ll", "lm", "nd", "ng", "nn", "nt", "rd", "rk", "rn", "rt", "ss", "st", "tt", "v", "x")
# Whose names are names: ordinary words, such as those of shops, are no secret.
PROPER = ("places", "people", "programs", "projects", "models")
BLENDED_SHARE = 0.15
JOINED_SHARE = 0.45
TWO_WORDS_SHARE = 0.35
# How often another word stands for a name in training. Without it, the model knew the few dozen trained teams and
# models by heart and put them in the place of held-out ones.
OTHER_WORD_SHARE = {
    "places": 0.3,
    "people": 0.3,
    "things": 0.6,
    "shops": 0.6,
    "teams": 0.7,
    "models": 0.6,
    "programs": 0.5,
    "projects": 0.5,
}
# Of the words that stand for lower-case names, how many begin with a word that has a token of its own after a space.
# "payments" begins with " pay" in a sentence and with "pay" in JSON, and without these such names were not copied.
SPACED_START_SHARE = 0.25
# Tokens of the trained vocabulary that are letters alone, and those with a space before them, without it; empty until
# `know_pieces` was called.
_pieces: list[str] = []
_spaced: list[str] = []


def know_pieces(vocabulary: Iterable[str]) -> None:
    """From here on, training's invented names are also joined from tokens of this vocabulary, each as likely.

    Of 2,048 tokens, 1,298 stood in less than one of 4,000 names without it, and names of held-out lists that need such
    tokens ("Bucharest" as B-uch-ar-est) were not copied.
    """
    tokens = sorted(vocabulary)
    _pieces[:] = [token for token in tokens if re.fullmatch("[A-Za-z]{2,}", token)]
    _spaced[:] = [token[1:] for token in tokens if re.fullmatch(f"{SPACE}[a-z]{{2,}}", token)]


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
    """Every longer word of the trained content files that is not held out."""
    paths = [path for path in sorted(CONTENT.glob("*.toml")) if path.stem != UNSEEN]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
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


def joined(rng: random.Random) -> str:
    """One to three tokens of the vocabulary, often after a first letter: "Baster", "Uchool"."""
    text = rng.choice(ONSETS) if rng.random() < 0.5 else ""
    return (text + "".join(rng.choices(_pieces, k=rng.choice((1, 2, 2, 3)))).lower()).capitalize()


def made_up(rng: random.Random, held_out: bool) -> str:
    """A name of one of the kinds; only training has blends and joined tokens."""
    chance = 1.0 if held_out else rng.random()
    if chance < BLENDED_SHARE:
        return blended(rng)
    if chance < BLENDED_SHARE + JOINED_SHARE and _pieces:
        return joined(rng)
    return assembled(rng) if rng.random() < 0.4 else spelt(rng)


def invent(rng: random.Random, held_out: bool) -> str:
    """A name that nobody bears, held out or not by the same rule.

    In training, many consist of parts of words, so that tokens which else occur in words alone are copied as parts of
    names too.
    """
    while True:
        name = made_up(rng, held_out)
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


def any_word(rng: random.Random) -> str:
    """In lower case; with the vocabulary known, one in four begins as a frequent word does ("paycher")."""
    if _spaced and rng.random() < SPACED_START_SHARE:
        word = rng.choice(_spaced) + rng.choice(_pieces).lower()
        return word if word not in everything_held_out() else any_word(rng)
    return (invent(rng, held_out=False) if rng.random() < 0.5 else rng.choice(plain_words())).lower()


def any_noun(rng: random.Random, hidden: frozenset[str]) -> tuple[str, str]:
    """Singular and plural of one or two words that stand in training for a noun, none of them in `hidden`."""
    while True:
        words = [any_word(rng) for _ in range(2 if rng.random() < TWO_WORDS_SHARE else 1)]
        if not hidden.intersection(words) and not words[-1].endswith("s"):
            return " ".join(words), " ".join(words) + "s"


def draw_name(rng: random.Random, kind: str, held_out: bool) -> str:
    """A name of a list; in training often another word, so that any word can be copied in its place."""
    if held_out or rng.random() >= OTHER_WORD_SHARE.get(kind, 0.0):
        return rng.choice(pool(kind, held_out))
    if kind in PROPER:
        return any_word(rng).capitalize()
    is_double = kind == "shops" and rng.random() < TWO_WORDS_SHARE
    return f"{any_word(rng)} {any_word(rng)}" if is_double else any_word(rng)


def split_list(patterns: list[str], held_out: bool) -> list[str]:
    """Every sixth pattern of a list of a content file, which is held out, or the others: so each list has its share."""
    return [pattern for at, pattern in enumerate(patterns, 1) if (at % ONE_IN == 0) == held_out]
