"""Asks folders that may never answer (a network drive that is gone) without waiting for ever."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from workbench.errors import WorldError

T = TypeVar("T")
# A disk that has to spin up needs some seconds; a network drive that is gone hangs for minutes.
LIMIT_S = 5.0


class NoAnswer(WorldError):
    """Nothing moved for the whole time limit."""

    code = "folder_no_answer"


class Patience:
    """Runs work on threads of its own and gives up when it stands still. Any thread may ask.

    Nothing can end a thread that hangs in the system: it is left behind, and until it comes back the same
    question is refused at once.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._hanging: dict[str, threading.Thread] = {}

    def ask(self, key: str, work: Callable[[Callable[[], None]], T]) -> T:
        """What `work` returns or raises; `work` calls its argument whenever it gets on. Raises NoAnswer."""
        if key in self._hanging and self._hanging[key].is_alive():
            raise self._no_answer(key)
        self._hanging.pop(key, None)
        answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
        moved = [time.monotonic()]

        def beat() -> None:
            moved[0] = time.monotonic()

        def run() -> None:
            try:
                answers.put((work(beat), None))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
                answers.put((None, error))

        thread = threading.Thread(target=run, name="folder-look", daemon=True)
        thread.start()
        while True:
            try:
                result, error = answers.get(timeout=max(0.0, moved[0] + self._limit_s - time.monotonic()))
                break
            except queue.Empty:
                if time.monotonic() - moved[0] >= self._limit_s:
                    self._hanging[key] = thread
                    raise self._no_answer(key) from None
        thread.join()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def _no_answer(self, key: str) -> NoAnswer:
        return NoAnswer(f"The folder {key} does not answer. Is it on a network drive that is gone?")
