"""Word problems: numbers of the story in the expression, two steps, held-out names, things, stories and questions."""

from __future__ import annotations

import random
import re

import pytest
from selection import part_of
from word_problems import WordProblems


@pytest.fixture(scope="module")
def problems() -> WordProblems:
    return WordProblems()


def test_the_expression_uses_the_numbers_of_the_story(problems: WordProblems) -> None:
    rng = random.Random(1)
    for _ in range(3000):
        dialogue = problems.draw(rng, held_out=rng.random() < 0.3)
        expression = dialogue.thought.splitlines()[0].removeprefix("The user wants ").rstrip(".")
        told = set(re.findall(r"\d+", dialogue.messages[-1][1]))
        assert set(re.findall(r"\d+", expression)) == told, dialogue
        assert eval(expression) == int(dialogue.expected) >= 1, dialogue


def test_held_out_problems_have_two_steps_at_full_difficulty(problems: WordProblems) -> None:
    rng = random.Random(2)
    for _ in range(500):
        dialogue = problems.draw(rng, held_out=True)
        assert len(re.findall(r"[-+*/]", dialogue.thought.splitlines()[0])) == 2, dialogue


def test_every_shape_has_stories_and_questions_in_both_parts(problems: WordProblems) -> None:
    for held_out in (False, True):
        for name, stories in problems.stories[held_out].items():
            assert stories, name
            for key in stories[0].shape.questions:
                assert part_of(problems.questions[key], held_out=held_out), key


def test_stories_are_either_trained_or_held_out(problems: WordProblems) -> None:
    trained, held_out = ({s.text for group in problems.stories[h].values() for s in group} for h in (False, True))
    assert not trained & held_out
    assert 0.12 < len(held_out) / len(trained | held_out) < 0.25


def test_names_and_things_are_either_trained_or_held_out(problems: WordProblems) -> None:
    rng = random.Random(3)
    for theme in problems.themes:
        who = list(problems.people) if theme["who"] == "people" else theme["who"]
        assert len(part_of(who, held_out=True)) >= 2
        assert part_of(theme["items"], held_out=True)
    hidden = part_of(list(problems.people), held_out=True)
    texts = [problems.draw(rng, held_out=False).messages[-1][1].lower() for _ in range(3000)]
    for name in hidden:
        assert not any(re.search(rf"\b{name.lower()}\b", text) for text in texts), name


def test_held_out_things_stand_in_no_trained_story(problems: WordProblems) -> None:
    rng = random.Random(4)
    hidden, trained = (
        {plural.lower() for theme in problems.themes for _, plural in part_of(theme["items"], held_out=side)}
        for side in (True, False)
    )
    others = {plural for theme in problems.themes for _, plural in theme["containers"] + theme["sharers"]}
    hidden -= others | {word for plural in trained for word in (plural, *plural.split())}
    hidden -= {word for group in problems.stories[False].values() for s in group for word in s.text.lower().split()}
    assert len(hidden) >= 8
    texts = [problems.draw(rng, held_out=False).messages[-1][1].lower() for _ in range(3000)]
    for name in hidden:
        assert not any(re.search(rf"\b{name}\b", text) for text in texts), name


def test_training_copies_nouns_that_are_on_no_list(problems: WordProblems) -> None:
    rng = random.Random(5)
    listed = [plural for theme in problems.themes for _, plural in theme["items"]]
    texts = [problems.draw(rng, held_out=False).messages[-1][1].lower() for _ in range(500)]
    unlisted = sum(not any(plural.lower() in text for plural in listed) for text in texts)
    assert 0.3 < unlisted / len(texts) < 0.7


def test_every_noun_pair_has_a_plural_of_its_own(problems: WordProblems) -> None:
    for theme in problems.themes:
        for singular, plural in theme["items"] + theme["containers"] + theme["sharers"]:
            assert singular != plural
            assert plural.endswith("s") or plural == "children"
