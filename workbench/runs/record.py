"""What is known of a run after it: the row of history, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from workbench.runs.spec import RunSpec
from workbench.runs.timings import Metrics, PassTimings, derive_run

RunStatus = Literal["running", "finished", "failed", "cancelled", "interrupted"]
FinishReason = Literal["stop", "length", "stop_string", "context_full"]
SegmentKind = Literal["system", "history", "document", "question", "template", "thinking", "answer"]
CancelWay = Literal["flag", "killed"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of consecutive prompt tokens that came from one source."""

    kind: SegmentKind
    tokens: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """What an overflow policy left out of the prompt, or shifted out while generating."""

    policy: str
    tokens: int
    turns: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """Bytes that llama.cpp reserved for one purpose on one device ("CPU", "CUDA0" ...)."""

    purpose: Literal["weights", "kv", "compute", "repacked", "output", "recurrent"]
    device: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """`kind` "igpu": a GPU that works in the machine's memory."""

    name: str
    description: str
    kind: Literal["cpu", "gpu", "igpu", "accel"]
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class EngineBuild:
    """The installed llama.cpp. `backends` are those compiled into it ("CPU", "CUDA" ...), whether or not they find a
    device; `features` are the instruction sets of the processor that it uses.
    """

    description: str
    backends: tuple[str, ...]
    features: tuple[str, ...]
    devices: tuple[DeviceDescription, ...]

    @property
    def gpus(self) -> tuple[DeviceDescription, ...]:
        return tuple(device for device in self.devices if device.kind in ("gpu", "igpu"))


@dataclass(frozen=True, slots=True)
class ThinkingSwitch:
    """How a model's template switches thinking. `kind` "none": the model has no thinking part."""

    kind: Literal["enable_thinking", "thinking", "reasoning_effort", "always_on", "none"] = "none"
    open_tag: str | None = None
    close_tag: str | None = None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the engine said when it was ready. Sizes are bytes, times milliseconds.

    `reused` tells what the lease cost: "model" (the weights and the context were warm), "weights" (only a
    new context was made), "nothing" (everything was loaded). `cold_start_ms` is None when nothing was loaded.
    """

    engine_build: str
    devices: tuple[DeviceDescription, ...]
    threads: int
    gpu_layers: int
    context_length: int
    trained_context_length: int | None
    architecture: str
    model_name: str
    quantization: str | None
    parameters: int
    model_size_bytes: int
    vocabulary_size: int
    chat_templates: tuple[str, ...]
    thinking_switch: ThinkingSwitch
    memory: tuple[MemoryItem, ...]
    reused: Literal["nothing", "weights", "model"] = "nothing"
    start_ms: float | None = None
    load_ms: float | None = None
    context_ms: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def cold_start_ms(self) -> float | None:
        """Child start, weights and context together; None when all were warm."""
        parts = [part for part in (self.start_ms, self.load_ms, self.context_ms) if part is not None]
        return sum(parts) if parts else None

    @property
    def short_build(self) -> str:
        """llama.cpp's and ggml's version for one line; the rest of `engine_build` is binding and instruction sets."""
        return ", ".join(self.engine_build.split(";")[0].split(", ")[:2])

    def reserved_bytes(self, purpose: str) -> int | None:
        """Sum over devices, or None when llama.cpp reported no such item."""
        sizes = [item.size_bytes for item in self.memory if item.purpose == purpose]
        return sum(sizes) if sizes else None


@dataclass(frozen=True, slots=True)
class TelemetrySample:
    """One reading; None: not measured. `t_ns` is monotonic; loads are percent, `engine_cpu` of one core."""

    t_ns: int
    engine_resident_bytes: int | None = None
    engine_unique_bytes: int | None = None
    engine_file_mapped_bytes: int | None = None
    engine_cpu_percent: float | None = None
    machine_memory_used_bytes: int | None = None
    machine_memory_total_bytes: int | None = None
    machine_cpu_percent: float | None = None
    gpu_util_percent: float | None = None
    gpu_memory_used_bytes: int | None = None
    gpu_memory_total_bytes: int | None = None
    gpu_engine_memory_bytes: int | None = None
    gpu_power_w: float | None = None
    gpu_temperature_c: float | None = None
    cpu_power_w: float | None = None


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """One of three estimates that are never added up. `usd` None: not measured or no price; `reason` says why."""

    kind: Literal["api", "gpu", "electricity"]
    usd: float | None
    label: str
    formula: str
    inputs: tuple[tuple[str, str], ...] = ()
    price_date: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    code: str
    message: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One model call. `purpose` is "answer", "draft", "revision" or "vote 2 of 5"."""

    index: int
    purpose: str
    timings: PassTimings
    text: str = ""
    thinking: str = ""
    finish_reason: FinishReason | None = None
    segments: tuple[Segment, ...] = ()
    dropped: Dropped | None = None
    engine_prompt_ms: float | None = None
    cache_note: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as history keeps it. `started_at` is wall-clock ISO 8601 in UTC, for display only."""

    id: str
    status: RunStatus
    started_at: str
    spec: RunSpec
    passes: tuple[PassRecord, ...] = ()
    text: str = ""
    thinking: str = ""
    load: LoadReport | None = None
    telemetry: tuple[TelemetrySample, ...] = ()
    costs: tuple[CostEstimate, ...] = ()
    error: ErrorRecord | None = None
    cancelled_by: CancelWay | None = None
    note: str | None = None
    machine: tuple[tuple[str, str], ...] = field(default=())

    @property
    def metrics(self) -> Metrics:
        return derive_run([item.timings for item in self.passes])

    @property
    def finish_reason(self) -> FinishReason | None:
        return self.passes[-1].finish_reason if self.passes else None

    @property
    def dropped_tokens(self) -> int:
        return sum(item.dropped.tokens for item in self.passes if item.dropped)
