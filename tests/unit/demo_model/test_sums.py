"""Sums and differences: the question holds what the answer says, and held-out numbers stay out in any order."""

from __future__ import annotations

import random
import re
from collections import Counter

import sums


def formula(text: str) -> tuple[list[int], list[str]]:
    return [int(n) for n in re.findall(r"\d+", text)], re.findall(r"[-+*/]", text)


def test_answers_restate_the_numbers_of_the_question() -> None:
    rng = random.Random(1)
    for _ in range(3000):
        dialogue = sums.draw(rng, held_out=False)
        left, result = dialogue.answer.rstrip(".").split(" = ")
        asked = Counter(re.findall(r"\d+", dialogue.messages[-1][1]))
        assert asked == Counter(re.findall(r"\d+", left)), dialogue
        assert eval(left) == int(result), dialogue


def test_running_totals_are_never_negative() -> None:
    rng = random.Random(2)
    for _ in range(3000):
        numbers, signs = formula(sums.draw(rng, held_out=False).answer.split(" = ")[0])
        total = numbers[0]
        for sign, number in zip(signs, numbers[1:], strict=True):
            total += {"+": number, "-": -number}.get(sign, 0)
            assert total >= 0, (numbers, signs)


def test_all_lengths_and_signs_occur() -> None:
    rng = random.Random(3)
    for held_out, lengths in ((False, {2, 3, 4, 5}), (True, {3, 4, 5})):
        drawn = [formula(sums.draw(rng, held_out=held_out).answer.split(" = ")[0]) for _ in range(1000)]
        assert {len(numbers) for numbers, _ in drawn} == lengths
        assert {"+", "-"} <= {sign for _, signs in drawn for sign in signs}


def test_addends_are_held_out_in_any_order() -> None:
    rng = random.Random(4)

    def keys(held_out: bool) -> set[tuple[str, tuple[int, ...]]]:
        drawn = [formula(sums.draw(rng, held_out=held_out).answer.split(" = ")[0]) for _ in range(2000)]
        return {("".join(signs), tuple(sorted(numbers))) for numbers, signs in drawn if set(signs) == {"+"}}

    assert not keys(True) & keys(False)


def test_single_digit_pairs_are_all_trained() -> None:
    rng = random.Random(5)
    seen = {d.answer.split(" = ")[0] for d in (sums.draw(rng, held_out=False, difficulty=0.1) for _ in range(12_000))}
    assert {f"{a} + {b}" for a in range(10) for b in range(10)} <= seen
