"""Brings a model file from anywhere into the library: registered where it lies, linked, copied or moved."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.errors import ModelFileError, ModelNotFound, StorageFull, UserError, WorkbenchError
from workbench.hub.gguf import ModelFile
from workbench.hub.lineage import lineage_file
from workbench.hub.lock import file_lock
from workbench.hub.places import Place, folder_files
from workbench.hub.remembering import known_as
from workbench.hub.shelf import is_model
from workbench.paths import DISK_FULL
from workbench.units import bytes_text

if TYPE_CHECKING:
    from workbench.hub.library import ModelLibrary

How = Literal["register", "link", "copy", "move"]
Progress = Callable[[float | None], None]
Cancel = Callable[[], bool]
_CHUNK_BYTES = 4 * 1024 * 1024
# What a copy leaves free, so that the rest of the system can go on.
SPARE_BYTES = 256 * 1024 * 1024


class ImportCancelled(WorkbenchError):
    """The caller asked to stop; nothing was added, and nothing is left of a copy."""

    code = "import_cancelled"


@dataclass(frozen=True, slots=True)
class Addition:
    """`files` are those that were not in the library before; `sentences` say what was done with each file."""

    files: tuple[ModelFile, ...]
    sentences: tuple[str, ...]


def add_file(
    library: ModelLibrary,
    path: Path | str,
    how: How = "register",
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Addition:
    """Adds a file with all its parts, or every model below a folder. Blocks while it reads or copies.

    "register" copies nothing: the file stays where it is. A content that the library has is not added again.
    Raises ModelNotFound, ModelFileError, UserError, StorageFull, ImportCancelled, HashCancelled; of a folder, only
    when nothing in it could be added.
    """
    path = Path(os.path.abspath(os.path.expanduser(path)))
    if not os.path.lexists(path):
        raise ModelNotFound(f"There is nothing at {path}. Check the path.")
    adding = _Adding(library, how, progress, cancel)
    if not os.path.isdir(path):
        return adding.add(path)
    return _add_folder(adding, path)


def _add_folder(adding: _Adding, folder: Path) -> Addition:
    problems: list[str] = []
    found = folder_files(Place("folder", folder), problems, _no_beat)
    if not found:
        raise UserError(problems[0] if problems else f"There is no .gguf file in {folder} or below it.")
    files: list[ModelFile] = []
    sentences, refused = [*problems], 0
    for item in found:
        try:
            addition = adding.add(item.parts[0])
        except (ModelFileError, ModelNotFound) as error:
            refused += 1
            sentences.append(error.message)
            continue
        files += addition.files
        sentences += addition.sentences
    if refused == len(found):
        raise UserError(f"Nothing in {folder} can be added. {' '.join(sentences[:3])}")
    return Addition(tuple(files), tuple(sentences))


class _Adding:
    """One call of `add_file`."""

    def __init__(self, library: ModelLibrary, how: How, progress: Progress | None, cancel: Cancel | None) -> None:
        self._library = library
        self._how = how
        self._progress = progress
        self._cancel = cancel

    def add(self, path: Path) -> Addition:
        file = self._library.describe(path)
        if file.problem is not None:
            raise ModelFileError(file.problem)
        if (reason := why_no_model(file)) is not None:
            raise ModelFileError(reason)
        twin = self._twin(file)
        if twin is not None:
            where = "already" if _is_same_path(twin, file) else f"already, at {twin.path}"
            return Addition((), (f"{path.name} is in the library {where}. Nothing was changed.",))
        if self._how == "register":
            return self._register(file)
        if self._how == "move":
            return self._move(file)
        return self._link(file) if self._how == "link" else self._copy(file)

    def _twin(self, file: ModelFile) -> ModelFile | None:
        """The file of the library with the same content. Reads contents only where the sizes are equal."""
        listed = [item for entry in self._library.list() for item in entry.files if item.problem is None]
        for item in listed:
            if _is_same_path(item, file) or _is_same_file(item, file):
                return item
        alike = [item for item in listed if item.size_bytes == file.size_bytes]
        if not alike:
            return None
        if self._progress is not None:
            self._progress(None)
        own = self._library.hashes.compute(file.parts, self._cancel)
        return next((item for item in alike if self._hash(item) == own), None)

    def _hash(self, file: ModelFile) -> str:
        return self._library.sha256_of(file) or self._library.hashes.compute(file.parts, self._cancel)

    def _register(self, file: ModelFile) -> Addition:
        added = replace(file, origin="registered")
        known = known_as(added, str(file.path.parent), self._library.sha256_of(file))
        self._library.index.update({str(file.path): known})
        return Addition((added,), (f"{file.path.name} was added where it lies. Nothing was copied.",))

    def _link(self, file: ModelFile) -> Addition:
        targets = self._targets(file)
        with file_lock(self._lock_file()):
            _require_free(targets)
            made: list[Path] = []
            try:
                for source, target in (*zip(file.parts, targets, strict=True), *_lineages(file, targets)):
                    if target not in targets:
                        target.unlink(missing_ok=True)  # of a model that is gone
                    target.symlink_to(os.path.abspath(source))
                    made.append(target)
            except OSError as error:
                for target in made:
                    target.unlink(missing_ok=True)
                raise UserError(
                    f"A link to {file.path.name} could not be made: {error.strerror or error}. Add it without a link."
                ) from error
        return self._added(targets, f"{file.path.name} was added as a link to {file.path}.")

    def _move(self, file: ModelFile) -> Addition:
        if any(part.is_symlink() for part in file.parts):
            raise UserError(f"{file.path} is a link. Move the file itself, or add it without moving.")
        targets = self._targets(file)
        with file_lock(self._lock_file()):
            _require_free(targets)
            moved: list[tuple[Path, Path]] = []
            try:
                for source, target in (*zip(file.parts, targets, strict=True), *_lineages(file, targets)):
                    os.rename(source, target)
                    moved.append((source, target))
            except OSError:
                for source, target in reversed(moved):
                    os.rename(target, source)
                moved = []
        if not moved:  # another disk: the original goes when the copy is complete
            lineages = _lineages(file, targets)
            addition = self._copy(file)
            for source in (*file.parts, *(lineage for lineage, _ in lineages)):
                source.unlink()
            return addition
        return self._added(targets, f"{file.path.name} was moved to {targets[0].parent}.")

    def _copy(self, file: ModelFile) -> Addition:
        targets = self._targets(file)
        _require_free(targets)
        _require_room(file, targets[0].parent)
        temporary: list[Path] = []
        lineages = _lineages(file, targets)
        try:
            digest = self._copy_parts(file, targets, temporary)
            for source, target in lineages:
                shutil.copyfile(source, _temporary_beside(target, temporary))
            with file_lock(self._lock_file()):
                _require_free(targets)
                for written, target in zip(temporary, (*targets, *(target for _, target in lineages)), strict=True):
                    os.chmod(written, 0o644)
                    os.replace(written, target)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise StorageFull(f"The disk of {targets[0].parent} is full: nothing was copied.") from error
            raise ModelFileError(f"{file.path.name} could not be copied: {error.strerror or error}.") from error
        finally:
            for written in temporary:
                written.unlink(missing_ok=True)
        self._library.hashes.store(targets, digest)
        return self._added(targets, f"{file.path.name} was copied to {targets[0].parent}.")

    def _copy_parts(self, file: ModelFile, targets: tuple[Path, ...], temporary: list[Path]) -> str:
        """Copies into files beside the targets; the hash of all that was read. Appends what it makes."""
        digest, done = hashlib.sha256(), 0
        for part, target in zip(file.parts, targets, strict=True):
            before = part.stat()
            with _temporary_beside(target, temporary).open("wb") as output, part.open("rb") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    if self._cancel is not None and self._cancel():
                        raise ImportCancelled(f"Adding {file.path.name} was cancelled. Nothing was copied.")
                    digest.update(chunk)
                    output.write(chunk)
                    done += len(chunk)
                    if self._progress is not None:
                        self._progress(min(done / file.size_bytes, 1.0))
                output.flush()
                os.fsync(output.fileno())
            after = part.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise ModelFileError(f"{part.name} was changed while it was copied. Add it again.")
        return digest.hexdigest()

    def _targets(self, file: ModelFile) -> tuple[Path, ...]:
        folder = self._library.models_folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be made: {error.strerror or error}.") from error
        if file.path.name.lower().endswith(".gguf"):
            return tuple(folder / part.name for part in file.parts)
        quantization = f"-{file.quantization}" if file.quantization else ""
        base = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in file.name)[:100]
        return (folder / f"{base.lstrip('.')}{quantization}.gguf",)

    def _lock_file(self) -> Path:
        return self._library.models_folder / ".adding.lock"

    def _added(self, targets: tuple[Path, ...], sentence: str) -> Addition:
        return Addition((replace(self._library.describe(targets[0]), origin="own"),), (sentence,))


def why_no_model(file: ModelFile) -> str | None:
    """The sentence for a GGUF file that is no model to run; None: it is one."""
    name = file.path.name
    if file.architecture == "clip" or "mmproj" in name.lower():
        return f"{name} is a projector, with which a model sees or hears. It is used beside its model, not by itself."
    if file.kind == "adapter":
        return f"{name} is a LoRA adapter. It is attached to a run of its base model, and is no model itself."
    if not is_model(file):
        return f"{name} is no model: it calls itself {file.kind!r}."
    if file.parameters is None:
        return f"{name} has no weights, only a vocabulary or metadata."
    return None


def _lineages(file: ModelFile, targets: tuple[Path, ...]) -> list[tuple[Path, Path]]:
    """Where the files that tell of the parts' making lie, and where they belong."""
    pairs = [(lineage_file(part), lineage_file(target)) for part, target in zip(file.parts, targets, strict=True)]
    return [(source, target) for source, target in pairs if source.is_file()]


def _temporary_beside(target: Path, temporary: list[Path]) -> Path:
    """An empty file, which is appended to `temporary`."""
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    os.close(handle)
    temporary.append(Path(name))
    return temporary[-1]


def _is_same_path(item: ModelFile, file: ModelFile) -> bool:
    return file.path == item.path or file.path in item.also_at


def _is_same_file(item: ModelFile, file: ModelFile) -> bool:
    try:
        return os.path.samefile(item.path, file.path)
    except OSError:
        return False


def _require_free(targets: tuple[Path, ...]) -> None:
    taken = next((target for target in targets if os.path.lexists(target)), None)
    if taken is not None:
        raise UserError(f"There is another file at {taken}. Rename one of them, or add this one where it lies.")


def _require_room(file: ModelFile, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < file.size_bytes + SPARE_BYTES:
        raise StorageFull(
            f"{file.path.name} has {bytes_text(file.size_bytes)}, and on the disk of {folder} only "
            f"{bytes_text(free)} are free. Add it where it lies, or free some space."
        )


def _no_beat() -> None:
    """A folder that a person named is waited for."""
