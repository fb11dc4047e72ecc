"""The speed of a transfer over its last seconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

SPAN_S = 5.0
_NS = 1_000_000_000
_SHORTEST_S = 0.3
_POINT_EVERY_S = 0.1


class SpeedMeter:
    """Any thread may tell or ask. Silence counts: a line that stalls goes down to zero within the span."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._points: deque[tuple[int, int]] = deque()

    def begin(self, done_bytes: int) -> None:
        """From here: what was there before did not arrive in this time."""
        with self._lock:
            self._points.clear()
            self._points.append((self._clock_ns(), done_bytes))

    def move(self, done_bytes: int) -> None:
        with self._lock:
            now = self._clock_ns()
            if len(self._points) > 1 and now - self._points[-2][0] < _POINT_EVERY_S * _NS:
                self._points.pop()
            self._points.append((now, done_bytes))
            self._forget_before(now)

    def bytes_per_s(self) -> float | None:
        """None: too early to say."""
        with self._lock:
            now = self._clock_ns()
            self._forget_before(now)
            if not self._points:
                return None
            (first_ns, first_bytes), (_, last_bytes) = self._points[0], self._points[-1]
            span_s = (now - first_ns) / _NS
            return (last_bytes - first_bytes) / span_s if span_s >= _SHORTEST_S else None

    def _forget_before(self, now_ns: int) -> None:
        # The point before the span stays: it says where the span began.
        while len(self._points) > 1 and now_ns - self._points[1][0] >= SPAN_S * _NS:
            self._points.popleft()
