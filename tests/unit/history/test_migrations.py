from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from tests.fakes.run_records import full_spec
from workbench.errors import HistoryError
from workbench.history.migrations import STEPS, Step, migrate
from workbench.history.store import HistoryStore
from workbench.runs.spec import to_json


def old_file(path: Path, steps: tuple[Step, ...]) -> None:
    """A history as an older program left it, with one finished run in it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    migrate(connection, steps)
    connection.execute(
        "INSERT INTO runs (number, id, status, started_at, model, model_path, context_length, prompt, preview) "
        "VALUES (1, 'old', 'finished', '2026-01-01T00:00:00+00:00', 'Demo model', '/m.gguf', 2048, 'Hi', 'Hello.')"
    )
    connection.execute(
        "INSERT INTO contents (number, text, spec) VALUES (1, 'Hello.', ?)", (to_json(full_spec(prompt="Hi")),)
    )
    connection.close()


@pytest.mark.parametrize("count", range(1, len(STEPS)))
def test_rows_of_every_older_schema_survive(tmp_path: Path, count: int) -> None:
    old_file(tmp_path / "h", STEPS[:count])
    store = HistoryStore(tmp_path / "h")
    record = store.get("old")
    assert (record.text, record.spec) == ("Hello.", full_spec(prompt="Hi"))
    assert store.list()[0].text == "Hello."
    store.close()


def test_first_schema_gets_its_hashes_from_the_specs(tmp_path: Path) -> None:
    old_file(tmp_path / "h", STEPS[:1])
    HistoryStore(tmp_path / "h").close()
    connection = sqlite3.connect(tmp_path / "h")
    assert connection.execute("SELECT model_sha256 FROM runs").fetchone() == ("ab" * 32,)
    connection.close()


def test_names_and_times_of_steps_are_recorded_once(tmp_path: Path) -> None:
    for _ in range(2):
        HistoryStore(tmp_path / "h").close()
    connection = sqlite3.connect(tmp_path / "h")
    names = [row[0] for row in connection.execute("SELECT name FROM migrations ORDER BY name")]
    connection.close()
    assert names == [step.name for step in STEPS]


def test_newer_history_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "h"
    newer = (*STEPS, Step("9999_future", ("CREATE TABLE future (x)",)))
    old_file(path, newer)
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="newer version") as caught:
        HistoryStore(path)
    assert caught.value.code == "history_newer"
    assert caught.value.detail is not None
    assert "9999_future" in caught.value.detail
    assert path.read_bytes() == before


def test_a_step_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "h", isolation_level=None)
    migrate(connection, STEPS[:1])
    broken = Step("0002_broken", ("CREATE TABLE extra (x)", "this is not SQL"))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (STEPS[0], broken))
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "extra" not in tables
    assert connection.execute("SELECT name FROM migrations").fetchall() == [("0001_runs",)]
    connection.close()


def test_programs_that_start_together_all_open(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            HistoryStore(tmp_path / "h").close()
        except HistoryError as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
