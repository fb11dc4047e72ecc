"""Unit prices: from several to one, from one to several, from several to several."""

from __future__ import annotations

import random

import composed
from columns import Operation, results_of, thought_of
from dialogue import Dialogue, capitalized, load_content
from names import any_noun
from selection import THINKING_SHARE, are_held_out, draw_number, most_digits, part_of

# In training, how often any words stand for what is bought.
OTHER_NOUN_SHARE = 0.5


def counted(number: int, noun: tuple[str, str]) -> str:
    return f"{number} {noun[0] if number == 1 else noun[1]}"


def draw_operations(rng: random.Random, shape: str, difficulty: float) -> tuple[list[Operation], dict[str, int]]:
    """The steps, and the numbers named in the question: how many, their price, how many are wanted.

    Every price is the price of one, of up to three digits, times the number bought.
    """
    many = rng.randint(2, 9)
    most = most_digits(difficulty)
    if shape == "many":
        one = draw_number(rng, most, least=2)
        return [(one, "*", many)], {"price": one, "wanted": many}
    price = draw_number(rng, most, least=1) * many
    if shape == "one":
        return [(price, "/", many)], {"many": many, "price": price}
    wanted = rng.choice([n for n in range(2, 10) if n != many])
    return [(price, "/", many), (None, "*", wanted)], {"many": many, "price": price, "wanted": wanted}


class Prices:
    """Held out are numbers, things that are bought and whole wordings."""

    def __init__(self) -> None:
        content = load_content("problems")["prices"]
        self.things: list[tuple[str, str]] = [tuple(thing) for thing in content["things"]]
        self.units: list[tuple[str, str]] = [tuple(unit) for unit in content["units"]]
        self.wordings: dict[str, list[str]] = content["wordings"]
        held_out = [word for thing in part_of(self.things, held_out=True) for text in thing for word in text.split()]
        self.hidden = frozenset(held_out)

    def wording(self, rng: random.Random, shape: str, held_out: bool) -> str:
        """One of the list, or in training as often one put together that is none of the held-out ones."""
        hidden = [text.lower() for text in part_of(self.wordings[shape], held_out=True)]
        if held_out or rng.random() < 0.5:
            return rng.choice(part_of(self.wordings[shape], held_out=held_out))
        while (text := composed.price(rng, shape)).lower() in hidden:
            pass
        return text

    def draw(self, rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
        shapes = ("one", "many") if difficulty < 0.5 else ("one", "many", "several")
        shape = rng.choice(shapes)
        thing = rng.choice(part_of(self.things, held_out=held_out))
        if not held_out and rng.random() < OTHER_NOUN_SHARE:
            thing = any_noun(rng, self.hidden)
        wording = self.wording(rng, shape, held_out)
        unit = rng.choice(self.units)
        while True:
            operations, numbers = draw_operations(rng, shape, difficulty)
            if are_held_out(f"price {shape}", tuple(numbers.values())) == held_out:
                break
        results = results_of(operations)
        assert results is not None
        text = wording.format(
            thing=thing[0],
            things=thing[1],
            a_thing=f"{'an' if thing[0][0] in 'aeiou' else 'a'} {thing[0]}",
            price=counted(numbers["price"], unit),
            units=unit[1],
            many=numbers.get("many", 1),
            wanted=numbers.get("wanted", 1),
        )
        bought = f"{numbers['wanted']} {thing[1]} cost" if "wanted" in numbers else f"One {thing[0]} costs"
        return Dialogue(
            kind="price",
            messages=(("user", text.lower().rstrip("?.") if rng.random() < 0.15 else capitalized(text)),),
            thinking=rng.random() < THINKING_SHARE,
            thought=thought_of(operations),
            answer=f"{bought} {counted(results[-1], unit)}.",
            expected=str(results[-1]),
        )
