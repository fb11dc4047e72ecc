"""Immutable snapshots of the Run page: what its widgets show, in plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from workbench.runs.record import CostEstimate, Dropped, LoadReport, RunRecord, Segment, TelemetrySample
from workbench.runs.spec import Adapter, Message, Overflow, Placement
from workbench.runs.timings import Metrics

Phase = Literal["idle", "waiting", "loading", "prefill", "thinking", "drafting", "answering", "stopping"]
Tone = Literal["info", "warn", "bad"]
Remedy = Literal[
    "larger_context", "smaller_context", "drop_oldest", "keep_head_tail", "retry", "demo_model", "no_adapters",
    "show_prompt", "none",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a menu. `note` is a fact about it, not a consequence of choosing it."""

    key: str
    text: str
    note: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class KnobChoices:
    """What can be chosen; read in the background because it looks into folders and files."""

    models: tuple[Choice, ...] = ()
    quantizations: tuple[Choice, ...] = ()
    contexts: tuple[int, ...] = ()
    modes: tuple[Choice, ...] = ()
    surfaces: tuple[Choice, ...] = ()
    model_key: str = ""
    quantization: str = ""
    trained_context: int | None = None
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class KnobValues:
    """What is set. None: taken from the mode, the settings or the model."""

    model: str | None = None
    quantization: str | None = None
    context_length: int | None = None
    mode: str | None = None
    surface: str | None = None
    seed: int = 7
    temperature: float | None = None
    max_tokens: int | None = None
    threads: int | None = None
    gpu_layers: int | None = None
    kv_type: str | None = None
    placement: Placement | None = None
    overflow: Overflow | None = None
    system: str | None = None
    adapters: tuple[Adapter, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text file that goes before the next question."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong or was left out, and the button that mends it.

    `asks_again` tells whether the question is then asked again; not where none was asked.
    """

    tone: Tone
    text: str
    remedy: Remedy = "none"
    action_text: str | None = None
    detail: str | None = None
    context_length: int | None = None
    asks_again: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and what became of it; `record` None while it runs, and for a turn taken from an old run."""

    question: str
    attachment: Attachment | None = None
    record: RunRecord | None = None
    answer: str | None = None

    @property
    def text(self) -> str:
        return self.record.text if self.record is not None else self.answer or ""

    def messages(self) -> tuple[Message, ...]:
        """The turn as history for a later question; empty when there was no answer."""
        if not self.text.strip():
            return ()
        document = self.attachment.text if self.attachment else None
        name = self.attachment.name if self.attachment else None
        return Message("user", self.question, document, name), Message("assistant", self.text)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model saw in one pass."""

    text: str
    pieces: tuple[str, ...]
    segments: tuple[Segment, ...]
    context_length: int
    cached_tokens: int
    dropped: Dropped | None = None
    cache_note: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """The measured run so far, or of a finished one. None: not measured.

    `segments`, `context_thinking` and `context_answer` are the tokens in the context of the pass that is shown;
    `metrics` adds up all passes.
    """

    metrics: Metrics = field(default_factory=Metrics)
    shown_ms: float | None = None
    tps_now: float | None = None
    itl_p50_ms: float | None = None
    itl_p95_ms: float | None = None
    stalls: int = 0
    speed_series: tuple[float, ...] = ()
    itl_series: tuple[float, ...] = ()
    memory_series: tuple[tuple[float, float], ...] = ()
    sample: TelemetrySample | None = None
    load: LoadReport | None = None
    costs: tuple[CostEstimate, ...] = ()
    segments: tuple[Segment, ...] = ()
    context_thinking: int = 0
    context_answer: int = 0
    context_length: int | None = None
    elapsed_ms: float | None = None
    is_final: bool = False
    mode: str = ""

    @property
    def context_used(self) -> int | None:
        """Tokens in the context of one pass: prompt, thinking and answer."""
        if not self.segments:
            return None
        return sum(segment.tokens for segment in self.segments) + self.context_thinking + self.context_answer


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything but the streamed text and the figures, which come by signals of their own.

    `records` are the finished runs since the window opened, oldest first, also those of questions asked anew.
    """

    phase: Phase = "idle"
    phase_text: str = ""
    values: KnobValues = KnobValues()
    choices: KnobChoices = KnobChoices()
    turns: tuple[Turn, ...] = ()
    records: tuple[RunRecord, ...] = ()
    attachment: Attachment | None = None
    problem: Problem | None = None
    prompt: Prompt | None = None
    model_title: str = ""

    @property
    def is_running(self) -> bool:
        return self.phase != "idle"
