"""How one thread asks another to leave a transfer, even while that one waits for the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """The transfer was asked to stop; what has arrived is on disk."""


class Stop:
    """Asked once, for good; a transfer that goes on later gets another one."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._interrupts: list[Callable[[], None]] = []

    @property
    def is_asked(self) -> bool:
        return self._event.is_set()

    def ask(self) -> None:
        """Returns at once; whatever blocks the transfer is cut off in this thread."""
        with self._lock:
            self._event.set()
            interrupts = list(self._interrupts)
        for interrupt in interrupts:
            interrupt()

    def check(self) -> None:
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleeps; raises Stopped at once when asked meanwhile."""
        if self._event.wait(seconds):
            raise Stopped

    @contextmanager
    def interrupting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Calls `interrupt` from the asking thread when the stop is asked for inside the block."""
        with self._lock:
            self.check()
            self._interrupts.append(interrupt)
        try:
            yield
        finally:
            with self._lock:
                self._interrupts.remove(interrupt)
