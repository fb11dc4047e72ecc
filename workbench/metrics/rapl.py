"""The power of the processor packages from Intel's and AMD's energy counters (RAPL) on Linux."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass(slots=True)
class _Counter:
    """One package: microjoules that run from 0 to `range_uj` and begin again."""

    file: Path
    range_uj: int
    last_uj: int


class PackagePower:
    """Mean watts since the last reading. Most systems let only root read the counters."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self._counters = [counter for counter in map(_open, _packages(root)) if counter is not None]
        self._last_ns = time.perf_counter_ns()

    def read(self) -> float | None:
        """None where there are no counters, they may not be read, or no time went by."""
        now_ns = time.perf_counter_ns()
        elapsed_s = (now_ns - self._last_ns) / 1e9
        joules = [_advance(counter) for counter in self._counters]
        self._last_ns = now_ns
        if not joules or elapsed_s <= 0 or None in joules:
            return None
        return sum(value for value in joules if value is not None) / elapsed_s


def _packages(root: Path) -> list[Path]:
    # intel-rapl:0 is a package, intel-rapl:0:1 a part of it; AMD's counters have the same name.
    return sorted(path for path in root.glob("intel-rapl:*") if path.name.count(":") == 1)


def _open(folder: Path) -> _Counter | None:
    if not (_read_text(folder / "name") or "").startswith("package"):
        return None
    energy, span = _read_number(folder / "energy_uj"), _read_number(folder / "max_energy_range_uj")
    if energy is None or span is None:
        return None
    return _Counter(folder / "energy_uj", span, energy)


def _advance(counter: _Counter) -> float | None:
    """Joules since the last call."""
    now_uj = _read_number(counter.file)
    if now_uj is None:
        return None
    step = now_uj - counter.last_uj
    counter.last_uj = now_uj
    return (step if step >= 0 else step + counter.range_uj) / 1e6


def _read_number(path: Path) -> int | None:
    text = _read_text(path)
    return int(text) if text is not None and text.isdigit() else None


def _read_text(path: Path) -> str | None:
    """None: not there, or not for us to read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None
