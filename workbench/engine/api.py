"""The engine interface and its events; implementations: local child, remote endpoint, scripted fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from workbench.runs.record import CancelWay, Dropped, FinishReason, LoadReport, Segment
from workbench.runs.spec import ChatOptions, EngineOptions, Limits, Message, ModelRef, Sampling

LoadStep = Literal["start", "weights", "context"]
ProgressSink = Callable[[LoadStep, float | None], None]


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One model call. `prompt` set: raw text, tokenized with special tokens, and `messages` is ignored."""

    id: str
    messages: tuple[Message, ...] = ()
    chat: ChatOptions = field(default_factory=ChatOptions)
    sampling: Sampling = field(default_factory=Sampling)
    limits: Limits = field(default_factory=Limits)
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class PromptReady:
    """The prompt was rendered, tokenized and fitted into the context.

    Comes before the first token; a prefill of one micro-batch may be over by then.
    """

    request_id: str
    text: str
    pieces: tuple[str, ...]
    segments: tuple[Segment, ...]
    prompt_tokens: int
    cached_tokens: int
    context_length: int
    dropped: Dropped | None = None
    cache_note: str | None = None


@dataclass(frozen=True, slots=True)
class PrefillStarted:
    request_id: str
    t_ns: int


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    request_id: str
    done_tokens: int
    total_tokens: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class PrefillEnded:
    request_id: str
    t_ns: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """A batch of output tokens of one request; all tuples have one length. `texts[i]` may be empty."""

    request_id: str
    ids: tuple[int, ...]
    texts: tuple[str, ...]
    stamps_ns: tuple[int, ...]
    is_thinking: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Shifted:
    """The context was shifted while generating; `dropped` is the total of this request so far."""

    request_id: str
    dropped: Dropped


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """`engine_prompt_ms`: llama.cpp's own time of the prompt's decode calls. `forced_tokens` ended a thinking part."""

    request_id: str
    reason: FinishReason
    t_ns: int
    forced_tokens: int = 0
    engine_prompt_ms: float | None = None


@dataclass(frozen=True, slots=True)
class RequestFailed:
    request_id: str
    code: str
    message: str
    t_ns: int
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    request_id: str
    way: CancelWay
    t_ns: int


EngineEvent: TypeAlias = (
    PromptReady
    | PrefillStarted
    | PrefillProgress
    | PrefillEnded
    | Tokens
    | Shifted
    | RequestFinished
    | RequestFailed
    | RequestCancelled
)
REQUEST_TERMINAL = (RequestFinished, RequestFailed, RequestCancelled)


class Engine(Protocol):
    """Runs requests. All methods may be called from any thread; `load` never runs beside `run`."""

    def load(self, model: ModelRef, options: EngineOptions, on_progress: ProgressSink | None = None) -> LoadReport:
        """Blocks until ready. Reuses what it can: same model and options cost nothing, another context no reload.

        Raises ModelNotFound, ModelFileError, OutOfMemory, EngineCrashed, EngineStartFailed. `load_cancel` ends it.
        """
        ...

    def run(self, requests: Sequence[EngineRequest]) -> Iterator[EngineEvent]:
        """Yields the events of all requests, each ending in one terminal event; returns after the last.

        Requests of concurrent calls join the same running batch. Never raises for a request's failure.
        """
        ...

    def cancel(self, request_id: str) -> None:
        """Asks; the terminal event says how it ended. Unknown ids and ended requests are ignored."""
        ...

    def answer_now(self, request_id: str) -> None:
        """Ends the thinking part of a request, so that its answer begins. Ignored when it is not thinking."""
        ...

    def close(self) -> None:
        """Ends the child and frees its memory; safe to call twice."""
        ...

    @property
    def pid(self) -> int | None:
        """Process whose memory and load belong to this engine; None when there is none here."""
        ...
