"""Requests to sort: eight intents of forty patterns, balanced labels, and patterns that training never sees."""

from __future__ import annotations

import random
from collections import Counter

import sorting

INTENTS = {"define", "calculate", "lookup", "extract", "summarize", "compare", "write", "chat"}


def draws(seed: int, *, held_out: bool, count: int = 3000) -> list[sorting.Dialogue]:
    rng = random.Random(seed)
    return [sorting.draw(rng, held_out=held_out) for _ in range(count)]


def test_eight_intents_have_forty_patterns_each_and_none_twice() -> None:
    everything = [*sorting.requests(True), *sorting.requests(False)]
    counts = Counter(request.intent for request in everything)
    assert set(counts) == INTENTS
    assert min(counts.values()) >= 40
    assert len({request.pattern for request in everything}) == len(everything)


def test_every_intent_and_label_has_a_pattern_on_both_sides() -> None:
    for held_out in (True, False):
        requests = sorting.requests(held_out)
        assert {request.intent for request in requests} == INTENTS
        assert {request.label for request in requests} == {"simple", "complex"}
    assert 0.13 < len(sorting.requests(True)) / len(sorting.requests(False)) < 0.25


def test_labels_are_balanced() -> None:
    counts = Counter(dialogue.expected for dialogue in draws(1, held_out=False))
    assert set(counts) == INTENTS | {"simple", "complex"}
    assert 0.9 < counts["simple"] / counts["complex"] < 1.1
    assert all(130 < counts[intent] < 250 for intent in INTENTS)


def test_no_slot_is_left_and_the_answer_is_the_label() -> None:
    for held_out in (True, False):
        for dialogue in draws(2, held_out=held_out, count=2000):
            text = dialogue.messages[-1][1]
            assert "{" not in text
            assert len(text) < 260
            assert dialogue.thought.endswith(".\n")
            assert sorting.is_right(dialogue, f" {dialogue.answer.capitalize()}.\n")
            assert not sorting.is_right(dialogue, f"{dialogue.answer} or chat")
            assert not sorting.is_right(dialogue, "simple" if dialogue.answer == "complex" else "complex")


def test_carriers_are_on_one_side() -> None:
    for dialogue in draws(3, held_out=True):
        assert dialogue.messages[-1][1].startswith(("Decide whether", "Find the intent"))
    for dialogue in draws(3, held_out=False):
        assert not dialogue.messages[-1][1].startswith(("Decide whether", "Find the intent"))


def test_greatest_number_is_the_first_so_that_no_difference_is_negative() -> None:
    rng = random.Random(4)
    for _ in range(500):
        a, b, c = (int(n) for n in sorting.fill(rng, "{a} {b} {c}", False).split())
        assert a >= b >= c >= 2


def test_same_seed_same_dialogues() -> None:
    assert draws(5, held_out=True, count=200) == draws(5, held_out=True, count=200)
