"""How the Models page says figures: parameters, context lengths, ages, speeds and the parts of a memory need."""

from __future__ import annotations

from datetime import UTC, datetime

from workbench import units
from workbench.hub.speed import SpeedEstimate

_LICENSES = {
    "apache-2.0": "Apache 2.0", "mit": "MIT", "llama3.2": "Llama 3.2", "llama3.1": "Llama 3.1", "llama3": "Llama 3",
    "gemma": "Gemma", "cc-by-nc-4.0": "CC BY-NC 4.0", "cc-by-4.0": "CC BY 4.0", "bsd-3-clause": "BSD 3-Clause",
    "other": "own licence",
}  # fmt: skip


def parameters_text(count: int | None) -> str:
    """600 M, 1.2 B, 14 B; empty when unknown."""
    if count is None:
        return ""
    if count < 999_500_000:
        return f"{count / 1e6:.1f} M" if count < 9_950_000 else f"{count / 1e6:.0f} M"
    return f"{count / 1e9:.1f} B" if count < 99_500_000_000 else f"{count / 1e9:.0f} B"


def large_count_text(count: int | None) -> str:
    """1.2 M, 34 k, 950; empty when unknown."""
    if count is None:
        return ""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.1f} {letter}" if count < 9.95 * size else f"{count / size:,.0f} {letter}"
    return f"{count}"


def license_text(key: str | None) -> str:
    """Apache 2.0 for apache-2.0; what is not known stays as it is."""
    return _LICENSES.get(key.casefold(), key) if key else ""


def age_text(iso: str | None, now: datetime | None = None) -> str:
    """today, 3 days ago, 5 months ago; empty when unknown."""
    if not iso:
        return ""
    then = datetime.fromisoformat(iso)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    days = ((now or datetime.now(UTC)) - then).days
    if days < 1:
        return "today"
    for size, name in ((365, "year"), (30, "month"), (7, "week"), (1, "day")):
        if days >= size:
            count = days // size
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return ""


def title_of(name: str) -> str:
    """The repository's name without the ending that all of them have."""
    for ending in ("-GGUF", "-gguf", "_GGUF", ".GGUF"):
        name = name.removesuffix(ending)
    return name


def tokens_text(count: int) -> str:
    """8k for 8192, as the Run page names context lengths."""
    return f"{count // 1024}k" if count % 1024 == 0 else f"{count:,}"


def speed_text(speed: SpeedEstimate | None) -> str:
    """41-47; one figure where both ends round to it."""
    if speed is None:
        return units.UNKNOWN
    return _range(speed.decode_low, speed.decode_high)


def speed_tip(speed: SpeedEstimate | None) -> str:
    if speed is None:
        return ""
    prefill = _range(speed.prefill_low, speed.prefill_high)
    return f"Estimated: {speed_text(speed)} tok/s decode, {prefill} tok/s prefill.\n{speed.basis}"


def error_text(share: float | None) -> str:
    """+0.4 %: how much more was predicted than measured."""
    return units.UNKNOWN if share is None else f"{signed_percent(share)} %"


def signed_percent(share: float | None) -> str:
    """+0.4, for a column whose header has the unit."""
    if share is None:
        return units.UNKNOWN
    percent = round(share * 100, 1)
    return f"{percent:+.1f}".replace("-", "−") if percent else "0.0"


def day_text(iso: str) -> str:
    """2026-11-21, in the time of this machine."""
    return datetime.fromisoformat(iso).astimezone().date().isoformat()


def shortened(name: str, longest: int) -> str:
    """Cut in the middle: the beginning tells the model, the end its quantization."""
    if len(name) <= longest:
        return name
    end = longest // 3
    return f"{name[: longest - end - 1]}…{name[-end:]}"


def _range(low: float, high: float) -> str:
    if low >= 1000:
        return f"{low / 1000:.1f}–{high / 1000:.1f}k"
    ends = _rate(low), _rate(high)
    return ends[0] if ends[0] == ends[1] else f"{ends[0]}–{ends[1]}"


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
