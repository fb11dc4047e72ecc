"""Prefix reuse, prompts that are too long, and contexts that shift: always with exact numbers."""

from __future__ import annotations

from pathlib import Path

from tests.fakes import tiny_models
from tests.integration.engine.asking import Asker, request
from workbench.engine import api
from workbench.engine.prompt import answer_room
from workbench.runs.spec import Message

# "<|im_start|>user\n" + "<|im_end|>\n" + "<|im_start|>assistant\n" in the byte vocabulary of the tiny models.
AROUND_USER, GENERATION = 1 + 5 + 1 + 1, 1 + 10


def turn(role: str, text: str) -> Message:
    return Message(role, text)  # type: ignore[arg-type]


def test_the_same_prompt_again_evaluates_one_token(asker: Asker, models: Path) -> None:
    asker.load(models / "tiny.gguf", threads=1, context_length=513)
    first, second = asker.ask("x" * 60).ready, asker.ask("x" * 60).ready
    assert first.prompt_tokens == 60 + AROUND_USER + GENERATION
    assert first.cached_tokens == 0
    assert second.cached_tokens == first.prompt_tokens - 1
    assert second.cache_note is None


def test_a_second_turn_reuses_the_first_with_its_answer(asker: Asker, tmp_path: Path) -> None:
    tiny_models.write_chain(tmp_path / "short.gguf", [b"O", b"k", b"!"])
    asker.load(tmp_path / "short.gguf", context_length=514)
    history = [turn("user", "x" * 60)]
    first = asker.ask(history, max_tokens=40)
    assert first.end.reason == "stop"
    history += [turn("assistant", first.text), turn("user", "more")]
    second = asker.ask(history, max_tokens=40)
    assert second.ready.cached_tokens == first.ready.prompt_tokens + len(first.ids)
    assert second.text == first.text


def test_a_change_in_the_middle_keeps_what_comes_before_it(asker: Asker, models: Path) -> None:
    asker.load(models / "tiny.gguf", context_length=515)
    asker.ask("a" * 40 + "b" * 40)
    ready = asker.ask("a" * 40 + "c" * 40).ready
    assert ready.cached_tokens == 6 + 40


def test_reuse_gives_the_same_text_as_a_fresh_context(asker: Asker, demo: Path) -> None:
    asker.load(demo, context_length=700)
    fresh = asker.ask("What is a prefix cache?", max_tokens=24)
    asker.ask("What is a quantization?", max_tokens=24)
    again = asker.ask("What is a prefix cache?", max_tokens=24)
    assert again.ready.cached_tokens > 0
    assert again.ids == fresh.ids


def test_each_request_finds_the_sequence_that_holds_its_beginning(asker: Asker, models: Path) -> None:
    asker.load(models / "tiny.gguf", context_length=256, parallel=3)
    starts = ["a" * 50, "b" * 50, "c" * 50]
    asker.run([request(start, max_tokens=4) for start in starts])
    for start in reversed(starts):
        assert asker.ask(start + "!", max_tokens=4).ready.cached_tokens == 6 + 50


