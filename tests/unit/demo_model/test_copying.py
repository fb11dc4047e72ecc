"""Copy exercises: what they ask for stands in the prompt, and only that is right."""

from __future__ import annotations

import random
import re

import copying
import pytest
from names import everything_held_out


@pytest.mark.parametrize("held_out", [False, True])
def test_answers_stand_in_the_prompt(held_out: bool) -> None:
    rng = random.Random(1)
    for _ in range(2000):
        dialogue = copying.draw(rng, held_out=held_out)
        assert dialogue.answer
        assert dialogue.answer in dialogue.messages[-1][1]
        assert copying.is_right(dialogue, f" {dialogue.answer}\n")
        assert not copying.is_right(dialogue, dialogue.answer + " more")


def test_what_comes_after_is_what_comes_after() -> None:
    rng = random.Random(2)
    for _ in range(500):
        prompt, thought, answer = copying.draw_after(rng, False, 12)
        asked = re.fullmatch(r"I look for (\S+)\. After it comes \S+\.\n", thought)
        assert asked is not None
        assert re.search(rf"(?<!\S){re.escape(asked[1])},? {re.escape(answer)}(?![\w-])", prompt), prompt


def test_training_sees_no_held_out_name_and_not_the_last_wording() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        dialogue = copying.draw(rng, held_out=False)
        text = dialogue.messages[-1][1]
        assert not everything_held_out() & set(re.findall(r"\w+", text.lower())), dialogue
        assert not text.startswith(("Write this text again", "In the list", "Here are some lines"))


def test_difficulty_decides_the_length() -> None:
    longest = []
    for difficulty in (0.0, 0.5, 1.0):
        rng = random.Random(4)
        longest.append(max(len(copying.draw(rng, held_out=False, difficulty=difficulty).answer) for _ in range(1000)))
    assert longest == sorted(longest)
    assert longest[0] < 60
    assert longest[2] < 700


def test_same_seed_same_dialogues() -> None:
    one, two = random.Random(5), random.Random(5)
    assert [copying.draw(one, held_out=True) for _ in range(100)] == [
        copying.draw(two, held_out=True) for _ in range(100)
    ]
