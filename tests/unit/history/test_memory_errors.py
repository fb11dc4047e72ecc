"""Errors of memory predictions: by purpose for one load, and as a span over many."""

from __future__ import annotations

import pytest

from workbench.history.memory_errors import load_errors, span
from workbench.history.model_figures import CheckedPart, MemoryCheck


def check(*parts: tuple[str, int, int]) -> MemoryCheck:
    found = tuple(CheckedPart(*part) for part in parts)
    return MemoryCheck("2026-11-21T10:00:00+00:00", "/m", None, 4096, "f16", 0, "engine", found)


def test_parts_of_one_purpose_are_judged_together() -> None:
    found = load_errors(
        check(("weights", 90, 100), ("repacked", 110, 100), ("kv", 30, 20), ("recurrent", 30, 30), ("compute", 95, 100))
    )
    assert (found.weights, found.kv, found.compute) == (0.0, pytest.approx(0.2), pytest.approx(-0.05))
    assert found.reserved == pytest.approx(355 / 350 - 1)


def test_what_was_not_measured_has_no_error() -> None:
    found = load_errors(check(("kv", 100, 0), ("total resident", 102, 100)))
    assert (found.weights, found.kv, found.compute, found.reserved) == (None, None, None, None)
    assert found.total == pytest.approx(0.02)


def test_a_span_is_of_sizes_and_counts_only_what_was_measured() -> None:
    found = span([-0.3, None, 0.1, 0.2])
    assert found is not None
    assert (found.loads, found.median, found.worst) == (3, 0.2, 0.3)
    assert span([None, None]) is None
    assert span([]) is None