def test_after_a_cancel_the_books_still_agree(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf", context_length=2048)
    item = request("x" * 50, max_tokens=1900)
    asker.run([item], lambda e: asker.engine.cancel(item.id) if isinstance(e, api.Tokens) else None)
    again = asker.ask("x" * 50, max_tokens=6)
    assert again.ready.cached_tokens == again.ready.prompt_tokens - 1
    assert again.text == "round and round and round and "


def test_a_recurrent_model_falls_back_and_says_so(asker: Asker, models: Path) -> None:
    asker.load(models / "mamba.gguf")
    first = asker.ask("a" * 40 + "b" * 20, max_tokens=5)
    changed = asker.ask("a" * 40 + "c" * 20, max_tokens=5)
    assert changed.ready.cached_tokens == 0
    assert changed.ready.cache_note is not None
    assert "46 tokens" in changed.ready.cache_note
    assert asker.ask("a" * 40 + "b" * 20, max_tokens=5).ids == first.ids


def test_a_recurrent_model_goes_on_from_what_it_holds(asker: Asker, models: Path) -> None:
    asker.load(models / "mamba.gguf", context_length=1024)
    first = asker.ask(raw="abcdef", max_tokens=1)
    longer = asker.ask(raw="abcdefghij", max_tokens=3)
    assert first.ready.prompt_tokens == 6
    assert longer.ready.cached_tokens == 6
    fresh = asker.ask(raw="zabc", max_tokens=1)
    assert fresh.ready.cached_tokens == 0
    assert asker.ask(raw="abcdefghij", max_tokens=3).ids == longer.ids


def test_a_sliding_window_that_has_moved_on_falls_back_and_says_so(asker: Asker, models: Path) -> None:
    asker.load(models / "window.gguf", context_length=2048, ubatch_size=32)
    first = asker.ask("a" * 100 + "b" * 900, max_tokens=5)
    changed = asker.ask("a" * 100 + "c" * 900, max_tokens=5)
    assert changed.ready.cached_tokens == 0
    assert changed.ready.cache_note is not None
    assert "106 tokens" in changed.ready.cache_note
    same_again = asker.ask("a" * 100 + "b" * 900, max_tokens=5)
    assert same_again.ids == first.ids


def test_a_sliding_window_is_reused_near_its_end(asker: Asker, models: Path) -> None:
    asker.load(models / "window.gguf", context_length=2049, ubatch_size=32)
    text = "a" * 900
    asker.ask(text, max_tokens=2)
    ready = asker.ask(text, max_tokens=2).ready
    assert ready.cached_tokens == ready.prompt_tokens - 1


# -- prompts that are too long


def test_the_room_for_an_answer() -> None:
    assert answer_room(None, 4096, "error") == 128
    assert answer_room(50, 4096, "error") == 50
    assert answer_room(None, 256, "error") == 32
    assert answer_room(None, 256, "shift") == 1


def test_a_prompt_that_does_not_fit_is_an_error_with_the_numbers(asker: Asker, models: Path) -> None:
    asker.load(models / "tiny.gguf", context_length=256)
    end = asker.ask("x" * 300).end
    assert isinstance(end, api.RequestFailed)
    assert end.code == "prompt_too_long"
    tokens = 300 + AROUND_USER + GENERATION
    for number in (f"{tokens}", "256", "16", f"{tokens + 16}"):
        assert number in end.message


def test_the_longest_prompt_that_fits_is_taken(asker: Asker, models: Path) -> None:
    asker.load(models / "tiny.gguf", context_length=256)
    longest = 256 - 16 - AROUND_USER - GENERATION
    assert asker.ask("x" * longest).end.reason == "length"
    assert asker.ask("x" * (longest + 1)).end.code == "prompt_too_long"


def test_drop_oldest_leaves_out_as_few_turns_as_needed(asker: Asker, models: Path) -> None:
    asker.load(models / "tiny.gguf", context_length=400)
    messages = [turn("system", "s" * 20)]
    for letter in "abcd":
        messages += [turn("user", letter * 60), turn("assistant", letter * 30)]
    messages.append(turn("user", "q" * 40))
    answer = asker.ask(messages, overflow="drop_oldest")
    ready = answer.ready
    user, assistant = 60 + AROUND_USER, 30 + 1 + 10 + 1 + 1
    system, question = 20 + 1 + 7 + 1 + 1, 40 + AROUND_USER + GENERATION
    full = system + 4 * (user + assistant) + question
    assert full > 400 - 16
    assert ready.dropped is not None
    assert (ready.dropped.policy, ready.dropped.turns) == ("drop_oldest", 2)
    assert ready.dropped.tokens == 2 * (user + assistant)
    assert ready.prompt_tokens == full - ready.dropped.tokens
    assert "a" * 60 not in ready.text
    assert "b" * 60 not in ready.text
    assert "s" * 20 in ready.text
    assert "c" * 60 in ready.text
    assert [s.kind for s in ready.segments if s.kind != "template"].count("question") == 1


def test_drop_oldest_never_drops_the_last_question(asker: Asker, models: Path) -> None:
    asker.load(models / "tiny.gguf", context_length=256)
    end = asker.ask([turn("user", "a"), turn("assistant", "b"), turn("user", "q" * 300)], overflow="drop_oldest").end
    assert end.code == "prompt_too_long"


def test_keep_head_and_tail_cuts_the_middle(asker: Asker, models: Path) -> None:
    asker.load(models / "tiny.gguf", context_length=256)
    answer = asker.ask("a" * 200 + "z" * 200, overflow="keep_head_tail")
    ready = answer.ready
    full = 400 + AROUND_USER + GENERATION
    assert ready.prompt_tokens == 256 - 16
    assert ready.dropped is not None
    assert (ready.dropped.policy, ready.dropped.tokens) == ("keep_head_tail", full - 240)
    assert sum(segment.tokens for segment in ready.segments) == 240
    joined = "".join(ready.pieces)
    assert joined.startswith("<|im_start|>user\naaa")
    assert joined.endswith("zzz<|im_end|>\n<|im_start|>assistant\n")
    assert [(s.kind, s.tokens) for s in ready.segments] == [("template", 6), ("question", 221), ("template", 13)]
    assert answer.end.reason == "length"


def test_shift_goes_on_past_the_end_of_the_context(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf", context_length=128)
    messages = [turn("system", "s" * 10), turn("user", "Hi")]
    answer = asker.ask(messages, max_tokens=300, overflow="shift")
    assert answer.end.reason == "length"
    assert len(answer.ids) == 300
    shifts = answer.of(api.Shifted)
    assert len(shifts) >= 2
    kept = 1 + 7 + 10
    assert shifts[0].dropped.tokens == (128 - kept) // 2
    totals = [event.dropped.tokens for event in shifts]
    assert totals == [(128 - kept) // 2 * (index + 1) for index in range(len(totals))]
    assert answer.text == "round and " * 150


def test_after_a_shift_only_the_kept_beginning_is_reused(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf", context_length=129)
    messages = [turn("system", "s" * 10), turn("user", "Hi")]
    asker.ask(messages, max_tokens=300, overflow="shift")
    assert asker.ask(messages, max_tokens=3).ready.cached_tokens == 1 + 7 + 10


def test_a_memory_that_cannot_shift_ends_with_a_full_context(asker: Asker, models: Path) -> None:
    asker.load(models / "mamba.gguf", context_length=64)
    answer = asker.ask("Hi", max_tokens=None, overflow="shift")
    assert answer.end.reason == "context_full"
    assert "cannot be shifted" in (answer.ready.cache_note or "")
