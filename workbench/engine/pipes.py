"""The child's end of the pipes: protects the protocol from stray output, reads commands, writes events."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from workbench.engine import api, protocol

# A reader that is this many messages behind is not reading at all; waiting for it bounds the memory.
_MAX_QUEUED = 200_000

Outgoing = protocol.Message | Callable[[], protocol.Message]


def take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    """(commands, events). Afterwards file 1 is file 2, so that nothing printed in this process can be an event."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands, events = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if os.name == "nt":
        import msvcrt

        for descriptor in (commands, events):
            msvcrt.setmode(descriptor, os.O_BINARY)  # type: ignore[attr-defined,unused-ignore]
    return os.fdopen(commands, "rb"), os.fdopen(events, "wb", buffering=0)


def die_with_parent() -> None:
    """On Linux the kernel ends this process when the thread that started it is gone, even if it is stopped or hung.

    The end of the command pipe does the same everywhere else, as long as the reading thread gets to run.
    """
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(0)


def volunteer_for_the_kernel() -> None:
    """On Linux, when memory runs out, the kernel should end this process rather than the window."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")


def read_commands(stream: BinaryIO, handle: Callable[[protocol.Message], None]) -> None:
    """Hands every command to `handle`; at the end of the stream the process ends, also inside a decode call."""
    while (message := protocol.read_frame(stream)) is not None:
        handle(message)
    os._exit(0)


def end_on_any_thread_error() -> None:
    """A thread that dies of a bug would leave requests open for ever; the parent understands the end of the process."""

    def die(problem: threading.ExceptHookArgs) -> None:
        traceback.print_exception(problem.exc_type, problem.exc_value, problem.exc_traceback)
        sys.stderr.flush()
        os._exit(70)

    threading.excepthook = die


class EventWriter:
    """Writes events in a thread of its own: a slow reader must not slow the decode loop."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._queue: queue.SimpleQueue[Outgoing] = queue.SimpleQueue()
        self._room = threading.Semaphore(_MAX_QUEUED)
        threading.Thread(target=self._run, name="event-writer", daemon=True).start()

    def post(self, message: protocol.Message) -> None:
        self._room.acquire()
        self._queue.put(message)

    def post_lazily(self, make: Callable[[], api.EngineEvent]) -> None:
        """The event is made in the writer's thread, in its place among the others."""
        self._room.acquire()
        self._queue.put(make)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            self._room.release()
            frame = protocol.encode(item() if callable(item) else item)
            view = memoryview(frame)
            try:
                while view:
                    view = view[self._stream.write(view) :]
            except BrokenPipeError:
                # The parent is gone, and so is every reason to run.
                os._exit(0)
