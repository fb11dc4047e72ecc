"""Numbers inside the formula texts of cost estimates, written out without exponents."""

from __future__ import annotations

from decimal import Decimal


def plain(value: float, digits: int = 4) -> str:
    """`value` with up to `digits` significant digits, thousands grouped: 1,234.5 or 0.00008."""
    whole = abs(value) >= 10**digits
    rounded = Decimal(f"{value:.0f}" if whole else f"{value:.{digits}g}")
    text = f"{rounded:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def usd(value: float, digits: int = 4) -> str:
    return f"${plain(value, digits)}"
