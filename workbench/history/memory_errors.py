"""How far predictions of memory were off: of one load by what the memory is for, and over all loads that are kept."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workbench.history.model_figures import MemoryCheck

WEIGHTS = frozenset({"weights", "repacked"})
KV = frozenset({"kv", "recurrent"})
COMPUTE = frozenset({"compute", "output"})
TOTAL = frozenset({"total resident"})


@dataclass(frozen=True, slots=True)
class LoadErrors:
    """Predicted by measured, less 1; None: not measured. `total` is that of what was resident, which is measured only
    where the context was about full; `reserved` that of all items which llama.cpp reserves.
    """

    weights: float | None
    kv: float | None
    compute: float | None
    total: float | None
    reserved: float | None


@dataclass(frozen=True, slots=True)
class ErrorSpan:
    """Of the absolute errors of some loads, as shares."""

    loads: int
    median: float
    worst: float


def load_errors(check: MemoryCheck) -> LoadErrors:
    return LoadErrors(
        weights=_error(check, WEIGHTS),
        kv=_error(check, KV),
        compute=_error(check, COMPUTE),
        total=_error(check, TOTAL),
        reserved=_error(check, WEIGHTS | KV | COMPUTE),
    )


def span(errors: Sequence[float | None]) -> ErrorSpan | None:
    """None where nothing was measured."""
    sizes = [abs(error) for error in errors if error is not None]
    return ErrorSpan(len(sizes), statistics.median(sizes), max(sizes)) if sizes else None


def _error(check: MemoryCheck, purposes: Collection[str]) -> float | None:
    parts = [part for part in check.parts if part.purpose in purposes]
    measured = sum(part.measured_bytes for part in parts)
    return sum(part.predicted_bytes for part in parts) / measured - 1 if measured else None
