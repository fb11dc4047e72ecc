"""Speed before download: what the machine's bandwidth and compute say about a model, corrected by own history."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from workbench.hub.model_work import ModelWork
from workbench.runs.measured_speed import MeasuredSpeed

# A chat's usual state: what a decode prediction assumes when nobody says how much is in the context.
USUAL_CONTEXT = 1024
# The prompt that a prefill prediction is for: one micro-batch of llama.cpp. Shorter prompts are slower.
USUAL_PROMPT = 512
# Prompts shorter than this measure the start of a computation rather than its speed.
_SHORTEST_PREFILL = 64
# Without own history four of five predictions for the models that the arithmetic was made with were this close or
# closer, and nine of nine for others, on an idle machine (docs/speed.md).
_UNCORRECTED_SPREAD = 0.35
# Own runs count as much as the probe's word from this number on: a factor is shrunk by n / (n + this).
_PRIOR_RUNS = 5
_LEAST_SPREAD = 0.05
# A mixture sends few tokens of a batch to each expert, which keeps its matrix products small.
_MIXTURE_PREFILL = 0.5


@dataclass(frozen=True, slots=True)
class SpeedEstimate:
    """Ranges in tokens per second. `basis` says in a sentence what they stand on."""

    decode_low: float
    decode_high: float
    prefill_low: float
    prefill_high: float
    basis: str


@dataclass(frozen=True, slots=True)
class TypeSpeed:
    """What llama.cpp reaches with one tensor type: weights read in decode, operations done in prefill.

    `spread` is relative: how far the readings of the probe lay apart.
    """

    type: str
    bytes_per_s: float
    flops: float
    spread: float


@dataclass(frozen=True, slots=True)
class AttentionSpeed:
    """Seconds for one query head of this width to look at one token of the context."""

    head_width: int
    decode_s: float
    prefill_s: float


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """What a probe found. `token_s` is spent on every token whatever the model, `row_s` on every output row of a
    matrix in decode. `threads` and `gpu_layers` are what llama.cpp used; 0 layers: the CPU alone.
    """

    machine: str
    engine_build: str
    threads: int
    gpu_layers: int
    measured_at: str
    took_s: float
    types: tuple[TypeSpeed, ...]
    attention: tuple[AttentionSpeed, ...]
    token_s: float
    row_s: float

    def of(self, type_name: str) -> tuple[TypeSpeed, bool]:
        """The speed of a type, and whether it was measured rather than derived from a relative's."""
        measured = {speed.type: speed for speed in self.types}
        if type_name in measured:
            return measured[type_name], True
        relative, decode, prefill = RELATIVES.get(type_name, _UNKNOWN)
        base = measured.get(relative) or self.types[0]
        return TypeSpeed(type_name, base.bytes_per_s * decode, base.flops * prefill, base.spread), False

    def looking(self, head_width: int) -> AttentionSpeed:
        """Of the measured width that is nearest, in proportion."""
        base = min(self.attention, key=lambda speed: abs(math.log(speed.head_width / head_width)))
        scale = head_width / base.head_width
        return AttentionSpeed(head_width, base.decode_s * scale, base.prefill_s * scale)


_UNKNOWN = ("Q6_K", 0.6, 0.7)
# For types that were not measured: a relative, and bytes and operations per second as parts of the relative's
# (docs/speed.md has the measurement).
RELATIVES: dict[str, tuple[str, float, float]] = {
    "F32": ("F16", 1.0, 1.0),
    "BF16": ("F16", 1.0, 1.4),
    "Q4_0": ("Q4_K", 1.15, 1.2),
    "IQ4_NL": ("Q4_K", 1.1, 1.2),
    "Q4_1": ("Q8_0", 0.8, 0.4),
    "Q5_0": ("Q8_0", 0.85, 0.7),
    "Q5_1": ("Q8_0", 0.85, 0.35),
    "Q2_K": ("Q4_K", 0.8, 0.75),
    "Q3_K": ("Q6_K", 0.55, 0.95),
    "Q5_K": ("Q6_K", 0.8, 1.15),
    "IQ4_XS": ("Q6_K", 0.7, 1.1),
}


@dataclass(frozen=True, slots=True)
class Corrections:
    """What own runs say about predictions: factors to multiply by, and how far runs lie from the corrected value.

    `median_error` is that of the uncorrected predictions of decode speed, relative; None without runs.
    """

    decode_factor: float = 1.0
    decode_spread: float = _UNCORRECTED_SPREAD
    prefill_factor: float = 1.0
    prefill_spread: float = _UNCORRECTED_SPREAD
    runs: int = 0
    median_error: float | None = None


def decode_tps(work: ModelWork, machine: MachineSpeed, context_tokens: int) -> float:
    """Tokens per second of one sequence with so many tokens in its context (f16 cache), uncorrected."""
    seconds = machine.token_s + work.rows * machine.row_s
    seconds += sum(part.decode_bytes / machine.of(part.type)[0].bytes_per_s for part in work.types)
    looking = sum(
        layer.query_heads * layer.visible(context_tokens) * machine.looking(layer.head_width).decode_s
        for layer in work.attention
    )
    # With one query head for each of the cache's, the cache is read as weights are and no faster.
    reading = work.kv_bytes(context_tokens) / machine.of("F16")[0].bytes_per_s
    return 1 / (seconds + max(reading, looking))


