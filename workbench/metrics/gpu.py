"""What NVIDIA's management library (NVML) tells of the GPUs; nothing of it elsewhere in the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GpuReading:
    """Of the GPUs that the process uses, or of all when it uses none. None: NVML did not answer.

    Memory and power are sums, `util_percent` is the mean, `temperature_c` the highest. Memory of the process
    is None also where NVML sees other process ids than we do (inside most containers).
    """

    util_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    process_memory_bytes: int | None = None
    power_w: float | None = None
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class NvidiaGpu:
    name: str
    memory_total_bytes: int | None
    driver: str | None
    compute_capability: tuple[int, int] | None
    memory_free_bytes: int | None = None


class Nvml:
    """An open session with the library. Use it from one thread, and close it."""

    def __init__(self, library: Any) -> None:
        self._library = library
        count = self._ask(library.nvmlDeviceGetCount) or 0
        handles = [self._ask(library.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
        self._handles = [handle for handle in handles if handle is not None]

    @classmethod
    def open(cls) -> Nvml | None:
        """None where there is no NVIDIA driver. The first call takes some 10 ms, more with a sleeping GPU."""
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return None
        return cls(pynvml)

    def close(self) -> None:
        self._ask(self._library.nvmlShutdown)

    def gpus(self) -> list[NvidiaGpu]:
        driver = _text(self._ask(self._library.nvmlSystemGetDriverVersion))
        return [
            NvidiaGpu(
                name=_text(self._ask(self._library.nvmlDeviceGetName, handle)) or "NVIDIA GPU",
                memory_total_bytes=self._memory(handle)[1],
                driver=driver,
                compute_capability=self._compute_capability(handle),
                memory_free_bytes=self._memory_free(handle),
            )
            for handle in self._handles
        ]

    def read(self, pid: int | None) -> GpuReading:
        """One reading; figures of process `pid` are None when it is None."""
        if not self._handles:
            return GpuReading()
        owned = {index: self._process_memory(handle, pid) for index, handle in enumerate(self._handles)}
        used = [self._handles[index] for index, size in owned.items() if size is not None] or self._handles
        memory = [self._memory(handle) for handle in used]
        return GpuReading(
            util_percent=_mean([self._utilisation(handle) for handle in used]),
            memory_used_bytes=_sum([pair[0] for pair in memory]),
            memory_total_bytes=_sum([pair[1] for pair in memory]),
            process_memory_bytes=_sum(list(owned.values())),
            power_w=_sum([self._power(handle) for handle in used]),
            temperature_c=max((t for t in map(self._temperature, used) if t is not None), default=None),
        )

    def _memory(self, handle: Any) -> tuple[int | None, int | None]:
        memory = self._ask(self._library.nvmlDeviceGetMemoryInfo, handle)
        return (int(memory.used), int(memory.total)) if memory is not None else (None, None)

    def _memory_free(self, handle: Any) -> int | None:
        memory = self._ask(self._library.nvmlDeviceGetMemoryInfo, handle)
        return int(memory.free) if memory is not None else None

    def _compute_capability(self, handle: Any) -> tuple[int, int] | None:
        found = self._ask(self._library.nvmlDeviceGetCudaComputeCapability, handle)
        return (int(found[0]), int(found[1])) if found is not None else None

    def _utilisation(self, handle: Any) -> float | None:
        rates = self._ask(self._library.nvmlDeviceGetUtilizationRates, handle)
        return float(rates.gpu) if rates is not None else None

    def _power(self, handle: Any) -> float | None:
        milliwatts = self._ask(self._library.nvmlDeviceGetPowerUsage, handle)
        return milliwatts / 1000 if milliwatts is not None else None

    def _temperature(self, handle: Any) -> float | None:
        found = self._ask(self._library.nvmlDeviceGetTemperature, handle, self._library.NVML_TEMPERATURE_GPU)
        return float(found) if found is not None else None

    def _process_memory(self, handle: Any, pid: int | None) -> int | None:
        if pid is None:
            return None
        # CUDA shows among the compute processes, Vulkan among the graphics processes.
        for list_processes in (
            self._library.nvmlDeviceGetComputeRunningProcesses,
            self._library.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for process in self._ask(list_processes, handle) or []:
                if process.pid == pid and process.usedGpuMemory is not None:
                    return int(process.usedGpuMemory)
        return None

    def _ask(self, call: Callable[..., T], *arguments: Any) -> T | None:
        """The answer, or None when the library says that this GPU or driver cannot tell."""
        try:
            return call(*arguments)
        except self._library.NVMLError:
            return None


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _sum(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
