"""Saying again what stands in the prompt: of use in itself, and what look-up, extraction and sums rest on."""

from __future__ import annotations

import random
from functools import cache

from dialogue import Dialogue, load_content
from names import draw_name, invent

KIND = "copy"
THINKING_SHARE = 0.3
NAME_LISTS = ("places", "people", "things")


@cache
def content() -> dict[str, list[str]]:
    return load_content("copying")


def draw_item(rng: random.Random, held_out: bool) -> str:
    """A number, a name, an invented word or, in training alone, a plain word."""
    chance = rng.random()
    if chance < 0.3:
        return str(rng.randrange(10 ** rng.randint(1, 5)))
    if chance < 0.7:
        name = invent(rng, held_out)
        return name if rng.random() < 0.5 else name.lower()
    if chance < 0.8 or held_out:
        return draw_name(rng, rng.choice(NAME_LISTS), held_out)
    return rng.choice(content()["words"])


def draw_items(rng: random.Random, count: int, held_out: bool) -> list[str]:
    """Different items, so that "what comes after" has one answer."""
    items: list[str] = []
    while len(items) < count:
        item = draw_item(rng, held_out)
        if item not in items:
            items.append(item)
    return items


def carrier(rng: random.Random, name: str, held_out: bool) -> str:
    *trained, unseen = content()[name]
    return unseen if held_out else rng.choice(trained)


def draw_repeat(rng: random.Random, held_out: bool, most: int) -> tuple[str, str, str]:
    text = rng.choice((" ", ", ")).join(draw_items(rng, rng.randint(1, most), held_out))
    return carrier(rng, "repeats", held_out).format(x=text), "I write the text again.\n", text


def draw_after(rng: random.Random, held_out: bool, most: int) -> tuple[str, str, str]:
    items = draw_items(rng, rng.randint(2, most), held_out)
    at = rng.randrange(len(items) - 1)
    row = rng.choice((" ", ", ", ", ")).join(items)
    prompt = carrier(rng, "after", held_out).format(x=row, w=items[at])
    return prompt, f"I look for {items[at]}. After it comes {items[at + 1]}.\n", items[at + 1]


def draw_line(rng: random.Random, held_out: bool, most: int) -> tuple[str, str, str]:
    """Numbered lines of one to four items each."""
    count = rng.randint(2, min(9, most))
    lines = [" ".join(draw_items(rng, rng.randint(1, 4), held_out)) for _ in range(count)]
    at = rng.randrange(count)
    numbered = "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))
    return carrier(rng, "lines", held_out).format(x=numbered, n=at + 1), f"I look for line {at + 1}.\n", lines[at]


def draw(rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
    """Rows of at most 4 items when easy, 20 at full difficulty; now and then a long row, for a longer look back."""
    most = round(4 + 16 * difficulty)
    if difficulty > 0.6 and rng.random() < 0.1:
        most *= 3
    make = rng.choices((draw_repeat, draw_after, draw_line), (4, 4, 3))[0]
    prompt, thought, answer = make(rng, held_out, most)
    return Dialogue(KIND, (("user", prompt),), rng.random() < THINKING_SHARE, thought, answer, answer)


def is_right(dialogue: Dialogue, text: str) -> bool:
    return text.split() == dialogue.expected.split()
