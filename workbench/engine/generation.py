"""One request while it runs: what it still has to evaluate, what it has said, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.engine import api
from workbench.engine.prompt import Prompt
from workbench.engine.sampling import Sampler
from workbench.engine.stream import OutputStream, Part
from workbench.engine.weights import Weights
from workbench.runs.record import Dropped, FinishReason

Post = Callable[[api.EngineEvent], None]
# Tokens are sent at once at the start of an answer, later in batches: a reader draws 30 times a second at most, and
# every message costs both processes time that the decode loop needs on a small machine. Of 8 pairs with a bare loop
# on two cores, a 42M-parameter model kept 0.77 of its speed with 12 ms and 0.86 with 30 ms.
FLUSH_INTERVAL_NS = 30_000_000
_TOKENS_SENT_AT_ONCE = 4


class Generation:
    """State of one request between the end of its prompt's preparation and its terminal event."""

    def __init__(
        self, prompt: Prompt, sampler: Sampler, weights: Weights, post: Post, announce: Callable[[], None]
    ) -> None:
        """`announce` is called once, when the prompt is to be shown, at the latest before the terminal event."""
        self.prompt = prompt
        self._announce: Callable[[], None] | None = announce
        self.request_id = prompt.request.id
        self.sampler = sampler
        self.pending: list[int] = []
        self.evaluated_prompt = 0
        self.prefill_start_ns: int | None = None
        self.in_prefill = True
        self.engine_prompt_ms: float | None = None
        self.output_tokens = 0
        self.forced_tokens = 0
        self.shifted = Dropped("shift", 0)
        self.answer_now = False
        self._weights, self._post = weights, post
        self._max_tokens = prompt.request.limits.max_tokens
        self._stream = OutputStream(
            prompt.tags,
            starts_thinking=prompt.starts_thinking,
            stop=prompt.request.limits.stop,
            is_answer_bound=sampler.has_grammar,
        )
        # A grammar binds the answer, never the thinking before it or the blank lines between: models put them there.
        self._may_think_first = prompt.tags is not None and prompt.request.chat.thinking == "on"
        self._last_flush_ns = 0
        self._sent = 0
        self._forced_close = False

    @property
    def is_thinking(self) -> bool:
        return self._stream.part is Part.THINKING

    def sample(self, context: Any, index: int) -> int:
        if not self.sampler.has_grammar:
            return self.sampler.sample(context, index)
        part = self._stream.part
        if part is Part.THINKING:
            return self.sampler.sample(context, index)
        if part is Part.AFTER or (part is Part.UNDECIDED and self._may_think_first):
            token, is_before = self.sampler.sample_before_answer(context, index, self._is_before_answer)
            if not is_before:
                self._stream.begin_answer()
            return token
        return self.sampler.sample_by_grammar(context, index)

    def _is_before_answer(self, token: int) -> bool:
        return not self._weights.is_end(token) and self._stream.is_before_answer(self._weights.piece(token))

    def accept(self, token: int, now_ns: int) -> FinishReason | None:
        """Takes a sampled token; the reason when it was the last one."""
        if self._announce is not None:
            self.announce_prompt()
        if self._weights.is_end(token):
            return "stop"
        stream = self._stream
        stream.push(token, self._weights.piece(token), now_ns)
        self.output_tokens += 1
        if self._sent < _TOKENS_SENT_AT_ONCE or now_ns - self._last_flush_ns >= FLUSH_INTERVAL_NS:
            self.flush(now_ns)
        if stream.stopped:
            return "stop_string"
        if self._max_tokens is not None and self.output_tokens >= self._max_tokens:
            return "length"
        return None

    def tokens_to_force(self) -> list[int]:
        """The tokens that end the thinking, when its budget is spent or the person wants the answer; else none."""
        if self._forced_close or self._stream.part is not Part.THINKING:
            return []
        budget = self.prompt.budget
        if not self.answer_now and (budget is None or self._stream.thinking_tokens < budget):
            return []
        tags = self.prompt.tags
        assert tags is not None
        self._forced_close = True
        self._stream.close_thinking()
        tokens = self._weights.tokenize("\n" + tags.close + tags.after_close, add_special=False, parse_special=True)
        self.forced_tokens += len(tokens)
        return tokens

    def flush(self, now_ns: int) -> None:
        pieces = self._stream.take_ready()
        if not pieces:
            return
        self._last_flush_ns = now_ns
        self._sent += len(pieces)
        self._post(
            api.Tokens(
                self.request_id,
                tuple([piece.token for piece in pieces]),
                tuple([piece.text for piece in pieces]),
                tuple([piece.stamp_ns for piece in pieces]),
                tuple([piece.is_thinking for piece in pieces]),
            )
        )

    def finish(self, reason: FinishReason, now_ns: int) -> None:
        self._close(now_ns)
        self._post(api.RequestFinished(self.request_id, reason, now_ns, self.forced_tokens, self.engine_prompt_ms))

    def cancelled(self, now_ns: int) -> None:
        self._close(now_ns)
        self._post(api.RequestCancelled(self.request_id, "flag", now_ns))

    def failed(self, code: str, message: str, now_ns: int, detail: str | None = None) -> None:
        self._close(now_ns)
        self._post(api.RequestFailed(self.request_id, code, message, now_ns, detail))

    def announce_prompt(self) -> None:
        """Does nothing the second time."""
        announce, self._announce = self._announce, None
        if announce is not None:
            announce()

    def _close(self, now_ns: int) -> None:
        self.announce_prompt()
        self._stream.finish()
        self.flush(now_ns)
        self.sampler.close()
