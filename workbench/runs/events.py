"""The closed union of run events: what a run tells its sinks, ending in exactly one terminal event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from workbench.runs.record import Dropped, LoadReport, RunRecord, Segment, TelemetrySample
from workbench.runs.spec import RunSpec

Part = Literal["thinking", "answer"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The row is written and the run waits for the engine."""

    run_id: str
    spec: RunSpec
    t_ns: int


@dataclass(frozen=True, slots=True)
class EngineLoading:
    """`fraction` of the weights read so far, 0 to 1; None while a context is made or the child starts."""

    run_id: str
    step: Literal["start", "weights", "context"]
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class EngineReady:
    run_id: str
    load: LoadReport


@dataclass(frozen=True, slots=True)
class PassStarted:
    """`visible` False: a pass whose text is not the answer (a draft, a vote); windows may fold it."""

    run_id: str
    pass_index: int
    purpose: str
    visible: bool
    t_ns: int


@dataclass(frozen=True, slots=True)
class PromptPrepared:
    """What the model will see: rendered text, its token pieces in order, and where the tokens came from."""

    run_id: str
    pass_index: int
    text: str
    pieces: tuple[str, ...]
    segments: tuple[Segment, ...]
    context_length: int
    cached_tokens: int
    dropped: Dropped | None = None
    cache_note: str | None = None


@dataclass(frozen=True, slots=True)
class PrefillStarted:
    run_id: str
    pass_index: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class PrefillProgressed:
    """Tokens without the cached ones; the prefill ended at `t_ns` when all are done."""

    run_id: str
    pass_index: int
    done_tokens: int
    total_tokens: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class TokensReceived:
    """New output. `texts[i]` may be empty (a character not whole yet); all tuples have one length."""

    run_id: str
    pass_index: int
    texts: tuple[str, ...]
    stamps_ns: tuple[int, ...]
    is_thinking: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class ContextShifted:
    """Old tokens left the context while generating; `dropped` is the total so far."""

    run_id: str
    pass_index: int
    dropped: Dropped


@dataclass(frozen=True, slots=True)
class PassEnded:
    run_id: str
    pass_index: int
    purpose: str
    text: str


@dataclass(frozen=True, slots=True)
class TelemetryArrived:
    run_id: str
    sample: TelemetrySample


@dataclass(frozen=True, slots=True)
class Finished:
    run_id: str
    record: RunRecord


@dataclass(frozen=True, slots=True)
class Failed:
    run_id: str
    record: RunRecord


@dataclass(frozen=True, slots=True)
class Cancelled:
    run_id: str
    record: RunRecord


RunEvent: TypeAlias = (
    RunStarted
    | EngineLoading
    | EngineReady
    | PassStarted
    | PromptPrepared
    | PrefillStarted
    | PrefillProgressed
    | TokensReceived
    | ContextShifted
    | PassEnded
    | TelemetryArrived
    | Finished
    | Failed
    | Cancelled
)
TERMINAL = (Finished, Failed, Cancelled)
