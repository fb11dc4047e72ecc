"""Written arithmetic: results, and what has no written form."""

from __future__ import annotations

import random

import pytest
from columns import add_columns, chain, divide_columns, expression_of, multiply_columns, results_of, subtract_columns
from columns import thought_of as written_out

from tests.unit.demo_model.thought_lines import read_thought


def test_addition_carries_into_a_digit_more() -> None:
    assert add_columns(95, 7) == "95+07:\n5+7+0=12\n9+0+1=10\n102\n"


def test_subtraction_borrows_across_a_zero() -> None:
    assert subtract_columns(402, 7) == "402-007:\n12-7-0=5\n10-0-1=9\n04-0-1=3\n395\n"


def test_product_carries() -> None:
    assert multiply_columns(47, 6) == "47*6:\n7*6+0=42\n4*6+4=28\n282\n"


def test_division_hands_the_remainder_on() -> None:
    assert divide_columns(432, 6) == "432/6:\n04/6=0r4\n43/6=7r1\n12/6=2r0\n72\n"


def test_division_with_a_remainder_is_refused() -> None:
    with pytest.raises(ValueError, match="433 is not divisible by 6"):
        divide_columns(433, 6)


@pytest.mark.parametrize(
    ("numbers", "signs"), [((3, 5), "-"), ((3, 4, 9), "+-"), ((12, 12), "*"), ((7, 2), "/"), ((7, 0), "/")]
)
def test_what_cannot_be_written_has_no_results(numbers: tuple[int, ...], signs: str) -> None:
    assert results_of(chain(numbers, signs)) is None


def test_expressions_keep_their_meaning() -> None:
    assert expression_of(chain((34, 12, 6), "+/")) == "(34+12)/6"
    assert expression_of(chain((12, 4, 7), "*+")) == "12*4+7"
    assert expression_of([(12, "*", 4), (100, "-", None)]) == "100-12*4"


def test_every_line_of_a_thought_is_true() -> None:
    rng = random.Random(1)
    checked = 0
    while checked < 3000:
        sign = rng.choice("+-*/")
        operations = chain((rng.randint(0, 9999), rng.randint(1, 9) if sign in "*/" else rng.randint(0, 9999)), sign)
        if results := results_of(operations):
            assert read_thought(written_out(operations))[1] == results[-1]
            checked += 1
