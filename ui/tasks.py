"""Background work of the window: the one way to do it, as work, what on success and what on failure."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Qt, Signal

from workbench.errors import Bug, WorkbenchError

T = TypeVar("T")
log = logging.getLogger(__name__)


class Tasks(QObject):
    """Runs work on threads of its own; results come home to the thread that made this object.

    `failed` carries the errors that no `on_failure` took, so that none is lost.
    """

    failed = Signal(WorkbenchError)
    _ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._is_closed = False
        self._ended.connect(self._on_ended, Qt.ConnectionType.QueuedConnection)

    def run(
        self,
        work: Callable[[], T],
        on_success: Callable[[T], None] | None = None,
        on_failure: Callable[[WorkbenchError], None] | None = None,
    ) -> None:
        """`work` runs on another thread and touches no widget; the two others run on this one.

        An error that is no WorkbenchError arrives as a `Bug` with the trace as its detail.
        """

        def job() -> None:
            try:
                outcome = _call(work)
                if not self._is_closed:
                    self._ended.emit((outcome, on_success, on_failure))
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        with self._lock:
            if self._is_closed:
                return
            thread = threading.Thread(target=job, name="window task", daemon=True)
            self._threads.add(thread)
        thread.start()

    @property
    def count(self) -> int:
        """How many are running."""
        with self._lock:
            return len(self._threads)

    def close(self, timeout_s: float = 3.0) -> bool:
        """Takes no more work, drops results, waits; False when some work did not end within the time."""
        with self._lock:
            self._is_closed = True
            threads = list(self._threads)
        until = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _on_ended(self, ended: Any) -> None:
        if self._is_closed:
            return
        (value, error), on_success, on_failure = ended
        if error is None:
            if on_success is not None:
                on_success(value)
        elif on_failure is not None:
            on_failure(error)
        else:
            self.failed.emit(error)


def _call(work: Callable[[], T]) -> tuple[T | None, WorkbenchError | None]:
    try:
        return work(), None
    except WorkbenchError as error:
        return None, error
    except Exception as error:
        log.exception("a task of the window failed")
        return None, Bug(f"Something in the program failed: {error}", detail=traceback.format_exc())
