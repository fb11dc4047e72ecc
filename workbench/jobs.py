"""Background work of the core: one queue whose jobs run in order on a thread of their own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

Job = Callable[[], None]
log = logging.getLogger(__name__)


class JobQueue:
    """Runs jobs one after another. The thread starts with the first job and ends with `close`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(self, job: Job) -> None:
        """Queues a job. A job reports its own failures; one that raises anyway is logged with its trace."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError(f"the queue {self._name!r} is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._jobs.put(job)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Waits for the queued jobs to end; False when they did not within the time."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        if thread is None:
            return True
        self._jobs.put(None)
        thread.join(timeout_s)
        return not thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                log.exception("a job of %s failed", self._name)
