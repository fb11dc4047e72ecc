"""The cost of one run, three ways; the three answer different questions and are never added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workbench.economics.hardware_cost import electricity_cost, gpu_cost
from workbench.economics.prices import LOADING, NO_MODEL, ApiModel, ApiUsage, PriceBook, price_of
from workbench.profiles import MachineProfile, ProfileStore
from workbench.runs.record import CostEstimate, TelemetrySample
from workbench.runs.timings import NS_PER_S, Metrics, PassTimings


def estimate_run(
    metrics: Metrics,
    passes: int,
    telemetry: Sequence[TelemetrySample],
    *,
    api: ApiModel | None,
    machine: MachineProfile | None,
    usd_per_kwh: float | None,
    busy_s: float | None = None,
    api_reason: str | None = None,
    unknown_api: str | None = None,
    unknown_gpu: str | None = None,
) -> tuple[CostEstimate, CostEstimate, CostEstimate]:
    """Always (api, gpu, electricity), finished or live.

    `busy_s` is how long the machine worked on all passes (`busy_seconds`); None takes TTLT, which for one pass
    is the same. `api_reason` says why `api` is None (`PriceBook.absence_reason`). `unknown_api` and
    `unknown_gpu` are settings that name nothing (`unknown_choices`): the estimates say that `api` and `machine`
    were chosen automatically instead. Far below 1 ms for 1,000 samples.
    """
    seconds = busy_s
    if seconds is None and metrics.ttlt_ms is not None:
        seconds = metrics.ttlt_ms / 1000
    per_pass = seconds / passes if seconds is not None and passes > 0 else None
    return (
        _automatic(_api_cost(metrics, passes, api, api_reason), unknown_api),
        _automatic(gpu_cost(passes, per_pass, machine), unknown_gpu),
        electricity_cost(telemetry, seconds, usd_per_kwh),
    )


def unknown_choices(
    api_price: str, gpu_price: str, prices: PriceBook, profiles: ProfileStore
) -> tuple[str | None, str | None]:
    """The settings api_price and gpu_price where they name nothing that is known; None where they do.

    Before the price tables are read nothing can be said of the first.
    """
    provider, _, model = api_price.partition("/")
    is_api_known = api_price == "auto" or not prices.loaded or prices.find(provider, model) is not None
    machine = None if gpu_price == "auto" else profiles.rented_gpu(gpu_price)
    is_gpu_known = gpu_price == "auto" or (machine is not None and machine.name == gpu_price)
    return None if is_api_known else api_price, None if is_gpu_known else gpu_price


def _automatic(estimate: CostEstimate, unknown: str | None) -> CostEstimate:
    if unknown is None or estimate.usd is None:
        return estimate
    note = f"automatic, because the settings name {unknown}, which is not known"
    return replace(estimate, label=f"{estimate.label} (automatic choice)", inputs=(*estimate.inputs, ("choice", note)))


def busy_seconds(timings: Sequence[PassTimings], now_ns: int | None = None) -> float | None:
    """Seconds during which at least one pass was at work, from its submit to its end.

    Passes that overlap in a batch share the machine, so their common time counts once; passes in a row add up.
    An open pass lasts until `now_ns`; None when nothing was submitted, or a pass is open and `now_ns` is None.
    """
    total_ns = 0
    reached_ns: int | None = None
    for start_ns, end_ns in sorted((t.submit_ns, now_ns if t.end_ns is None else t.end_ns) for t in timings):
        if end_ns is None:
            return None
        begin_ns = start_ns if reached_ns is None else max(start_ns, reached_ns)
        total_ns += max(end_ns - begin_ns, 0)
        reached_ns = end_ns if reached_ns is None else max(end_ns, reached_ns)
    return None if reached_ns is None else total_ns / NS_PER_S


def _api_cost(metrics: Metrics, passes: int, api: ApiModel | None, reason: str | None) -> CostEstimate:
    if api is None:
        return CostEstimate("api", None, "API", "", reason=reason or f"{LOADING}, or {NO_MODEL}")
    if metrics.prompt_tokens is None:
        return CostEstimate(
            "api", None, api.label, "", price_date=api.price_date, reason="the prompt's tokens are not counted yet"
        )
    usage = ApiUsage(
        input_tokens=metrics.prompt_tokens,
        cached_tokens=metrics.cached_tokens,
        output_tokens=metrics.output_tokens,
        thinking_tokens=metrics.thinking_tokens,
    )
    return price_of(api, usage, requests=max(passes, 1))
