"""One request to the engine with its times, for the benches and tests of this folder."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field

from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.errors import WorkbenchError
from workbench.runs.spec import Limits, Message, Sampling

WORDS = "The cache keeps what was read before, so that it need not be read again. "
# An end token must not cut a measurement short; ids 0 and 2 end a text in these models.
NO_END = ((0, -1e9), (2, -1e9))
_number = itertools.count()


@dataclass
class Answer:
    """Times in milliseconds from the submit; `stamps_ns` are those of the tokens."""

    submitted_ns: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prefill_ms: float | None = None
    engine_prompt_ms: float | None = None
    stamps_ns: list[int] = field(default_factory=list)
    end: api.EngineEvent | None = None

    @property
    def ttft_ms(self) -> float | None:
        return (self.stamps_ns[0] - self.submitted_ns) / 1e6 if self.stamps_ns else None

    @property
    def decode_tps(self) -> float | None:
        if len(self.stamps_ns) < 2:
            return None
        return (len(self.stamps_ns) - 1) * 1e9 / (self.stamps_ns[-1] - self.stamps_ns[0])

    @property
    def prefill_tps(self) -> float | None:
        """Of the tokens that were not cached, by llama.cpp's own clock."""
        if not self.engine_prompt_ms:
            return None
        return (self.prompt_tokens - self.cached_tokens) * 1000 / self.engine_prompt_ms


def text_of(tokens: int, per_word_tokens: float) -> str:
    """A prompt of about so many tokens, with a beginning of its own, so that nothing of it is cached."""
    return f"{next(_number)}/{time.perf_counter_ns()}. " + WORDS * max(1, int(tokens / per_word_tokens))


def tokens_per_text(engine: LocalEngine) -> float:
    """How many tokens the repeated sentence has for the loaded model."""
    return ask(engine, WORDS * 4, 1).prompt_tokens / 4


def request_of(prompt: str, max_tokens: int, *, greedy: bool = False) -> api.EngineRequest:
    return api.EngineRequest(
        f"gpu-{next(_number)}", (Message("user", "x"),), prompt=prompt, limits=Limits(max_tokens=max_tokens),
        sampling=Sampling(temperature=0 if greedy else 0.7, logit_bias=NO_END),
    )  # fmt: skip


def ask(engine: LocalEngine, prompt: str, max_tokens: int, *, greedy: bool = False) -> Answer:
    """Raises WorkbenchError when the request fails."""
    answer = Answer(time.perf_counter_ns())
    begun_ns = 0
    for event in engine.run([request_of(prompt, max_tokens, greedy=greedy)]):
        if isinstance(event, api.PromptReady):
            answer.prompt_tokens, answer.cached_tokens = event.prompt_tokens, event.cached_tokens
        elif isinstance(event, api.PrefillStarted):
            begun_ns = event.t_ns
        elif isinstance(event, api.PrefillEnded):
            answer.prefill_ms = (event.t_ns - begun_ns) / 1e6
        elif isinstance(event, api.Tokens):
            answer.stamps_ns += event.stamps_ns
        elif isinstance(event, api.RequestFinished):
            answer.engine_prompt_ms = event.engine_prompt_ms
        elif isinstance(event, api.RequestFailed):
            raise WorkbenchError(event.message, code=event.code, detail=event.detail)
        answer.end = event
    return answer
