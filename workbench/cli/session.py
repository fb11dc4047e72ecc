"""One workbench per program: opened, logged, closed; and runs followed from here with Ctrl-C understood."""

from __future__ import annotations

import logging
import logging.handlers
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from workbench.cli.output import OutputUnwritable
from workbench.core import RunHandle, Workbench
from workbench.runs import events
from workbench.runs.record import RunRecord
from workbench.runs.spec import RunSpec

FRAME_S = 1 / 30
LOG_NAME = "workbench.log"
# Planning one context takes 0.1 to 0.5 s the first time (docs/memory.md), and the program waits no longer than this.
CHECK_S = 2.0


class View(Protocol):
    """Shows a run. `show` may raise OSError: nobody reads any more, or the disk is full."""

    def show(self, new: list[events.RunEvent]) -> None: ...

    def note_cancel(self) -> None: ...

    def close(self) -> None: ...


class Silent:
    """Shows nothing, for commands that print at the end."""

    def show(self, new: list[events.RunEvent]) -> None:
        """Nothing to see."""

    def note_cancel(self) -> None:
        """Nothing to say."""

    def close(self) -> None:
        """Nothing to take away."""


class Inbox:
    """Events from the run's threads, taken by the main thread thirty times a second."""

    def __init__(self) -> None:
        self._events: list[events.RunEvent] = []
        self._lock = threading.Lock()
        self.wake = threading.Event()

    def post(self, event: events.RunEvent) -> None:
        with self._lock:
            self._events.append(event)
        if isinstance(event, events.TERMINAL):
            self.wake.set()

    def take(self) -> list[events.RunEvent]:
        """All that came since the last time; returns after a frame, or at once when the run ended."""
        self.wake.wait(FRAME_S)
        with self._lock:
            taken, self._events = self._events, []
        return taken


class QuietFileHandler(logging.handlers.RotatingFileHandler):
    """A log that cannot be written (a full disk) loses its lines and says nothing on a person's screen."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Nobody to tell."""


@contextmanager
def opened(*, checks_memory: bool = False) -> Iterator[Workbench]:
    """The program's workbench, its log beside it; closed however the block ends.

    What was wrong at the start, and did not end the program, is said on standard error. With `checks_memory` what a
    load took is compared with the prediction once an answer is there.
    """
    workbench = Workbench.open()
    if checks_memory:
        workbench.check_memory_of_loads()
    try:
        for problem in (*workbench.start_problems, *_log_problems(workbench.paths.logs)):
            print(problem, file=sys.stderr)
        yield workbench
    finally:
        workbench.close(finish_checks_s=CHECK_S)


def _log_problems(folder: Path) -> Iterator[str]:
    try:
        log_to(folder)
    except OSError as error:
        yield f"The log {folder / LOG_NAME} cannot be written: {error.strerror or error}."


def log_to(folder: Path) -> Path:
    """Sends the log of this process to a file that is kept small; returns the file."""
    path = folder / LOG_NAME
    root = logging.getLogger()
    if not any(isinstance(handler, logging.handlers.RotatingFileHandler) for handler in root.handlers):
        handler = QuietFileHandler(path, maxBytes=1_000_000, backupCount=2, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(process)d: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    return path


def follow(workbench: Workbench, spec: RunSpec, view: View, *, is_last: bool = False) -> RunRecord:
    """Runs the spec to its end. Ctrl-C cancels it, a second one kills the engine, a third one leaves.

    When the output cannot be written any more the run is cancelled, and BrokenPipeError or OutputUnwritable is
    raised after its end. With `is_last` the program ends after this run: Ctrl-C has no effect any more then, so
    that what is being printed and stored gets whole.
    """
    inbox = Inbox()
    workbench.load_prices()
    with interrupts_counted(inbox.wake.set, is_last=is_last) as interrupts:
        handle = workbench.start_run(spec, _sink(workbench, inbox))
        try:
            return _shown(workbench, handle, inbox, view, interrupts)
        finally:
            view.close()


def _sink(workbench: Workbench, inbox: Inbox) -> Callable[[events.RunEvent], None]:
    def sink(event: events.RunEvent) -> None:
        if isinstance(event, events.EngineReady):
            # Reading the price tables takes 0.6 s of a core: let it end before the clock of the run starts.
            workbench.prices.load()
        inbox.post(event)

    return sink


def _shown(workbench: Workbench, handle: RunHandle, inbox: Inbox, view: View, interrupts: list[int]) -> RunRecord:
    broken: OSError | None = None
    asked = 0
    while True:
        new = inbox.take()
        if len(interrupts) > asked:
            asked = len(interrupts)
            inbox.wake.clear()
            _stop(workbench, handle, asked)
            view.note_cancel()
        try:
            if broken is None:
                view.show(new)
        except OSError as error:
            broken = error
            handle.cancel()
        if new and isinstance(new[-1], events.TERMINAL):
            if isinstance(broken, BrokenPipeError):
                raise broken
            if broken is not None:
                raise OutputUnwritable(broken) from broken
            return new[-1].record


def _stop(workbench: Workbench, handle: RunHandle, asked: int) -> None:
    handle.cancel()
    pid = workbench.engine_pid
    if asked > 1 and pid is not None and pid != os.getpid():
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


@contextmanager
def interrupts_counted(wake: Callable[[], None], *, is_last: bool = False) -> Iterator[list[int]]:
    """Ctrl-C and a request to terminate grow the list; the third one is a KeyboardInterrupt.

    Afterwards they mean what they meant before; with `is_last` Ctrl-C then means nothing, once the block succeeded.
    """
    seen: list[int] = []

    def count(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        wake()
        if len(seen) > 2:
            raise KeyboardInterrupt

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    before = {number: signal.signal(number, count) for name in names if (number := getattr(signal, name, None))}
    try:
        yield seen
        if is_last:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            before.pop(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