def prefill_tps(work: ModelWork, machine: MachineSpeed, prompt_tokens: int) -> float:
    """Prompt tokens per second of a prompt of this length that comes alone, uncorrected."""
    per_token = sum(2 * part.prefill_elements / machine.of(part.type)[0].flops for part in work.types)
    if work.is_mixture:
        per_token /= _MIXTURE_PREFILL
    # Token i looks back at i others: half the prompt on average.
    per_token += sum(
        layer.query_heads * layer.visible(prompt_tokens // 2) * machine.looking(layer.head_width).prefill_s
        for layer in work.attention
    )
    once = machine.token_s + work.output_bytes / machine.of(work.output_type)[0].bytes_per_s
    return 1 / (per_token + once / prompt_tokens)


def estimate_speed(
    work: ModelWork, machine: MachineSpeed, corrections: Corrections | None = None, context_length: int = USUAL_CONTEXT
) -> SpeedEstimate:
    """The range for decoding with `context_length` tokens in the context and for a prompt of 512 tokens.

    Four of five runs should fall into the range, on a machine that does nothing else.
    """
    found = corrections or Corrections()
    prompt_tokens = max(1, min(USUAL_PROMPT, context_length))
    decode = decode_tps(work, machine, context_length) * found.decode_factor
    prefill = prefill_tps(work, machine, prompt_tokens) * found.prefill_factor
    noise = max((machine.of(part.type)[0].spread for part in work.types), default=0.0)
    decode_low, decode_high = _range(decode, max(found.decode_spread, noise))
    prefill_low, prefill_high = _range(prefill, max(found.prefill_spread, noise))
    return SpeedEstimate(decode_low, decode_high, prefill_low, prefill_high, _basis(work, machine, found))


def correct(
    runs: Iterable[MeasuredSpeed], machine: MachineSpeed, work_of_run: Callable[[MeasuredSpeed], ModelWork | None]
) -> Corrections:
    """What runs on this machine with this build, these threads and layers say; others are left out.

    `work_of_run` gives None for a model that is gone.
    """
    decode: list[float] = []
    prefill: list[float] = []
    for run in runs:
        if not _is_comparable(run, machine) or (work := work_of_run(run)) is None:
            continue
        middle = (run.prompt_tokens or 0) + run.output_tokens // 2
        decode.append(run.tps / decode_tps(work, machine, middle))
        if run.prefill_tps is not None and (run.evaluated_tokens or 0) >= _SHORTEST_PREFILL:
            assert run.evaluated_tokens is not None
            prefill.append(run.prefill_tps / prefill_tps(work, machine, run.evaluated_tokens))
    decode_factor, decode_spread = _shrunk(decode)
    prefill_factor, prefill_spread = _shrunk(prefill)
    error = statistics.median(abs(1 / ratio - 1) for ratio in decode) if decode else None
    return Corrections(decode_factor, decode_spread, prefill_factor, prefill_spread, len(decode), error)


def _is_comparable(run: MeasuredSpeed, machine: MachineSpeed) -> bool:
    same_place = (run.gpu_layers == 0) == (machine.gpu_layers == 0)
    same_cpu = run.cpu is None or run.cpu == machine.machine
    return same_place and same_cpu and run.engine_build == machine.engine_build and run.threads == machine.threads


def _shrunk(ratios: Sequence[float]) -> tuple[float, float]:
    """Median factor and spread of measured over predicted, drawn towards 1 and the usual spread when runs are few."""
    if not ratios:
        return 1.0, _UNCORRECTED_SPREAD
    logs = [math.log(ratio) for ratio in ratios]
    weight = len(logs) / (len(logs) + _PRIOR_RUNS)
    middle = statistics.median(logs)
    far = sorted(abs(value - middle) for value in logs)
    own_spread = math.expm1(far[math.ceil(0.8 * len(far)) - 1])
    spread = weight * own_spread + (1 - weight) * _UNCORRECTED_SPREAD
    return math.exp(weight * middle), max(spread, _LEAST_SPREAD)


def _range(value: float, spread: float) -> tuple[float, float]:
    return value / (1 + spread), value * (1 + spread)


def _basis(work: ModelWork, machine: MachineSpeed, corrections: Corrections) -> str:
    seconds = sum(part.decode_bytes / machine.of(part.type)[0].bytes_per_s for part in work.types)
    bandwidth = work.active_bytes / seconds / 1e9 if seconds else 0.0
    text = f"from this machine's measured {bandwidth:.0f} GB/s"
    if machine.gpu_layers:
        text += " with all layers on the GPU"
    derived = [part.type for part in work.largest_types if not machine.of(part.type)[1]]
    if derived:
        text += f" (speed of {', '.join(derived)} derived from that of other types)"
    if not corrections.runs:
        return f"{text}, not yet corrected by own runs"
    error = f" (median error {corrections.median_error:.0%})" if corrections.median_error is not None else ""
    runs = "1 earlier run" if corrections.runs == 1 else f"{corrections.runs} earlier runs"
    return f"{text}, corrected by {runs}{error}"
