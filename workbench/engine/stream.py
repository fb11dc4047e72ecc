"""From sampled tokens to two streams of text: whole characters, thinking apart from the answer, stop strings cut."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import Enum

from workbench.engine.chat import ThinkingTags

# Whitespace and an opening tag take fewer tokens; an output that begins with more whitespace is an answer.
_LONGEST_OPENING_TOKENS = 40
# Tokens of whitespace between the thinking and an answer that a grammar binds; models write one or two.
_MOST_SPACES_AFTER = 8


class Part(Enum):
    """Where in its output a request is. UNDECIDED: only whitespace or the beginning of an opening tag so far."""

    UNDECIDED = "undecided"
    THINKING = "thinking"
    AFTER = "after"
    ANSWER = "answer"


@dataclass(slots=True)
class Piece:
    """One output token on its way to the reader: `text` is certain, `open_text` may be of a tag or stop string."""

    token: int
    text: str
    stamp_ns: int
    is_thinking: bool
    open_text: str = ""


class OutputStream:
    """Takes the tokens of one request in order; `take_ready` gives those whose text and part are certain.

    Every token comes out exactly once and in order. Text that may be the start of a tag or of a stop string is
    held back together with its tokens; `finish` lets go of what is left. Stop strings are looked for in the
    answer only: a blank line as stop string must not end a thinking part that nobody reads.
    """

    def __init__(
        self,
        tags: ThinkingTags | None,
        *,
        starts_thinking: bool,
        stop: tuple[str, ...] = (),
        is_answer_bound: bool = False,
    ) -> None:
        """`is_answer_bound`: a grammar decides on the answer from the first token after the thinking."""
        self._tags, self._is_answer_bound = tags, is_answer_bound
        self._stop = tuple(text for text in stop if text)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_character_open = False
        self._ready: list[Piece] = []
        self._held: list[Piece] = []
        self._skip_space = starts_thinking
        self.stopped = False
        self.thinking_tokens = 0
        self._spaces_after = 0
        if tags is None:
            self.part = Part.ANSWER
        else:
            self.part = Part.THINKING if starts_thinking else Part.UNDECIDED

    def push(self, token: int, data: bytes, stamp_ns: int) -> None:
        """`data` is the token's text in UTF-8, perhaps a part of a character."""
        text = self._decode(data)
        is_thinking = self.part is not Part.ANSWER
        self._spaces_after += self.part is Part.AFTER
        if is_thinking:
            self.thinking_tokens += 1
        if self.part is Part.ANSWER and not self._held and not self._stop and not self._is_character_open:
            self._ready.append(Piece(token, text, stamp_ns, False))
            return
        self._held.append(Piece(token, "", stamp_ns, is_thinking, text))
        if not self._is_character_open:
            self._sort_out()

    def _decode(self, data: bytes) -> str:
        if not self._is_character_open:
            try:
                return data.decode("utf-8")
            except UnicodeDecodeError:
                pass
        text = self._decoder.decode(data)
        self._is_character_open = bool(self._decoder.getstate()[0])
        return text

    def take_ready(self) -> list[Piece]:
        ready, self._ready = self._ready, []
        return ready

    def finish(self) -> None:
        """No more tokens: what was held back is text after all; half a character becomes U+FFFD."""
        self._close_character()
        self._sort_out()
        self._let_go(is_thinking=self.part in (Part.THINKING, Part.AFTER))

    def is_before_answer(self, data: bytes) -> bool:
        """Whether a token with this text, coming next, is whitespace or of the opening tag and begins no answer yet.

        False for whitespace beyond what models write, so that nothing but an answer can follow.
        """
        text = (self._text().encode() + self._decoder.getstate()[0] + data).lstrip()
        if self.part is Part.AFTER:
            return not text and self._spaces_after < _MOST_SPACES_AFTER
        if self.part is not Part.UNDECIDED or self._tags is None:
            return False
        opening = self._tags.open.encode()
        return opening.startswith(text) or text.startswith(opening)

    def begin_answer(self) -> None:
        """The next token is of the answer: what was held as the beginning of a tag is not, nor is whitespace.

        For an answer that a grammar binds, whose text must be what the grammar has seen.
        """
        self._close_character()
        if self.part is not Part.ANSWER:
            self.thinking_tokens -= len(self._held)
            self._release(len(self._text()), is_thinking=False, keep_text=False)
            self.part = Part.ANSWER

    def close_thinking(self) -> None:
        """The closing tag was put behind the output by force; the answer begins after it."""
        self._close_character()
        self._let_go(is_thinking=True)
        self.part = Part.AFTER

    def _close_character(self) -> None:
        tail = self._decoder.decode(b"", True)
        self._is_character_open = False
        if tail and self._held:
            self._held[-1].open_text += tail

    def _let_go(self, *, is_thinking: bool) -> None:
        self._release(len(self._text()), is_thinking=is_thinking)

    def _sort_out(self) -> None:
        # Each step either changes the part, and the rest is looked at again, or has nothing left to decide.
        while self._held and not self.stopped:
            before = self.part
            if before is Part.UNDECIDED:
                self._look_for_opening()
            elif before is Part.THINKING:
                self._look_for_closing()
            elif before is Part.AFTER:
                self._skip_to_answer()
            else:
                self._look_for_stop()
            if self.part is before:
                return

    def _text(self) -> str:
        return "".join(piece.open_text for piece in self._held)

    def _look_for_opening(self) -> None:
        assert self._tags is not None
        text = self._text()
        bare = text.lstrip()
        if bare.startswith(self._tags.open):
            self._release(len(text) - len(bare) + len(self._tags.open), is_thinking=True, keep_text=False)
            self.part, self._skip_space = Part.THINKING, True
        elif not self._tags.open.startswith(bare) or len(self._held) > _LONGEST_OPENING_TOKENS:
            self.part = Part.ANSWER
            self.thinking_tokens -= len(self._held)

    def _look_for_closing(self) -> None:
        assert self._tags is not None
        if self._skip_space and not self._drop_space(is_thinking=True):
            return
        self._skip_space = False
        text = self._text()
        at = text.find(self._tags.close)
        if at >= 0:
            self._release(at, is_thinking=True)
            self._release(len(self._tags.close), is_thinking=True, keep_text=False)
            if self._is_answer_bound:
                # The rest of the token that closed the thinking is nothing that the grammar has seen.
                self._release(len(self._text()), is_thinking=True, keep_text=False)
            self.part = Part.AFTER
        else:
            self._release(len(text) - _overlap(text, (self._tags.close,)), is_thinking=True)

    def _skip_to_answer(self) -> None:
        if self._drop_space(is_thinking=True):
            self.part = Part.ANSWER
            self.thinking_tokens -= len(self._held)

    def _look_for_stop(self) -> None:
        text = self._text()
        places = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if places:
            self._release(min(places), is_thinking=False)
            self._release(len(text), is_thinking=False, keep_text=False)
            self.stopped = True
        else:
            self._release(len(text) - _overlap(text, self._stop), is_thinking=False)

    def _drop_space(self, *, is_thinking: bool) -> bool:
        """Takes leading whitespace out of the stream; True when something else follows."""
        text = self._text()
        rest = text.lstrip()
        self._release(len(text) - len(rest), is_thinking=is_thinking, keep_text=False)
        return bool(rest)

    def _release(self, characters: int, *, is_thinking: bool, keep_text: bool = True) -> None:
        """Settles so many characters of the held text; tokens that end within them are ready."""
        while self._held:
            piece = self._held[0]
            length = len(piece.open_text)
            if length and not characters:
                return
            if keep_text:
                piece.text += piece.open_text[:characters]
            piece.open_text = piece.open_text[characters:]
            # The last word counts: a token that ends the thinking and begins the answer is an answer token.
            piece.is_thinking = is_thinking
            if piece.open_text:
                return
            characters -= length
            self._ready.append(piece)
            del self._held[0]


def _overlap(text: str, needles: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that is the beginning of a needle."""
    longest = max((len(needle) for needle in needles), default=0)
    for length in range(min(longest - 1, len(text)), 0, -1):
        if any(needle.startswith(text[-length:]) for needle in needles):
            return length
    return 0
