"""The part of a file that has arrived: appended to as bytes come, and hashed while they do."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from workbench.errors import StorageFull, WorldError
from workbench.hub.stopping import Stop
from workbench.paths import DISK_FULL
from workbench.units import bytes_text

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK_BYTES = 1024 * 1024
# What the disk has not taken by then it takes while bytes still arrive, so that the last wait is short.
_TO_DISK_EVERY_BYTES = 64 * 1024 * 1024
_SHA1_DIGITS, _SHA256_DIGITS = 40, 64


def new_digest(name: str, size_bytes: int) -> _Hash | None:
    """The hash by which the Hub names contents of this kind: SHA-256, or Git's own of small files; None: neither."""
    if not all(digit in "0123456789abcdef" for digit in name):
        return None
    if len(name) == _SHA256_DIGITS:
        return hashlib.sha256()
    if len(name) == _SHA1_DIGITS:
        return hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
    return None


class Partial:
    """`path` is made when missing; a context that closes it. What was there before is hashed beside the transfer.

    The bytes on disk are always the beginning of the content: writes only append, and nothing is held back.
    """

    def __init__(self, path: Path, digest: _Hash | None) -> None:
        self._path = path
        self._digest = digest
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("ab", buffering=0)
            self.size_bytes = path.stat().st_size
        except OSError as error:
            raise storage_error(error, path) from error
        self._reader = self._new_reader()
        self._tell_reader()

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._reader is not None:
            self._reader.leave()
        self._file.close()

    def append(self, content: bytes) -> None:
        """Raises StorageFull with as much kept as the disk took."""
        rest = memoryview(content)
        try:
            while rest:
                taken = self._file.write(rest)
                self.size_bytes += taken
                rest = rest[taken:]
        except OSError as error:
            raise storage_error(error, self._path) from error
        self._tell_reader()

    def start_over(self) -> None:
        """Throws everything away."""
        if self._reader is not None:
            self._reader.leave()
        try:
            self._file.truncate(0)
        except OSError as error:
            raise storage_error(error, self._path) from error
        self.size_bytes = 0
        self._reader = self._new_reader()

    def to_disk(self) -> None:
        try:
            self._sync()
        except OSError as error:
            raise storage_error(error, self._path) from error

    def _sync(self) -> None:
        os.fsync(self._file.fileno())

    def _new_reader(self) -> _Reader | None:
        return _Reader(self._path, self._digest, self._sync) if self._digest is not None else None

    def hexdigest(self, stop: Stop) -> str | None:
        """The hash of all bytes; waits until they are read. None: no hash is known for this kind of content."""
        return self._reader.finish(stop) if self._reader is not None else None

    def _tell_reader(self) -> None:
        if self._reader is not None:
            self._reader.reach(self.size_bytes)


class _Reader:
    """Hashes a growing file in a thread of its own, from the file: the transfer waits for no hash."""

    def __init__(self, path: Path, digest: _Hash, to_disk: Callable[[], None]) -> None:
        self._path = path
        self._to_disk = to_disk
        self._digest = digest.copy()
        self._changed = threading.Condition()
        self._reached = 0
        self._done = 0
        self._is_left = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._read, name="download-hash", daemon=True)
        self._thread.start()

    def reach(self, size_bytes: int) -> None:
        self._reached = size_bytes
        if size_bytes - self._done >= _BLOCK_BYTES:
            with self._changed:
                self._changed.notify()

    def leave(self) -> None:
        self._is_left = True
        with self._changed:
            self._changed.notify()
        self._thread.join()

    def finish(self, stop: Stop) -> str:
        while self._done < self._reached and self._error is None:
            stop.check()
            with self._changed:
                self._changed.notify()
            threading.Event().wait(0.002)
        if self._error is not None:
            raise storage_error(self._error, self._path)
        return self._digest.hexdigest()

    def _read(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                self._follow(file)
        except OSError as error:
            self._error = error

    def _follow(self, file: BinaryIO) -> None:
        on_disk = 0
        while not self._is_left:
            block = file.read(min(_BLOCK_BYTES, self._reached - self._done))
            if not block:
                with self._changed:
                    self._changed.wait(0.2)
                continue
            self._digest.update(block)
            self._done += len(block)
            if self._done - on_disk >= _TO_DISK_EVERY_BYTES:
                self._to_disk()
                on_disk = self._done


def storage_error(error: OSError, path: Path) -> WorldError:
    """The sentence for a write that failed; what was written before stays."""
    folder = path.parent
    if error.errno in DISK_FULL:
        return StorageFull(
            f"The disk of {folder} is full. What has arrived is kept: free some space and resume the download."
        )
    if error.errno == errno.EFBIG:
        size = bytes_text(path.stat().st_size) if path.exists() else "some"
        return StorageFull(
            f"The file system of {folder} takes no file larger than {size}. Set HF_HOME to a folder on a disk with "
            "another file system (FAT32 stops at 4 GB), or raise the limit on file sizes (ulimit -f)."
        )
    return WorldError(
        f"{folder} cannot be written: {error.strerror or error}. Change its permissions, or set HF_HOME to a folder "
        "of your own.",
        code="folder_not_writable",
    )
