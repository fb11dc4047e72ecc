"""Deletes model files so that they can be brought back until the program closes."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from workbench.errors import UserError, WorldError
from workbench.hub.cache_removal import collect_payload, is_listed_user
from workbench.hub.deletion_plan import lock_at_once, plan_deletion, require_deletable
from workbench.hub.gguf import ModelFile
from workbench.hub.index import LibraryIndex
from workbench.hub.trash_record import Move, TrashRecord, read_records, remove_record, write_record
from workbench.paths import DISK_FULL

log = logging.getLogger(__name__)


class Trash:
    """Deleted files of this program's life, each on the disk on which it lay. Any thread may call.

    `empty` at the program's end makes the space free. What a program that crashed left behind is offered by
    `leftovers`, and stays until somebody undoes or empties it. Another running program's deletions are never touched.
    """

    def __init__(self, folder: Path, index: LibraryIndex) -> None:
        self._folder = folder
        self._index = index
        self._deletions: list[Deletion] = []
        self._leftovers: list[Deletion] = []
        self._lock = threading.RLock()
        self._held: dict[Path, ExitStack] = {}
        self._session: Path | None = None

    def delete(self, files: Sequence[ModelFile], in_use: Collection[Path] = ()) -> Deletion:
        """Takes the files away; all of them or none. `in_use` are files that the engine has loaded.

        A registered file is only taken from the list. Raises UserError for what must not be deleted, WorldError
        when the disk refuses.
        """
        with self._lock:
            for file in files:
                require_deletable(file, in_use)
            known = self._index.known()
            forgotten = [known[str(file.path)] for file in files if str(file.path) in known]
            session = self._begin()
            path = session / f"{uuid.uuid4().hex}.json"
            with ExitStack() as locks:
                try:
                    record = plan_deletion(files, session.name, locks, forgotten)
                    _write(path, record)
                    _move_all(record.moves)
                except OSError as error:
                    remove_record(path)
                    raise _not_moved(files, error) from error
            self._index.update({item.parts[0]: None for item in forgotten})
            deletion = Deletion(path, record, self._index)
            self._deletions.append(deletion)
            return deletion

    def leftovers(self) -> tuple[Deletion, ...]:
        """Deletions of programs that ended without emptying, the oldest of each first: each can be undone or emptied.

        Another program is not offered them before this one calls `empty`.
        """
        with self._lock:
            for folder in sorted(self._folder.glob("*/")):
                if folder in self._held or not self._take(folder):
                    continue
                self._leftovers += [Deletion(path, record, self._index) for path, record in read_records(folder)]
            return tuple(item for item in self._leftovers if item.is_pending)

    @property
    def pending(self) -> tuple[Deletion, ...]:
        """What this program deleted and can undo, the oldest first."""
        with self._lock:
            return tuple(deletion for deletion in self._deletions if deletion.is_pending)

    def empty(self) -> int:
        """Removes for good what this program deleted; returns the bytes that became free. Call it when it closes."""
        with self._lock:
            freed = sum(deletion.empty() for deletion in self._deletions if deletion.is_pending)
            self._deletions, self._leftovers = [], []
            for folder, held in self._held.items():
                held.close()
                _remove_if_done(folder)
            self._held = {}
            self._session = None
            return freed

    def _begin(self) -> Path:
        if self._session is None:
            self._session = self._folder / uuid.uuid4().hex[:12]
            try:
                self._session.mkdir(parents=True)
            except OSError as error:
                raise WorldError(f"{self._session} cannot be made: {error.strerror or error}.") from error
            self._take(self._session)
        return self._session

    def _take(self, folder: Path) -> bool:
        """Whether nobody else holds the folder; it is held from then on."""
        held = ExitStack()
        try:
            held.enter_context(lock_at_once(folder / "session.lock"))
        except (UserError, OSError):
            return False
        self._held[folder] = held
        return True


class Deletion:
    """One deletion. `notes` are sentences about what stays, `reclaimed_bytes` what `empty` makes free."""

    def __init__(self, path: Path, record: TrashRecord, index: LibraryIndex) -> None:
        self._path = path
        self._index = index
        self._lock = threading.Lock()
        self.record = record
        self.is_pending = True

    @property
    def places(self) -> tuple[Path, ...]:
        """The folders out of which the files were taken, the models' own first; empty when only the list changed."""
        return tuple(dict.fromkeys(move.source.parent for move in self.record.moves))

    @property
    def names(self) -> tuple[str, ...]:
        return self.record.names

    @property
    def reclaimed_bytes(self) -> int:
        return self.record.reclaimed_bytes

    @property
    def file_count(self) -> int:
        """Contents that `empty` removes; asks the disk. A link is none: what it means stays, or is counted itself."""
        return sum(_has_content(move) for move in self.record.moves)

    @property
    def notes(self) -> tuple[str, ...]:
        return self.record.notes

    def undo(self) -> None:
        """Puts everything back where it was. Raises UserError when it is too late, or something lies there now, and
        WorldError when the disk refuses, or when some of it is lost: the rest is back then.
        """
        with self._lock:
            if not self.is_pending:
                raise UserError(f"{', '.join(self.names)} cannot be brought back any more.")
            moved = [move for move in self.record.moves if os.path.lexists(move.target)]
            taken = next((move.source for move in moved if os.path.lexists(move.source)), None)
            if taken is not None:
                raise UserError(f"There is another file at {taken}. Move it away and undo again.")
            lost = next((move for move in self.record.moves if _is_lost(move)), None)
            try:
                for move in reversed(moved):
                    _put_back(move)
            except OSError as error:
                raise WorldError(
                    f"{', '.join(self.names)} could not be put back: {error.strerror or error}."
                ) from error
            self._index.update({item.parts[0]: item for item in self.record.forgotten})
            self.is_pending = False
            remove_record(self._path)
        if lost is not None:
            rest = " The rest is back." if moved else ""
            raise WorldError(f"{lost.source} is not in the trash any more: something else has removed it.{rest}")

    def empty(self) -> int:
        """Removes it for good; returns the bytes that became free. Where something could not be removed it is 0, and
        the deletion stays pending.
        """
        with self._lock:
            if not self.is_pending:
                return 0
            try:
                for move in self.record.moves:
                    _discard(move)
            except OSError as error:
                # The record stays, so that the next program finds it.
                log.error("%s could not be removed: %s", error.filename, error.strerror or error)
                return 0
            self.is_pending = False
            remove_record(self._path)
            return self.record.reclaimed_bytes


