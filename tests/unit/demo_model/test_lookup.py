"""Notes in the prompt: the asked fact stands there once or not at all, and the grader takes no other value."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import lookup
import pytest
from dialogue import load_unseen
from names import everything_held_out, pool


def all_unseen() -> list[str]:
    return [ask for asks in load_unseen("lookup").values() for ask in asks]


def draws(seed: int, count: int = 2000, *, held_out: bool = False, difficulty: float = 1.0) -> list[lookup.Dialogue]:
    rng = random.Random(seed)
    return [lookup.draw(rng, held_out=held_out, difficulty=difficulty) for _ in range(count)]


@pytest.mark.parametrize("held_out", [False, True])
def test_answers_are_right_and_wrong_ones_are_not(held_out: bool) -> None:
    for dialogue in draws(1, held_out=held_out):
        name, _, value = dialogue.expected.partition("|")
        assert lookup.is_right(dialogue, f"\n{dialogue.answer} \n"), dialogue
        assert not lookup.is_right(dialogue, "")
        assert not lookup.is_right(dialogue, dialogue.answer.replace(name, "Atlantis")), dialogue
        if value:
            wrong = f"{value}7" if value[-1].isdigit() else "Atlantis"
            assert not lookup.is_right(dialogue, dialogue.answer.replace(value, wrong)), dialogue
            assert not lookup.is_right(dialogue, f"The notes do not say {name} {value}.")
        else:
            assert not lookup.is_right(dialogue, f"The code for {name} is 4821.")


def test_value_of_another_fact_beside_the_right_one_is_wrong() -> None:
    dialogue = next(d for d in draws(2) if re.fullmatch(r".*\|\d{4}", d.expected))
    assert not lookup.is_right(dialogue, dialogue.answer + " The code for Riga is 1111.")


def told_at(text: str, name: str, value: str) -> int | None:
    """Where both stand in one sentence or line, in whatever order."""
    name, value = (rf"\b{re.escape(part)}\b" for part in (name, value))
    found = re.search(rf"{name}(?:[^.\n]|\.\d)*{value}|{value}[^.\n]*{name}", text)
    return found.start() if found else None


def test_the_asked_value_stands_in_the_prompt_with_its_name() -> None:
    for dialogue in draws(3):
        name, _, value = dialogue.expected.partition("|")
        if value:
            assert told_at(dialogue.messages[0][1], name, value) is not None, dialogue


def test_missing_facts_are_missing_even_where_the_name_stands() -> None:
    missing = [d for d in draws(4, 4000) if "|" not in d.expected]
    assert 0.21 < len(missing) / 4000 < 0.29
    asked = draws(4, 4000, held_out=True)
    assert 0.12 < sum("|" not in d.expected for d in asked) / 4000 < 0.18
    near = 0
    for dialogue in missing:
        notes = dialogue.messages[0][1]
        near += notes.count(dialogue.expected) > (len(dialogue.messages) == 1)
        if "the code for" in dialogue.answer:
            name = dialogue.expected
            told = rf"code for {name} is|{name} has the code|For {name} the code|^{name}: "
            assert not re.search(told, notes, re.MULTILINE), dialogue
    assert near > len(missing) / 10


def test_training_asks_on_about_the_same_notes_and_evaluation_asks_once() -> None:
    assert all(len(d.messages) == 1 and not d.learns_history for d in draws(12, held_out=True))
    further = [d for d in draws(12) if len(d.messages) > 1]
    assert len(further) > 1200
    assert {len(d.messages) // 2 for d in further} == set(range(1, lookup.MOST_FURTHER + 1))
    missing = answers = 0
    for dialogue in further:
        assert dialogue.learns_history
        assert [role for role, _ in dialogue.messages[-3:]] == ["user", "assistant", "user"]
        notes = dialogue.messages[0][1]
        for role, answer in dialogue.messages:
            if role == "assistant":
                answers += 1
                missing += lookup.NOT_TOLD in answer
                assert lookup.NOT_TOLD in answer or all(number in notes for number in lookup.numbers_in(answer)), (
                    dialogue
                )
    assert 0.21 < missing / answers < 0.29


def test_training_never_sees_a_held_out_name_or_question() -> None:
    words = re.compile(r"\b(?:" + "|".join(map(re.escape, everything_held_out())) + r")\b", re.IGNORECASE)
    asks = [re.escape(ask).replace(re.escape("{x}"), r"(?!project )\w+( (?!at\b)\w+)?") for ask in all_unseen()]
    question = re.compile("|".join(asks), re.IGNORECASE)
    for dialogue in draws(5):
        text = "\n".join((*(content for _, content in dialogue.messages), dialogue.thought, dialogue.answer))
        assert not words.search(text), dialogue
        assert not any(question.fullmatch(line) for line in text.splitlines()), dialogue


def test_framed_questions_name_what_is_asked_and_are_many() -> None:
    rng = random.Random(9)
    for shape in lookup.content()["fact"]:
        drawn = {lookup.framed(rng, shape) for _ in range(500)}
        assert len(drawn) > 60, shape["id"]
        assert all(question.count("{x}") == 1 and question[0] in "{" + question[0].upper() for question in drawn)
        assert not {question.lower() for question in drawn} & {ask.lower() for ask in all_unseen()}


def test_evaluation_asks_in_every_unseen_wording() -> None:
    questions = "\n".join(d.messages[-1][1].lower() for d in draws(11, 6000, held_out=True))
    for ask in all_unseen():
        before, after = ask.lower().rstrip("?.").split("{x}")
        assert re.search(rf"{re.escape(before)}[\w ]+{re.escape(after)}", questions), ask


def test_evaluation_asks_for_held_out_names_alone() -> None:
    trained = {name for shape in lookup.content()["fact"] for name in pool(shape["names"], False)}
    assert not trained & {d.expected.partition("|")[0] for d in draws(6, held_out=True)}


def test_difficulty_decides_the_length() -> None:
    lengths = [max(d.messages[0][1].count(".") for d in draws(7, 1000, difficulty=x)) for x in (0.0, 0.2, 1.0)]
    assert lengths == sorted(lengths)
    assert [lookup.most_facts(x) for x in (0.0, 0.2, 1.0)] == [2, 6, 42]
    assert max(len(d.messages[0][1]) for d in draws(7)) < 2400
    assert max(len(d.thought + d.answer) for d in draws(7)) < 160


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
def test_notes_of_a_length_have_the_asked_fact_at_its_depth(depth: float) -> None:
    rng = random.Random(8)
    for count in (1, 12, 160):
        dialogue = lookup.draw_of_length(rng, count, depth)
        name, _, value = dialogue.expected.partition("|")
        text = dialogue.messages[-1][1]
        assert lookup.is_right(dialogue, dialogue.answer)
        assert count * 15 < len(text) < 160 + count * 50
        at = told_at(text, name, value)
        assert at is not None
        if count == 160:
            assert abs(at / len(text) - depth) < 0.1


def test_same_seed_same_dialogues() -> None:
    assert draws(9, 200) == draws(9, 200)
    assert draws(9, 200) != draws(10, 200)


def test_a_number_inside_a_longer_one_is_not_that_number() -> None:
    dialogue = replace(draws(11, 1)[0], expected="Outpost|3.1")
    assert lookup.is_right(dialogue, "Outpost is at version 3.1.")
    assert not lookup.is_right(dialogue, "Outpost is at version 3.12.")
    assert not lookup.is_right(dialogue, "Outpost is at version 13.1.")
