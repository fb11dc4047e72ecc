"""Asks a short-lived process what the installed llama.cpp was built with, and which devices it finds."""

from __future__ import annotations

import queue
from collections.abc import Sequence

from workbench.engine import protocol
from workbench.engine.child import Child, default_command
from workbench.engine.engine_log import EngineLog
from workbench.errors import EngineStartFailed
from workbench.runs.record import EngineBuild

# CUDA takes half a second to start, and several where it compiles for the GPU first.
TIMEOUT_S = 30.0


def read_build(command: Sequence[str] | None = None, timeout_s: float = TIMEOUT_S) -> EngineBuild:
    """Blocks for some 0.2 s. Raises EngineStartFailed with the last lines of the log."""
    answers: queue.SimpleQueue[protocol.Message | int] = queue.SimpleQueue()
    log = EngineLog(None)
    child = Child(command or default_command(), "devices", log, answers.put, answers.put)
    try:
        child.start()
        answer = answers.get(timeout=timeout_s)
        detail = log.tail()
    except queue.Empty:
        raise EngineStartFailed("llama.cpp gave no answer about its devices.", detail=log.tail()) from None
    finally:
        child.end()
        log.close()
    if not isinstance(answer, protocol.DevicesListed):
        raise EngineStartFailed("The process that asks llama.cpp for its devices ended early.", detail=detail)
    return answer.build
