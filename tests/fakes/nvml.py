"""NVIDIA's management library as `pynvml` shows it, with GPUs that are made up, refuse, vanish and come back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml

PERMISSION, NOT_SUPPORTED, LOST = (
    pynvml.NVML_ERROR_NO_PERMISSION, pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_GPU_IS_LOST,
)  # fmt: skip


def gpu(**changes: Any) -> dict[str, Any]:
    """The figures of one GPU; `processes` are bytes by process id, None for what Windows hides."""
    usual = {
        "name": "H200", "used": 10, "total": 100, "util": 40, "milliwatts": 250_500, "celsius": 60, "processes": {},
        "uuid": "GPU-0001", "lost": False,
    }  # fmt: skip
    return usual | changes


class FakeNvml:
    """The functions of `pynvml` that the program calls. Handles are those of one start of the library: after
    `nvmlShutdown` the old ones are refused, as the real ones are.

    `refused` are codes by the name of a function, `gpus` may change at any time.
    """

    NVMLError = pynvml.NVMLError
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self, gpus: list[dict[str, Any]], refused: dict[str, int] | None = None) -> None:
        self.gpus = gpus
        self.refused = refused or {}
        self.is_open = True
        self.starts = 1

    def _answer(self, name: str, handle: tuple[int, int] | None = None) -> dict[str, Any]:
        if not self.is_open:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        if name in self.refused:
            raise pynvml.NVMLError(self.refused[name])
        if handle is None:
            return {}
        start, index = handle
        if start != self.starts:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        if index >= len(self.gpus) or self.gpus[index]["lost"]:
            raise pynvml.NVMLError(LOST)
        return self.gpus[index]

    def nvmlInit(self) -> None:
        if "nvmlInit" in self.refused:
            raise pynvml.NVMLError(self.refused["nvmlInit"])
        self.is_open, self.starts = True, self.starts + 1

    def nvmlShutdown(self) -> None:
        self._answer("nvmlShutdown")
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:
        self._answer("nvmlDeviceGetCount")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> tuple[int, int]:
        handle = (self.starts, index)
        self._answer("nvmlDeviceGetHandleByIndex", handle)
        return handle

    def nvmlSystemGetDriverVersion(self) -> bytes:
        self._answer("nvmlSystemGetDriverVersion")
        return b"580.65"

    def nvmlDeviceGetName(self, handle: tuple[int, int]) -> str:
        return str(self._answer("nvmlDeviceGetName", handle)["name"])

    def nvmlDeviceGetUUID(self, handle: tuple[int, int]) -> str:
        return str(self._answer("nvmlDeviceGetUUID", handle)["uuid"])

    def nvmlDeviceGetCudaComputeCapability(self, handle: tuple[int, int]) -> list[int]:
        self._answer("nvmlDeviceGetCudaComputeCapability", handle)
        return [9, 0]

    def nvmlDeviceGetMemoryInfo(self, handle: tuple[int, int]) -> SimpleNamespace:
        found = self._answer("nvmlDeviceGetMemoryInfo", handle)
        return SimpleNamespace(used=found["used"], total=found["total"], free=found["total"] - found["used"])

    def nvmlDeviceGetUtilizationRates(self, handle: tuple[int, int]) -> SimpleNamespace:
        return SimpleNamespace(gpu=self._answer("nvmlDeviceGetUtilizationRates", handle)["util"])

    def nvmlDeviceGetPowerUsage(self, handle: tuple[int, int]) -> int:
        return int(self._answer("nvmlDeviceGetPowerUsage", handle)["milliwatts"])

    def nvmlDeviceGetTemperature(self, handle: tuple[int, int], sensor: int) -> int:
        return int(self._answer("nvmlDeviceGetTemperature", handle)["celsius"])

    def nvmlDeviceGetComputeRunningProcesses(self, handle: tuple[int, int]) -> list[SimpleNamespace]:
        found = self._answer("nvmlDeviceGetComputeRunningProcesses", handle)["processes"]
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in found.items()]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: tuple[int, int]) -> list[SimpleNamespace]:
        self._answer("nvmlDeviceGetGraphicsRunningProcesses", handle)
        return []
