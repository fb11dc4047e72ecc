from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from workbench.engine.spinning import Patience, SleepingPool, TaskTimes, sleeping_pool, task_times, waiting_share

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not Path("/proc/self/schedstat").is_file(), reason="schedstat of Linux"
)
TENTH = 100_000_000


class CountingPool(SleepingPool):
    def __init__(self) -> None:
        self.held = False

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


def test_the_share_is_that_of_the_threads_that_computed() -> None:
    before = {1: TaskTimes(0, 0), 2: TaskTimes(0, 0), 3: TaskTimes(0, 0)}
    after = {1: TaskTimes(60, 40), 2: TaskTimes(80, 20), 3: TaskTimes(1, 1), 4: TaskTimes(900, 900)}
    assert waiting_share(before, after, 100) == pytest.approx(0.3)
    assert waiting_share(before, before, 100) is None


def feed(patience: Patience, share: float, seconds: float, start_ns: int) -> int:
    """As `check` would, ten times a second."""
    for _ in range(round(seconds * 10)):
        start_ns += TENTH
        patience._judge(share, start_ns)
    return start_ns


def test_a_busy_machine_shortens_the_spinning_until_it_was_quiet_for_a_second() -> None:
    pool = CountingPool()
    patience = Patience(pool)
    now = feed(patience, 0.05, 2, 0)
    assert not pool.held, "the program's own reading of tokens is no busy machine"
    now = feed(patience, 0.45, 0.3, now)
    assert pool.held
    now = feed(patience, 0.02, 0.8, now)
    assert pool.held
    feed(patience, 0.02, 1.0, now)
    assert not pool.held


def test_one_reading_alone_changes_nothing() -> None:
    pool = CountingPool()
    patience = Patience(pool)
    now = feed(patience, 0.05, 1, 0)
    feed(patience, 0.3, 0.1, now)
    assert not pool.held


def test_the_times_are_those_of_this_thread_and_not_of_pythons_others() -> None:
    event = threading.Event()
    other = threading.Thread(target=event.wait)
    other.start()
    try:
        found = task_times()
        assert threading.get_native_id() in found
        assert other.native_id not in found
    finally:
        event.set()
        other.join()
    before = found[threading.get_native_id()].ran_ns
    end = time.perf_counter() + 0.05
    while time.perf_counter() < end:
        pass
    assert task_times()[threading.get_native_id()].ran_ns > before


def test_a_spin_count_of_the_persons_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", str(os.getpid()))
    assert sleeping_pool() is None
