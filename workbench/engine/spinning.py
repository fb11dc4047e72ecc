"""Lets llama.cpp's threads wait patiently at their barriers on a quiet machine, and briefly on a busy one. Child only.

libgomp's threads spin at each of the hundred barriers of a token before they sleep. On a quiet machine that is the
fastest way; beside other busy programs it burns the time slices that the other threads of the same token need
(measured in docs/performance.md). libgomp reads the count once, but it also shortens it while it manages more threads
than there are processors (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html): a second, sleeping pool
of threads is the switch.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import NamedTuple

_CHECK_EVERY_NS = 100_000_000
# Shares of the wall time that the decoding threads spent waiting for a processor.
_BUSY_FROM, _QUIET_BELOW = 0.20, 0.10
# A thread that ran or waited for less of the time has no part in the decoding.
_COMPUTES_FROM = 0.3
_QUIET_FOR_NS = 1_000_000_000
_TASKS = Path("/proc/self/task")


class TaskTimes(NamedTuple):
    """What the scheduler of the system says of a thread since its start."""

    ran_ns: int
    waited_ns: int


class Patience:
    """Watches how long the decoding threads wait for a processor. `check` belongs to the thread that decodes."""

    def __init__(self, pool: SleepingPool | None) -> None:
        """`pool` None: nothing can be switched here."""
        self._pool = pool
        self._last_ns = 0
        self._last: dict[int, TaskTimes] = {}
        self._share = 0.0
        self._quiet_since_ns = 0

    def check(self, now_ns: int) -> None:
        """Called after each token; looks ten times a second, which takes about 0.1 ms each."""
        passed_ns = now_ns - self._last_ns
        if self._pool is None or passed_ns < _CHECK_EVERY_NS:
            return
        tasks = task_times()
        share = waiting_share(self._last, tasks, passed_ns)
        self._last_ns, self._last = now_ns, tasks
        if passed_ns < 10 * _CHECK_EVERY_NS and share is not None:
            self._judge(share, now_ns)

    def _judge(self, share: float, now_ns: int) -> None:
        assert self._pool is not None
        # Halfway between the last ones and this one: a single telemetry reading is no busy machine.
        self._share += (share - self._share) / 2
        if self._share >= _QUIET_BELOW:
            self._quiet_since_ns = now_ns
        if self._share >= _BUSY_FROM:
            self._pool.hold()
        elif now_ns - self._quiet_since_ns > _QUIET_FOR_NS:
            self._pool.release()


class SleepingPool:
    """Threads of libgomp that do nothing, held by a thread of their own; their number is what shortens the spinning."""

    def __init__(self, library: ctypes.CDLL, size: int) -> None:
        self._library, self._size = library, size
        self._end: threading.Event | None = None

    @property
    def is_held(self) -> bool:
        return self._end is not None

    def hold(self) -> None:
        if self._end is None:
            self._end = threading.Event()
            threading.Thread(target=self._sleep, args=(self._end,), name="sleeping-pool", daemon=True).start()

    def release(self) -> None:
        """The pool ends with its thread."""
        if self._end is not None:
            self._end.set()
            self._end = None

    def _sleep(self, end: threading.Event) -> None:
        # Any C function without an effect will do as the work of the region.
        work = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
        self._library.GOMP_parallel(work, None, ctypes.c_uint(self._size), ctypes.c_uint(0))
        end.wait()


def sleeping_pool() -> SleepingPool | None:
    """None where llama.cpp does not run on libgomp, or the system does not tell of waiting threads."""
    if sys.platform != "linux" or not Path("/proc/self/schedstat").is_file() or "GOMP_SPINCOUNT" in os.environ:
        return None
    path = _loaded_libgomp()
    return SleepingPool(ctypes.CDLL(path), len(os.sched_getaffinity(0)) + 1) if path else None


def _loaded_libgomp() -> str | None:
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[5] for line in lines if "libgomp" in line)
    return next(paths, None)


def task_times() -> dict[int, TaskTimes]:
    """Times of this thread and of all that are not Python's, by thread id."""
    own = threading.get_native_id()
    others = {thread.native_id for thread in threading.enumerate()} - {own}
    found = {}
    for task in os.listdir(_TASKS):
        if int(task) in others:
            continue
        try:
            ran, waited, _slices = (_TASKS / task / "schedstat").read_text().split()
            found[int(task)] = TaskTimes(int(ran), int(waited))
        except (OSError, ValueError):
            continue  # a thread that has ended meanwhile
    return found


def waiting_share(before: dict[int, TaskTimes], after: dict[int, TaskTimes], passed_ns: int) -> float | None:
    """Which part of `passed_ns` the threads that computed were ready and had no processor; None when none did."""
    shares = []
    for task, times in after.items():
        old = before.get(task, times)
        ran, waited = times.ran_ns - old.ran_ns, times.waited_ns - old.waited_ns
        if ran + waited > passed_ns * _COMPUTES_FROM:
            shares.append(waited / passed_ns)
    return sum(shares) / len(shares) if shares else None
