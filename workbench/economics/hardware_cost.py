"""What the seconds of a run cost: on a rented GPU, and in electricity on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from workbench.economics.wording import plain, usd
from workbench.profiles import MachineProfile
from workbench.runs.record import CostEstimate, TelemetrySample

SECONDS_PER_HOUR: Final = 3600
JOULES_PER_KWH: Final = 3_600_000
SAME_SECONDS: Final = "the same seconds on that GPU as measured here; a faster or slower GPU changes them"


def gpu_cost(
    passes: int,
    seconds_per_pass: float | None,
    machine: MachineProfile | None,
    *,
    concurrency: float | None = None,
    utilisation: float | None = None,
) -> CostEstimate:
    """passes x seconds per pass x price per second / (concurrency x utilisation).

    Assumes that the rented GPU takes as long as this machine took. `concurrency` is how many runs share the GPU
    at once, `utilisation` the share of paid time that works, above 0 to 1; None takes the machine profile's.
    """
    if machine is None:
        return CostEstimate("gpu", None, "Rented GPU", "", reason="no rented GPU is chosen")
    if seconds_per_pass is None or passes < 1:
        return CostEstimate(
            "gpu", None, machine.title, "", price_date=machine.price_date, reason="the run has not ended"
        )
    shared = machine.concurrency if concurrency is None else concurrency
    used = machine.utilisation if utilisation is None else utilisation
    if shared <= 0 or not 0 < used <= 1:
        raise ValueError(f"concurrency {shared} must be above 0, utilisation {used} above 0 and at most 1")
    total = passes * seconds_per_pass * machine.usd_per_hour / SECONDS_PER_HOUR / (shared * used)
    return CostEstimate(
        kind="gpu",
        usd=total,
        label=machine.title,
        formula=(
            f"{passes} {'pass' if passes == 1 else 'passes'} × {plain(seconds_per_pass)} s"
            f" × {usd(machine.usd_per_hour)} ÷ 3,600 s ÷ ({plain(shared)} at once × {plain(used * 100)} % used)"
            f" = {usd(total)}"
        ),
        inputs=(
            ("passes", str(passes)),
            ("seconds per pass", f"{plain(seconds_per_pass)} s, measured on this machine"),
            ("price", f"{usd(machine.usd_per_hour)} per hour"),
            ("provider", machine.provider),
            ("runs at once", plain(shared)),
            ("utilisation", f"{plain(used * 100)} %"),
            ("assumes", SAME_SECONDS),
            ("price source", machine.source),
        ),
        price_date=machine.price_date,
    )


def electricity_cost(
    samples: Sequence[TelemetrySample], duration_s: float | None, usd_per_kwh: float | None
) -> CostEstimate:
    """Average power x time x price per kWh; the average is the trapezoid rule over each device's samples.

    The power is that of the whole GPU and CPU package, idle share included; screen, disks and losses of the
    power supply are not in it. None with a reason when power or price are unknown.
    """
    gpu_w = average_power_w(samples, lambda sample: sample.gpu_power_w)
    cpu_w = average_power_w(samples, lambda sample: sample.cpu_power_w)
    watts = [power for power in (gpu_w, cpu_w) if power is not None]
    inputs = (("GPU power", _power(gpu_w)), ("CPU power", _power(cpu_w)))
    if not watts:
        return _no_electricity("power is not measured on this machine", inputs)
    if duration_s is None:
        return _no_electricity("the run has not ended", inputs)
    if usd_per_kwh is None:
        return _no_electricity("no electricity price is set", inputs)
    total = sum(watts) * duration_s / JOULES_PER_KWH * usd_per_kwh
    return CostEstimate(
        kind="electricity",
        usd=total,
        label="Electricity here",
        formula=(
            f"{plain(sum(watts))} W × {plain(duration_s)} s ÷ 3,600,000 J per kWh × {usd(usd_per_kwh)} = {usd(total)}"
        ),
        inputs=(
            *inputs,
            ("time", f"{plain(duration_s)} s"),
            ("price", f"{usd(usd_per_kwh)} per kWh, from the settings"),
            ("samples", str(len(samples))),
        ),
    )


def average_power_w(
    samples: Sequence[TelemetrySample], power_of: Callable[[TelemetrySample], float | None]
) -> float | None:
    """Mean over time of one device's known readings in watts (trapezoid rule); one reading stands for itself."""
    known = sorted((s.t_ns, power) for s in samples if (power := power_of(s)) is not None)
    if not known:
        return None
    span_ns = known[-1][0] - known[0][0]
    if span_ns == 0:
        return sum(power for _, power in known) / len(known)
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(known)) / span_ns


def _power(watts: float | None) -> str:
    return "not measured" if watts is None else f"{plain(watts)} W on average"


def _no_electricity(reason: str, inputs: tuple[tuple[str, str], ...]) -> CostEstimate:
    return CostEstimate("electricity", None, "Electricity here", "", inputs=inputs, reason=reason)