def _write(path: Path, record: TrashRecord) -> None:
    """Before anything moves: after a crash in the middle, what was moved is known."""
    try:
        write_record(path, record)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        # Deleting is what a full disk needs. It can be undone, though not after a crash.
        log.warning("%s could not be written: %s", path, error.strerror)


def _move_all(moves: Sequence[Move]) -> None:
    """Raises OSError after everything was moved back."""
    done: list[Move] = []
    try:
        for move in moves:
            move.target.parent.mkdir(parents=True, exist_ok=True)
            if move.payload is not None and move.keep is not None:
                # Another program may sweep the store meanwhile: this name keeps the content until then.
                os.link(move.payload, move.keep)
            os.rename(move.source, move.target)
            done.append(move)
    except OSError:
        for move in reversed(done):
            _put_back(move)
        for move in moves:
            if move.keep is not None:
                move.keep.unlink(missing_ok=True)
            _remove_empty(move.target.parent)
        raise


def _has_content(move: Move) -> bool:
    return move.keep is not None or (os.path.lexists(move.target) and not os.path.islink(move.target))


def _is_lost(move: Move) -> bool:
    return not os.path.lexists(move.target) and not os.path.lexists(move.source)


def _put_back(move: Move) -> None:
    move.source.parent.mkdir(parents=True, exist_ok=True)
    if move.payload is not None and move.keep is not None:
        if move.payload.exists() and is_listed_user(move.payload, move.source):
            os.rename(move.target, move.source)
            move.keep.unlink(missing_ok=True)
        else:  # swept meanwhile: the blob becomes a file of its own
            os.rename(move.keep, move.source)
            move.target.unlink()
    else:
        os.rename(move.target, move.source)
    _remove_empty(move.target.parent)


def _discard(move: Move) -> None:
    # The record may have been written and the move not made.
    move.target.unlink(missing_ok=True)
    if move.keep is not None:
        move.keep.unlink(missing_ok=True)
    if move.payload is not None and not os.path.lexists(move.source):
        collect_payload(move.payload)
    _remove_empty(move.target.parent)


def _remove_empty(folder: Path) -> None:
    """The folder of the session, and the hidden folder around it, once nothing is in them."""
    for path in (folder, folder.parent):
        try:
            path.rmdir()
        except OSError:
            return  # not empty, or gone already


def _remove_if_done(folder: Path) -> None:
    if any(folder.glob("*.json")):
        return
    (folder / "session.lock").unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        log.info("%s stays: %s", folder, error.strerror or error)


def _not_moved(files: Sequence[ModelFile], error: OSError) -> WorldError:
    names = ", ".join(file.path.name for file in files)
    return WorldError(f"{names} could not be deleted: {error.strerror or error}. Nothing was changed.")
