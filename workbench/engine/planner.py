"""Asks a short-lived process what models and contexts would take of memory, before any of it is taken."""

from __future__ import annotations

import importlib.util
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from workbench.engine import protocol
from workbench.engine.child import Child, default_command
from workbench.engine.engine_log import EngineLog
from workbench.errors import EngineCrashed, UserError
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.spec import EngineOptions

_POLL_S = 0.02
# A 0.5B model with 151,936 tokens takes 0.8 s; a slow disk and many layers may take ten times that.
TIMEOUT_S = 60.0


class MemoryPlanner:
    """Callable: plans for one file with each of some options. Any thread; each call has a process of its own."""

    def __init__(self, *, command: Sequence[str] | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._command = tuple(command) if command is not None else default_command()
        self._timeout_s = timeout_s

    @property
    def build(self) -> str:
        """Changes with the llama.cpp libraries of this installation: what another build planned may be wrong."""
        spec = importlib.util.find_spec("llama_cpp")
        folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec is not None else []
        libraries = [path for folder in folders for path in (folder / "lib").glob("*") if path.is_file()]
        marks = sorted(f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in libraries)
        return " ".join(marks)

    def __call__(
        self, path: Path, options: Sequence[EngineOptions], cancel: threading.Event | None = None
    ) -> tuple[MemoryPlan, ...]:
        """A plan for each of `options`, in order. Reads the header only, and blocks for about a second.

        Raises ModelNotFound, ModelFileError (code "architecture_unsupported" for a model that llama.cpp does not
        know), EngineStartFailed, EngineCrashed (code "plan_timeout" when it took too long), and UserError with the
        code "cancelled".
        """
        answers: queue.SimpleQueue[protocol.Message | int] = queue.SimpleQueue()
        log = EngineLog(None)
        child = Child(self._command, "plan", log, answers.put, answers.put)
        try:
            child.start()
            child.send(protocol.PlanMemory(str(path), tuple(options)))
            return self._wait(answers, log, cancel)
        finally:
            child.end()
            log.close()

    def _wait(
        self, answers: queue.SimpleQueue[protocol.Message | int], log: EngineLog, cancel: threading.Event | None
    ) -> tuple[MemoryPlan, ...]:
        deadline_s = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline_s:
            if cancel is not None and cancel.is_set():
                raise UserError("Planning the memory was cancelled.", code="cancelled")
            try:
                answer = answers.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(answer, protocol.MemoryPlanned):
                return answer.plans
            if isinstance(answer, protocol.WorkFailed):
                raise answer.error()
            if isinstance(answer, int):
                raise EngineCrashed(
                    f"The process that plans memory stopped unexpectedly (exit code {answer}).", detail=log.tail()
                )
        raise EngineCrashed(
            f"The process that plans memory gave no answer within {self._timeout_s:.0f} seconds and was ended.",
            code="plan_timeout",
            detail=log.tail(),
        )
