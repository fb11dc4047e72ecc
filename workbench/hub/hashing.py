"""SHA-256 of model files, computed once per content and then remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.errors import ModelFileError, ModelNotFound, WorkbenchError

_CHUNK_BYTES = 4 * 1024 * 1024

# (absolute path, size in bytes, time of the last write in ns) -> hash, or None when it is not known.
KnownHash = Callable[[str, int, int], str | None]
RememberHash = Callable[[str, int, int, str], None]


class HashCancelled(WorkbenchError):
    """The caller asked to stop; nothing was computed."""

    code = "hash_cancelled"


def hash_file(path: Path, cancel: Callable[[], bool] | None = None) -> str:
    """SHA-256 in hexadecimal. Blocks: about 2 s for each GB. Raises HashCancelled, ModelNotFound, ModelFileError."""
    return hash_files([path], cancel)


def hash_files(
    paths: Sequence[Path], cancel: Callable[[], bool] | None = None, on_read: Callable[[int], None] | None = None
) -> str:
    """SHA-256 of the files one after another, as if they were one (the parts of a split model)."""
    return hash_parts(paths, cancel, on_read)[0]


def hash_parts(
    paths: Sequence[Path], cancel: Callable[[], bool] | None = None, on_read: Callable[[int], None] | None = None
) -> tuple[str, tuple[str, ...]]:
    """The hash of all files as if they were one, and that of each. `on_read` is told bytes as they are read."""
    digest, own = hashlib.sha256(), []
    for path in paths:
        part = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    if cancel is not None and cancel():
                        raise HashCancelled(f"Hashing {path.name} was cancelled.")
                    digest.update(chunk)
                    if len(paths) > 1:
                        part.update(chunk)
                    if on_read is not None:
                        on_read(len(chunk))
        except FileNotFoundError as error:
            raise ModelNotFound(f"There is no file {path}.") from error
        except OSError as error:
            raise ModelFileError(f"{path.name} cannot be read: {error.strerror or error}.") from error
        own.append((part if len(paths) > 1 else digest).hexdigest())
    return digest.hexdigest(), tuple(own)


class HashCache:
    """Hashes by path, size and time of the last write. `known` and `remember` reach what outlives the program."""

    def __init__(self, known: KnownHash | None = None, remember: RememberHash | None = None) -> None:
        self._known = known
        self._remember = remember
        self._memory: dict[tuple[str, int, int], str] = {}

    def look_up(self, paths: Sequence[Path]) -> str | None:
        """The hash when it is known for these files as they are, else None. Raises ModelNotFound."""
        key = _key(paths)
        if key not in self._memory and self._known is not None:
            found = self._known(*key)
            if found is not None:
                self._memory[key] = found
        return self._memory.get(key)

    def compute(self, paths: Sequence[Path], cancel: Callable[[], bool] | None = None) -> str:
        """The hash, computed unless it is known. Blocks; raises what `hash_file` raises."""
        found = self.look_up(paths)
        if found is not None:
            return found
        key = _key(paths)
        found = hash_files(paths, cancel)
        if _key(paths) != key:
            raise ModelFileError(f"{paths[0].name} was changed while it was read. Try again.")
        self.store(paths, found)
        return found

    def store(self, paths: Sequence[Path], digest: str) -> None:
        """Remembers what somebody else computed for the files as they are. Raises ModelNotFound."""
        key = _key(paths)
        self._memory[key] = digest
        if self._remember is not None:
            self._remember(*key, digest)


def _key(paths: Sequence[Path]) -> tuple[str, int, int]:
    try:
        statuses = [path.stat() for path in paths]
    except OSError as error:
        raise ModelNotFound(f"{paths[0]} cannot be read: {error.strerror or error}.") from error
    return str(paths[0]), sum(s.st_size for s in statuses), max(s.st_mtime_ns for s in statuses)
