"""Verdicts against latency budgets."""

from __future__ import annotations

import pytest

from workbench.metrics.slo import deciding, judge
from workbench.profiles import SurfaceProfile
from workbench.runs.timings import Metrics

CHAT = SurfaceProfile(
    "chat", 1, "Chat", "s", judged_on="ttft", source="x", ttft_ms=500, ttfa_ms=5000, itl_ms=200, ttlt_ms=30_000
)


def test_within_over_and_not_measured_are_said_in_words() -> None:
    verdicts = judge(Metrics(ttft_ms=680.0, ttfa_ms=4999.9, ttlt_ms=None), CHAT)
    assert [(v.metric, v.within, v.text) for v in verdicts] == [
        ("ttft", False, "over by 180 ms"),
        ("ttfa", True, "within the 5.0 s chat budget"),
        ("itl", None, "not measured"),
        ("ttlt", None, "not measured"),
    ]
    assert [v.label for v in verdicts] == ["TTFT", "TTFA", "ITL p95", "TTLT"]
    assert [v.value_ms for v in verdicts] == [680.0, 4999.9, None, None]


@pytest.mark.parametrize(
    ("ttft_ms", "within", "text"),
    [
        (500.0, True, "within the 500 ms chat budget"),
        (500.0001, False, "over by 0.01 ms"),
        (500.3, False, "over by 0.30 ms"),
        (502.0, False, "over by 2.0 ms"),
        (2000.0, False, "over by 1.5 s"),
        (1499.7, False, "over by 1.0 s"),
        (300_500.0, False, "over by 5:00 min"),
    ],
)
def test_the_border_belongs_to_the_budget(ttft_ms: float, within: bool, text: str) -> None:
    verdict = judge(Metrics(ttft_ms=ttft_ms), CHAT)[0]
    assert (verdict.within, verdict.text) == (within, text)


def test_itl_is_judged_on_the_interpolated_95th_percentile() -> None:
    # Twenty gaps 0, 10 ... 190 and one of 400: p95 of 21 lies at index 19, so one outlier does not fail the run.
    gaps = (*tuple(float(10 * i) for i in range(20)), 400.0)
    itl = judge(Metrics(itl_ms=gaps), CHAT)[2]
    assert itl.value_ms == pytest.approx(190.0)
    assert itl.within is True
    assert judge(Metrics(itl_ms=(100.0, 300.0)), CHAT)[2].value_ms == pytest.approx(290.0)


def test_only_budgets_that_exist_are_judged_and_one_decides() -> None:
    surface = SurfaceProfile("doc", 1, "Doc", "s", judged_on="ttlt", source="x", ttft_ms=10, ttlt_ms=20)
    verdicts = judge(Metrics(ttft_ms=5.0, ttlt_ms=21.0), surface)
    assert [v.metric for v in verdicts] == ["ttft", "ttlt"]
    decision = deciding(verdicts)
    assert decision is not None
    assert (decision.metric, decision.within) == ("ttlt", False)
    assert deciding(()) is None
