"""Stories from clauses: what happens in them is what their shape calculates, and no held-out wording comes about."""

from __future__ import annotations

import random
import re

import composed
import pytest
from columns import results_of
from prices import Prices
from selection import part_of
from word_problems import WordProblems, draw_numbers, operations_of

PROBLEMS = WordProblems()


def told(events: tuple[str, ...], numbers: dict[str, int]) -> int:
    """What the question is about, by the events alone."""
    owned = other = 0
    for event in events:
        kind, *letters = event.split()
        n = numbers[letters[0]]
        if kind in ("start", "gain"):
            owned += n
        elif kind == "loss":
            owned -= n
        elif kind == "box":
            owned += n * numbers[letters[1]]
        elif kind == "spend":
            owned -= n * numbers[letters[1]]
        elif kind == "share":
            owned //= n
        else:
            other = owned + n if kind == "other_more" else n
    if events[-1].startswith("other_more"):
        return owned + other
    return owned - other


@pytest.mark.parametrize("shape", list(PROBLEMS.shapes))
def test_events_come_to_the_result_of_the_steps(shape: str) -> None:
    rng = random.Random(1)
    checked = 0
    while checked < 30:
        numbers = draw_numbers(rng, PROBLEMS.shapes[shape], 3)
        results = results_of(operations_of(PROBLEMS.shapes[shape], numbers))
        if results and min(results) >= 1:
            assert told(composed.EVENTS[shape], numbers) == results[-1]
            checked += 1


@pytest.mark.parametrize("shape", list(PROBLEMS.shapes))
def test_a_story_names_each_of_its_numbers_once(shape: str) -> None:
    rng = random.Random(2)
    letters = sorted(set("abc") & set(" ".join(PROBLEMS.shapes[shape].steps)))
    for _ in range(200):
        text = composed.story(rng, shape)
        assert sorted(re.findall(r"\{([abc])\}", text)) == letters, text
        assert not re.search(r"\{[nms]\}", text), text
        assert re.match(r"\{?[A-Z{]", text), text
        assert text.endswith(".")


def test_no_story_and_no_price_is_a_held_out_wording() -> None:
    rng = random.Random(3)
    prices = Prices()
    for shape in PROBLEMS.shapes:
        hidden = {story.text.lower() for story in PROBLEMS.stories[True][shape]}
        assert not hidden & {PROBLEMS.compose(rng, shape).lower() for _ in range(300)}
    for shape, wordings in prices.wordings.items():
        hidden = {text.lower() for text in part_of(wordings, held_out=True)}
        assert not hidden & {prices.wording(rng, shape, held_out=False).lower() for _ in range(600)}


def test_an_evaluation_has_whole_wordings_alone() -> None:
    rng = random.Random(4)
    for _ in range(300):
        story = PROBLEMS.draw_story(rng, held_out=True, difficulty=1.0)
        assert story in PROBLEMS.stories[True][story.shape.name]
