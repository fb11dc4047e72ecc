"""The log file that the engine's child writes to as its standard error: rotated by copying, read after a crash."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

_MAX_BYTES = 2 * 1024 * 1024
_TAIL_BYTES, _TAIL_LINES = 16 * 1024, 40


class EngineLog:
    """`folder` None: a file that is deleted with the process, only for the tail after a crash."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / "engine.log"
        self._file: IO[bytes]
        if self.path is None:
            self._file = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115 - open until `close`
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab+", buffering=0)

    def fileno(self) -> int:
        return self._file.fileno()

    def rotate_when_large(self) -> None:
        """Copies to `engine.log.1` and empties the file in place: the child keeps its handle, which appends."""
        if os.fstat(self.fileno()).st_size < _MAX_BYTES:
            return
        if self.path is not None:
            shutil.copyfile(self.path, self.path.with_name("engine.log.1"))
        os.ftruncate(self.fileno(), 0)

    def size_bytes(self) -> int:
        return os.fstat(self.fileno()).st_size

    def tail(self, since: int = 0) -> str | None:
        """The last lines written after byte `since`; None when there are none."""
        size = self.size_bytes()
        start = max(size - _TAIL_BYTES, since if since <= size else 0)
        self._file.seek(start)
        lines = self._file.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:]).strip() or None

    def close(self) -> None:
        self._file.close()
