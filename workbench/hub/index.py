"""What the library knows from before: files that were registered, and how each file looked when it was last seen."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import SpecError
from workbench.hub.gguf import Origin
from workbench.hub.lock import file_lock
from workbench.paths import free_name, write_atomically
from workbench.runs.spec import from_plain

log = logging.getLogger(__name__)
VERSION = 1


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A model file as it was when it was last seen, with the sums over its parts.

    `root` is the folder of the place in which it was found; `written_ns` the last write of any part.
    """

    parts: tuple[str, ...]
    origin: Origin
    root: str
    size_bytes: int
    written_ns: int
    name: str
    quantization: str | None = None
    repo_id: str | None = None
    sha256: str | None = None

    @property
    def path(self) -> Path:
        return Path(self.parts[0])


class LibraryIndex:
    """The known files in one JSON file. Any thread and any number of processes may change it.

    A broken file is kept aside and a newer one is left alone; `problem` then says so.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._known: dict[str, KnownFile] = {}
        self._stamp: tuple[int, int] | None = None
        self._is_newer = False
        self._was_broken: str | None = None
        self._not_written: str | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(text for text in (self._was_broken, self._not_written) if text)

    def known(self) -> Mapping[str, KnownFile]:
        """By the path of the first part, as any process left them."""
        with self._lock:
            self._refresh()
            return dict(self._known)

    def update(self, changes: Mapping[str, KnownFile | None]) -> None:
        """Saves the changed files, None forgets one; the others stay as any process left them.

        What cannot be written is kept for this program's life, and `problems` tells it.
        """
        if not changes:
            return
        with self._lock:
            try:
                with file_lock(self._file.with_suffix(".lock")):
                    self._refresh()
                    self._apply(changes)
                    if not self._is_newer:
                        self._save()
                self._not_written = None
            except OSError as error:
                self._apply(changes)
                self._not_written = (
                    f"{self._file} cannot be written: {error.strerror or error}. "
                    "What was added to the library is forgotten at the end of the program."
                )

    def _apply(self, changes: Mapping[str, KnownFile | None]) -> None:
        for path, known in changes.items():
            if known is None:
                self._known.pop(path, None)
            else:
                self._known[path] = known

    def _save(self) -> None:
        plain = {"version": VERSION, "files": [asdict(known) for _, known in sorted(self._known.items())]}
        write_atomically(self._file, json.dumps(plain, indent=1) + "\n")
        self._stamp = _stamp(self._file)

    def _refresh(self) -> None:
        stamp = _stamp(self._file)
        if stamp is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            plain = json.loads(self._file.read_text(encoding="utf-8"))
            version = plain["version"]
            self._is_newer = isinstance(version, int) and version > VERSION
            if self._is_newer:
                self._was_broken = f"{self._file} was written by a newer version of this program and is left as it is."
                return
            found = [_from_plain(item) for item in plain["files"]]
            self._known = {known.parts[0]: known for known in found}
        except OSError as error:
            self._was_broken = f"{self._file} cannot be read: {error.strerror or error}."
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, SpecError) as error:
            self._set_aside(error)

    def _set_aside(self, error: Exception) -> None:
        log.warning("%s is broken: %s", self._file, error)
        aside = free_name(self._file, "broken")
        try:
            os.replace(self._file, aside)
            kept = f"It was kept as {aside.name}"
        except OSError:
            kept = "It could not be put aside"
        self._stamp = None
        self._was_broken = (
            f"{self._file} was damaged. {kept}; models that were registered by their path have to be added again."
        )


def _from_plain(item: Any) -> KnownFile:
    known: KnownFile = from_plain(KnownFile, item)
    if not known.parts:
        raise ValueError("a file without parts")
    return known


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
