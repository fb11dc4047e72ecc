"""What goes wrong on a GPU, on purpose: a cancel during a long prefill, a killed child, too little memory."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psutil

from tests.gpu import asking, watching
from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.errors import OutOfMemory
from workbench.runs.spec import EngineOptions, ModelRef

GIVEN_BACK_WITHIN_S = 2.0


def cancel_during_prefill(path: Path, *, prompt_tokens: int, grace_s: float) -> dict[str, Any]:
    """Cancels one step into the prefill. With `grace_s` 0 the child has no time to see it and is ended."""
    before = watching.gpu_memory_used()
    engine = LocalEngine(memory_check=False, cancel_grace_s=grace_s)
    options = EngineOptions(context_length=prompt_tokens + 1024, gpu_layers=-1)
    model = ModelRef(str(path), path.stem)
    try:
        engine.load(model, options)
        held, pid = watching.gpu_memory_used(), engine.pid
        request = asking.request_of(asking.text_of(prompt_tokens, asking.tokens_per_text(engine)), 8)
        asked_ns, done, end = 0, 0, None
        for event in engine.run([request]):
            if isinstance(event, api.PrefillProgress):
                done = event.done_tokens
                if not asked_ns:
                    asked_ns = time.perf_counter_ns()
                    # From another thread: this one is inside the engine's events.
                    threading.Thread(target=engine.cancel, args=(request.id,)).start()
            end = event
        ended_ms = (time.perf_counter_ns() - asked_ns) / 1e6
        was_killed = isinstance(end, api.RequestCancelled) and end.way == "killed"
        freed_s = wait_until_freed(before) if was_killed else None
        is_gone = pid is None or not psutil.pid_exists(pid)
        engine.load(model, options)
        again = asking.ask(engine, "hello", 4)
        return {
            "way": end.way if isinstance(end, api.RequestCancelled) else type(end).__name__,
            "ended_after_ms": ended_ms,
            "read_tokens": done,
            "child_is_gone": is_gone,
            "held_bytes": held,
            "freed_after_s": freed_s,
            "next_run_tokens": len(again.stamps_ns),
        }
    finally:
        engine.close()


def freed_by_close(path: Path, context: int) -> dict[str, Any]:
    before = watching.gpu_memory_used()
    engine = LocalEngine(memory_check=False)
    try:
        engine.load(ModelRef(str(path), path.stem), EngineOptions(context_length=context, gpu_layers=-1))
        held = watching.gpu_memory_used()
    finally:
        engine.close()
    return {"before_bytes": before, "held_bytes": held, "freed_after_s": wait_until_freed(before)}


def wait_until_freed(before: int | None, tolerance_bytes: int = 64 * 1024**2, limit_s: float = 10.0) -> float | None:
    """Seconds until the GPU holds what it held before; None where nobody tells, `limit_s` when it never did."""
    if before is None:
        return None
    start = time.perf_counter()
    while (time.perf_counter() - start) < limit_s:
        used = watching.gpu_memory_used()
        if used is not None and used <= before + tolerance_bytes:
            return time.perf_counter() - start
        time.sleep(0.02)
    return limit_s


def out_of_memory(path: Path, *, context: int, parallel: int) -> dict[str, Any]:
    """A context that no GPU holds, then one that does, in the same engine."""
    engine = LocalEngine(memory_check=False)
    model = ModelRef(str(path), path.stem)
    try:
        sentence = kind = None
        try:
            engine.load(model, EngineOptions(context_length=context, parallel=parallel, gpu_layers=-1))
        except OutOfMemory as error:
            sentence, kind = error.message, error.code
        engine.load(model, EngineOptions(context_length=512, gpu_layers=-1))
        return {"sentence": sentence, "code": kind, "next_run_tokens": len(asking.ask(engine, "hello", 4).stamps_ns)}
    finally:
        engine.close()
