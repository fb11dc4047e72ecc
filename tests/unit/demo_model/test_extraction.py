"""Sentences to JSON: the values stand in the sentence, the grader compares values and types."""

from __future__ import annotations

import json
import random
import re

import extraction
import pytest
from dialogue import load_unseen
from names import everything_held_out


def draws(seed: int, *, held_out: bool, count: int = 2000) -> list[extraction.Dialogue]:
    rng = random.Random(seed)
    return [extraction.draw(rng, held_out=held_out) for _ in range(count)]


def test_schemas_have_three_fields_and_patterns_with_all_of_them() -> None:
    schemas = extraction.content()["schema"]
    assert len(schemas) == 6
    for schema in schemas:
        assert len(schema["fields"]) == 3
        assert len(schema["patterns"]) >= 10
        for pattern in schema["patterns"]:
            assert all(pattern.count(f"{{{field}}}") == 1 for field in schema["fields"]), pattern


@pytest.mark.parametrize("held_out", [False, True])
def test_values_and_keys_stand_in_the_prompt(held_out: bool) -> None:
    for dialogue in draws(1, held_out=held_out):
        prompt = dialogue.messages[-1][1]
        for field, value in json.loads(dialogue.answer).items():
            assert field in prompt
            assert str(value) in prompt
            assert f"{field}: {value}" in dialogue.thought
        assert len(prompt) < 280


def test_composed_sentences_have_each_field_once_and_are_no_held_out_pattern() -> None:
    rng = random.Random(6)
    for schema in extraction.content()["schema"]:
        hidden = {extraction.bare(pattern) for pattern in load_unseen("extract")[schema["id"]]}
        drawn = {extraction.draw_pattern(rng, schema, held_out=False) for _ in range(600)}
        assert len(drawn) > 200
        assert not hidden & {extraction.bare(pattern) for pattern in drawn}
        for pattern in drawn:
            assert all(pattern.count(f"{{{field}}}") == 1 for field in schema["fields"]), pattern
            assert "{v}" not in pattern


def test_some_trained_sentences_stand_beside_others_that_are_not_asked_for() -> None:
    rng = random.Random(8)
    around = extraction.content()["around"]
    schema = extraction.content()["schema"][0]
    drawn = [extraction.draw_pattern(rng, schema, held_out=False) for _ in range(2000)]
    before = sum(text.startswith(tuple(around["before"])) for text in drawn)
    after = sum(text.endswith(tuple(around["after"])) for text in drawn)
    assert 0.1 < before / 2000 < 0.25
    assert 0.1 < after / 2000 < 0.25
    assert not any(re.search(r"\.\.|\?\.", text.replace("...", "")) for text in drawn)


def test_a_row_has_the_fields_in_the_order_of_the_schema() -> None:
    rng = random.Random(7)
    for schema in extraction.content()["schema"]:
        for _ in range(200):
            text = extraction.row(rng, schema["fields"])
            places = [text.index(f"{{{field}}}") for field in schema["fields"]]
            assert places == sorted(places), text


def test_grader_wants_values_and_types() -> None:
    for dialogue in draws(2, held_out=True, count=500):
        wanted = json.loads(dialogue.expected)
        assert extraction.is_right(dialogue, json.dumps(wanted, indent=2))
        assert extraction.is_right(dialogue, json.dumps(dict(reversed(wanted.items()))))
        assert not extraction.is_right(dialogue, json.dumps({key: str(value) for key, value in wanted.items()}))
        assert not extraction.is_right(dialogue, json.dumps(wanted | {"more": 1}))
        assert not extraction.is_right(dialogue, dialogue.answer[:-1])
        assert not extraction.is_right(dialogue, f"Here it is: {dialogue.answer}")


def test_schema_for_a_grammar_fits_the_expected_object() -> None:
    types = {"string": str, "integer": int, "number": (int, float)}
    for dialogue in draws(3, held_out=False, count=500):
        schema, wanted = extraction.json_schema(dialogue), json.loads(dialogue.expected)
        assert schema["required"] == list(wanted)
        assert schema["additionalProperties"] is False
        for field, value in wanted.items():
            assert isinstance(value, types[schema["properties"][field]["type"]]), field


def test_training_sees_no_held_out_name() -> None:
    for dialogue in draws(4, held_out=False):
        for value in json.loads(dialogue.answer).values():
            assert str(value).lower().rpartition(" ")[0] not in everything_held_out()
            assert str(value).lower() not in everything_held_out()


def test_evaluation_names_only_what_is_held_out() -> None:
    def names(*, held_out: bool) -> set[str]:
        objects = [json.loads(dialogue.answer) for dialogue in draws(5, held_out=held_out)]
        return {wanted[field] for wanted in objects for field in ("name", "city") if field in wanted}

    assert names(held_out=False)
    assert not names(held_out=False) & names(held_out=True)


def test_same_seed_same_dialogues() -> None:
    assert draws(6, held_out=True, count=200) == draws(6, held_out=True, count=200)
