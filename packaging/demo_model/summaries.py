"""A short paragraph about the work with models in, one sentence with its main fact out."""

from __future__ import annotations

import random
import re
from functools import cache
from typing import Any

from dialogue import Dialogue, capitalized, load_content
from lookup import has_words
from names import draw_name, invent, pool, split_list

KIND = "summary"
THINKING_SHARE = 0.5
INVENTED_SHARE = 0.5
MOST_WORDS = 30


@cache
def content() -> dict[str, Any]:
    return load_content("summaries")


def draw_pair(rng: random.Random, name: str, unit: str, low: int, high: int) -> tuple[str, str, str]:
    """Two different values with their unit, and "rose" or "fell" for the way from the first to the second."""
    if name == "context length":
        powers = [2**n for n in range(low.bit_length() - 1, high.bit_length())]
        first, second = rng.sample(powers, 2)
    else:
        first, second = rng.sample(range(low, high + 1), 2)
    tail = f" {unit}" if unit else ""
    return f"{first}{tail}", f"{second}{tail}", "rose" if second > first else "fell"


def draw_two(rng: random.Random, names: str, held_out: bool) -> tuple[str, str]:
    first = second = draw_name(rng, names, held_out)
    while second == first:
        second = draw_name(rng, names, held_out)
    return first, second


def draw_slots(rng: random.Random, kind: str, held_out: bool) -> dict[str, str]:
    slots = content()["slots"]
    values = {name: rng.choice(slots[name]) for name in ("service", "cause", "cost_cause", "reason")}
    values |= {"team": draw_name(rng, "teams", held_out), "n": str(rng.randint(2, 99))}
    for name, names in (("person", "people"), ("place", "places"), ("project", "projects")):
        is_invented = rng.random() < INVENTED_SHARE
        values[name] = invent(rng, held_out) if is_invented else draw_name(rng, names, held_out)
    values["person2"] = rng.choice([name for name in pool("people", held_out) if name != values["person"]])
    birds = draw_two(rng, "models", held_out)
    values["model"], values["model2"] = (f"{bird} {rng.choice(slots['size'])}" for bird in birds)
    setting, metric = rng.choice(slots["settings"]), rng.choice(slots["metrics"])
    values |= {"setting": setting[0], "metric": metric[0]}
    values["a"], values["b"], values["rose"] = draw_pair(rng, *(metric if kind == "measure" else setting))
    values["cents_a"], values["cents_b"], rose = draw_pair(rng, "", "cents", 50, 9999)
    return values | ({"rose": rose} if kind == "cost" else {})


def write_paragraph(
    rng: random.Random, kind: dict[str, Any], values: dict[str, str], *, held_out: bool, size: int
) -> str:
    """`size` sentences; every day and every number beside the fact is drawn on its own."""
    lead = rng.choice(split_list(kind["leads"], held_out))
    own = rng.sample(kind["more"], rng.randint(1, size - 1))
    others = rng.sample(content()["beside"], size - 1 - len(own))
    patterns = [lead, *own, *others]
    if others and rng.random() < 0.3:
        patterns.insert(0, patterns.pop())
    days, sentences = content()["slots"]["day"], []
    for pattern in patterns:
        number = values["n"] if pattern == lead else str(rng.randint(2, 99))
        sentences.append(capitalized(pattern.format(**(values | {"n": number, "day": rng.choice(days)}))))
    return " ".join(sentences)


def draw(rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
    """Three sentences when easy, three to five otherwise."""
    kind = rng.choice(content()["kind"])
    values = draw_slots(rng, kind["id"], held_out)
    size = 3 if difficulty < 0.3 else rng.randint(3, 5)
    paragraph = write_paragraph(rng, kind, values, held_out=held_out, size=size)
    *carriers, unseen = content()["carriers"]
    prompt = (unseen if held_out else rng.choice(carriers)).format(x=paragraph)
    return Dialogue(
        KIND,
        (("user", prompt),),
        rng.random() < THINKING_SHARE,
        kind["thought"].format(**values) + "\n",
        kind["summary"].format(**values),
        "|".join(fact.format(**values) for fact in kind["facts"]),
    )


def without_first_unit(text: str) -> str:
    """Write "from 2 ms to 3 ms" as "from 2 to 3 ms", which says the same."""
    return re.sub(r"from (\d+) [^\d]*?to (?=\d)", r"from \1 to ", text)


def is_right(dialogue: Dialogue, text: str) -> bool:
    """One sentence of at most 30 words with every key fact; spaces and case do not matter."""
    words = text.split()
    line = without_first_unit(" ".join(words))
    facts = [without_first_unit(fact) for fact in dialogue.expected.split("|")]
    sentences = len(re.findall(r"[.!?](?=\s|$)", line)) + (not line.endswith((".", "!", "?")))
    return sentences == 1 and len(words) <= MOST_WORDS and all(has_words(line, fact) for fact in facts)
