from __future__ import annotations

import random

import pytest

from workbench.engine.chat import KNOWN_TAGS, ThinkingTags
from workbench.engine.stream import OutputStream, Part, Piece

THINK = KNOWN_TAGS[0]


def feed(
    tokens: list[bytes | str], *, tags: ThinkingTags | None = THINK, starts: bool = False, stop: tuple[str, ...] = ()
) -> tuple[list[Piece], OutputStream]:
    stream = OutputStream(tags, starts_thinking=starts, stop=stop)
    pieces: list[Piece] = []
    for number, data in enumerate(tokens):
        stream.push(number, data.encode() if isinstance(data, str) else data, 1000 + number)
        pieces += stream.take_ready()
        if stream.stopped:
            break
    stream.finish()
    pieces += stream.take_ready()
    return pieces, stream


def texts(pieces: list[Piece]) -> tuple[str, str]:
    """(thinking, answer)"""
    return (
        "".join(piece.text for piece in pieces if piece.is_thinking),
        "".join(piece.text for piece in pieces if not piece.is_thinking),
    )


def test_plain_text_comes_out_at_once() -> None:
    stream = OutputStream(None, starts_thinking=False)
    stream.push(7, b" hi", 5)
    assert [(p.token, p.text, p.stamp_ns, p.is_thinking) for p in stream.take_ready()] == [(7, " hi", 5, False)]


def test_a_character_in_parts_appears_with_its_last_part() -> None:
    pieces, _ = feed([b"caf\xc3", b"\xa9!", b"\xf0\x9f", b"\x98", b"\x80"], tags=None)
    assert "".join(p.text for p in pieces) == "café!😀"
    assert len(pieces) == 5


def test_half_a_character_at_the_end_becomes_one_replacement() -> None:
    pieces, _ = feed([b"a", b"\xf0\x9f\x98"], tags=None)
    assert [p.text for p in pieces] == ["a", "\ufffd"]


def test_a_byte_that_never_begins_a_character_does_not_block_the_rest() -> None:
    pieces, _ = feed([b"a\xff", b"b"], tags=None)
    assert "".join(p.text for p in pieces) == "a\ufffdb"


@pytest.mark.parametrize(
    "tokens",
    [
        ["<think>", "\n", "hm", " so", "\n", "</think>", "\n\n", "The", " end"],
        ["<th", "ink", ">\n", "hm so", "\n</", "think", ">\n", "\nThe end"],
        ["<think>\nhm so\n</think>\n\nThe end"],
        list("<think>\nhm so\n</think>\n\nThe end"),
    ],
)
def test_thinking_and_answer_are_two_streams_whatever_the_token_borders(tokens: list[str]) -> None:
    pieces, stream = feed(list(tokens))
    thinking, answer = texts(pieces)
    if len(tokens) > 1:
        assert (thinking, answer) == ("hm so\n", "The end")
    else:
        assert answer.endswith("The end")
    assert [p.token for p in pieces] == list(range(len(tokens)))
    assert stream.part is Part.ANSWER


def test_tag_tokens_and_the_space_after_them_count_as_thinking_without_text() -> None:
    pieces, stream = feed(["<think>", "\n", "hm", "</think>", "\n\n", "Yes"])
    assert [(p.text, p.is_thinking) for p in pieces] == [
        ("", True), ("", True), ("hm", True), ("", True), ("", True), ("Yes", False),
    ]  # fmt: skip
    assert stream.thinking_tokens == 5


def test_a_prompt_that_opened_the_tag_starts_in_thinking() -> None:
    pieces, _ = feed(["hm", "</think>", "Yes"], starts=True)
    assert texts(pieces) == ("hm", "Yes")


def test_an_answer_without_thinking_is_an_answer() -> None:
    pieces, stream = feed(["<", "b>bold", "</think>"])
    assert texts(pieces) == ("", "<b>bold</think>")
    assert stream.thinking_tokens == 0


def test_endless_whitespace_is_not_held_back_for_ever() -> None:
    stream = OutputStream(THINK, starts_thinking=False)
    for number in range(200):
        stream.push(number, b"\n", number)
    pieces = stream.take_ready()
    assert len(pieces) == 200
    assert not any(piece.is_thinking for piece in pieces)


def test_thinking_that_never_ends_stays_thinking() -> None:
    pieces, _ = feed(["<think>", "a", " </thi"])
    assert texts(pieces) == ("a </thi", "")


def test_only_the_start_of_an_opening_tag_is_an_answer_at_the_end() -> None:
    pieces, _ = feed([" ", "<thi"])
    assert texts(pieces) == ("", " <thi")


def test_forced_closing_makes_what_follows_an_answer() -> None:
    stream = OutputStream(THINK, starts_thinking=True)
    stream.push(1, b"hm </", 1)
    stream.close_thinking()
    stream.push(2, b"\n", 2)
    stream.push(3, b"Yes", 3)
    assert texts(stream.take_ready()) == ("hm </", "Yes")


