"""Opening the history's SQLite file, its transactions, and what its errors mean to a person."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import Bug, HistoryError, StorageFull, WorkbenchError
from workbench.history.migrations import migrate

BUSY_TIMEOUT_S = 15.0
_NO_ROOM = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_WRITE}
)


class Database:
    """One connection behind a lock, so that any thread may use it; other processes wait their turn.

    WAL with synchronous=FULL: a commit that returned survives `kill -9` and power loss.
    """

    def __init__(self, path: Path) -> None:
        """Opens or makes the file and brings its schema up to date. Raises HistoryError, StorageFull."""
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        with self._translated():
            self._connection = _connect(path)
            try:
                migrate(self._connection)
            except BaseException:
                self.close()
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A consistent view: all statements inside see the same state."""
        with self._transaction("BEGIN DEFERRED") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; durable when the block has been left. Raises HistoryError, StorageFull."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            connection = self._connection
            if connection is None:
                raise HistoryError("The history is closed.", code="history_closed")
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # After a full disk or an I/O error SQLite may have rolled back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @property
    def is_closed(self) -> bool:
        return self._connection is None

    def reclaim(self, pages: int = 4096) -> None:
        """Gives freed pages back to the disk, at most `pages` of 4 KiB."""
        with self._lock, self._translated():
            if self._connection is not None:
                self._connection.execute(f"PRAGMA incremental_vacuum({pages:d})").fetchall()

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.path) from error


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _prepared(path, is_alone=False)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in _NO_ROOM or not path.is_file():
            raise
    # On a full disk there is no room for the index that programs share. A program that takes the file for itself
    # keeps the index in memory (https://www.sqlite.org/wal.html#noshm): the history can be read at least.
    return _prepared(path, is_alone=True)


def _prepared(path: Path, *, is_alone: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        if is_alone:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        else:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # has an effect on a new file only
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def translate(error: sqlite3.Error, path: Path) -> WorkbenchError:
    """The sentence for an SQLite error; decided by its code, never by its text."""
    # Extended codes carry the primary code in the low byte (https://www.sqlite.org/rescode.html).
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    name = getattr(error, "sqlite_errorname", None)
    detail = f"{name}: {error}" if name else str(error)
    match primary:
        case sqlite3.SQLITE_FULL:
            return StorageFull("The disk is full: the history could not be written. Free some space.", detail=detail)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return HistoryError(
                f"The history file {path} is damaged. Set it aside and begin a new one, or put a backup in its place.",
                code="history_damaged",
                detail=detail,
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return HistoryError(f"The history file {path} is read-only. Change its permissions.", detail=detail)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return HistoryError(
                f"Another program holds the history file {path}. Close it and try again.", detail=detail
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR:
            return HistoryError(
                f"The history file {path} cannot be opened, read or written. Check the disk and its permissions.",
                detail=detail,
            )
    return Bug(f"The history refused a statement: {error}", detail=detail)
