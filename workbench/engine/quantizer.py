"""Makes another quantization of a model file with llama.cpp's own quantizer, in a process of its own."""

from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workbench.engine import protocol
from workbench.engine.child import Child, default_command
from workbench.engine.engine_log import EngineLog
from workbench.engine.file_types import MAKEABLE, TENSOR_TYPES, QuantizeOptions
from workbench.errors import EngineCrashed, ModelNotFound, StorageFull, UserError, WorkbenchError
from workbench.paths import DISK_FULL

_POLL_S = 0.05
# With less than this left after a failed write, the write failed for want of space.
_FULL_DISK_BYTES = 4 * 1024**2
_MOST_THREADS = 1024


def quantize_file(
    source: Path,
    target: Path,
    type_name: str,
    *,
    options: QuantizeOptions | None = None,
    on_progress: Callable[[float], None] | None = None,
    cancel: threading.Event | None = None,
    threads: int | None = None,
    command: Sequence[str] | None = None,
) -> protocol.QuantizeDone:
    """Writes `target` as a whole or not at all, in one file also from a split `source` (its first part).

    Blocks; `on_progress` gets 0 to 1. Raises UserError (also with the code "cancelled"), ModelNotFound,
    ModelFileError, StorageFull, EngineCrashed.
    """
    options = options or QuantizeOptions()
    _check_order(source, type_name, options)
    _check_storable(target)
    if threads is not None and not 1 <= threads <= _MOST_THREADS:
        # With more than the system gives, llama.cpp ends the process.
        raise UserError(f"{threads:,} threads are asked for; it must be from 1 to {_MOST_THREADS:,}.", code="usage")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(target, error) from error
    # With the process in its name: two programs may make the same file at the same time.
    partial = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}.part")
    order = protocol.Quantize(str(source), str(partial), type_name, threads or os.cpu_count() or 1, options)
    try:
        done = _run(order, command or default_command(), on_progress, cancel)
        _publish(partial, target)
    except WorkbenchError as error:
        is_told = isinstance(error, StorageFull)
        if not is_told and partial.exists() and shutil.disk_usage(target.parent).free < _FULL_DISK_BYTES:
            raise StorageFull(f"The disk became full while {target.name} was written.", detail=error.detail) from error
        raise
    finally:
        partial.unlink(missing_ok=True)
    return done


def plan_quantization(
    source: Path,
    type_name: str,
    *,
    options: QuantizeOptions | None = None,
    cancel: threading.Event | None = None,
    command: Sequence[str] | None = None,
) -> protocol.QuantizePlanned:
    """The size that `quantize_file` would write, from llama.cpp itself; nothing is written. Raises like it."""
    options = options or QuantizeOptions()
    _check_order(source, type_name, options)
    order = protocol.Quantize(str(source), os.devnull, type_name, 1, options, only_plan=True)
    with _started(order, command or default_command()) as (messages, log):
        while True:
            message = _next(messages, log, cancel)
            if isinstance(message, protocol.QuantizePlanned):
                return message


def _check_order(source: Path, type_name: str, options: QuantizeOptions) -> None:
    if type_name not in MAKEABLE:
        raise UserError(
            f"{type_name!r} is no quantization that llama.cpp makes; it makes {', '.join(MAKEABLE)}.",
            code="quantization_unknown",
        )
    for wanted in (options.output_type, options.embedding_type):
        if wanted is not None and wanted not in TENSOR_TYPES:
            raise UserError(
                f"{wanted!r} is no type for one tensor; known are {', '.join(TENSOR_TYPES)}.",
                code="quantization_unknown",
            )
    if not source.is_file():
        raise ModelNotFound(f"There is no file {source}.")
    _check_storable(source)
    if options.matrix is not None:
        _check_storable(Path(options.matrix))


def _check_storable(path: Path) -> None:
    """llama.cpp takes paths as UTF-8; other bytes of a command line arrive here as lone surrogates."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "replace").decode()
        raise UserError(
            f"The path {shown} has bytes that are not UTF-8. Choose another name or folder.", code="usage"
        ) from error


def _publish(partial: Path, target: Path) -> None:
    try:
        with partial.open("r+b") as file:
            # Without this a power cut may leave the name with nothing behind it.
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise _write_error(target, error) from error


def _write_error(target: Path, error: OSError) -> WorkbenchError:
    if error.errno in DISK_FULL:
        return StorageFull(f"The disk became full while {target.name} was written.")
    return UserError(
        f"{target} cannot be written: {error.strerror or error}. Choose another folder.", code="folder_not_writable"
    )


def _run(
    order: protocol.Quantize,
    command: Sequence[str],
    on_progress: Callable[[float], None] | None,
    cancel: threading.Event | None,
) -> protocol.QuantizeDone:
    try:
        Path(order.target).touch()
    except OSError as error:
        raise _write_error(Path(order.target), error) from error
    with _started(order, command) as (messages, log):
        while True:
            message = _next(messages, log, cancel)
            if isinstance(message, protocol.QuantizeProgressed):
                if on_progress is not None:
                    on_progress(message.fraction)
            elif isinstance(message, protocol.QuantizeDone):
                return message


_Inbox = queue.SimpleQueue[protocol.Message | int]


@contextmanager
def _started(order: protocol.Quantize, command: Sequence[str]) -> Iterator[tuple[_Inbox, EngineLog]]:
    """A child at work on `order`, which is ended however this ends."""
    messages: _Inbox = queue.SimpleQueue()
    log = EngineLog(None)
    child = Child(command, "quantize", log, messages.put, messages.put)
    try:
        child.start()
        child.send(order)
        yield messages, log
    finally:
        child.end()
        log.close()


def _next(messages: _Inbox, log: EngineLog, cancel: threading.Event | None) -> protocol.Message:
    """The child's next word. Raises what it failed with, and when it died or the caller asked to stop."""
    while True:
        if cancel is not None and cancel.is_set():
            raise UserError("Making the quantization was cancelled.", code="cancelled")
        try:
            message = messages.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if isinstance(message, protocol.WorkFailed):
            raise message.error()
        if isinstance(message, int) and (cancel is None or not cancel.is_set()):
            raise EngineCrashed(f"The quantizer stopped unexpectedly (exit code {message}).", detail=log.tail())
        if not isinstance(message, int):  # else Ctrl-C has reached the child first, and the next look says so
            return message
