"""What NVIDIA's management library (NVML) tells of the GPUs; nothing of it elsewhere in the program."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
# Codes of nvmlReturn_t (nvml.h) after which nothing can be asked before the library is started again: uninitialized,
# driver not loaded, GPU is lost, reset required, library and driver differ, GPU not found.
_GONE = frozenset({1, 9, 15, 16, 18, 28})
_REASONS = {
    3: "this GPU or driver does not tell",
    4: "not permitted to this user",
    13: "the driver is too old",
}
_AGAIN_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class GpuReading:
    """Of the GPUs that the process uses, or of all when it uses none. None: NVML did not answer for one of them.

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
    untold: tuple[str, ...] = ()
    uuid: str | None = None


class Nvml:
    """An open session with the library. Use it from one thread, and close it.

    After a GPU has vanished, readings are empty, and it is looked for every two seconds: a sum over those that are left
    would pass for the whole.
    """

    def __init__(self, library: Any, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._library, self._clock_s = library, clock_s
        self._is_gone = False
        self._again_s = 0.0
        self._handles: list[Any] = []
        self._count = 0
        self._find_handles()

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

    def _find_handles(self) -> None:
        count = self._ask(self._library.nvmlDeviceGetCount) or 0
        handles = [self._ask(self._library.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
        self._handles = [handle for handle in handles if handle is not None]
        self._count = max(self._count, count)

    def _is_whole(self) -> bool:
        """Whether every GPU that there was answers; starts the library again where one did not."""
        if not self._is_gone:
            return True
        if self._clock_s() < self._again_s:
            return False
        self._ask(self._library.nvmlShutdown)
        self._is_gone = False
        self._ask(self._library.nvmlInit)
        self._find_handles()
        if len(self._handles) < self._count:
            self._lose()
        return not self._is_gone

    def _lose(self) -> None:
        self._is_gone, self._again_s = True, self._clock_s() + _AGAIN_AFTER_S

    def gpus(self) -> list[NvidiaGpu]:
        driver = _text(self._ask(self._library.nvmlSystemGetDriverVersion))
        return [
            NvidiaGpu(
                name=_text(self._ask(self._library.nvmlDeviceGetName, handle)) or "NVIDIA GPU",
                memory_total_bytes=self._memory(handle)[1],
                driver=driver,
                compute_capability=self._compute_capability(handle),
                memory_free_bytes=self._memory_free(handle),
                untold=self._untold(handle),
                uuid=_text(self._ask(self._library.nvmlDeviceGetUUID, handle)),
            )
            for handle in self._handles
        ]

    def _untold(self, handle: Any) -> tuple[str, ...]:
        """Figures that stay unknown during a run, each with the reason."""
        library = self._library
        asked: tuple[tuple[str, Callable[[], object]], ...] = (
            ("memory", lambda: library.nvmlDeviceGetMemoryInfo(handle)),
            ("utilisation", lambda: library.nvmlDeviceGetUtilizationRates(handle)),
            ("power", lambda: library.nvmlDeviceGetPowerUsage(handle)),
            ("temperature", lambda: library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU)),
            ("memory of processes", lambda: library.nvmlDeviceGetComputeRunningProcesses(handle)),
        )
        found = []
        for name, ask in asked:
            try:
                ask()
            except library.NVMLError as error:
                found.append(f"{name}: {_REASONS.get(_code(error), 'the driver does not answer')}")
        return tuple(found)

    def read(self, pid: int | None) -> GpuReading:
        """One reading; figures of process `pid` are None when it is None."""
        if not self._is_whole() or not self._handles:
            return GpuReading()
        reading = self._read(pid)
        return GpuReading() if self._is_gone else reading

    def _read(self, pid: int | None) -> GpuReading:
        owned = {index: self._process_memory(handle, pid) for index, handle in enumerate(self._handles)}
        used = [self._handles[index] for index, size in owned.items() if size is not None] or self._handles
        memory = [self._memory(handle) for handle in used]
        return GpuReading(
            util_percent=_mean([self._utilisation(handle) for handle in used]),
            memory_used_bytes=_sum([pair[0] for pair in memory]),
            memory_total_bytes=_sum([pair[1] for pair in memory]),
            process_memory_bytes=_sum([size for size in owned.values() if size is not None]),
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
        except self._library.NVMLError as error:
            if _code(error) in _GONE:
                self._lose()
            return None


def cuda_free_bytes(gpus: Sequence[NvidiaGpu], environment: Mapping[str, str] = os.environ) -> dict[str, int]:
    """Free memory by llama.cpp's name of the device. The engine has CUDA count as NVML does, by place on the bus;
    CUDA_VISIBLE_DEVICES leaves some out and may turn their order, up to the first entry that names none.
    """
    seen = list(gpus)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        seen = []
        for entry in (text.strip() for text in visible.split(",")):
            by_number = [gpu for index, gpu in enumerate(gpus) if entry == str(index)]
            by_name = [gpu for gpu in gpus if entry.startswith("GPU-") and (gpu.uuid or "").startswith(entry)]
            if not (by_number or by_name):
                break
            seen.append((by_number or by_name)[0])
    free = {f"CUDA{index}": gpu.memory_free_bytes for index, gpu in enumerate(seen)}
    return {name: size for name, size in free.items() if size is not None}


def _code(error: Exception) -> int:
    return int(getattr(error, "value", 0))


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _sum(values: Sequence[Any]) -> Any:
    return sum(values) if values and None not in values else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
