from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from workbench.metrics.gpu import GpuReading, Nvml


class LibraryError(Exception):
    pass


class Library:
    """Stands for `pynvml` with any number of GPUs; what is in `refused` fails like an old driver."""

    NVMLError = LibraryError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, gpus: list[dict[str, Any]], refused: tuple[str, ...] = ()) -> None:
        self._gpus = gpus
        self._refused = refused
        self.is_open = True

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in object.__getattribute__(self, "_refused"):
            return object.__getattribute__(self, "_refuse")
        return object.__getattribute__(self, name)

    def _refuse(self, *arguments: object) -> None:
        raise LibraryError

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        return self._gpus[index]

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"580.65"

    def nvmlDeviceGetName(self, gpu: dict[str, Any]) -> str:
        return str(gpu["name"])

    def nvmlDeviceGetCudaComputeCapability(self, gpu: dict[str, Any]) -> list[int]:
        return [9, 0]

    def nvmlDeviceGetMemoryInfo(self, gpu: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(used=gpu["used"], total=gpu["total"], free=gpu["total"] - gpu["used"])

    def nvmlDeviceGetUtilizationRates(self, gpu: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(gpu=gpu["util"])

    def nvmlDeviceGetPowerUsage(self, gpu: dict[str, Any]) -> int:
        return int(gpu["milliwatts"])

    def nvmlDeviceGetTemperature(self, gpu: dict[str, Any], sensor: int) -> int:
        return int(gpu["celsius"])

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: dict[str, Any]) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in gpu["processes"].items()]

    def nvmlDeviceGetGraphicsRunningProcesses(self, gpu: dict[str, Any]) -> list[SimpleNamespace]:
        return []


def gpu(**changes: Any) -> dict[str, Any]:
    usual = {
        "name": "H200", "used": 10, "total": 100, "util": 40, "milliwatts": 250_500, "celsius": 60, "processes": {},
    }  # fmt: skip
    return usual | changes


def test_one_gpu_is_read_with_units() -> None:
    reading = Nvml(Library([gpu(processes={7: 5})])).read(7)
    assert reading == GpuReading(40.0, 10, 100, 5, 250.5, 60.0)


def test_gpus_that_the_process_uses_count() -> None:
    gpus = [gpu(), gpu(processes={7: 5}, util=80, celsius=70), gpu(processes={7: 6}, util=60, celsius=50)]
    assert Nvml(Library(gpus)).read(7) == GpuReading(70.0, 20, 200, 11, 501.0, 70.0)


def test_all_gpus_count_when_the_process_uses_none() -> None:
    reading = Nvml(Library([gpu(), gpu()])).read(7)
    assert (reading.process_memory_bytes, reading.memory_total_bytes) == (None, 200)
    assert Nvml(Library([gpu()])).read(None).process_memory_bytes is None


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ("nvmlDeviceGetUtilizationRates", "util_percent"),
        ("nvmlDeviceGetMemoryInfo", "memory_used_bytes"),
        ("nvmlDeviceGetMemoryInfo", "memory_total_bytes"),
        ("nvmlDeviceGetPowerUsage", "power_w"),
        ("nvmlDeviceGetTemperature", "temperature_c"),
        ("nvmlDeviceGetComputeRunningProcesses", "process_memory_bytes"),
    ],
)
def test_a_refused_figure_is_none_and_the_others_stay(call: str, field: str) -> None:
    reading = Nvml(Library([gpu(processes={7: 5})], (call,))).read(7)
    assert getattr(reading, field) is None
    assert (reading.util_percent is None) == (field == "util_percent")


def test_windows_hides_the_memory_of_processes() -> None:
    assert Nvml(Library([gpu(processes={7: None})])).read(7).process_memory_bytes is None


def test_no_gpu_reads_as_nothing() -> None:
    assert Nvml(Library([])).read(7) == GpuReading()
    assert Nvml(Library([gpu()], ("nvmlDeviceGetCount",))).gpus() == []


def test_gpus_are_described_and_the_session_closes() -> None:
    library = Library([gpu()])
    session = Nvml(library)
    (found,) = session.gpus()
    assert (found.name, found.driver, found.memory_total_bytes, found.compute_capability) == (
        "H200",
        "580.65",
        100,
        (9, 0),
    )
    assert found.memory_free_bytes == 100 - gpu()["used"]
    session.close()
    assert not library.is_open
