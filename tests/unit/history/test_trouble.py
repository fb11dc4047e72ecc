"""Damaged rows, runs at work, odd paths and full disks."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.fakes.run_records import finished, running
from tests.unit.history.test_store import closed, file, store
from workbench.errors import HistoryError, UserError
from workbench.history import database
from workbench.history.store import HistoryStore

__all__ = ["file", "store"]


def damage(file: Path, run_id: str, column: str, value: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            f"UPDATE contents SET {column} = ? WHERE number = (SELECT number FROM runs WHERE id = ?)", (value, run_id)
        )


@pytest.mark.parametrize(("column", "value"), [("load", "{}"), ("spec", "{bad"), ("costs", "3"), ("machine", "null")])
@pytest.mark.parametrize("form", ["jsonl", "csv", "markdown"])
def test_one_damaged_run_does_not_hinder_the_others(
    store: HistoryStore, file: Path, column: str, value: str, form: str
) -> None:
    for number, run_id in enumerate(("one", "two", "three")):
        closed(store, run_id, number)
    damage(file, "two", column, value)
    with pytest.raises(HistoryError):
        list(store.export(None, form))  # type: ignore[arg-type]
    unreadable: list[str] = []
    text = "".join(store.export(None, form, lambda run_id, error: unreadable.append(f"{run_id} {error.code}")))  # type: ignore[arg-type]
    assert unreadable == ["two history_damaged"]
    assert "one" in text
    assert "three" in text
    assert [record.id for record in store.last_finished(3)] == ["three", "one"]


def test_a_running_run_of_a_living_program_is_not_deleted(store: HistoryStore) -> None:
    store.open_run(running("one"))
    closed(store, "two", 1)
    with pytest.raises(UserError) as caught:
        store.delete(["one", "two"])
    assert caught.value.code == "run_is_running"
    assert len(store.list()) == 2
    store.close_run(finished(running("one")))
    assert store.delete(["one", "two"]) == 2


def test_paths_that_are_no_utf8_are_kept_apart(store: HistoryStore) -> None:
    store.remember_model_hash("/m/\udcff.gguf", 10, 20, "a" * 64)
    store.remember_model_hash("/m/\udcfe.gguf", 10, 20, "b" * 64)
    assert store.model_hash("/m/\udcff.gguf", 10, 20) == "a" * 64
    assert store.model_hash("/m/\udcfe.gguf", 10, 20) == "b" * 64


def test_a_history_is_read_where_programs_have_no_room_for_a_common_index(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = HistoryStore(file)
    record = closed(first, "one")
    first.close()
    prepared = database._prepared

    def full(path: Path, *, is_alone: bool) -> sqlite3.Connection:
        if is_alone:
            return prepared(path, is_alone=True)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
        raise error

    monkeypatch.setattr(database, "_prepared", full)
    second = HistoryStore(file)
    assert second.get("one") == record
    assert not file.with_name(f"{file.name}-shm").exists()
    second.close()
