"""The way of events from any thread into the window: collected under a lock, handed over up to 30 times a second."""

from __future__ import annotations

import threading
import time
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal

INTERVAL_MS = 33
LONGEST_INTERVAL_MS = 66
# Of one core, for what a hand-over sets off on the window's thread: where a model decodes on all cores, every per cent
# that is drawn is one that decoding waits for.
PROCESSOR_SHARE = 0.04


class Bridge(QObject):
    """`drained` carries the events in the order of their `post`, on the thread that made the bridge.

    Between two of them lie `interval_ms`, and up to LONGEST_INTERVAL_MS where the window's thread needed more than
    PROCESSOR_SHARE of that time for the last one, painting included.
    """

    drained = Signal(list)
    _filled = Signal()

    def __init__(self, parent: QObject | None = None, interval_ms: int = INTERVAL_MS) -> None:
        super().__init__(parent)
        self._interval_s = interval_ms / 1000
        self._lock = threading.Lock()
        self._events: list[Any] = []
        self._is_closed = False
        self._last_drain = float("-inf")
        self._last_used_s = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_filled)
        self._filled.connect(self._on_filled, Qt.ConnectionType.QueuedConnection)

    def post(self, event: object) -> None:
        """From any thread; never blocks on the window. Ignored after `close`."""
        with self._lock:
            if self._is_closed:
                return
            self._events.append(event)
            if len(self._events) == 1:
                # One signal for however many events come before the drain.
                self._filled.emit()

    def flush(self) -> None:
        """Hands over at once what is there; only on the bridge's own thread."""
        self._timer.stop()
        self._drain()

    def close(self) -> None:
        """Drops what has not been handed over."""
        with self._lock:
            self._is_closed = True
            self._events.clear()
        self._timer.stop()

    def _on_filled(self) -> None:
        wait_s = self._last_drain + self._pause_s() - time.perf_counter()
        if wait_s <= 0:
            self._drain()
        elif not self._timer.isActive():
            self._timer.start(max(1, round(wait_s * 1000)))

    def _drain(self) -> None:
        with self._lock:
            events, self._events = self._events, []
        self._last_drain = time.perf_counter()
        self._last_used_s = time.thread_time()
        if events:
            self.drained.emit(events)

    def _pause_s(self) -> float:
        """From the processor time of this thread since the last hand-over: what it set off is drawn by now."""
        used_s = time.thread_time() - self._last_used_s
        longest_s = max(self._interval_s, LONGEST_INTERVAL_MS / 1000)
        return min(longest_s, max(self._interval_s, used_s / PROCESSOR_SHARE))