@pytest.mark.parametrize(
    ("tokens", "stop", "answer"),
    [
        (["one", " two", " three"], ("two",), "one "),
        (["one t", "w", "o three"], ("two",), "one "),
        (["a", "b", "c", "d"], ("bcx", "cd"), "ab"),
        (["ab", "ab", "ac"], ("abac",), "ab"),
        (["x", "\n", "\n", "y"], ("\n\n",), "x"),
        (["x", "\n", "y"], ("\n\n",), "x\ny"),
        (["end tw"], ("two",), "end tw"),
        (["té", "STOP"], ("éS",), "t"),
        (["two"], ("two",), ""),
    ],
)
def test_stop_strings_end_the_answer_also_across_tokens(tokens: list[str], stop: tuple[str, ...], answer: str) -> None:
    pieces, stream = feed(list(tokens), tags=None, stop=stop)
    assert texts(pieces) == ("", answer)
    assert stream.stopped == (answer != "".join(tokens))


def test_stop_strings_are_not_looked_for_while_thinking() -> None:
    pieces, stream = feed(["<think>", "a\n\nb", "</think>", "c\n\nd"], stop=("\n\n",))
    assert texts(pieces) == ("a\n\nb", "c")
    assert stream.stopped


def test_every_token_comes_out_once_and_in_order_for_any_cut_of_the_bytes() -> None:
    rng = random.Random(3)
    whole = "  <think>\nwas ist 4 × 4? ünd\n</think>\n\nEs sind 16 😀 Äpfel. STO STOP nie"
    for _ in range(300):
        data = whole.encode()
        cuts = sorted(rng.sample(range(1, len(data)), rng.randrange(1, 20)))
        parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        pieces, stream = feed(list(parts), stop=("STOP",))
        assert [p.token for p in pieces] == list(range(len(pieces)))
        assert stream.stopped
        joined = "".join(p.text for p in pieces)
        # A token that holds the end of the thinking and the start of the answer counts as answer; no text is lost.
        assert joined == "was ist 4 × 4? ünd\nEs sind 16 😀 Äpfel. STO "


def test_blank_lines_after_the_thinking_are_before_the_answer_but_not_without_end() -> None:
    stream = OutputStream(THINK, starts_thinking=True)
    stream.push(0, b"so</think>", 1)
    assert stream.is_before_answer(b"\n\n")
    assert not stream.is_before_answer(b"\n{")
    for number in range(20):
        stream.push(number, b"\n", 2 + number)
    assert stream.part is Part.AFTER
    assert not stream.is_before_answer(b"\n")


def test_an_opening_tag_in_parts_is_before_the_answer_and_other_text_is_not() -> None:
    stream = OutputStream(THINK, starts_thinking=False)
    assert stream.is_before_answer(b"\n")
    assert stream.is_before_answer(b"<think>")
    stream.push(0, b"\n<th", 1)
    assert stream.is_before_answer(b"ink>\nWell")
    assert not stream.is_before_answer(b"ree>")
    assert not stream.is_before_answer(b"\xf0\x9f")
    stream.push(1, b"{", 2)
    assert stream.part is Part.ANSWER
    assert not stream.is_before_answer(b"\n")


def test_an_opening_tag_in_parts_of_a_character_is_before_the_answer() -> None:
    stream = OutputStream(ThinkingTags("◁think▷", "◁/think▷", ""), starts_thinking=False)
    first, rest = "◁".encode()[:2], "◁".encode()[2:] + b"think"
    assert stream.is_before_answer(first)
    stream.push(0, first, 1)
    assert stream.is_before_answer(rest)
    assert not stream.is_before_answer(b"\n")


def test_what_only_began_as_a_tag_is_left_out_of_a_bound_answer() -> None:
    stream = OutputStream(THINK, starts_thinking=False, is_answer_bound=True)
    for number, data in enumerate((b"\n", b"<th", b"\xe2\x97")):
        stream.push(number, data, number)
    stream.begin_answer()
    stream.push(3, b"<", 3)
    stream.push(4, b"think>", 4)
    stream.finish()
    pieces = stream.take_ready()
    assert [piece.token for piece in pieces] == [0, 1, 2, 3, 4]
    assert texts(pieces) == ("", "<think>")
    assert stream.thinking_tokens == 0


@pytest.mark.parametrize(("bound", "answer"), [(False, "{{}"), (True, "{}")])
def test_a_token_that_ends_the_thinking_brings_nothing_into_a_bound_answer(bound: bool, answer: str) -> None:
    stream = OutputStream(THINK, starts_thinking=True, is_answer_bound=bound)
    for number, data in enumerate((b"so</think", b">{", b"{", b"}")):
        stream.push(number, data, number)
        if number == 1 and bound:
            stream.begin_answer()
    stream.finish()
    assert texts(stream.take_ready()) == ("so", answer)


def test_half_a_character_before_the_forced_end_stays_in_the_thinking() -> None:
    stream = OutputStream(THINK, starts_thinking=True)
    stream.push(0, b"so \xf0\x9f", 0)
    stream.close_thinking()
    stream.push(1, b"{}", 1)
    stream.finish()
    assert texts(stream.take_ready()) == ("so \ufffd", "{}")
