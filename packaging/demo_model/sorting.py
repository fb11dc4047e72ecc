"""Requests to be sorted as a router would: simple or complex, or by one of eight intents."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from dialogue import Dialogue, capitalized, load_content
from names import draw_name, pool, split_list

KIND = "sort"
LABELS = ("simple", "complex")
THINKING_SHARE = 0.5
LISTS = {"place": "places", "person": "people", "thing": "things", "team": "teams", "project": "projects"}


@dataclass(frozen=True)
class Request:
    """A pattern of a request with both its labels and the reason for each."""

    pattern: str
    intent: str
    label: str
    why_intent: str
    why_label: str


@cache
def content() -> dict[str, Any]:
    return load_content("sorting")


@cache
def requests(held_out: bool) -> tuple[Request, ...]:
    return tuple(
        Request(pattern, intent["id"], group["label"], intent["why"], group["why"])
        for intent in content()["intent"]
        for group in intent["group"]
        for pattern in split_list(group["patterns"], held_out)
    )


def fill(rng: random.Random, pattern: str, held_out: bool) -> str:
    topic, topic2 = rng.sample(content()["slots"]["topic"], 2)
    slots = {slot: draw_name(rng, names, held_out) for slot, names in LISTS.items()}
    slots["a_thing"] = f"{'an' if slots['thing'][0] in 'aeiou' else 'a'} {slots['thing']}"
    slots["person"], slots["person2"] = rng.sample(pool("people", held_out), 2)
    slots["place"], slots["place2"] = rng.sample(pool("places", held_out), 2)
    top = 10 ** rng.randint(1, 3)
    numbers = dict(zip("abc", sorted((str(rng.randint(2, top)) for _ in "abc"), key=int, reverse=True), strict=True))
    texts = {slot: rng.choice(content()["slots"][slot]) for slot in ("short", "long")}
    text = capitalized(pattern.format(topic=topic, topic2=topic2, **slots, **numbers, **texts))
    if rng.random() < 0.2:
        text = text.lower()
    return text.rstrip("?.!") if rng.random() < 0.2 else text


def draw(rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
    """Both labels of "simple or complex", and all eight intents, are equally likely; all requests are short.

    Every second one asks for the intent. `difficulty` changes nothing.
    """
    del difficulty
    asks_intent = rng.random() < 0.5
    wanted = rng.choice([intent["id"] for intent in content()["intent"]] if asks_intent else LABELS)
    fitting = [r for r in requests(held_out) if wanted in (r.intent, r.label)]
    request = rng.choice(fitting)
    *carriers, unseen = content()["carriers"]["intent" if asks_intent else "simple"]
    carrier = unseen if held_out else rng.choice(carriers)
    prompt = carrier.format(request=fill(rng, request.pattern, held_out))
    thought = request.why_intent if asks_intent else request.why_label
    return Dialogue(KIND, (("user", prompt),), rng.random() < THINKING_SHARE, f"{thought}\n", wanted, wanted)


def is_right(dialogue: Dialogue, text: str) -> bool:
    """The label alone, whatever its case, with or without a full stop."""
    return text.strip().rstrip(".").lower() == dialogue.expected
