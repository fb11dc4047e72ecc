"""A sentence in, a JSON object of three fields out."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

from dialogue import Dialogue, capitalized, load_content, load_unseen
from names import draw_name, invent

KIND = "extract"
THINKING_SHARE = 0.5
INVENTED_SHARE = 0.5
COMPOSED_SHARE = 0.4
# Of the composed ones.
ROW_SHARE = 0.15
# Of the pieces of a composed one.
TIMED_SHARE = 0.1
SURROUNDED_SHARE = 0.25
TEXT_FIELDS = ("name", "city", "team", "priority", "model", "method")
# Fields whose values may have a fraction.
MEASURED = ("ttft_ms", "tps")
NUMBERS = {
    "amount": (2, 199),
    "nights": (2, 30),
    "extension": (100, 999),
    "ticket": (100, 9999),
    "ttft_ms": (20, 1999),
    "tps": (2, 199),
    "cents": (50, 9999),
}


@cache
def content() -> dict[str, Any]:
    return load_content("extraction")


def draw_value(rng: random.Random, field: str, held_out: bool) -> str | int | float:
    choices = content()["choices"]
    if field in ("name", "city"):
        if rng.random() < INVENTED_SHARE:
            return invent(rng, held_out)
        return draw_name(rng, "people" if field == "name" else "places", held_out)
    if field == "team":
        return draw_name(rng, "teams", held_out)
    if field == "model":
        return f"{draw_name(rng, 'models', held_out)} {rng.choice(choices['size'])}"
    if field in choices:
        return str(rng.choice(choices[field]))
    whole = rng.randint(*NUMBERS[field])
    return whole + rng.randint(1, 9) / 10 if field == "tps" and rng.random() < 0.3 else whole


def join_fields(rng: random.Random, fields: list[str]) -> str:
    return ", ".join(fields) if rng.random() < 0.3 else f"{', '.join(fields[:-1])} and {fields[-1]}"


def row(rng: random.Random, fields: list[str]) -> str:
    """The values in the order of the fields and nothing but a label before them."""
    found = content()["composed"]["rows"]
    values = [found["bare"].get(field, "{v}").replace("{v}", f"{{{field}}}") for field in fields]
    text = str(rng.choice(found["labels"])) + str(rng.choice(found["separators"])).join(values)
    return f"{text}." if rng.random() < 0.5 else text


def compose(rng: random.Random, fields: list[str]) -> str:
    """A sentence pattern from pieces, the fields in any order, or a bare row of them."""
    if rng.random() < ROW_SHARE:
        return row(rng, fields)
    found, times = content()["composed"], content()["around"]["times"]
    pieces = [rng.choice(found["pieces"][field]).replace("{v}", f"{{{field}}}") for field in fields]
    pieces = [f"{piece} {rng.choice(times)}" if rng.random() < TIMED_SHARE else piece for piece in pieces]
    rng.shuffle(pieces)
    text = str(rng.choice(found["openers"])) + str(rng.choice(found["joints"])).join(pieces)
    return f"{text}." if rng.random() < 0.7 else text


def surround(rng: random.Random, pattern: str) -> str:
    """The sentence with another before it, after it, or both: what is not asked for."""
    found = content()["around"]
    where = rng.choice(("before", "after", "both"))
    if where != "after":
        before = str(rng.choice(found["before"]))
        pattern = before + (capitalized(pattern) if before[-2] in ".?" else pattern)
    if where != "before":
        pattern = f"{pattern.rstrip('.')}{'' if pattern.endswith('?') else '.'} {rng.choice(found['after'])}"
    return pattern


def bare(pattern: str) -> str:
    return pattern.lower().rstrip(".")


def draw_pattern(rng: random.Random, schema: dict[str, Any], held_out: bool) -> str:
    """In training one of the schema's or one put together; held out, one of `content/unseen.toml`."""
    unseen = load_unseen(KIND)[schema["id"]]
    if held_out:
        return rng.choice(unseen)
    hidden = {bare(pattern) for pattern in unseen}
    is_composed = rng.random() < COMPOSED_SHARE
    while True:
        pattern = compose(rng, schema["fields"]) if is_composed else str(rng.choice(schema["patterns"]))
        if bare(pattern) not in hidden:
            return surround(rng, pattern) if rng.random() < SURROUNDED_SHARE else pattern


def draw(rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
    """The six schemas are equally likely; easy ones use the first three alone."""
    schemas = content()["schema"]
    schema = rng.choice(schemas if difficulty >= 0.3 else schemas[:3])
    values = {field: draw_value(rng, field, held_out) for field in schema["fields"]}
    thing = draw_name(rng, "things", held_out)
    pattern = draw_pattern(rng, schema, held_out)
    sentence = capitalized(pattern).format(thing=thing, **values)
    *carriers, unseen = content()["carriers"]
    carrier = unseen if held_out else rng.choice(carriers)
    prompt = carrier.format(x=join_fields(rng, schema["fields"]), s=sentence)
    thought = ", ".join(f"{field}: {value}" for field, value in values.items()) + "\n"
    answer = json.dumps(values)
    return Dialogue(KIND, (("user", prompt),), rng.random() < THINKING_SHARE, thought, answer, answer)


def json_schema(dialogue: Dialogue) -> dict[str, Any]:
    """The JSON schema of the wanted object, for an evaluation with a grammar; it tells the types, not the values."""
    properties = {}
    for field in json.loads(dialogue.expected):
        kind = "string" if field in TEXT_FIELDS else "number" if field in MEASURED else "integer"
        properties[field] = {"type": kind}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def is_right(dialogue: Dialogue, text: str) -> bool:
    """The same object, whatever its spaces and the order of its keys; "12" is not 12."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return json.dumps(found, sort_keys=True) == json.dumps(json.loads(dialogue.expected), sort_keys=True)
