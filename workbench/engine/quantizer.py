"""Makes another quantization of a model file with llama.cpp's own quantizer, in a process of its own."""

from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.engine import protocol
from workbench.engine.child import Child, default_command
from workbench.engine.engine_log import EngineLog
from workbench.engine.file_types import FILE_TYPES
from workbench.errors import EngineCrashed, ModelNotFound, StorageFull, UserError, WorkbenchError

_POLL_S = 0.05
_SPARE_DISK_BYTES = 32 * 1024**2


def quantize_file(
    source: Path,
    target: Path,
    type_name: str,
    *,
    on_progress: Callable[[float], None] | None = None,
    cancel: threading.Event | None = None,
    threads: int | None = None,
    command: Sequence[str] | None = None,
) -> int:
    """Writes `target` as a whole or not at all; returns its size in bytes. Blocks; `on_progress` gets 0 to 1.

    Raises UserError (also with the code "cancelled"), ModelNotFound, ModelFileError, StorageFull, EngineCrashed.
    """
    if type_name not in FILE_TYPES:
        raise UserError(
            f"{type_name!r} is no quantization; known are {', '.join(FILE_TYPES)}.", code="quantization_unknown"
        )
    if not source.is_file():
        raise ModelNotFound(f"There is no file {source}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < _SPARE_DISK_BYTES:
        raise StorageFull(f"Only {free / 1e6:.0f} MB are free in {target.parent}.")
    # With the process in its name: two programs may make the same file at the same time.
    partial = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}.part")
    order = protocol.Quantize(str(source), str(partial), type_name, threads or os.cpu_count() or 1)
    try:
        size_bytes = _run(order, command or default_command(), on_progress, cancel)
        os.replace(partial, target)
    except WorkbenchError as error:
        if shutil.disk_usage(target.parent).free < _SPARE_DISK_BYTES:
            raise StorageFull(f"The disk became full while {target.name} was written.", detail=error.detail) from error
        raise
    finally:
        partial.unlink(missing_ok=True)
    return size_bytes


def _run(
    order: protocol.Quantize,
    command: Sequence[str],
    on_progress: Callable[[float], None] | None,
    cancel: threading.Event | None,
) -> int:
    messages: queue.SimpleQueue[protocol.Message | int] = queue.SimpleQueue()
    log = EngineLog(None)
    child = Child(command, "quantize", log, messages.put, messages.put)
    child.start()
    try:
        child.send(order)
        while True:
            if cancel is not None and cancel.is_set():
                raise UserError("Making the quantization was cancelled.", code="cancelled")
            try:
                message = messages.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(message, protocol.QuantizeProgressed):
                if on_progress is not None:
                    on_progress(message.fraction)
            elif isinstance(message, protocol.QuantizeDone):
                return message.size_bytes
            elif isinstance(message, protocol.WorkFailed):
                raise message.error()
            elif isinstance(message, int):
                raise EngineCrashed(f"The quantizer stopped unexpectedly (exit code {message}).", detail=log.tail())
    finally:
        child.end()
        log.close()
