"""Runs on disk: a row before the work, closed in one transaction after it, listed and exported later."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from workbench.errors import Bug, HistoryError, UserError
from workbench.history import export, listing, model_figures, rows
from workbench.history.database import Database
from workbench.history.listing import RunSummary
from workbench.history.model_figures import MemoryCheck, ModelUse
from workbench.history.owner import Owner
from workbench.paths import free_name
from workbench.runs.measured_speed import MeasuredSpeed
from workbench.runs.record import RunRecord, RunStatus

__all__ = ["HistoryStore", "RunSummary"]

ExportFormat = Literal["jsonl", "csv", "markdown"]
Summaries: TypeAlias = list[RunSummary]  # inside the class, `list` is the method
Records: TypeAlias = list[RunRecord]
Unreadable: TypeAlias = Callable[[str, HistoryError], None]  # the id of a damaged run and what is wrong with it
UNDO_TIME = timedelta(days=1)
_SUFFIXES = ("", "-wal", "-shm")
log = logging.getLogger(__name__)


class HistoryStore:
    """The history of one file. Any thread may call; several programs may share the file.

    Every method raises HistoryError when the file cannot be used and StorageFull when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HistoryError(f"The folder {path.parent} cannot be made: {error.strerror or error}.") from error
        self._database = Database(path)
        self._lock = threading.Lock()
        self._open_ids: set[str] = set()
        self._deleted_ids: set[str] = set()

    def open_run(self, record: RunRecord) -> None:
        """Writes the row of a run that begins (status "running"). Durable on return."""
        if record.status != "running":
            raise Bug(f"A run was opened with the status {record.status!r}.")
        owner = Owner.this_process()
        with self._database.write() as connection:
            rows.insert(connection, record, owner)
        with self._lock:
            self._open_ids.add(record.id)

    def save_progress(self, run_id: str, text: str, thinking: str) -> None:
        """Keeps what was received so far of a running run, for the case of a crash."""
        with self._database.write() as connection:
            rows.update_progress(connection, run_id, text, thinking)

    def close_run(self, record: RunRecord) -> None:
        """Writes all that is known of a run that ended, in one transaction; durable on return."""
        if record.status == "running":
            raise Bug("A run was closed with the status 'running'.")
        with self._database.write() as connection:
            rows.replace_all(connection, record)
        with self._lock:
            self._open_ids.discard(record.id)

    def mark_interrupted(self) -> int:
        """Turns rows whose program is gone from "running" into "interrupted"; returns how many.

        A row of another program that still runs is left alone.
        """
        with self._database.read() as connection:
            running = rows.running_owners(connection)
        gone = [run_id for run_id, owner in running if not owner.is_alive()]
        return self._interrupt(gone)

    def get(self, run_id: str) -> RunRecord:
        """The whole run, stamps included. Raises UserError (code "run_not_found")."""
        with self._database.read() as connection:
            record = rows.load(connection, run_id)
        if record is None:
            raise UserError(f"There is no run {run_id!r} in the history.", code="run_not_found")
        return record

    def find_id(self, text: str) -> str:
        """The id that `text` means: a whole id, the unique beginning of one, or "last".

        Raises UserError (codes "run_not_found", "run_ambiguous").
        """
        with self._database.read() as connection:
            found = listing.ids_starting_with(connection, text)
        if text in found:
            return text
        if not found:
            raise UserError(f"There is no run {text!r} in the history.", code="run_not_found")
        if len(found) > 1:
            raise UserError(f"Several runs begin with {text!r}; give more of the id.", code="run_ambiguous")
        return found[0]

    def list(
        self, limit: int = 100, offset: int = 0, search: str | None = None, status: RunStatus | None = None
    ) -> Summaries:
        """Newest first. `search` finds words in model, prompt and answer, whatever their case (ASCII)."""
        with self._database.read() as connection:
            return listing.summaries(connection, limit, offset, search, status)

    def count(self, search: str | None = None, status: RunStatus | None = None) -> int:
        """How many runs `list` would give without a limit."""
        with self._database.read() as connection:
            return listing.count(connection, search, status)

    def last_finished(self, limit: int = 1) -> Records:
        """The newest finished runs, newest first; a damaged one is left out."""
        with self._database.read() as connection:
            found = listing.summaries(connection, limit, 0, None, "finished")
        return [*self._readable([item.id for item in found], _log_unreadable)]

    def delete(self, ids: Iterable[str]) -> int:
        """Takes runs out of all lists; `restore` brings them back until `purge_deleted`. Returns how many.

        Raises UserError (code "run_is_running") for a run at work in a program that lives; nothing is deleted then.
        """
        ids = tuple(ids)
        with self._database.write() as connection:
            running = next((i for i, owner in rows.running_owners(connection) if i in ids and owner.is_alive()), None)
            if running is not None:
                sentence = f"The run {running} is at work. Stop it, or wait for its end, before you delete it."
                raise UserError(sentence, code="run_is_running")
            changed = rows.set_deleted(connection, ids, _now())
        with self._lock:
            self._deleted_ids.update(ids)
        return changed

    def restore(self, ids: Iterable[str]) -> int:
        """Undoes `delete`. Returns how many came back."""
        ids = tuple(ids)
        with self._database.write() as connection:
            changed = rows.set_deleted(connection, ids, None)
        with self._lock:
            self._deleted_ids.difference_update(ids)
        return changed

    def purge_deleted(self) -> int:
        """Removes for good what this program deleted, and what any program deleted more than a day ago.

        Another open window can still undo its own deletions.
        """
        with self._lock:
            ids = tuple(self._deleted_ids)
            self._deleted_ids.clear()
        before = (datetime.now(UTC) - UNDO_TIME).isoformat(timespec="milliseconds")
        with self._database.write() as connection:
            removed = rows.purge(connection, ids, before)
        if removed:
            self._database.reclaim()
        return removed

    def model_hash(self, path: str | Path, size_bytes: int, mtime_ns: int) -> str | None:
        """The remembered SHA-256 of a file that has not changed since, or None."""
        with self._database.read() as connection:
            return rows.model_hash(connection, str(path), size_bytes, mtime_ns)

    def remember_model_hash(self, path: str | Path, size_bytes: int, mtime_ns: int, sha256: str) -> None:
        """Keeps a hash, and fills it into the runs that began with this file before it was known."""
        with self._database.write() as connection:
            rows.remember_model_hash(connection, str(path), size_bytes, mtime_ns, sha256)

    def model_use(self, recent: int = model_figures.RECENT_RUNS) -> dict[str, ModelUse]:
        """When models were used and how fast they were, by path and by SHA-256; medians of the `recent` newest runs."""
        with self._database.read() as connection:
            return model_figures.model_use(connection, recent)

    def measured_speeds(self, limit: int = 200) -> tuple[MeasuredSpeed, ...]:
        """The newest finished runs of 16 output tokens or more, to compare predictions of speed with."""
        with self._database.read() as connection:
            return model_figures.measured_speeds(connection, limit)

    def add_memory_check(self, check: MemoryCheck) -> None:
        """Keeps what a load was predicted to take and what it took; the newest 100 of each model stay."""
        with self._database.write() as connection:
            model_figures.add_memory_check(connection, check)

    def memory_checks(
        self, path_or_sha: str | Path, limit: int = 20, on_unreadable: Callable[[HistoryError], None] | None = None
    ) -> tuple[MemoryCheck, ...]:
        """The checks of one model, newest first. Raises HistoryError, for a damaged row only without `on_unreadable`,
        which takes it otherwise; the others are returned then.
        """
        with self._database.read() as connection:
            return model_figures.memory_checks(connection, str(path_or_sha), limit, on_unreadable)

    def export(
        self, ids: Sequence[str] | None, format: ExportFormat, on_unreadable: Unreadable | None = None
    ) -> Iterator[str]:
        """Lines, each with its line end: JSON Lines (everything), CSV (figures) or Markdown (to read).

        None exports all runs, newest first. Raises UserError for an unknown id, and HistoryError for a damaged
        run unless `on_unreadable` takes it; the others are exported then. Memory is that of one run.
        """
        if ids is None:
            with self._database.read() as connection:
                ids = listing.all_ids(connection)
        return export.lines(self._readable(ids, on_unreadable), format)

    def close(self) -> None:
        """Purges deletions, marks this program's open runs as interrupted and closes the file; safe to call twice."""
        if self._database.is_closed:
            return
        try:
            with self._lock:
                open_ids = list(self._open_ids)
                self._open_ids.clear()
            self._interrupt(open_ids)
            self.purge_deleted()
        finally:
            self._database.close()

    @staticmethod
    def recover(path: Path) -> Path:
        """Sets a damaged history aside, so that a new one can begin; returns where it is kept.

        Only for a file that no program has open.
        """
        aside = free_name(path, "broken")
        for suffix in _SUFFIXES:
            source = path.with_name(path.name + suffix)
            if source.exists():
                os.replace(source, aside.with_name(aside.name + suffix))
        return aside

    def _readable(self, ids: Iterable[str], on_unreadable: Unreadable | None) -> Iterator[RunRecord]:
        for run_id in ids:
            try:
                record = self.get(run_id)
            except HistoryError as error:
                if on_unreadable is None:
                    raise
                on_unreadable(run_id, error)
            else:
                yield record

    def _interrupt(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        with self._database.write() as connection:
            return rows.interrupt(connection, ids)


def _log_unreadable(run_id: str, error: HistoryError) -> None:
    log.error("%s %s", error.message, error.detail)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
