"""From a model file in the library to another quantization of it, as a file of its own beside it."""

from __future__ import annotations

import datetime
import glob
import hashlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from workbench.engine.file_types import QuantizeOptions
from workbench.engine.protocol import QuantizeDone
from workbench.engine.quantizer import quantize_file
from workbench.errors import ModelFileError, ModelNotFound, StorageFull, UserError
from workbench.hub.gguf import ModelFile, describe, split_name
from workbench.hub.grouping import parts_of, stem
from workbench.hub.hashing import HashCancelled, hash_files
from workbench.hub.lineage import Lineage, lineage_file, write_lineage
from workbench.hub.lock import file_lock
from workbench.paths import DISK_FULL, Paths

# None: at work, and nobody can say how far (the source is hashed, or another process makes the same file).
Progress = Callable[[float | None], None]
HashOf = Callable[[Sequence[Path]], str]
_NAMELESS = re.compile(r"^(?:(?:ggml-)?model|gguf|ggml|sha256-.*)?$", re.IGNORECASE)
_UNFIT = re.compile(r"[^\w.+-]+")


def make_quantization(
    source: Path,
    type_name: str,
    paths: Paths,
    *,
    own_folders: Sequence[Path] = (),
    target: Path | None = None,
    options: QuantizeOptions | None = None,
    hash_of: HashOf | None = None,
    on_progress: Progress | None = None,
    cancel: threading.Event | None = None,
    threads: int | None = None,
) -> Path:
    """Makes `type_name` of `source` (its first part) with its lineage; returns the path. Blocks.

    `own_folders` are those that the settings name. `hash_of` may know the hash already. Two processes that make
    the same file at once make it once. Raises what `quantize_file` raises, and UserError with the code
    "quantization_exists" when there was such a file before.
    """
    options = options or QuantizeOptions()
    type_name = type_name.upper()
    described = _described(source)
    target = target or target_of(source, described, type_name, paths, own_folders)
    _check_target(source, target)
    report = on_progress or (lambda fraction: None)
    report(None)
    try:
        with file_lock(lock_path(paths, target), cancel):
            if target.exists():
                return target  # another process has made it in the meantime
            _sweep(target)
            return _make(source, target, described, type_name, options, hash_of, report, cancel, threads)
    except OSError as error:
        raise _write_error(target, error) from error


def target_of(source: Path, described: ModelFile, type_name: str, paths: Paths, own_folders: Sequence[Path]) -> Path:
    """Beside a source in a folder of the user's own that can be written; else in the program's models folder."""
    base = split_name(stem(source))[0].rstrip("-._ ")
    if _NAMELESS.match(base):
        base = described.name
    name = f"{_UNFIT.sub('-', base).strip('-.') or 'model'}-{type_name}.gguf"
    folder = Path(os.path.abspath(source)).parent
    own = [Path(os.path.abspath(path)) for path in (paths.models, *own_folders)]
    # A link leads into somebody else's store, such as the Hugging Face cache, where nothing of ours belongs.
    is_own = any(folder.is_relative_to(path) for path in own) and not source.is_symlink()
    return (folder if is_own and os.access(folder, os.W_OK) else paths.models) / name


def _described(source: Path) -> ModelFile:
    described = describe(source)
    if described.kind in ("adapter", "imatrix"):
        raise ModelFileError(f"{source.name} is no model, so there is nothing to quantize in it.")
    missing = next((part for part in parts_of(source) if not part.is_file()), None)
    if missing is not None:
        raise ModelNotFound(f"The part {missing.name} is missing beside {source.name}.")
    return described


def _check_target(source: Path, target: Path) -> None:
    if target.suffix.lower() != ".gguf":
        raise UserError(f"{target.name} does not end with .gguf, so nothing would take it for a model.", code="usage")
    if any(os.path.abspath(target) == os.path.abspath(part) for part in parts_of(source)):
        raise UserError(f"{target} is the source itself. Choose another type or another name.", code="usage")
    if os.path.lexists(target):
        raise UserError(
            f"{target} exists already. Delete or rename it first, or choose another name.", code="quantization_exists"
        )


def lock_path(paths: Paths, target: Path) -> Path:
    """What a process holds while it makes `target`."""
    digest = hashlib.sha256(os.path.abspath(target).encode("utf-8", "surrogateescape")).hexdigest()
    return paths.cache / "locks" / f"quantize-{digest[:16]}.lock"


def _sweep(target: Path) -> None:
    """Removes what a killed process left of this file; the lock is ours, so nobody is at work on it."""
    for leftover in glob.glob(f"{glob.escape(str(_staged(target)))}*"):
        Path(leftover).unlink(missing_ok=True)


def _staged(target: Path) -> Path:
    return target.with_name(f".{target.name}.making")


def _make(
    source: Path, target: Path, described: ModelFile, type_name: str, options: QuantizeOptions, hash_of: HashOf | None,
    report: Progress, cancel: threading.Event | None, threads: int | None,
) -> Path:  # fmt: skip
    """The file appears under its name when it is whole and its lineage lies beside it."""
    staged = _staged(target)
    try:
        done = quantize_file(
            source, staged, type_name, options=options, on_progress=report, cancel=cancel, threads=threads
        )
        report(None)
        lineage = _lineage(source, described, type_name, options, done, hash_of or _hasher(cancel))
        write_lineage(target, lineage)
        os.replace(staged, target)
    except BaseException:
        staged.unlink(missing_ok=True)
        with suppress(OSError):
            lineage_file(target).unlink(missing_ok=True)
        raise
    return target


def _hasher(cancel: threading.Event | None) -> HashOf:
    return lambda files: hash_files(files, cancel.is_set if cancel is not None else None)


def _lineage(
    source: Path, described: ModelFile, type_name: str, options: QuantizeOptions, done: QuantizeDone, hash_of: HashOf
) -> Lineage:
    try:
        source_sha256 = hash_of(parts_of(source))
        matrix_sha256 = hash_of((Path(options.matrix),)) if options.matrix else None
    except HashCancelled as error:
        raise UserError("Making the quantization was cancelled.", code="cancelled") from error
    return Lineage(
        type_name=type_name,
        source=os.path.abspath(source),
        source_sha256=source_sha256,
        source_quantization=described.quantization,
        engine_build=done.engine_build,
        made_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        size_bytes=done.size_bytes,
        matrix=os.path.abspath(options.matrix) if options.matrix else None,
        matrix_sha256=matrix_sha256,
        output_type=options.output_type,
        embedding_type=options.embedding_type,
        keep_output=options.keep_output,
        pure=options.pure,
        notes=done.notes,
    )


def _write_error(target: Path, error: OSError) -> UserError | StorageFull:
    if error.errno in DISK_FULL:
        return StorageFull(f"The disk of {target.parent} is full: {target.name} could not be made.")
    return UserError(
        f"{target} could not be written: {error.strerror or error}. Choose another folder or name.",
        code="folder_not_writable",
    )  # fmt: skip
