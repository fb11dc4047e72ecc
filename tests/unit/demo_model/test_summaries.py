"""Paragraphs to one sentence: all key facts stand in both, and the grader misses none of them."""

from __future__ import annotations

import random
import re

import pytest
import summaries
from names import everything_held_out

# What a summary may say in words of its own: "settled on" becomes "chose".
TAUGHT_WORDS = {"from", "to", "chose", "down", "team"}


def draws(seed: int, *, held_out: bool, count: int = 2000) -> list[summaries.Dialogue]:
    rng = random.Random(seed)
    return [summaries.draw(rng, held_out=held_out) for _ in range(count)]


@pytest.mark.parametrize("held_out", [False, True])
def test_taught_summaries_are_right_and_their_facts_stand_in_the_paragraph(held_out: bool) -> None:
    for dialogue in draws(1, held_out=held_out):
        assert summaries.is_right(dialogue, dialogue.answer), dialogue
        prompt = dialogue.messages[-1][1].lower()
        for fact in dialogue.expected.split("|"):
            for word in set(re.findall(r"\w+", fact.lower())) - TAUGHT_WORDS:
                assert re.search(rf"\b{word}\b", prompt), (word, prompt)
        assert "{" not in prompt + dialogue.thought + dialogue.answer
        assert len(prompt) < 420


def test_a_summary_without_one_fact_is_wrong() -> None:
    for dialogue in draws(2, held_out=True, count=500):
        for fact in dialogue.expected.split("|"):
            without = re.sub(re.escape(fact), "it", dialogue.answer, flags=re.IGNORECASE)
            assert not summaries.is_right(dialogue, without), (fact, dialogue)


def test_a_summary_of_two_sentences_or_many_words_is_wrong() -> None:
    dialogue = draws(3, held_out=True, count=1)[0]
    assert not summaries.is_right(dialogue, dialogue.answer + " That is all.")
    assert not summaries.is_right(dialogue, "Well, " + "and so on, " * 9 + dialogue.answer)
    assert summaries.is_right(dialogue, dialogue.answer.rstrip("."))


def test_the_first_unit_may_be_left_out_but_no_number() -> None:
    dialogue = next(d for d in draws(4, held_out=False) if re.search(r"(rose|fell).*from \d+ ms to \d+ ms", d.expected))
    assert summaries.is_right(dialogue, re.sub(r"(from \d+) ms", r"\1", dialogue.answer))
    assert not summaries.is_right(dialogue, re.sub(r"from (\d+)", r"from 1\1", dialogue.answer))
    opposite = "fell" if "rose" in dialogue.answer else "rose"
    assert not summaries.is_right(dialogue, re.sub("rose|fell", opposite, dialogue.answer))


def test_rose_and_fell_are_true() -> None:
    found = 0
    for dialogue in draws(5, held_out=False):
        moved = re.search(r"(rose|fell) from (\d+)\D*? to (\d+)", dialogue.answer)
        if moved:
            found += 1
            assert (moved[1] == "rose") == (int(moved[3]) > int(moved[2])), dialogue.answer
    assert found > 300


def test_paragraphs_have_three_to_five_sentences() -> None:
    rng = random.Random(6)
    for _ in range(500):
        kind = rng.choice(summaries.content()["kind"])
        values = summaries.draw_slots(rng, kind["id"], False)
        paragraph = summaries.write_paragraph(rng, kind, values, held_out=False, size=rng.randint(3, 5))
        assert 3 <= len(re.findall(r"[.](?=\s|$)", paragraph)) <= 5, paragraph


def test_training_sees_no_held_out_name() -> None:
    for dialogue in draws(7, held_out=False):
        text = dialogue.messages[-1][1] + dialogue.thought + dialogue.answer
        assert not everything_held_out() & set(re.findall(r"\w+", text.lower())), dialogue


def test_every_kind_has_leads_on_both_sides() -> None:
    rng = random.Random(8)
    facts = {len(d.expected.split("|")) for d in (summaries.draw(rng, held_out=True) for _ in range(200))}
    assert facts == {2, 3, 4}


def test_same_seed_same_dialogues() -> None:
    assert draws(9, held_out=True, count=200) == draws(9, held_out=True, count=200)
