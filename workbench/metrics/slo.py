"""Judges a run's figures against the latency budgets of the surface on which its answer appears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from workbench.metrics.stats import percentile
from workbench.profiles import BudgetMetric, SurfaceProfile
from workbench.runs.timings import Metrics
from workbench.units import ms_parts

ITL_PERCENTILE: Final = 95.0


@dataclass(frozen=True, slots=True)
class BudgetVerdict:
    """`value_ms` and `within` None: not measured. `decides`: the budget on which the surface is judged."""

    metric: BudgetMetric
    label: str
    value_ms: float | None
    budget_ms: float
    within: bool | None
    text: str
    decides: bool = False


def judge(metrics: Metrics, surface: SurfaceProfile) -> tuple[BudgetVerdict, ...]:
    """One verdict per budget, in the order ttft, ttfa, itl, ttlt. A value equal to its budget is within it.

    ITL is judged on the 95th percentile of the run's raw gaps, linearly interpolated.
    """
    return tuple(_verdict(metric, budget_ms, metrics, surface) for metric, budget_ms in surface.budgets)


def deciding(verdicts: tuple[BudgetVerdict, ...]) -> BudgetVerdict | None:
    """The verdict that stands for the run."""
    return next((verdict for verdict in verdicts if verdict.decides), None)


def _verdict(metric: BudgetMetric, budget_ms: float, metrics: Metrics, surface: SurfaceProfile) -> BudgetVerdict:
    label, value_of = _JUDGED[metric]
    value_ms = value_of(metrics)
    within = None if value_ms is None else value_ms <= budget_ms
    if value_ms is None:
        text = "not measured"
    elif within:
        text = f"within the {_duration(budget_ms)} {surface.title.lower()} budget"
    else:
        text = f"over by {_duration(max(value_ms - budget_ms, 0.01))}"
    return BudgetVerdict(metric, label, value_ms, budget_ms, within, text, decides=metric == surface.judged_on)


def _itl_p95(metrics: Metrics) -> float | None:
    return percentile(metrics.itl_ms, ITL_PERCENTILE) if metrics.itl_ms else None


_JUDGED: Final[dict[BudgetMetric, tuple[str, Callable[[Metrics], float | None]]]] = {
    "ttft": ("TTFT", lambda metrics: metrics.ttft_ms),
    "ttfa": ("TTFA", lambda metrics: metrics.ttfa_ms),
    "itl": ("ITL p95", _itl_p95),
    "ttlt": ("TTLT", lambda metrics: metrics.ttlt_ms),
}


def _duration(ms: float) -> str:
    return " ".join(ms_parts(ms))
