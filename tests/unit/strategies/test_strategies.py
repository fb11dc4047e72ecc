"""Which calls each strategy makes, what it answers with, and how votes are counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import EngineCrashed
from workbench.runs.record import FinishReason
from workbench.runs.spec import ChatOptions, Limits, Message, ModelRef, RunSpec, Sampling, Strategy
from workbench.strategies.api import DEFAULT_INSTRUCTION, PassCall, PassResult, execute
from workbench.strategies.voting import final_number, majority

QUESTION = (Message("system", "Be short."), Message("user", "12 + 30?"))


def spec_for(strategy: Strategy, **sampling: float) -> RunSpec:
    return RunSpec(
        model=ModelRef("/m.gguf", "m"),
        messages=QUESTION,
        chat=ChatOptions(thinking="on", thinking_budget=64),
        sampling=dataclasses.replace(Sampling(), **sampling),  # type: ignore[arg-type]
        limits=Limits(99, ("END",)),
        strategy=strategy,
    )


def done(text: str, thinking: str = "", reason: FinishReason = "stop") -> PassResult:
    return PassResult(text, thinking, reason, ok=True)


def broken(text: str = "") -> PassResult:
    return PassResult(text, "", None, ok=False)


class Answers:
    """Answers each list of calls with the next results, and remembers the calls."""

    def __init__(self, *results: PassResult) -> None:
        self.results = list(results)
        self.batches: list[list[PassCall]] = []

    def __call__(self, calls: Sequence[PassCall]) -> list[PassResult]:
        self.batches.append(list(calls))
        taken, self.results = self.results[: len(calls)], self.results[len(calls) :]
        return taken


def test_single_makes_one_visible_call_with_everything_of_the_spec() -> None:
    spec = spec_for(Strategy())
    answers = Answers(done("42", "hm"))
    result = execute(spec, answers)
    assert answers.batches == [[PassCall("answer", QUESTION, spec.chat, spec.sampling, spec.limits, visible=True)]]
    assert (result.text, result.thinking, result.note) == ("42", "hm", None)


def test_single_keeps_the_text_of_a_stopped_pass() -> None:
    assert execute(spec_for(Strategy()), Answers(broken("4"))).text == "4"


def test_refine_shows_the_draft_as_the_models_turn_without_its_thinking() -> None:
    spec = spec_for(Strategy("refine", 2, "Mend it."))
    answers = Answers(done("41", "draft thoughts"), done("42", "second thoughts"))
    result = execute(spec, answers)
    (draft,), (revision,) = answers.batches
    assert (draft.purpose, draft.visible, draft.messages) == ("draft", False, QUESTION)
    assert (revision.purpose, revision.visible) == ("revision", True)
    assert revision.messages == (*QUESTION, Message("assistant", "41"), Message("user", "Mend it."))
    assert revision.sampling == draft.sampling == spec.sampling
    assert (result.text, result.thinking) == ("42", "second thoughts")


def test_refine_has_an_instruction_of_its_own() -> None:
    answers = Answers(done("41"), done("42"))
    execute(spec_for(Strategy("refine", 2)), answers)
    assert answers.batches[1][0].messages[-1].content == DEFAULT_INSTRUCTION


def test_refine_stops_after_a_draft_that_did_not_finish() -> None:
    answers = Answers(broken("4"))
    result = execute(spec_for(Strategy("refine", 2)), answers)
    assert len(answers.batches) == 1
    assert (result.text, result.note) == ("4", "stopped while drafting; this is the draft")


def test_refine_gives_the_draft_when_the_revision_never_began_and_the_part_when_it_did() -> None:
    spec = spec_for(Strategy("refine", 2))
    assert execute(spec, Answers(done("41", "t"), broken())).text == "41"
    begun = execute(spec, Answers(done("41"), broken("4")))
    assert (begun.text, begun.note) == ("4", "stopped while revising")


def test_refine_answers_anew_after_an_empty_draft() -> None:
    answers = Answers(done(" \n", "only thoughts", "length"), done("42"))
    result = execute(spec_for(Strategy("refine", 2)), answers)
    assert answers.batches[1][0].messages == QUESTION
    assert (result.text, result.note) == ("42", "the draft was empty, so the second pass answered anew")


def test_vote_asks_all_at_once_with_rising_seeds() -> None:
    answers = Answers(*[done(f"{n}") for n in range(3)])
    execute(spec_for(Strategy("vote", 3), seed=2**32 - 3), answers)
    (batch,) = answers.batches
    assert [call.sampling.seed for call in batch] == [2**32 - 3, 2**32 - 2, 0]
    assert [call.purpose for call in batch] == ["vote 1 of 3", "vote 2 of 3", "vote 3 of 3"]
    assert not any(call.visible for call in batch)
    assert {call.messages for call in batch} == {QUESTION}


def test_vote_answers_with_the_first_of_the_largest_class_and_its_thinking() -> None:
    texts = ["It is 41.", "12 + 30 = 42", "The answer is **42**.", "42.0", "7"]
    answers = Answers(*[done(text, f"thoughts {i}") for i, text in enumerate(texts)])
    result = execute(spec_for(Strategy("vote", 5)), answers)
    assert (result.text, result.thinking, result.note) == ("12 + 30 = 42", "thoughts 1", "3 of 5 answers agree")


def test_vote_leaves_out_answers_that_were_cut_off() -> None:
    results = [done("so 12", reason="length"), done("step 12", reason="length"), done("42"), broken("12"), done("")]
    result = execute(spec_for(Strategy("vote", 5)), Answers(*results))
    assert (result.text, result.note) == ("42", "1 of 5 answers agree; 4 did not come to an end")
    cut = [done("so 12", reason="length"), done("x 12", reason="length")]
    assert execute(spec_for(Strategy("vote", 2)), Answers(*cut)).note == "2 of 2 answers agree"


def test_vote_without_a_finished_answer_says_so() -> None:
    result = execute(spec_for(Strategy("vote", 3)), Answers(broken(), broken("part"), broken()))
    assert (result.text, result.note) == ("part", "no answer was finished, so there was no vote")


def test_vote_at_temperature_0_says_that_it_is_no_vote() -> None:
    result = execute(spec_for(Strategy("vote", 2), temperature=0.0), Answers(done("1"), done("1")))
    assert result.note == "2 of 2 answers agree; at temperature 0 every vote is the same"


@pytest.mark.parametrize("name", ["single", "refine", "vote"])
def test_errors_of_the_caller_pass_through(name: str) -> None:
    def failing(calls: Sequence[PassCall]) -> Sequence[PassResult]:
        raise EngineCrashed("gone")

    strategy = {"single": Strategy(), "refine": Strategy("refine", 2), "vote": Strategy("vote", 3)}[name]
    caller: Callable[[Sequence[PassCall]], Sequence[PassResult]] = failing
    with pytest.raises(EngineCrashed):
        execute(spec_for(strategy), caller)


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("42", "42"),
        ("The sum is 1,234.50.", "1234.5"),
        ("12 - 30 = -18", "-18"),
        ("x = −18", "-18"),
        ("5-3", "3"),
        ("It costs 20 %", "20"),
        ("**007**", "7"),
        ("-0", "0"),
        ("0.50", "0.5"),
        ("1,5", "1,5"),
        ("version 1.2.30", "1.2.30"),
        ("９", "9"),
        ("in 2024 it was Paris", None),
        ("Paris", None),
        ("", None),
        ("B12", None),
    ],
)
def test_final_number_has_one_spelling(line: str, number: str | None) -> None:
    assert final_number(line) == number


def test_words_are_compared_without_case_markup_and_punctuation() -> None:
    vote = majority(["Well.\n**Yes!**", "no", "Long reason.\n\nyes\n---", "NO WAY"])
    assert (vote.winner, vote.agreeing) == (0, 2)


def test_one_answer_in_words_makes_all_compare_as_words() -> None:
    vote = majority(["Paris in 2024", "London in 2024", "London in 2024!", "I do not know"])
    assert (vote.winner, vote.agreeing) == (1, 2)


def test_a_tie_goes_to_the_first() -> None:
    assert majority(["b", "a", "a", "b"]).winner == 0


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.text(max_size=30), min_size=1, max_size=9))
def test_any_texts_have_a_winner_backed_by_itself(texts: list[str]) -> None:
    vote = majority(texts)
    assert 1 <= vote.agreeing <= len(texts)
    assert 0 <= vote.winner < len(texts)
    assert majority([texts[vote.winner]] * 2 + texts).agreeing >= vote.agreeing


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=9))
def test_numbers_in_sentences_vote_as_the_numbers_do(numbers: list[int]) -> None:
    plain = majority([str(n) for n in numbers])
    worded = majority([f"Let me see.\nSo it is {n}." for n in numbers])
    assert (plain.winner, plain.agreeing) == (worded.winner, worded.agreeing)
    assert numbers.count(numbers[plain.winner]) == plain.agreeing == max(numbers.count(n) for n in numbers)
