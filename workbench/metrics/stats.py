"""Percentiles and summaries of raw samples; standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

P99_MINIMUM_SAMPLES = 100


@dataclass(frozen=True, slots=True)
class Summary:
    """In the unit of the samples. `stdev` is of the sample (n - 1), None for one; `p99` None under 100 samples."""

    count: int
    mean: float
    median: float
    p50: float
    p90: float
    p95: float
    p99: float | None
    minimum: float
    maximum: float
    stdev: float | None


def percentile(samples: Sequence[float], q: float) -> float:
    """Percentile `q` (0 to 100) by linear interpolation, which is numpy's default. Samples in any order.

    Raises ValueError when there are no samples, one is NaN, or `q` is out of range.
    """
    return _percentile(_sorted(samples), q)


def summarize(samples: Sequence[float]) -> Summary | None:
    """None when there are no samples. Raises ValueError for NaN."""
    if not samples:
        return None
    ordered = _sorted(samples)
    count = len(ordered)
    mean = math.fsum(ordered) / count
    spread = math.fsum((value - mean) ** 2 for value in ordered)
    return Summary(
        count=count,
        mean=mean,
        median=_percentile(ordered, 50),
        p50=_percentile(ordered, 50),
        p90=_percentile(ordered, 90),
        p95=_percentile(ordered, 95),
        p99=_percentile(ordered, 99) if count >= P99_MINIMUM_SAMPLES else None,
        minimum=ordered[0],
        maximum=ordered[-1],
        stdev=math.sqrt(spread / (count - 1)) if count > 1 else None,
    )


def _sorted(samples: Sequence[float]) -> list[float]:
    # Sorting around a NaN gives an order that depends on where it stood.
    if any(math.isnan(value) for value in samples):
        raise ValueError("a sample is not a number")
    return sorted(samples)


def _percentile(ordered: Sequence[float], q: float) -> float:
    if not ordered:
        raise ValueError("there are no samples")
    if not 0 <= q <= 100:
        raise ValueError(f"the percentile {q} is not from 0 to 100")
    # Method 7 of Hyndman and Fan (1996), "Sample quantiles in statistical packages".
    position = (len(ordered) - 1) * q / 100
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    share = position - low
    below, above = ordered[low], ordered[high]
    # Each half interpolates from its nearer end, as numpy does: the result never leaves [below, above].
    return above - (above - below) * (1 - share) if share >= 0.5 else below + (above - below) * share
