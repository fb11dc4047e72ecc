"""Unit prices: exact divisions, right nouns, held-out things and wordings."""

from __future__ import annotations

import random
import re

from prices import Prices
from selection import part_of


def test_prices_are_proportional() -> None:
    prices, rng = Prices(), random.Random(1)
    for _ in range(3000):
        dialogue = prices.draw(rng, held_out=rng.random() < 0.3)
        expression = re.search(r"wants (.+)\.", dialogue.thought.splitlines()[0])
        assert expression
        numbers = [int(n) for n in re.findall(r"\d+", expression[1])]
        asked = [int(n) for n in re.findall(r"\d+", dialogue.messages[-1][1])]
        assert sorted(numbers) == sorted(asked), dialogue
        if "/" in expression[1]:
            assert numbers[0] % numbers[1] == 0
            assert 1 <= numbers[0] // numbers[1] <= 999
        assert eval(expression[1]) == int(dialogue.expected), dialogue


def test_held_out_things_do_not_occur_in_training() -> None:
    prices, rng = Prices(), random.Random(2)
    things = part_of(prices.things, held_out=True)
    assert len(things) == round(len(prices.things) / 6)
    hidden = {noun.lower() for thing in things for noun in thing}
    for held_out in (False, True):
        for _ in range(1000):
            words = prices.draw(rng, held_out=held_out).messages[-1][1].lower()
            assert any(re.search(rf"\b{noun}\b", words) for noun in hidden) == held_out, words


def test_one_of_six_wordings_is_held_out() -> None:
    for wordings in Prices().wordings.values():
        out, kept = part_of(wordings, held_out=True), part_of(wordings, held_out=False)
        assert len(out) == round(len(wordings) / 6)
        assert sorted(out + kept) == sorted(wordings)
