"""What NVML says while a bench runs: memory of a process and of the GPU, power, load, and the counter of energy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.metrics.gpu import Nvml
from workbench.metrics.telemetry import Sampler
from workbench.runs.record import TelemetrySample


def gpu_memory_used() -> int | None:
    """Bytes in use on all GPUs, whoever uses them; None without NVML."""
    session = Nvml.open()
    if session is None:
        return None
    try:
        return session.read(None).memory_used_bytes
    finally:
        session.close()


def energy_j() -> float | None:
    """The first GPU's counter since the driver was loaded, in joules; None where there is none (before Volta)."""
    import pynvml

    try:
        pynvml.nvmlInit()
        millijoules = pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0))
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
    return float(millijoules) / 1000


@dataclass
class Watch:
    """Samples of one process while the `with` block runs, and the energy that the GPU took meanwhile."""

    pid: Callable[[], int | None]
    interval_s: float = 0.1
    samples: list[TelemetrySample] = field(default_factory=list)
    joules: float | None = None
    seconds: float = 0.0

    def __enter__(self) -> Watch:
        self._sampler = Sampler(self.pid, self.samples.append, self.interval_s)
        self._energy, self._start = energy_j(), time.perf_counter()
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        after = energy_j()
        self._sampler.stop()
        self.joules = None if after is None or self._energy is None else after - self._energy

    def most(self, name: str) -> float | None:
        return max((value for value in self._known(name)), default=None)

    def median(self, name: str) -> float | None:
        known = self._known(name)
        return statistics.median(known) if known else None

    def _known(self, name: str) -> list[float]:
        return [value for sample in self.samples if (value := getattr(sample, name)) is not None]

    def figures(self, tokens: int) -> dict[str, Any]:
        """Load, power and energy over the block; energy for each of `tokens`."""
        return {
            "gpu_util_percent": self.median("gpu_util_percent"),
            "gpu_power_w": self.median("gpu_power_w"),
            "joules": self.joules,
            "joules_per_token": None if self.joules is None or not tokens else self.joules / tokens,
            "process_gpu_bytes": self.most("gpu_engine_memory_bytes"),
            "gpu_used_bytes": self.most("gpu_memory_used_bytes"),
        }
