"""Beside other busy programs the engine's threads stop spinning, and begin again when the machine is quiet."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.engine.asking import Asker, request
from workbench.engine import api
from workbench.engine.process import LocalEngine

SCHEDSTAT = Path("/proc/self/schedstat")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="libgomp on Linux"),
    pytest.mark.skipif(not SCHEDSTAT.is_file(), reason="this kernel does not tell how long threads wait"),
]
WAIT_S = 30.0


@pytest.fixture
def own() -> Iterator[Asker]:
    engine = LocalEngine()
    yield Asker(engine)
    engine.close()


def wait_until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _others_use(child: psutil.Process, seconds: float) -> float:
    """Which part of the machine's processors everything but the engine takes."""
    before = sum(child.cpu_times()[:2])
    total = psutil.cpu_percent(seconds) / 100
    return total - (sum(child.cpu_times()[:2]) - before) / seconds / (os.cpu_count() or 1)


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one thread waits for nobody")
def test_a_busy_machine_is_noticed_and_forgotten(own: Asker, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    cores = os.cpu_count() or 1
    threads = min(cores, 4)
    own.load(models / "loops.gguf", context_length=512, threads=threads)
    engine = own.engine
    assert engine.pid is not None
    child = psutil.Process(engine.pid)
    # While it decodes it has its further threads; a sleeping pool has more than one for each core.
    most_when_quiet = child.num_threads() + threads - 1
    item = request(max_tokens=1_000_000, overflow="shift")
    started = threading.Event()

    def run() -> None:
        for event in engine.run([item]):
            if isinstance(event, api.Tokens):
                started.set()

    runner = threading.Thread(target=run)
    runner.start()
    others: list[subprocess.Popen[bytes]] = []
    try:
        assert started.wait(WAIT_S)
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * cores)]
        assert wait_until(lambda: child.num_threads() > most_when_quiet + cores - 1)
        for other in others:
            other.kill()
            other.wait()
        # A machine that others use at the same time may never be quiet; the test then says nothing of this half.
        if _others_use(child, 0.5) < 0.1:
            assert wait_until(lambda: child.num_threads() <= most_when_quiet)
    finally:
        for other in others:
            other.kill()
            other.wait()
        engine.cancel(item.id)
        runner.join(WAIT_S)
    assert not runner.is_alive()
