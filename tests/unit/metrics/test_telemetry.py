from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.metrics.telemetry import Probe, Sampler, read_once
from workbench.runs.record import TelemetrySample

SPIN = "import sys\nprint('ready', flush=True)\nwhile True: pass"
MAPS = """
import mmap, sys
file = open(sys.argv[1], 'rb')
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
total = sum(mapped[i] for i in range(0, len(mapped), 4096))
kept = bytearray(30_000_000)
kept[::4096] = b'x' * len(kept[::4096])
print('ready', flush=True)
sys.stdin.read()
"""


@pytest.fixture
def spinning() -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    yield child
    child.kill()
    child.communicate()


def test_one_reading_of_this_process() -> None:
    sample = read_once(os.getpid())
    assert sample.engine_resident_bytes is not None
    assert sample.engine_resident_bytes > 5_000_000
    assert sample.engine_unique_bytes is not None
    assert sample.machine_memory_total_bytes is not None
    assert sample.machine_memory_used_bytes is not None
    assert 0 < sample.machine_memory_used_bytes < sample.machine_memory_total_bytes
    assert (sample.engine_cpu_percent, sample.machine_cpu_percent, sample.cpu_power_w) == (None, None, None)


def test_no_process_gives_none_for_the_engine_only() -> None:
    sample = read_once(None)
    assert sample.engine_resident_bytes is None
    assert sample.machine_memory_total_bytes is not None


def test_a_process_that_died_gives_none(spinning: subprocess.Popen[str]) -> None:
    probe = Probe()
    assert probe.read(spinning.pid).engine_resident_bytes is not None
    spinning.kill()
    time.sleep(0.1)
    zombie = probe.read(spinning.pid)
    spinning.wait()
    gone, never = probe.read(spinning.pid), read_once(2**22 + 11)
    probe.close()
    for sample in (zombie, gone, never):
        assert sample.engine_resident_bytes is None
        assert sample.engine_unique_bytes is None
        assert sample.engine_file_mapped_bytes is None
        assert sample.engine_cpu_percent is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell file-mapped memory apart")
def test_mapped_file_counts_as_file_mapped_and_own_memory_as_unique(tmp_path: Path) -> None:
    size = 50_000_000
    (tmp_path / "weights").write_bytes(b"\1" * size)
    child = subprocess.Popen(
        [sys.executable, "-c", MAPS, str(tmp_path / "weights")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    child.stdout.readline()
    sample = read_once(child.pid)
    child.communicate("")
    assert sample.engine_file_mapped_bytes is not None
    assert sample.engine_resident_bytes is not None
    assert sample.engine_unique_bytes is not None
    assert size <= sample.engine_file_mapped_bytes < size + 20_000_000
    assert sample.engine_resident_bytes > size + 30_000_000
    assert sample.engine_unique_bytes > 30_000_000


def test_processor_time_is_percent_of_one_core(spinning: subprocess.Popen[str]) -> None:
    import psutil

    probe = Probe()
    probe.read(spinning.pid)
    before = psutil.Process(spinning.pid).cpu_times()
    started = time.perf_counter()
    time.sleep(1.0)
    sample = probe.read(spinning.pid)
    elapsed_s = time.perf_counter() - started
    after = psutil.Process(spinning.pid).cpu_times()
    probe.close()
    expected = 100 * (after.user + after.system - before.user - before.system) / elapsed_s
    assert sample.engine_cpu_percent == pytest.approx(expected, abs=10)
    assert sample.machine_cpu_percent is not None
    assert 0 < sample.machine_cpu_percent <= 100


def test_sampler_reads_at_once_at_its_rate_and_at_the_end(spinning: subprocess.Popen[str]) -> None:
    samples: list[TelemetrySample] = []
    sampler = Sampler(lambda: spinning.pid, samples.append, interval_s=0.1)
    sampler.start()
    time.sleep(0.65)
    sampler.stop()
    count = len(samples)
    sampler.stop()
    time.sleep(0.15)
    assert len(samples) == count
    assert 4 <= count <= 9
    stamps = [sample.t_ns for sample in samples]
    assert stamps == sorted(stamps)
    assert all(thread.name != "telemetry" for thread in threading.enumerate())


def test_sampler_stopped_before_its_first_reading_still_takes_one() -> None:
    samples: list[TelemetrySample] = []
    sampler = Sampler(lambda: None, samples.append)
    sampler.start()
    sampler.stop()
    assert len(samples) in (1, 2)  # the first reading may have come before the stop


def test_sampler_may_be_stopped_from_its_own_thread_and_starts_once() -> None:
    done = threading.Event()
    sampler: Sampler

    def stop_it(sample: TelemetrySample) -> None:
        sampler.stop()
        done.set()

    sampler = Sampler(lambda: None, stop_it)
    sampler.stop()
    sampler.start()
    assert done.wait(5)
    with pytest.raises(RuntimeError):
        sampler.start()


def test_sampling_costs_less_than_one_percent_of_a_core(spinning: subprocess.Popen[str]) -> None:
    readings: list[tuple[float, float]] = []
    sampler = Sampler(lambda: spinning.pid, lambda sample: readings.append((time.thread_time(), time.perf_counter())))
    sampler.start()
    time.sleep(3.2)
    sampler.stop()
    (cpu_first, wall_first), (cpu_last, wall_last) = readings[0], readings[-1]
    share = (cpu_last - cpu_first) / (wall_last - wall_first)
    print(f"telemetry: {share:.3%} of a core over {len(readings)} samples; {0.01 - share:.3%} to spare")
    assert len(readings) >= 12
    assert share < 0.01
