"""Events and results that come home from other threads, in order and without flooding the window."""

from __future__ import annotations

import itertools
import statistics
import threading
import time

import pytest
from PySide6.QtCore import QThread
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from ui.bridge import INTERVAL_MS, LONGEST_INTERVAL_MS, PROCESSOR_SHARE, Bridge
from ui.tasks import Tasks
from workbench.errors import Bug, UserError, WorkbenchError


def test_events_of_a_fast_thread_arrive_in_order_in_few_drains(qtbot: QtBot) -> None:
    bridge = Bridge()
    received: list[int] = []
    sizes: list[int] = []

    def take(events: list[int]) -> None:
        received.extend(events)
        sizes.append(len(events))

    bridge.drained.connect(take)
    start = time.perf_counter()

    def post() -> None:
        for number in range(20_000):
            bridge.post(number)
            if number % 500 == 0:
                time.sleep(0.005)

    thread = threading.Thread(target=post)
    thread.start()
    qtbot.waitUntil(lambda: len(received) == 20_000, timeout=20_000)
    thread.join()
    elapsed_ms = (time.perf_counter() - start) * 1000
    assert received == list(range(20_000))
    assert len(sizes) <= elapsed_ms / INTERVAL_MS + 3


def test_the_first_event_after_a_pause_comes_at_once(qtbot: QtBot) -> None:
    bridge = Bridge(interval_ms=1000)
    received: list[str] = []
    bridge.drained.connect(received.extend)
    bridge.post("first")
    qtbot.waitUntil(lambda: received == ["first"], timeout=900)
    bridge.post("second")
    qtbot.wait(50)
    assert received == ["first"]
    bridge.flush()
    assert received == ["first", "second"]


def test_costly_drawing_is_done_less_often_but_not_much_less(qtbot: QtBot) -> None:
    bridge = Bridge()
    drains: list[float] = []
    cost_s = 0.0

    def take(_events: list[int]) -> None:
        drains.append(time.perf_counter())
        until = time.thread_time() + cost_s
        while time.thread_time() < until:
            pass

    bridge.drained.connect(take)
    gaps_ms = {}
    for cost_s in (0.0, 0.0025, 0.02):
        drains.clear()
        end = time.perf_counter() + 1.0
        while time.perf_counter() < end:
            bridge.post(1)
            qtbot.wait(5)
        pairs = itertools.pairwise(drains[1:])
        gaps_ms[cost_s] = statistics.median((later - earlier) * 1000 for earlier, later in pairs)
    # On a busy machine everything comes later, never earlier.
    assert gaps_ms[0.0] >= INTERVAL_MS - 1
    assert gaps_ms[0.0025] >= 2.5 / PROCESSOR_SHARE - 3
    assert LONGEST_INTERVAL_MS - 1 <= gaps_ms[0.02] <= 3 * LONGEST_INTERVAL_MS


def test_nothing_arrives_after_close(qtbot: QtBot) -> None:
    bridge = Bridge()
    received: list[int] = []
    bridge.drained.connect(received.extend)
    bridge.post(1)
    bridge.close()
    bridge.post(2)
    qtbot.wait(80)
    assert received == []


def test_a_result_comes_home_to_the_main_thread(qtbot: QtBot, tasks: Tasks) -> None:
    seen: list[tuple[int, bool]] = []

    def take(value: int) -> None:
        seen.append((value, QThread.currentThread() is QApplication.instance().thread()))

    tasks.run(lambda: 6 * 7, take)
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == [(42, True)]


def test_an_error_keeps_its_sentence(qtbot: QtBot, tasks: Tasks) -> None:
    errors: list[WorkbenchError] = []

    def fail() -> None:
        raise UserError("The folder is not there.")

    tasks.run(fail, None, errors.append)
    qtbot.waitUntil(lambda: bool(errors))
    assert errors[0].message == "The folder is not there."


def test_an_error_no_one_takes_is_signalled_with_its_trace(
    qtbot: QtBot, tasks: Tasks, caplog: pytest.LogCaptureFixture
) -> None:
    with qtbot.waitSignal(tasks.failed) as blocker:
        tasks.run(lambda: 1 // 0)
    error = blocker.args[0]
    assert isinstance(error, Bug)
    assert "ZeroDivisionError" in (error.detail or "")
    assert "a task of the window failed" in caplog.text


def test_close_waits_and_drops_results(qtbot: QtBot) -> None:
    tasks = Tasks()
    results: list[int] = []
    release = threading.Event()
    tasks.run(lambda: release.wait(5) and 1, results.append)
    assert tasks.count == 1
    assert not tasks.close(0.05)
    release.set()
    assert tasks.close(5.0)
    tasks.run(lambda: 2, results.append)
    qtbot.wait(50)
    assert results == []
