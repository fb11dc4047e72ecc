from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import units


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 B"), (812, "812 B"), (999.6, "1.00 kB"), (1_234, "1.23 kB"), (12_300_000, "12.3 MB"),
        (999_400_000, "999 MB"), (999_600_000, "1.00 GB"), (4.56e12, "4.56 TB"), (-3_000_000, "-3.00 MB"), (None, "—"),
    ],
)  # fmt: skip
def test_bytes(value: float | None, expected: str) -> None:
    assert units.bytes_text(value) == expected


def test_mebibytes() -> None:
    assert units.mebibytes_text(96 * 2**20) == "96.0 MiB"
    assert units.mebibytes_text(2000 * 2**20) == "2,000 MiB"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 ms"), (0.42, "0.42 ms"), (4.2, "4.2 ms"), (9.96, "10 ms"), (142.3, "142 ms"), (999.6, "1.0 s"),
        (1_400, "1.4 s"), (59_949, "59.9 s"), (59_960, "1:00"), (65_000, "1:05"), (3_725_000, "1:02:05"),
        (-142, "-142 ms"), (None, "—"), (float("nan"), "—"),
    ],
)  # fmt: skip
def test_times(value: float | None, expected: str) -> None:
    assert units.ms_text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.42, "0.420 tok/s"), (3.456, "3.46 tok/s"), (38.44, "38.4 tok/s"), (99.96, "100 tok/s"),
        (412.4, "412 tok/s"), (1_204.3, "1,204 tok/s"), (None, "—"),
    ],
)  # fmt: skip
def test_rates(value: float | None, expected: str) -> None:
    assert units.rate_text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "$0"), (0.0000031, "$0.0000031"), (0.00021, "$0.00021"), (0.000214, "$0.00021"), (0.0099999, "$0.010"),
        (0.5, "$0.50"), (1.2, "$1.2"), (12.3, "$12"), (1_234, "$1,200"), (-0.002, "-$0.0020"), (None, "—"),
    ],
)  # fmt: skip
def test_estimates_of_money(value: float | None, expected: str) -> None:
    assert units.usd_text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.3, "$0.30"), (1.25, "$1.25"), (0.0375, "$0.0375"), (0.00015, "$0.00015"), (1_234, "$1,234.00"), (0, "$0"),
    ],
)  # fmt: skip
def test_prices(value: float, expected: str) -> None:
    assert units.usd_text(value, estimate=False) == expected


def test_counts_and_percent() -> None:
    assert [units.count_text(value) for value in (0, 1204, 1e6, None)] == ["0", "1,204", "1,000,000", "—"]
    expected = ["0%", "0.42%", "4.2%", "10%", "42%", "103%", "—"]
    assert [units.percent_text(value) for value in (0, 0.42, 4.2, 9.96, 42, 103.2, None)] == expected


def test_figures_and_units_apart() -> None:
    assert units.ms_parts(1_400) == ("1.4", "s")
    assert units.ms_parts(65_000) == ("1:05", "min")
    assert units.bytes_parts(12_300_000) == ("12.3", "MB")
    assert units.rate_parts(38.44) == ("38.4", "tok/s")
    assert units.usd_parts(0.00021) == ("0.00021", "$")
    for parts in (units.ms_parts, units.bytes_parts, units.rate_parts, units.usd_parts):
        assert parts(None) == ("—", "")


@given(st.floats(-1e15, 1e15, allow_nan=False) | st.none())
def test_nothing_raises_and_nothing_is_shown_with_an_exponent(value: float | None) -> None:
    texts = [
        units.bytes_text(value), units.mebibytes_text(value), units.ms_text(value), units.rate_text(value),
        units.usd_text(value), units.usd_text(value, estimate=False), units.count_text(value),
        units.percent_text(value),
    ]  # fmt: skip
    for text in texts:
        assert text
        assert "e+" not in text
        assert "e-" not in text
