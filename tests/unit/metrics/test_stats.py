from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.metrics.stats import percentile, summarize

SAMPLES = st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=300)


@given(SAMPLES, st.floats(0, 100))
def test_percentile_is_numpys_default(samples: list[float], q: float) -> None:
    expected = float(np.percentile(samples, q))
    assert percentile(samples, q) == pytest.approx(expected, rel=1e-12, abs=1e-6)


@given(SAMPLES)
def test_percentile_stays_within_the_samples_and_rises(samples: list[float]) -> None:
    values = [percentile(samples, q) for q in (0, 10, 50, 90, 99, 100)]
    assert values[0] == min(samples)
    assert values[-1] == max(samples)
    assert values == sorted(values)


@given(SAMPLES)
def test_summary_agrees_with_the_standard_library(samples: list[float]) -> None:
    summary = summarize(samples)
    assert summary is not None
    assert summary.count == len(samples)
    assert summary.mean == pytest.approx(statistics.fmean(samples), rel=1e-9, abs=1e-6)
    assert summary.median == pytest.approx(statistics.median(samples), rel=1e-12, abs=1e-6)
    assert summary.p50 == summary.median
    assert (summary.minimum, summary.maximum) == (min(samples), max(samples))
    if len(samples) > 1:
        assert summary.stdev == pytest.approx(float(np.std(samples, ddof=1)), rel=1e-9, abs=1e-3)


def test_known_percentiles() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([1.0, 2.0, 3.0, 4.0, 5.0], 95) == pytest.approx(4.8)
    assert percentile([7.0], 99) == 7.0


def test_p99_needs_a_hundred_samples() -> None:
    few, enough = summarize([float(n) for n in range(99)]), summarize([float(n) for n in range(100)])
    assert few is not None
    assert enough is not None
    assert few.p99 is None
    assert enough.p99 == pytest.approx(98.01)


def test_one_sample_has_no_spread() -> None:
    summary = summarize([3.0])
    assert summary is not None
    assert (summary.mean, summary.p95, summary.stdev) == (3.0, 3.0, None)


def test_no_samples_no_summary() -> None:
    assert summarize([]) is None
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        percentile([1.0, float("nan")], 50)
    with pytest.raises(ValueError, match="not a number"):
        summarize([float("nan")])
    with pytest.raises(ValueError, match="not from 0 to 100"):
        percentile([1.0], 101)
