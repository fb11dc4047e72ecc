"""All kinds of reckoning: true thoughts, right results, and nothing held out that training sees."""

from __future__ import annotations

import random
import re
from collections import Counter

import arithmetic
import pytest
from dialogue import Dialogue

from tests.unit.demo_model.thought_lines import read_thought

CASES = [
    (seed, held_out, difficulty) for seed in (1, 2) for held_out in (False, True) for difficulty in (0.1, 0.6, 1.0)
]


def many(seed: int, count: int, *, held_out: bool, difficulty: float = 1.0) -> list[Dialogue]:
    rng = random.Random(seed)
    return [arithmetic.draw(rng, held_out=held_out, difficulty=difficulty) for _ in range(count)]


@pytest.mark.parametrize(("seed", "held_out", "difficulty"), CASES)
def test_thoughts_are_true_and_answers_right(seed: int, held_out: bool, difficulty: float) -> None:
    for dialogue in many(seed, 1000, held_out=held_out, difficulty=difficulty):
        assert read_thought(dialogue.thought)[1] == int(dialogue.expected), dialogue
        assert arithmetic.is_right(dialogue, dialogue.answer), dialogue
        assert not arithmetic.is_right(dialogue, dialogue.answer.replace(dialogue.expected, dialogue.expected + "1"))


def test_texts_have_no_open_places_and_are_short() -> None:
    for dialogue in many(3, 4000, held_out=False) + many(4, 2000, held_out=True):
        question = dialogue.messages[-1][1]
        assert not re.search(r"[{}]|  |None(?! of)", question + dialogue.answer), dialogue
        assert 2 < len(question) < 360, question
        assert len(dialogue.thought) < 620, dialogue.thought
        assert dialogue.answer[0].isupper() or dialogue.answer[0].isdigit()
        for one in re.findall(r"\b1 (?!more )(\w+s)\b", dialogue.answer.split(" = ")[-1]):
            # An invented singular may itself end in s: then its plural, of one word or two, stands in the question.
            assert re.search(rf"\b{one}(?:e?s| \w+s)\b", question), dialogue


def test_kinds_come_in_their_shares_and_most_are_thought_through() -> None:
    dialogues = many(5, 4000, held_out=False)
    counts = Counter(d.kind for d in dialogues)
    for kind, share in arithmetic.SHARES.items():
        assert abs(counts[kind] / 4000 - share) < 0.03, kind
    assert 0.85 < sum(d.thinking for d in dialogues) / 4000 < 0.91


def test_held_out_exercises_are_as_often_of_each_kind() -> None:
    counts = Counter(d.kind for d in many(5, 2000, held_out=True))
    assert all(abs(counts[kind] / 2000 - 0.25) < 0.04 for kind in arithmetic.SHARES), counts


def test_the_first_exercises_are_pieces_of_short_numbers() -> None:
    for dialogue in many(6, 1000, held_out=False, difficulty=0.1):
        question = dialogue.messages[-1][1]
        assert dialogue.kind == "sum"
        assert len(re.findall(r"\d+", question)) == 2, question


def test_the_same_seed_gives_the_same_exercises() -> None:
    assert many(7, 200, held_out=False) == many(7, 200, held_out=False)


@pytest.mark.parametrize("kind", list(arithmetic.SHARES))
def test_held_out_exercises_never_occur_in_training(kind: str) -> None:
    rng = random.Random(8)

    def numbers(held_out: bool) -> set[tuple[str, str]]:
        drawn = [arithmetic.draw_kind(rng, kind, held_out=held_out) for _ in range(1500)]
        return {(d.messages[-1][1].lower(), d.answer) for d in drawn}

    assert not numbers(True) & numbers(False)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("348 + 275 = 623.", True),
        ("It is\n623 .", True),
        ("623", True),
        ("348 + 275 = 624.", False),
        ("623 is not 5", False),
        ("-623", False),
        ("1623", False),
        ("623.5", False),
        ("six hundred", False),
    ],
)
def test_the_last_number_decides(text: str, right: bool) -> None:
    dialogue = Dialogue("sum", (("user", "348+275"),), True, "", "348 + 275 = 623.", "623")
    assert arithmetic.is_right(dialogue, text) is right
