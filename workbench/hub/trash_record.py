"""The record of a deletion on disk, by which another start of the program can undo or finish it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.errors import SpecError
from workbench.hub.index import KnownFile
from workbench.paths import write_atomically
from workbench.runs.spec import from_plain

log = logging.getLogger(__name__)
VERSION = 1


@dataclass(frozen=True, slots=True)
class Move:
    """A file or link that was moved. `payload` is what it stands for in the Hub cache's shared store, and `keep`
    a second name of that content for as long as the deletion can be undone.
    """

    source: Path
    target: Path
    payload: Path | None = None
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class TrashRecord:
    """`forgotten` is what the library knew of the files."""

    names: tuple[str, ...]
    moves: tuple[Move, ...]
    notes: tuple[str, ...] = ()
    reclaimed_bytes: int = 0
    forgotten: tuple[KnownFile, ...] = ()


def write_record(path: Path, record: TrashRecord) -> None:
    """Raises OSError."""
    plain = {"version": VERSION, **asdict(record)}
    write_atomically(path, json.dumps(plain, indent=1, default=str))


def remove_record(path: Path) -> None:
    path.unlink(missing_ok=True)


def read_records(folder: Path) -> Iterator[tuple[Path, TrashRecord]]:
    """The records of a folder, the oldest first; one that cannot be read is left where it is and logged."""
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if plain.pop("version") != VERSION:
                raise ValueError("of another version of this program")
            yield path, _record(plain)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, SpecError) as error:
            log.warning("%s cannot be used: %s", path, error)


def _record(plain: dict[str, Any]) -> TrashRecord:
    for move in plain["moves"]:
        for name, value in move.items():
            move[name] = Path(value) if value is not None else None
    record: TrashRecord = from_plain(TrashRecord, plain)
    return record
