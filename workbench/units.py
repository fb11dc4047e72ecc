"""Bytes, times, rates and money as a person reads them; the same in the window and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

UNKNOWN = "—"

Parts = tuple[str, str]
"""A figure and its unit, for places that show them in two sizes. An unknown figure has the unit ""."""


def bytes_parts(count: float | None) -> Parts:
    """Decimal units (1 MB is 10^6 bytes), three significant digits."""
    return _scaled(count, (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)))


def bytes_text(count: float | None) -> str:
    return _joined(bytes_parts(count))


def mebibytes_text(count: float | None) -> str:
    """MiB (2^20 bytes), the unit in which llama.cpp logs what it reserves."""
    return _joined(_scaled(count, (("MiB", 2**20),)))


def ms_parts(ms: float | None) -> Parts:
    """142 ms, 1.4 s, 2:05 min, 1:02:03 h."""
    if not _is_known(ms):
        return UNKNOWN, ""
    if abs(ms) < 999.5:
        return _milliseconds(ms), "ms"
    if abs(ms) < 59_950:
        return f"{ms / 1000:.1f}", "s"
    sign, seconds = "-" if ms < 0 else "", round(abs(ms) / 1000)
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{sign}{minutes}:{seconds:02d}", "min"
    return f"{sign}{minutes // 60}:{minutes % 60:02d}:{seconds:02d}", "h"


def ms_text(ms: float | None) -> str:
    """142 ms, 1.4 s, 2:05, 1:02:03."""
    figure, unit = ms_parts(ms)
    return figure if unit in ("", "min", "h") else f"{figure} {unit}"


def rate_parts(tokens_per_s: float | None) -> Parts:
    """Three significant digits, whole numbers from 100."""
    if not _is_known(tokens_per_s):
        return UNKNOWN, ""
    return _three_digits(tokens_per_s), "tok/s"


def rate_text(tokens_per_s: float | None) -> str:
    return _joined(rate_parts(tokens_per_s))


def usd_parts(usd: float | None, estimate: bool = True) -> Parts:
    """The amount and "$". An estimate has two significant digits, a price at least cents and up to three digits."""
    if not _is_known(usd):
        return UNKNOWN, ""
    if usd == 0:
        return "0", "$"
    if not estimate:
        return _price(usd), "$"
    decimals = 1 - _magnitude(usd, 2)
    return f"{round(usd, decimals):,.{max(decimals, 0)}f}", "$"


def usd_text(usd: float | None, estimate: bool = True) -> str:
    """$0.00021, $0.0000031, $12, $1,200; with `estimate` False $0.30, $1.25, $0.00015."""
    figure, unit = usd_parts(usd, estimate)
    if figure.startswith("-"):
        return f"-{unit}{figure[1:]}"
    return f"{unit}{figure}"


def count_text(count: float | None) -> str:
    """1,204"""
    return f"{round(count):,}" if _is_known(count) else UNKNOWN


def percent_text(percent: float | None) -> str:
    """`percent` is 0 to 100, not a share: 42%, 4.2%, 0.42%."""
    if not _is_known(percent):
        return UNKNOWN
    decimals = 0 if abs(percent) >= 9.95 or percent == 0 else 1 if abs(percent) >= 0.995 else 2
    return f"{percent:.{decimals}f}%"


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _scaled(count: float | None, units: Sequence[tuple[str, float]]) -> Parts:
    if not _is_known(count):
        return UNKNOWN, ""
    for index, (unit, size) in enumerate(units):
        # 999.6 MB is 1.00 GB: the unit is chosen for the rounded figure.
        if abs(count) < 999.5 * size or index == len(units) - 1:
            figure = f"{count / size:,.0f}" if unit == "B" else _three_digits(count / size)
            return figure, unit
    raise AssertionError("units is empty")


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:,.{max(0, min(2 - _magnitude(value, 3), 6))}f}"


def _price(usd: float) -> str:
    whole, _, decimals = f"{usd:,.{max(2, 2 - _magnitude(usd, 3))}f}".partition(".")
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def _milliseconds(ms: float) -> str:
    if abs(ms) >= 9.95 or ms == 0:
        return f"{ms:.0f}"
    return f"{ms:.1f}" if abs(ms) >= 0.995 else f"{ms:.2f}"


def _magnitude(value: float, digits: int) -> int:
    """Power of ten of the first digit after rounding to `digits` significant ones: 1 for 9.99 and 2 digits."""
    return int(f"{abs(value):.{digits - 1}e}".partition("e")[2])


def _joined(parts: Parts) -> str:
    figure, unit = parts
    return f"{figure} {unit}" if unit else figure
