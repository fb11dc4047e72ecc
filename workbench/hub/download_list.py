"""The file that remembers which downloads were asked for and are not over, for all programs that share it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import StorageFull, WorldError
from workbench.hub.lock import file_lock
from workbench.hub.repository import RepoFile
from workbench.hub.transfers import DownloadOrder
from workbench.paths import DISK_FULL, free_name, write_atomically

VERSION = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """One line of the list. `error` is why it stopped, where it did not stop because it was told to."""

    id: str
    order: DownloadOrder
    error_code: str | None = None
    error: str | None = None


class DownloadList:
    """Each program writes its own lines and leaves those of others alone while they run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owner = _this_process()
        self._mine: set[str] = set()

    def take(self) -> tuple[Kept, ...]:
        """The lines that no running program has; from here on they are this one's. A broken file is set aside.

        Raises StorageFull, WorldError.
        """
        try:
            with file_lock(self._lock_path):
                rows = self._rows()
        except OSError as error:
            raise _write_error(error, self._path) from error
        taken = tuple(_kept(row) for row in rows if row["owner"] == self._owner or not _is_alive(row["owner"]))
        self._mine.update(line.id for line in taken)
        return taken

    def write(self, lines: Iterable[Kept], *, is_leaving: bool = False) -> None:
        """Replaces this program's lines; `is_leaving` gives them up to the next. Raises StorageFull, WorldError."""
        mine = {line.id: line for line in lines}
        owner = None if is_leaving else self._owner
        try:
            with file_lock(self._lock_path):
                others = [row for row in self._rows() if row["id"] not in self._mine | mine.keys()]
                rows = others + [asdict(line) | {"owner": owner} for line in mine.values()]
                write_atomically(self._path, json.dumps({"version": VERSION, "downloads": rows}, indent=1) + "\n")
        except OSError as error:
            raise _write_error(error, self._path) from error
        self._mine = set(mine)

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(self._path.name + ".lock")

    def _rows(self) -> list[dict[str, Any]]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["version"] != VERSION:  # of a newer program: it would lose what this one does not know
                raise ValueError(f"its version is {content['version']}, and {VERSION} is known")
            for row in content["downloads"]:
                _kept(row), _owner(row)  # a row that cannot be read spoils the file here, not later
            return list(content["downloads"])
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            aside = free_name(self._path, "broken")
            self._path.replace(aside)
            _log.warning("The list of downloads was not readable (%s); it is kept as %s.", error, aside.name)
            return []


def _kept(row: dict[str, Any]) -> Kept:
    order = row["order"]
    files = tuple(
        RepoFile(_text(f["name"]), _size_bytes(f["size_bytes"]), _maybe_text(f["sha256"]), bool(f["is_xet"]))
        for f in order["files"]
    )
    return Kept(
        _text(row["id"]),
        DownloadOrder(_text(order["repo_id"]), _text(order["revision"]), _text(order["label"]), files),
        _maybe_text(row["error_code"]),
        _maybe_text(row["error"]),
    )


def _owner(row: dict[str, Any]) -> list[float] | None:
    owner = row["owner"]
    if owner is None:
        return None
    pid, born = owner
    if type(pid) is not int or not 0 < pid < 2**31 or not isinstance(born, int | float):
        raise ValueError(f"no process is called {owner!r}")
    return [pid, born]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _maybe_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _size_bytes(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is no number of bytes")
    return value


def _this_process() -> list[float]:
    import psutil

    return [os.getpid(), psutil.Process().create_time()]


def _is_alive(owner: list[float] | None) -> bool:
    """The number of a process is given again; with its time of birth it is that process."""
    import psutil

    if owner is None:
        return False
    try:
        process = psutil.Process(int(owner[0]))
        return bool(process.create_time() == owner[1] and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _write_error(error: OSError, path: Path) -> WorldError:
    if error.errno in DISK_FULL:
        return StorageFull(f"The disk of {path.parent} is full, so downloads cannot be noted. Free some space.")
    return WorldError(f"{path} cannot be written: {error.strerror or error}.", code="folder_not_writable")
