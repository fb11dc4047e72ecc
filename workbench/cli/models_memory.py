"""A memory estimate, its curve and a speed estimate as rows and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.history.memory_errors import ErrorSpan, load_errors, span
from workbench.history.model_figures import MemoryCheck
from workbench.hub.memory import CurvePoint, MemoryComparison, MemoryEstimate, MemoryPart
from workbench.hub.speed import SpeedEstimate
from workbench.units import UNKNOWN, bytes_text, count_text, percent_text, rate_text

MEMORY_HEADERS = ("memory for", "on", "reserved", "resident")
MEMORY_RIGHT = frozenset({2, 3})
CURVE_HEADERS = ("context", "reserved", "resident", "")
CURVE_RIGHT = frozenset({0, 1, 2})
CHECK_HEADERS = ("loaded", "context", "KV cache", "memory for", "predicted", "measured", "error")
CHECK_RIGHT = frozenset({1, 4, 5, 6})
SHOWN_CHECKS = 5
BAR_WIDTH = 32

PURPOSES = {
    "weights": "weights",
    "kv": "KV cache",
    "recurrent": "recurrent state",
    "compute": "compute buffers",
    "output": "output buffer",
    "repacked": "repacked weights",
    "books": "bookkeeping",
    "program": "the engine's program",
    "total resident": "total, resident",
}
BASES = {
    "engine": "planned by llama.cpp itself, which took no memory for it",
    "arithmetic": "computed from the header",
}


def memory_rows(estimate: MemoryEstimate) -> list[list[str]]:
    """A row for each item, and a sum for each device and for all."""
    rows = [_part_cells(part) for part in estimate.parts]
    devices = estimate.devices
    for device in devices if len(devices) > 1 else ():
        rows.append(_sum_cells("sum", device, estimate))
    rows.append(_sum_cells("sum", None, estimate))
    return rows


def _part_cells(part: MemoryPart) -> list[str]:
    name = PURPOSES.get(part.purpose, part.purpose)
    return [name, part.device, bytes_text(part.reserved_bytes), bytes_text(part.resident_bytes)]


def _sum_cells(name: str, device: str | None, estimate: MemoryEstimate) -> list[str]:
    sizes = estimate.reserved_bytes(device=device), estimate.resident_bytes(device=device)
    return [name, device or "all", *map(bytes_text, sizes)]


def basis_sentence(estimate: MemoryEstimate) -> str:
    """What was asked for, and where the figures come from."""
    layers = {-1: "all layers on the GPU", 0: "no layers on a GPU"}.get(
        estimate.gpu_layers, f"{count_text(estimate.gpu_layers)} layers on the GPU"
    )
    asked = f"Context {count_text(estimate.context_length)}, KV cache {estimate.kv_type}, {layers}"
    return f"{asked}: {BASES[estimate.basis]}."


def speed_sentence(speed: SpeedEstimate | None) -> str:
    """The ranges and what they stand on."""
    if speed is None:
        return "How fast it will be cannot be told."
    decode = _range(speed.decode_low, speed.decode_high)
    prefill = _range(speed.prefill_low, speed.prefill_high)
    return f"Speed: {decode} decoding, {prefill} reading the prompt, {speed.basis.rstrip('.')}."


def _range(low: float, high: float) -> str:
    return f"{rate_text(low).removesuffix(' tok/s')} to {rate_text(high)}"


def curve_rows(points: Sequence[CurvePoint]) -> list[list[str]]:
    """Context against memory; the bar is the resident part of the largest reserved size."""
    largest = max((point.reserved_bytes for point in points), default=0)
    return [
        [
            count_text(point.context_length),
            bytes_text(point.reserved_bytes),
            bytes_text(point.resident_bytes),
            _bar(point, largest),
        ]
        for point in points
    ]


def _bar(point: CurvePoint, largest: int) -> str:
    if not largest:
        return ""
    resident = round(point.resident_bytes / largest * BAR_WIDTH)
    reserved = round(point.reserved_bytes / largest * BAR_WIDTH)
    return "#" * resident + "-" * max(0, reserved - resident)


def check_lines(checks: Sequence[MemoryCheck]) -> list[str]:
    """How many loads there are, and how far the predictions of all of them were off."""
    count = len(checks)
    which = f", the newest {SHOWN_CHECKS} of {count}" if count > SHOWN_CHECKS else ""
    lines = [f"Memory of past loads, predicted and measured{which}:"]
    errors = [load_errors(check) for check in checks]
    if (reserved := span([found.reserved for found in errors])) is not None:
        lines.append(f"What llama.cpp reserved: {_span_text(reserved)}.")
    if (total := span([found.total for found in errors])) is not None:
        lines.append(f"In all, with a filled context: {_span_text(total)}.")
    return lines


def _span_text(found: ErrorSpan) -> str:
    if found.loads == 1:
        return f"{percent_text(found.worst * 100)} off in 1 load"
    median, worst = percent_text(found.median * 100), percent_text(found.worst * 100)
    return f"median {median}, worst {worst} off over {found.loads} loads"


def check_rows(checks: Sequence[MemoryCheck]) -> list[list[str]]:
    """Predicted against measured, item by item, the newest load first; the newest few loads."""
    return [
        [
            check.checked_at[:10],
            count_text(check.context_length),
            check.kv_type,
            PURPOSES.get(part.purpose, part.purpose),
            bytes_text(part.predicted_bytes),
            bytes_text(part.measured_bytes),
            _error_text(MemoryComparison(part.purpose, part.predicted_bytes, part.measured_bytes).error),
        ]
        for check in checks[:SHOWN_CHECKS]
        for part in check.parts
    ]


def _error_text(error: float | None) -> str:
    if error is None:
        return UNKNOWN
    return f"{'-' if error < 0 else '+'}{percent_text(abs(error) * 100)}"
