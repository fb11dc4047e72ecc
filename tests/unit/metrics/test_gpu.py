from __future__ import annotations

import pynvml
import pytest

from tests.fakes.nvml import LOST, NOT_SUPPORTED, PERMISSION, FakeNvml, gpu
from workbench.metrics.gpu import GpuReading, NvidiaGpu, Nvml, cuda_free_bytes
from workbench.metrics.telemetry import Probe

DRIVER_GONE = pynvml.NVML_ERROR_DRIVER_NOT_LOADED


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_one_gpu_is_read_with_units() -> None:
    reading = Nvml(FakeNvml([gpu(processes={7: 5})])).read(7)
    assert reading == GpuReading(40.0, 10, 100, 5, 250.5, 60.0)


def test_gpus_that_the_process_uses_count() -> None:
    gpus = [gpu(), gpu(processes={7: 5}, util=80, celsius=70), gpu(processes={7: 6}, util=60, celsius=50)]
    assert Nvml(FakeNvml(gpus)).read(7) == GpuReading(70.0, 20, 200, 11, 501.0, 70.0)


def test_all_gpus_count_when_the_process_uses_none() -> None:
    reading = Nvml(FakeNvml([gpu(), gpu()])).read(7)
    assert (reading.process_memory_bytes, reading.memory_total_bytes) == (None, 200)
    assert Nvml(FakeNvml([gpu()])).read(None).process_memory_bytes is None


@pytest.mark.parametrize("code", [PERMISSION, NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND])
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
def test_a_refused_figure_is_none_and_the_others_stay(call: str, field: str, code: int) -> None:
    reading = Nvml(FakeNvml([gpu(processes={7: 5})], {call: code})).read(7)
    assert getattr(reading, field) is None
    assert (reading.util_percent is None) == (field == "util_percent")


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    class OneTells(FakeNvml):
        def nvmlDeviceGetPowerUsage(self, handle: tuple[int, int]) -> int:
            if handle[1] == 1:
                raise pynvml.NVMLError(NOT_SUPPORTED)
            return super().nvmlDeviceGetPowerUsage(handle)

    reading = Nvml(OneTells([gpu(), gpu()])).read(None)
    assert reading.power_w is None
    assert reading.memory_used_bytes == 20


def test_windows_hides_the_memory_of_processes() -> None:
    assert Nvml(FakeNvml([gpu(processes={7: None})])).read(7).process_memory_bytes is None


def test_no_gpu_reads_as_nothing() -> None:
    assert Nvml(FakeNvml([])).read(7) == GpuReading()
    assert Nvml(FakeNvml([gpu()], {"nvmlDeviceGetCount": NOT_SUPPORTED})).gpus() == []


def test_gpus_are_described_and_the_session_closes() -> None:
    library = FakeNvml([gpu()])
    session = Nvml(library)
    (found,) = session.gpus()
    assert found == NvidiaGpu("H200", 100, "580.65", (9, 0), 90, (), "GPU-0001")
    session.close()
    assert not library.is_open


def test_what_a_gpu_will_not_tell_is_named_with_the_reason() -> None:
    refused = {"nvmlDeviceGetPowerUsage": PERMISSION, "nvmlDeviceGetUtilizationRates": NOT_SUPPORTED}
    (found,) = Nvml(FakeNvml([gpu()], refused)).gpus()
    assert found.untold == ("utilisation: this GPU or driver does not tell", "power: not permitted to this user")


@pytest.mark.parametrize("stays", [0, 1])
def test_a_gpu_that_vanishes_reads_as_nothing_and_is_measured_again_when_it_is_back(stays: int) -> None:
    """Beside others too: their sum would pass for the whole."""
    clock = Clock()
    library = FakeNvml([gpu(), *[gpu() for _ in range(stays)]])
    session = Nvml(library, clock)
    whole = session.read(7)
    assert whole.power_w == pytest.approx(250.5 * (1 + stays))
    library.gpus[0]["lost"] = True
    assert session.read(7) == GpuReading()
    starts = library.starts
    assert session.read(7) == GpuReading()
    assert library.starts == starts, "the library is not started again at every reading"
    clock.now_s += 5
    assert session.read(7) == GpuReading()
    library.gpus[0]["lost"] = False
    clock.now_s += 5
    assert session.read(7) == whole


def test_a_driver_that_is_reloaded_is_found_again() -> None:
    clock = Clock()
    library = FakeNvml([gpu()])
    session = Nvml(library, clock)
    library.is_open = False
    library.refused["nvmlInit"] = DRIVER_GONE
    for _ in range(3):
        assert session.read(7) == GpuReading()
        clock.now_s += 5
    del library.refused["nvmlInit"]
    assert session.read(7).power_w == 250.5


def test_a_gpu_that_left_the_bus_is_waited_for() -> None:
    clock = Clock()
    library = FakeNvml([gpu(), gpu()])
    session = Nvml(library, clock)
    library.gpus.pop()
    assert session.read(None) == GpuReading()
    clock.now_s += 5
    assert session.read(None) == GpuReading()
    library.gpus.append(gpu())
    clock.now_s += 5
    assert session.read(None).memory_total_bytes == 200


def test_telemetry_goes_on_without_the_gpu() -> None:
    """The processor's figures stay, whatever the GPU does."""
    library = FakeNvml([gpu(processes={7: 5})], {"nvmlDeviceGetPowerUsage": PERMISSION})
    probe = Probe(lambda: Nvml(library))
    before = probe.read(7)
    library.gpus[0]["lost"] = True
    after = probe.read(7)
    probe.close()
    assert (before.gpu_util_percent, before.gpu_power_w, before.gpu_engine_memory_bytes) == (40.0, None, 5)
    assert (after.gpu_util_percent, after.gpu_memory_used_bytes, after.gpu_power_w) == (None, None, None)
    assert after.machine_memory_used_bytes
    without = Probe(lambda: None)
    assert without.read(7).gpu_util_percent is None
    without.close()
    assert LOST == 15


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, {"CUDA0": 90, "CUDA1": 80, "CUDA2": 70}),
        ("", {}),
        ("2,0", {"CUDA0": 70, "CUDA1": 90}),
        ("1, GPU-c", {"CUDA0": 80, "CUDA1": 70}),
        ("0,9,1", {"CUDA0": 90}),
        ("-1", {}),
    ],
)
def test_free_memory_goes_by_the_names_that_cuda_gives(visible: str | None, expected: dict[str, int]) -> None:
    gpus = Nvml(FakeNvml([gpu(used=10, uuid="GPU-a"), gpu(used=20, uuid="GPU-b"), gpu(used=30, uuid="GPU-c")])).gpus()
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert cuda_free_bytes(gpus, environment) == expected
