"""Rented-GPU and electricity cost, and the three estimates of a run side by side."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.economics.hardware_cost import average_power_w, electricity_cost, gpu_cost
from workbench.economics.prices import ApiModel, PriceBook
from workbench.economics.unit import busy_seconds, estimate_run, unknown_choices
from workbench.economics.wording import plain
from workbench.paths import resources
from workbench.profiles import MachineProfile, ProfileStore
from workbench.runs.record import TelemetrySample
from workbench.runs.timings import Metrics, PassTimings

S = 1_000_000_000
GPU = MachineProfile("l4", 1, "L4", 3.6, 24 * 2**30, "prov", "2025-06-01", "bill")
API = ApiModel("p", "m", "M", 1.0, None, 2.0, "d", "P")


def watts(*pairs: tuple[float, float | None], cpu: float | None = None) -> list[TelemetrySample]:
    return [TelemetrySample(t_ns=round(t * S), gpu_power_w=power, cpu_power_w=cpu) for t, power in pairs]


def test_gpu_cost_is_passes_times_seconds_times_price_per_second() -> None:
    cost = gpu_cost(2, 5.0, GPU)
    assert cost.usd == pytest.approx(2 * 5.0 * 0.001)
    assert cost.formula == "2 passes × 5 s × $3.6 ÷ 3,600 s ÷ (1 at once × 100 % used) = $0.01"
    assert (cost.kind, cost.price_date) == ("gpu", "2025-06-01")
    assert "same seconds on that GPU as measured here" in dict(cost.inputs)["assumes"]


def test_sharing_divides_and_idle_time_multiplies() -> None:
    assert gpu_cost(1, 5.0, GPU, concurrency=4, utilisation=0.5).usd == pytest.approx(0.005 / 2)
    shared = MachineProfile("x", 1, "X", 3.6, 1, "p", "2025-06-01", "s", concurrency=4, utilisation=0.5)
    assert gpu_cost(1, 5.0, shared).usd == pytest.approx(0.005 / 2)
    assert gpu_cost(1, 5.0, shared, concurrency=1).usd == pytest.approx(0.005 / 0.5)


@pytest.mark.parametrize(("concurrency", "utilisation"), [(0, 1), (1, 0), (1, 1.5), (-1, 1)])
def test_impossible_sharing_is_refused(concurrency: float, utilisation: float) -> None:
    with pytest.raises(ValueError, match="utilisation"):
        gpu_cost(1, 1.0, GPU, concurrency=concurrency, utilisation=utilisation)


def test_gpu_cost_says_why_it_is_unknown() -> None:
    assert (gpu_cost(1, 1.0, None).usd, gpu_cost(1, 1.0, None).reason) == (None, "no rented GPU is chosen")
    assert (gpu_cost(1, None, GPU).usd, gpu_cost(1, None, GPU).reason) == (None, "the run has not ended")


@settings(deadline=None)  # the machine may be busy
@given(
    st.integers(1, 64), st.floats(0, 1e5), st.floats(0, 1e5), st.floats(1, 100), st.floats(0.01, 1), st.floats(0.01, 1)
)
def test_gpu_cost_grows_with_time_and_falls_with_use(
    passes: int, seconds: float, extra: float, at_once: float, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    base = gpu_cost(passes, seconds, GPU, concurrency=at_once, utilisation=high).usd
    longer = gpu_cost(passes, seconds + extra, GPU, concurrency=at_once, utilisation=high).usd
    idler = gpu_cost(passes, seconds, GPU, concurrency=at_once, utilisation=low).usd
    assert base is not None
    assert longer is not None
    assert idler is not None
    assert 0 <= base <= longer
    assert base <= idler * (1 + 1e-12)


def test_average_power_is_the_trapezoid_over_uneven_samples() -> None:
    samples = watts((0, 100.0), (1, 200.0), (4, 200.0))
    assert average_power_w(samples, lambda s: s.gpu_power_w) == pytest.approx((150 * 1 + 200 * 3) / 4)
    assert average_power_w(list(reversed(samples)), lambda s: s.gpu_power_w) == pytest.approx(187.5)
    gaps = watts((0, 100.0), (1, None), (2, 300.0))
    assert average_power_w(gaps, lambda s: s.gpu_power_w) == pytest.approx(200.0)
    assert average_power_w(watts((3, 70.0)), lambda s: s.gpu_power_w) == 70.0
    assert average_power_w(watts((0, None)), lambda s: s.gpu_power_w) is None


def test_electricity_is_average_power_times_time_times_price() -> None:
    # 300 W for 12 s are 3,600 J, a thousandth of a kWh.
    cost = electricity_cost(watts((0, 250.0), (9, 250.0), cpu=50.0), 12.0, 0.30)
    assert cost.usd == pytest.approx(0.0003)
    assert cost.formula == "300 W × 12 s ÷ 3,600,000 J per kWh × $0.3 = $0.0003"
    assert dict(cost.inputs)["CPU power"] == "50 W on average"
    only_gpu = electricity_cost(watts((0, 300.0)), 12.0, 0.30)
    assert only_gpu.usd == pytest.approx(0.0003)
    assert dict(only_gpu.inputs)["CPU power"] == "not measured"


def test_electricity_says_why_it_is_unknown() -> None:
    measured = watts((0, 300.0))
    assert electricity_cost([], 1.0, 0.3).reason == "power is not measured on this machine"
    assert electricity_cost(watts((0, None)), 1.0, 0.3).reason == "power is not measured on this machine"
    assert electricity_cost(measured, None, 0.3).reason == "the run has not ended"
    assert electricity_cost(measured, 1.0, None).reason == "no electricity price is set"
    assert electricity_cost(measured, 1.0, None).usd is None
    assert electricity_cost(measured, 1.0, 0.0).usd == 0.0


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 2e3)), min_size=1, max_size=20),
    st.floats(0, 1e4),
    st.floats(0, 5),
)
def test_electricity_lies_between_that_of_the_least_and_the_most_power(
    pairs: list[tuple[float, float]], duration_s: float, price: float
) -> None:
    cost = electricity_cost(watts(*pairs), duration_s, price).usd
    powers = [power for _, power in pairs]
    low, high = (power * duration_s / 3.6e6 * price for power in (min(powers), max(powers)))
    assert cost is not None
    assert low * (1 - 1e-9) <= cost <= high * (1 + 1e-9)


def test_a_run_has_three_estimates_in_order() -> None:
    metrics = Metrics(prompt_tokens=100, cached_tokens=0, output_tokens=50, thinking_tokens=20, ttlt_ms=10_000.0)
    costs = estimate_run(metrics, 2, watts((0, 360.0)), api=API, machine=GPU, usd_per_kwh=1.0)
    assert [cost.kind for cost in costs] == ["api", "gpu", "electricity"]
    assert [cost.usd for cost in costs] == pytest.approx([200 / 1e6, 0.01, 0.001])
    assert dict(costs[1].inputs)["seconds per pass"] == "5 s, measured on this machine"
    busy = estimate_run(metrics, 2, watts((0, 360.0)), api=API, machine=GPU, usd_per_kwh=1.0, busy_s=20.0)
    assert [cost.usd for cost in busy] == pytest.approx([200 / 1e6, 0.02, 0.002])


def test_a_run_of_which_nothing_is_known_has_three_reasons() -> None:
    costs = estimate_run(Metrics(), 0, (), api=None, machine=None, usd_per_kwh=None)
    assert [cost.usd for cost in costs] == [None, None, None]
    assert all(cost.reason for cost in costs)
    waiting = estimate_run(Metrics(), 1, (), api=None, machine=GPU, usd_per_kwh=None, api_reason="prices are loading")
    assert waiting[0].reason == "prices are loading"
    assert estimate_run(Metrics(), 1, (), api=API, machine=None, usd_per_kwh=None)[0].usd is None


def test_live_estimate_grows_with_the_answer() -> None:
    costs = [
        estimate_run(
            Metrics(prompt_tokens=10, output_tokens=n), 1, (), api=API, machine=GPU, usd_per_kwh=None, busy_s=n
        )
        for n in range(1, 5)
    ]
    for before, after in itertools.pairwise(costs):
        assert [cost.usd for cost in before[:2]] < [cost.usd for cost in after[:2]]


def test_estimating_is_cheap_enough_for_four_times_a_second() -> None:
    samples = watts(*((i / 4, 50.0 + i % 9) for i in range(1000)))
    metrics = Metrics(prompt_tokens=100, output_tokens=50)
    laps = []
    for _ in range(20):
        begin = time.perf_counter_ns()
        estimate_run(metrics, 1, samples, api=API, machine=GPU, usd_per_kwh=0.3, busy_s=250.0)
        laps.append(time.perf_counter_ns() - begin)
    assert min(laps) < 1_000_000


def test_busy_time_adds_passes_in_a_row_and_counts_shared_time_once() -> None:
    row = [PassTimings(0, end_ns=2 * S), PassTimings(3 * S, end_ns=4 * S)]
    assert busy_seconds(row) == 3.0
    batch = [PassTimings(0, end_ns=2 * S), PassTimings(0, end_ns=5 * S), PassTimings(1 * S, end_ns=3 * S)]
    assert busy_seconds(batch) == 5.0
    assert busy_seconds([PassTimings(1 * S)]) is None
    assert busy_seconds([PassTimings(1 * S)], now_ns=3 * S) == 2.0
    assert busy_seconds([PassTimings(0, end_ns=S), PassTimings(2 * S)], now_ns=5 * S) == 4.0
    assert busy_seconds([]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00008, "0.00008"),
        (0.0, "0"),
        (1234.6, "1,235"),
        (1.5, "1.5"),
        (100.0, "100"),
        (2.0004, "2"),
        (1e-7, "0.0000001"),
    ],
)
def test_numbers_in_formulas_have_no_exponent(value: float, text: str) -> None:
    assert plain(value) == text


def test_formula_numbers_of_shipped_machines_are_readable() -> None:
    from workbench.profiles import ProfileStore

    store = ProfileStore(Path(__file__).resolve().parents[3] / "profiles", Path("/nonexistent"))
    for machine in store.machines():
        cost = gpu_cost(1, 3.21, machine)
        assert "e-" not in cost.formula
        assert cost.price_date is not None
        assert cost.price_date[:2] == "20"


def test_a_setting_that_names_nothing_is_told_with_the_automatic_choice(tmp_path: Path) -> None:
    book = PriceBook()
    book.load()
    profiles = ProfileStore(resources().profiles, tmp_path)
    assert unknown_choices("auto", "auto", book, profiles) == (None, None)
    assert unknown_choices(book.choices()[0].key, profiles.machines()[0].name, book, profiles) == (None, None)
    unknown = unknown_choices("no/such", "none", book, profiles)
    assert unknown == ("no/such", "none")
    metrics = Metrics(prompt_tokens=100, cached_tokens=0, output_tokens=50, ttlt_ms=10_000.0)
    api, gpu, _ = estimate_run(
        metrics, 1, (), api=API, machine=GPU, usd_per_kwh=1.0, unknown_api=unknown[0], unknown_gpu=unknown[1]
    )
    assert (api.label, gpu.label) == ("M at P (automatic choice)", "L4 (automatic choice)")
    assert "no/such" in dict(api.inputs)["choice"]
    assert "none" in dict(gpu.inputs)["choice"]
