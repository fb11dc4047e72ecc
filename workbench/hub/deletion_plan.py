"""What a deletion has to move, what it must leave alone, and how much space it will make free."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from workbench.errors import UserError
from workbench.hub.cache_removal import CacheRemoval, all_locks, other_users, plan_removal, shared_payload
from workbench.hub.gguf import ModelFile
from workbench.hub.index import KnownFile
from workbench.hub.lineage import lineage_file
from workbench.hub.lock import file_lock
from workbench.hub.trash_record import Move, TrashRecord

HIDDEN_FOLDER = ".workbench-trash"
_DOWNLOAD_MARKS = (".incomplete", ".part", ".aria2", ".crdownload", ".download")


def require_deletable(file: ModelFile, in_use: Collection[Path]) -> None:
    name = file.label or file.path.name
    if file.origin == "demo" and file.is_read_only:
        raise UserError("The demo model comes with the program and stays. Its other quantizations can be deleted.")
    if file.origin == "lm_studio":
        raise UserError(f"{name} belongs to LM Studio. Delete it there, under My Models.")
    if file.origin == "ollama":
        names = " ".join(name for name in (file.label, *file.aliases) if name)
        raise UserError(f"{name} belongs to Ollama. Delete it with `ollama rm {names}`.")
    if file.is_read_only:
        raise UserError(f"{file.path} is not this program's to delete.")
    used = {os.path.realpath(path) for path in in_use}
    if any(os.path.realpath(part) in used for part in file.parts):
        raise UserError(
            f"{name} is loaded. Choose another model on the Run page, ask it something, and delete this one then."
        )
    for part in file.parts:
        mark = next((mark for mark in _DOWNLOAD_MARKS if part.with_name(part.name + mark).exists()), None)
        if mark is not None:
            raise UserError(f"{part.name} is being downloaded: {part.name}{mark} lies beside it. Cancel that first.")


def plan_deletion(
    files: Sequence[ModelFile], session: str, locks: ExitStack, known: Sequence[KnownFile]
) -> TrashRecord:
    """What to move where; `known` is what the library is to learn again by an undo.

    Takes the locks of downloads into `locks`. Raises UserError where one is under way, OSError.
    """
    moves: list[Move] = []
    notes: list[str] = []
    going = frozenset(part for file in files if file.origin == "hub_cache" for part in file.parts)
    held: set[Path] = set()
    for file in files:
        if file.origin == "hub_cache":
            removal = plan_removal(file.parts, going)
            _hold_downloads(file, removal, locks, held)
            moves += _cache_moves(removal, session, {move.source for move in moves})
            notes += _notes_of_cache(file, removal)
        elif file.origin == "registered":
            notes.append(f"{file.path.name} was taken from the list and stays where it lies, in {file.path.parent}.")
        else:
            present = [path for part in file.parts for path in (part, lineage_file(part)) if os.path.lexists(path)]
            moves += [Move(path, _trash_for(path.parent, session) / _unique(path)) for path in present]
            if any(path.is_symlink() for path in present):
                notes.append(f"{file.path.name} was a link. {os.path.realpath(file.path)}, which it meant, stays.")
        notes += [f"The same content also lies at {path}." for path in file.also_at]
    names = tuple(dict.fromkeys(file.label or file.path.name for file in files))
    return TrashRecord(names, tuple(moves), tuple(notes), _reclaimed(moves), tuple(known))


def _notes_of_cache(file: ModelFile, removal: CacheRemoval) -> list[str]:
    if not removal.users:
        return []
    return [
        f"The content of {file.path.name} stays: revision {removal.users[0][:8]} uses it too. "
        "Delete that one as well to free the space."
    ]


def _hold_downloads(file: ModelFile, removal: CacheRemoval, locks: ExitStack, held: set[Path]) -> None:
    is_whole = all(os.path.exists(part) for part in file.parts)
    for path in removal.locks if is_whole else all_locks(removal.repository):
        if path in held or not path.parent.is_dir():
            continue  # held by this deletion, or nothing was ever downloaded with a lock
        try:
            locks.enter_context(lock_at_once(path))
        except UserError as error:
            raise UserError(
                f"{file.path.name} is being downloaded, here or by another program. Cancel that, or wait for it."
            ) from error
        held.add(path)


@contextmanager
def lock_at_once(path: Path) -> Iterator[None]:
    """Raises UserError when another process holds it."""
    is_impatient = threading.Event()
    is_impatient.set()
    with file_lock(path, is_impatient):
        yield


def _cache_moves(removal: CacheRemoval, session: str, taken: set[Path]) -> list[Move]:
    trash = removal.repository / HIDDEN_FOLDER / session
    moves = [Move(entry, trash / _unique(entry)) for entry in removal.entries]
    for blob in removal.blobs:
        if blob not in taken:
            payload = shared_payload(blob)
            keep = trash / f"{_unique(blob)}.kept" if payload is not None and payload.is_file() else None
            moves.append(Move(blob, trash / _unique(blob), payload if keep else None, keep))
    return moves


def _trash_for(folder: Path, session: str) -> Path:
    # Beside the file, so that it surely is on the same disk: a rename costs nothing, a copy costs all the space.
    return folder / HIDDEN_FOLDER / session


def _unique(path: Path) -> str:
    return f"{uuid.uuid4().hex[:8]}-{path.name[:200]}"


def _reclaimed(moves: Sequence[Move]) -> int:
    """Bytes of blocks that become free: a content with a name elsewhere keeps them."""
    going = frozenset(move.source for move in moves)
    links: dict[tuple[int, int], list[os.stat_result]] = {}
    freed = 0
    for move in moves:
        if move.payload is not None:
            status = move.payload.stat()
            if other_users(move.payload, going) is False and status.st_nlink == 1:
                freed += _allocated_bytes(status)
            continue
        status = os.lstat(move.source)
        if not os.path.islink(move.source):
            links.setdefault((status.st_dev, status.st_ino), []).append(status)
    return freed + sum(_allocated_bytes(found[0]) for found in links.values() if found[0].st_nlink <= len(found))


def _allocated_bytes(status: os.stat_result) -> int:
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * 512
