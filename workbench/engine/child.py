"""A worker process seen from the parent: starting it, reading its frames, and ending it for certain."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from workbench.engine import protocol
from workbench.engine.engine_log import EngineLog
from workbench.errors import EngineStartFailed

_TERMINATE_WAIT_S = 0.5


def default_command() -> tuple[str, ...]:
    """The command line that starts a worker, to which the role is added; a frozen bundle starts itself."""
    if getattr(sys, "frozen", False):
        return (sys.executable, "--workbench-worker")
    # "-P": without it the current directory comes first on the child's path, and whatever lies there is imported.
    return (sys.executable, "-P", "-m", "workbench.engine.worker")


class Child:
    """One process. `on_message` and `on_end` are called in the child's own thread; `on_end` exactly once.

    The thread that starts the process also reads from it until its end: on Linux the process asks to die with
    the thread that started it, which must therefore not be the passing thread of a job.
    """

    def __init__(
        self,
        command: Sequence[str],
        role: str,
        log: EngineLog,
        on_message: Callable[[protocol.Message], None],
        on_end: Callable[[int], None],
    ) -> None:
        self._command, self._role, self._log = list(command), role, log
        self._on_message, self._on_end = on_message, on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._start_error: OSError | None = None
        self._started = threading.Event()
        self._write_lock = threading.Lock()
        self.log_start = log.size_bytes()
        self._thread = threading.Thread(target=self._run, name=f"engine-{role}", daemon=True)

    def start(self) -> None:
        """Raises EngineStartFailed when the system cannot start the process."""
        self._thread.start()
        self._started.wait()
        if self._start_error is not None:
            raise EngineStartFailed(f"The engine's process cannot be started: {self._start_error}.")

    @property
    def pid(self) -> int | None:
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    def _run(self) -> None:
        arguments = [*self._command, self._role]
        if self._role == "engine":
            arguments += self._command
        flags = 0
        if os.name == "nt":
            flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined,unused-ignore]
        try:
            process = self._process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log.fileno(),
                env=_environment(), creationflags=flags,
            )  # fmt: skip
        except OSError as error:
            self._start_error = error
            self._started.set()
            return
        self._started.set()
        assert process.stdout is not None
        self._read(process.stdout)
        process.kill()
        code = process.wait()
        with self._write_lock:
            assert process.stdin is not None
            _close_quietly(process.stdin)
        process.stdout.close()
        self._on_end(code)

    def _read(self, stream: IO[bytes]) -> None:
        while True:
            try:
                message = protocol.read_frame(stream)
            except protocol.ProtocolError:
                # A child that speaks nonsense cannot be trusted with anything more; it is ended like a crashed one.
                return
            if message is None:
                return
            self._on_message(message)

    def send(self, message: protocol.Message) -> bool:
        """False when the process is gone; its end is then reported by `on_end`."""
        frame = protocol.encode(message)
        process = self._process
        if process is None or process.stdin is None:
            return False
        with self._write_lock:
            try:
                process.stdin.write(frame)
                process.stdin.flush()
            except (OSError, ValueError):
                return False
        return True

    def end(self) -> None:
        """Terminate, wait a little, kill. Returns when the process is gone and `on_end` was called."""
        process = self._process
        if process is None:
            return
        process.terminate()
        self._thread.join(_TERMINATE_WAIT_S)
        if self._thread.is_alive():
            process.kill()
            self._thread.join()


def _close_quietly(stream: IO[bytes]) -> None:
    # Closing flushes; what a dead process did not read has no other place to go.
    with contextlib.suppress(OSError):
        stream.close()


def _environment() -> dict[str, str]:
    """The child finds the same `workbench` as this process, also from another folder, and nothing by the current one.

    An empty entry of PYTHONPATH and "." mean the current folder and are left out; `workbench` itself is found by
    its own root, wherever this process has it from.
    """
    root = str(Path(__file__).resolve().parent.parent.parent)
    paths = [root]
    for path in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if os.path.isabs(path) or os.path.abspath(path) != os.getcwd():
            paths.append(os.path.abspath(path))
    # CUDA counts the fastest GPU first, NVML and the person's other tools by place on the bus.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
