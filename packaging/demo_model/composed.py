"""Word problems and prices put together from clauses, so that no whole wording has to be known by heart."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from dialogue import capitalized, load_content

# What happens in each shape of `content/problems.toml`, in the order of time, with the letters of its numbers.
EVENTS: dict[str, tuple[str, ...]] = {
    "get": ("start a", "gain b"),
    "lose": ("start a", "loss b"),
    "boxes": ("box a b",),
    "share": ("start a", "share b"),
    "more": ("start a", "other b"),
    "get_lose": ("start a", "gain b", "loss c"),
    "lose_get": ("start a", "loss b", "gain c"),
    "get_get": ("start a", "gain b", "gain c"),
    "lose_lose": ("start a", "loss b", "loss c"),
    "boxes_get": ("box a b", "gain c"),
    "boxes_lose": ("box a b", "loss c"),
    "spend": ("start c", "spend a b"),
    "get_more": ("start a", "gain b", "other c"),
    "lose_more": ("start a", "loss b", "other c"),
    "both": ("start a", "other_more b"),
    "get_share": ("start a", "gain b", "share c"),
    "lose_share": ("start a", "loss b", "share c"),
    "boxes_share": ("box a b", "share c"),
}
CHANGES = ("start", "gain", "loss")


@cache
def content() -> dict[str, Any]:
    return load_content("composed")


def clause(rng: random.Random, event: str, subject: str) -> str:
    """The event in words, with the slots of its numbers' letters."""
    kind, *letters = event.split()
    pattern: str = rng.choice(content()["events"][kind])
    pattern = pattern.replace("{n}", f"{{{letters[0]}}}").replace("{s}", subject)
    return pattern.replace("{m}", f"{{{letters[-1]}}}")


def timed(rng: random.Random, text: str, times: str, share: float = 0.4) -> str:
    return f"{rng.choice(content()['times'][times])} {text}" if rng.random() < share else text


def forwards(rng: random.Random, events: list[str]) -> list[str]:
    """The clauses in the order of time; what another has may come first."""
    if events[-1].startswith("other ") and rng.random() < 0.3:
        events = [events[-1], *events[:-1]]
    clauses = []
    for index, event in enumerate(events):
        # A pronoun only where the owner was named right before.
        is_named = index > 0 and "{who}" in clauses[-1] and "{other}" not in clauses[-1]
        text = clause(rng, event, "{they}" if is_named and rng.random() < 0.7 else "{who}")
        is_timed = event.split()[0] in (*CHANGES, "share", "spend")
        clauses.append(timed(rng, text, "next" if index else "first") if is_timed else text)
    return clauses


def backwards(rng: random.Random, events: list[str]) -> list[str]:
    """The last change first, the start at the end."""
    clauses = [clause(rng, events[-1], "{who}")]
    clauses += [timed(rng, clause(rng, event, "{who}"), "last", 1.0) for event in events[-2:0:-1]]
    return [*clauses, rng.choice(content()["times"]["began"]).replace("{n}", f"{{{events[0][-1]}}}")]


def story(rng: random.Random, shape: str) -> str:
    """A story of a shape, with the slots of `content/problems.toml`."""
    events = list(EVENTS[shape])
    changes_only = len(events) > 1 and all(event.split()[0] in CHANGES for event in events)
    is_backwards = changes_only and rng.random() < 0.2
    clauses = (backwards if is_backwards else forwards)(rng, events)
    if len(clauses) > 1 and not is_backwards and rng.random() < 0.3:
        clauses[:2] = [rng.choice(content()["times"]["joints"]).join(clauses[:2])]
    return " ".join(f"{upper(text)}." for text in clauses)


def upper(pattern: str) -> str:
    """The pattern with a capital at its start, also where a slot stands there."""
    for slot in ("who", "they", "other"):
        if pattern.startswith(f"{{{slot}}}"):
            return f"{{{capitalized(slot)}}}{pattern[len(slot) + 2 :]}"
    return capitalized(pattern)


def asked(rng: random.Random, question: str) -> str:
    """The question, now and then with a word or two before it, or one that fits every story."""
    chance = rng.random()
    if chance < 0.2:
        return str(rng.choice(content()["times"]["any_question"]))
    if chance < 0.65:
        return question
    return f"{capitalized(rng.choice(content()['times']['asking']))} {question[0].lower()}{question[1:]}"


def price(rng: random.Random, shape: str) -> str:
    """A question of a shape ("one", "many", "several") with the slots of `prices.py`."""
    found = content()["prices"]
    state = rng.choice(found["each" if shape == "many" else "total"])
    ask = rng.choice(found["ask_one" if shape == "one" else "ask_wanted"])
    return upper_sentences(str(rng.choice(found["forms"])).replace("{state}", state).replace("{ask}", ask))


def upper_sentences(text: str) -> str:
    return ". ".join(capitalized(sentence) for sentence in text.split(". "))
