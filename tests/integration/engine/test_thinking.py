from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import tiny_models
from tests.integration.engine.asking import Asker, request
from workbench.engine import api
from workbench.runs.spec import Sampling

FORCED = 4  # "\n", "</think>", "\n", "\n" in the tiny vocabulary


def test_thinking_and_answer_are_separate(asker: Asker, models: Path, tmp_path: Path) -> None:
    path = tiny_models.write_chain(
        tmp_path / "both.gguf", ["<think>", b" first", b" this", "</think>", b"So", b" that"], start="\n"
    )
    report = asker.load(path)
    assert report.thinking_switch.kind == "enable_thinking"
    answer = asker.ask("Hi", max_tokens=30)
    assert (answer.thinking, answer.text) == ("first this", "So that")
    assert answer.flags == [True, True, True, True, False, False]
    assert answer.end.reason == "stop"


@pytest.mark.parametrize("budget", [1, 5, 12])
def test_a_budget_ends_the_thinking_and_the_answer_follows(asker: Asker, models: Path, budget: int) -> None:
    asker.load(models / "thinks.gguf")
    answer = asker.ask("Hi", max_tokens=100, thinking="on", thinking_budget=budget)
    assert answer.text == "The answer"
    assert answer.flags.count(True) == budget
    assert answer.end.reason == "stop"
    assert answer.end.forced_tokens == FORCED
    # Forced tokens are no output: neither counted nor stamped.
    assert len(answer.ids) == budget + 2


def test_without_a_budget_it_thinks_to_the_limit(asker: Asker, models: Path) -> None:
    asker.load(models / "thinks.gguf")
    answer = asker.ask("Hi", max_tokens=40, thinking="on")
    assert answer.text == ""
    assert answer.end.reason == "length"
    assert answer.end.forced_tokens == 0


def test_off_gives_the_answer_at_once(asker: Asker, models: Path) -> None:
    asker.load(models / "thinks.gguf")
    answer = asker.ask("Hi", thinking="off")
    assert answer.ready.text.endswith("<think>\n\n</think>\n\n")
    assert (answer.thinking, answer.text) == ("", "The answer")


def test_answer_now_ends_the_thinking(asker: Asker, models: Path) -> None:
    asker.load(models / "thinks.gguf", context_length=2048)
    item = request("Hi", max_tokens=1500, thinking="on")
    seen = []

    def press(event: api.EngineEvent) -> None:
        if isinstance(event, api.Tokens) and not seen:
            seen.append(event)
            asker.engine.answer_now(item.id)

    (answer,) = asker.run([item], press)
    assert answer.text == "The answer"
    assert answer.end.forced_tokens == FORCED
    assert answer.flags.count(True) < 1400


def test_answer_now_is_ignored_when_nothing_thinks(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf")
    item = request("Hi", max_tokens=40)
    (answer,) = asker.run([item], lambda event: asker.engine.answer_now(item.id))
    assert answer.text.startswith("round and round")
    assert answer.end.forced_tokens == 0


def test_a_template_that_always_opens_the_tag_is_recognized_and_can_be_switched_off(
    asker: Asker, tmp_path: Path
) -> None:
    template = tiny_models.CHATML.split("{%- if enable_thinking")[0].replace("assistant\\n", "assistant:<think>\\n")
    template += "{%- endif %}"
    # After "<think>\n" it thinks for ever; after the forced "</think>\n\n" the same "\n" comes last, so the forced
    # end leads into the same words, this time as the answer.
    path = tiny_models.write_chain(tmp_path / "always.gguf", [b"la ", b"le "], start="\n", template=template)
    report = asker.load(path)
    assert report.thinking_switch.kind == "always_on"
    assert asker.ask("Hi").thinking == "la le "
    off = asker.ask("Hi", thinking="off")
    assert (off.thinking, off.text) == ("", "la le ")
    assert off.end.forced_tokens == FORCED
    assert off.ready.text.endswith("<think>\n")


def test_a_grammar_binds_the_answer_and_not_the_thinking(asker: Asker, models: Path) -> None:
    asker.load(models / "thinks.gguf")
    sampling = Sampling(temperature=0, grammar='root ::= "yes"')
    answer = asker.ask("Hi", thinking="on", thinking_budget=4, sampling=sampling, max_tokens=40)
    assert answer.thinking
    assert answer.text == "yes"


@pytest.mark.parametrize("penalty", [1.0, 1.01])
def test_a_grammar_leaves_the_blank_line_after_the_thinking_alone(
    asker: Asker, models: Path, tmp_path: Path, penalty: float
) -> None:
    """Without it a model is put where training never was, and its answer suffers: here the chain would break."""
    chain = ["<think>", b" first", "</think>", b"\n\n", b"So", b" that"]
    asker.load(tiny_models.write_chain(tmp_path / "blank.gguf", chain, start="\n"))
    sampling = Sampling(temperature=0, repeat_penalty=penalty, grammar='root ::= "So that" | "No"')
    answer = asker.ask("Hi", thinking="on", sampling=sampling, max_tokens=40)
    assert (answer.thinking, answer.text, answer.end.reason) == ("first", "So that", "stop")
    assert len(answer.ids) == len(chain)


@pytest.mark.parametrize("penalty", [1.0, 1.01])
def test_a_grammar_binds_the_first_word_of_an_answer_without_thinking(
    asker: Asker, models: Path, tmp_path: Path, penalty: float
) -> None:
    asker.load(tiny_models.write_chain(tmp_path / "at_once.gguf", [b"So", b" that"], start="\n"))
    sampling = Sampling(temperature=0, repeat_penalty=penalty, grammar='root ::= "So that"')
    answer = asker.ask("Hi", thinking="on", sampling=sampling, max_tokens=40)
    assert (answer.thinking, answer.text, answer.end.reason) == ("", "So that", "stop")


def test_a_bound_answer_has_nothing_of_a_tag_that_was_begun_and_left(
    asker: Asker, models: Path, tmp_path: Path
) -> None:
    asker.load(tiny_models.write_chain(tmp_path / "left.gguf", [b"<th", b" yes"], start="\n"))
    answer = asker.ask("Hi", thinking="on", sampling=Sampling(temperature=0, grammar='root ::= " yes"'), max_tokens=40)
    assert (answer.thinking, answer.text) == ("", " yes")
    assert len(answer.ids) == 2


def test_words_of_the_thinking_count_for_the_penalties_of_a_bound_answer(
    asker: Asker, models: Path, tmp_path: Path
) -> None:
    asker.load(tiny_models.write_chain(tmp_path / "again.gguf", ["<think>", "A", "</think>"], start="\n"))
    for penalty, wanted in ((0.0, "A"), (50.0, "B")):
        sampling = Sampling(temperature=0, presence_penalty=penalty, grammar='root ::= "A" | "B"')
        answer = asker.ask("Hi", thinking="on", sampling=sampling, max_tokens=40)
        assert (answer.thinking, answer.text) == ("A", wanted)


def test_the_demo_model_has_a_switch(asker: Asker, demo: Path) -> None:
    switch = asker.load(demo).thinking_switch
    assert (switch.kind, switch.open_tag, switch.close_tag) == ("enable_thinking", "<think>", "</think>")
    assert asker.ask("Hi", thinking="off", max_tokens=4).thinking == ""
