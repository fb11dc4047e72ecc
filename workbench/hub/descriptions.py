"""What headers said, remembered by path, size and time of the last write, also for the next start of the program."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.errors import ModelNotFound, SpecError
from workbench.hub.gguf import ModelFile, describe
from workbench.paths import write_atomically
from workbench.runs.spec import from_plain

log = logging.getLogger(__name__)
# Raised when `describe` says more or something else about the same file.
VERSION = 2
MAX_REMEMBERED = 2_000
_KEPT = (
    "name", "architecture", "quantization", "parameters", "context_trained", "bits_per_weight", "description",
    "license", "chat_templates", "kind", "thinking", "author", "card",
)  # fmt: skip
_BEYOND = 2**64
Stamp = tuple[int, int]


class DescriptionCache:
    """Descriptions of sound files; a file that cannot be read is read again each time.

    `file` None: nothing outlives the program. A cache that cannot be read or written costs time, nothing else.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._described: dict[str, tuple[Stamp, ModelFile]] = {}
        self._is_loaded = file is None
        self._is_changed = False

    def of(self, path: Path) -> ModelFile:
        """The model in this one file. Raises ModelNotFound, ModelFileError."""
        self._load()
        try:
            status = path.stat()
        except OSError as error:
            shown = str(path).encode("utf-8", "replace").decode()
            raise ModelNotFound(f"{shown} cannot be read: {error.strerror or error}.") from error
        stamp = status.st_size, status.st_mtime_ns
        known = self._described.get(str(path))
        if known is None or known[0] != stamp:
            known = stamp, describe(path)
            self._described[str(path)] = known
            self._is_changed = True
        return known[1]

    def save(self) -> None:
        """Writes what was learned since the last call; does nothing when that is nothing."""
        if not self._is_changed or self._file is None:
            return
        newest = list(self._described.items())[-MAX_REMEMBERED:]
        plain = {path: [*stamp, _plain(file)] for path, (stamp, file) in newest}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps({"version": VERSION, "files": plain}))
            self._is_changed = False
        except OSError as error:
            log.warning("%s cannot be written: %s", self._file, error.strerror or error)

    def _load(self) -> None:
        if self._is_loaded or self._file is None:
            return
        self._is_loaded = True
        try:
            plain = json.loads(self._file.read_text(encoding="utf-8"))
            if isinstance(plain, dict) and plain.get("version") == VERSION:
                loaded = {path: _from_plain(Path(path), *item) for path, item in plain["files"].items()}
                self._described = loaded | self._described
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, SpecError) as error:
            log.warning("%s cannot be used and is written anew: %s", self._file, error)


def _plain(file: ModelFile) -> dict[str, Any]:
    kept = {name: getattr(file, name) for name in _KEPT}
    return kept | {"card": asdict(file.card) if file.card is not None else None}


def _from_plain(path: Path, size_bytes: int, written_ns: int, kept: dict[str, Any]) -> tuple[Stamp, ModelFile]:
    figures = [size_bytes, written_ns, *(value for value in kept.values() if isinstance(value, int | float))]
    if not all(0 <= figure < _BEYOND for figure in figures):  # what a header says always fits into 64 bits
        raise ValueError(f"figures of {path} that cannot be")
    place = {"path": path, "parts": [path], "size_bytes": size_bytes, "written_ns": written_ns}
    file: ModelFile = from_plain(ModelFile, {**kept, **place})
    return (size_bytes, written_ns), file
