"""Memory, load and power while a run goes on: what is read, from where, and the thread that reads it.

| figure | source | on |
| --- | --- | --- |
| engine_resident | resident pages of the process: /proc/<pid>/statm, else what psutil calls rss | all |
| engine_file_mapped | the "shared" column of statm: resident pages of mapped files (the weights, with mmap) | Linux |
| engine_unique | USS: what the process shares with no other, mapped weights included when it alone maps them | all |
| engine_cpu | processor time of the process over the time since the last sample, 100 for one core | all |
| machine_memory | total less what the system calls available; psutil | all |
| machine_cpu | share of all cores that was not idle since the last sample; psutil | all |
| gpu_* | NVML, see `workbench/metrics/gpu.py` | NVIDIA |
| cpu_power | RAPL energy counters, see `workbench/metrics/rapl.py` | Linux, where readable |

USS walks every page table of the process: 3 ms for each GiB that is mapped (measured, Linux 6.18), so it is read
once per second at most, less often where that would cost more than 0.25 % of a core, and held in between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from workbench.metrics.gpu import GpuReading, Nvml
from workbench.metrics.rapl import PackagePower
from workbench.runs.record import TelemetrySample

PidSource = Callable[[], int | None]

_USS_INTERVAL_S = 1.0
_USS_SHARE = 0.0025


@dataclass(frozen=True, slots=True)
class _EngineReading:
    resident_bytes: int | None = None
    unique_bytes: int | None = None
    file_mapped_bytes: int | None = None
    cpu_percent: float | None = None


class EngineProbe:
    """Reads one process again and again. A process that is gone, or may not be read, gives None."""

    def __init__(self, psutil: ModuleType, pid: int) -> None:
        self.pid = pid
        self._psutil = psutil
        self._process: Any = None
        self._last_cpu: tuple[float, float] | None = None
        self._unique_bytes: int | None = None
        self._unique_due_s = 0.0
        try:
            self._process = psutil.Process(pid)
        except psutil.Error:
            return

    def read(self) -> _EngineReading:
        if self._process is None:
            return _EngineReading()
        try:
            memory = self._process.memory_info()
            if memory.rss == 0:  # a zombie: it has ended, its parent has not looked yet
                return _EngineReading()
            return _EngineReading(
                resident_bytes=memory.rss,
                unique_bytes=self._unique(),
                file_mapped_bytes=getattr(memory, "shared", None),
                cpu_percent=self._cpu_percent(),
            )
        except self._psutil.Error:
            self._process = None
            return _EngineReading()

    def _cpu_percent(self) -> float | None:
        times = self._process.cpu_times()
        now_s, busy_s = time.perf_counter(), float(times.user + times.system)
        last, self._last_cpu = self._last_cpu, (now_s, busy_s)
        if last is None or now_s <= last[0]:
            return None
        return 100.0 * max(0.0, busy_s - last[1]) / (now_s - last[0])

    def _unique(self) -> int | None:
        started = time.perf_counter()
        if started < self._unique_due_s:
            return self._unique_bytes
        try:
            self._unique_bytes = self._process.memory_full_info().uss
        except self._psutil.AccessDenied:
            self._unique_bytes = None
        cost_s = time.perf_counter() - started
        self._unique_due_s = started + max(_USS_INTERVAL_S, cost_s / _USS_SHARE)
        return self._unique_bytes


class Probe:
    """Reads everything once for each call of `read`; loads and power are those since the call before."""

    def __init__(self, open_nvml: Callable[[], Nvml | None] = Nvml.open) -> None:
        import psutil  # 45 ms

        self._psutil = psutil
        self._nvml = open_nvml()
        self._power = PackagePower()
        self._engine: EngineProbe | None = None
        self._last_load: tuple[float, float] | None = None

    def read(self, pid: int | None) -> TelemetrySample:
        engine = self._read_engine(pid)
        memory = self._psutil.virtual_memory()
        gpu = self._nvml.read(pid) if self._nvml else GpuReading()
        return TelemetrySample(
            t_ns=time.perf_counter_ns(),
            engine_resident_bytes=engine.resident_bytes,
            engine_unique_bytes=engine.unique_bytes,
            engine_file_mapped_bytes=engine.file_mapped_bytes,
            engine_cpu_percent=engine.cpu_percent,
            machine_memory_used_bytes=memory.total - memory.available,
            machine_memory_total_bytes=memory.total,
            machine_cpu_percent=self._load_percent(),
            gpu_util_percent=gpu.util_percent,
            gpu_memory_used_bytes=gpu.memory_used_bytes,
            gpu_memory_total_bytes=gpu.memory_total_bytes,
            gpu_engine_memory_bytes=gpu.process_memory_bytes,
            gpu_power_w=gpu.power_w,
            gpu_temperature_c=gpu.temperature_c,
            cpu_power_w=self._power.read(),
        )

    def close(self) -> None:
        if self._nvml:
            self._nvml.close()
            self._nvml = None

    def _read_engine(self, pid: int | None) -> _EngineReading:
        if pid is None:
            self._engine = None
            return _EngineReading()
        if self._engine is None or self._engine.pid != pid:
            self._engine = EngineProbe(self._psutil, pid)
        return self._engine.read()

    def _load_percent(self) -> float | None:
        # psutil.cpu_percent keeps its last reading in the module, where others would disturb it.
        times = self._psutil.cpu_times()
        idle = float(times.idle + getattr(times, "iowait", 0.0))
        # On Linux guest time is already counted in user time.
        total = float(sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0))
        last, self._last_load = self._last_load, (total, idle)
        if last is None or total <= last[0]:
            return None
        return min(100.0, max(0.0, 100.0 * (1 - (idle - last[1]) / (total - last[0]))))


class Sampler:
    """A thread that reads every `interval_s` and hands each sample to `on_sample`, on that thread.

    The first sample comes at once (its loads are None), the last while `stop` waits. Costs below 1 % of a core.
    """

    def __init__(
        self, pid_source: PidSource, on_sample: Callable[[TelemetrySample], None], interval_s: float = 0.25
    ) -> None:
        self._pid_source = pid_source
        self._on_sample = on_sample
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Raises RuntimeError when called a second time."""
        if self._thread is not None:
            raise RuntimeError("a sampler starts once")
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Takes a last sample and ends the thread; safe to call twice, and before `start`."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _work(self) -> None:
        probe = Probe()
        try:
            due = time.perf_counter()
            is_last = False
            while not is_last:
                is_last = self._stopping.wait(max(0.0, due - time.perf_counter()))
                self._on_sample(probe.read(self._pid_source()))
                # A machine that slept through some readings does not catch up on them.
                due = max(due + self._interval_s, time.perf_counter())
        finally:
            probe.close()


def read_once(pid: int | None) -> TelemetrySample:
    """One sample on this thread. Figures that need two readings (loads, processor power) are None."""
    probe = Probe()
    try:
        return probe.read(pid)
    finally:
        probe.close()
