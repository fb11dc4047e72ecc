"""The schema of the history as named steps; a file that has steps unknown here is newer and is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from workbench.errors import HistoryError


@dataclass(frozen=True, slots=True)
class Step:
    """`statements` run in order inside one transaction. A step that was released is never edited."""

    name: str
    statements: tuple[str, ...]


# Small columns that lists need live in `runs`, everything large beside it, so that a list of 50,000
# runs never reads an answer. Derived figures are copied from the stamps when a run is closed.
_RUNS = Step(
    "0001_runs",
    (
        """
        CREATE TABLE runs (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            status TEXT NOT NULL,
            started_at TEXT NOT NULL,
            deleted_at TEXT,
            owner_pid INTEGER,
            owner_created REAL,
            model TEXT NOT NULL,
            model_path TEXT NOT NULL,
            quantization TEXT,
            context_length INTEGER NOT NULL,
            mode TEXT,
            surface TEXT,
            prompt TEXT NOT NULL,
            preview TEXT NOT NULL DEFAULT '',
            ttft_ms REAL,
            ttfa_ms REAL,
            tps REAL,
            ttlt_ms REAL,
            output_tokens INTEGER,
            cost_api_usd REAL
        )
        """,
        "CREATE INDEX runs_by_start ON runs (deleted_at, started_at DESC, number DESC)",
        "CREATE INDEX runs_by_status ON runs (status, deleted_at, started_at DESC, number DESC)",
        """
        CREATE TABLE contents (
            number INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
            text TEXT NOT NULL DEFAULT '',
            thinking TEXT NOT NULL DEFAULT '',
            spec TEXT NOT NULL,
            load TEXT,
            costs TEXT NOT NULL DEFAULT '[]',
            error TEXT,
            cancelled_by TEXT,
            note TEXT,
            machine TEXT NOT NULL DEFAULT '[]'
        )
        """,
        """
        CREATE TABLE passes (
            number INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            record TEXT NOT NULL,
            token_ns BLOB NOT NULL,
            is_thinking BLOB NOT NULL,
            PRIMARY KEY (number, position)
        )
        """,
        """
        CREATE TABLE telemetry (
            number INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
            field TEXT NOT NULL,
            samples BLOB NOT NULL,
            PRIMARY KEY (number, field)
        )
        """,
    ),
)

# The hash of a model is computed in the background, often after the first run with it has ended.
_MODEL_HASHES = Step(
    "0002_model_hashes",
    (
        """
        CREATE TABLE model_hashes (
            path TEXT PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            sha256 TEXT NOT NULL
        )
        """,
        "ALTER TABLE runs ADD COLUMN model_sha256 TEXT",
        """
        UPDATE runs SET model_sha256 =
            (SELECT json_extract(spec, '$.model.sha256') FROM contents WHERE contents.number = runs.number)
        """,
        "CREATE INDEX runs_without_hash ON runs (model_path) WHERE model_sha256 IS NULL",
    ),
)

# What a list of models asks of all runs: each index alone answers when and how often, without reading a row.
_MODEL_FIGURES = Step(
    "0003_model_figures",
    (
        "CREATE INDEX runs_by_path ON runs (model_path, deleted_at, status, started_at DESC, tps)",
        "CREATE INDEX runs_by_hash ON runs (model_sha256, deleted_at, status, started_at DESC, tps)",
        """
        CREATE TABLE memory_checks (
            number INTEGER PRIMARY KEY,
            checked_at TEXT NOT NULL,
            model_path TEXT NOT NULL,
            sha256 TEXT,
            context_length INTEGER NOT NULL,
            kv_type TEXT NOT NULL,
            gpu_layers INTEGER NOT NULL,
            basis TEXT NOT NULL,
            parts TEXT NOT NULL
        )
        """,
        "CREATE INDEX memory_checks_by_path ON memory_checks (model_path, number)",
        "CREATE INDEX memory_checks_by_hash ON memory_checks (sha256, number)",
    ),
)

STEPS: tuple[Step, ...] = (_RUNS, _MODEL_HASHES, _MODEL_FIGURES)


def migrate(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> list[str]:
    """Applies the missing steps in one transaction and returns their names. Raises HistoryError, sqlite3.Error.

    Two programs that start together do not apply a step twice: the second waits, then finds it done.
    """
    if _missing(steps, _applied(connection)) == []:
        return []
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL)")
        missing = _missing(steps, _applied(connection))
        for step in missing:
            for statement in step.statements:
                connection.execute(statement)
            applied_at = datetime.now(UTC).isoformat(timespec="seconds")
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (step.name, applied_at))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return [step.name for step in missing]


def _applied(connection: sqlite3.Connection) -> set[str]:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'")
    if found.fetchone() is None:
        return set()
    return {row[0] for row in connection.execute("SELECT name FROM migrations")}


def _missing(steps: Sequence[Step], applied: set[str]) -> list[Step]:
    unknown = sorted(applied - {step.name for step in steps})
    if unknown:
        raise HistoryError(
            "The history was written by a newer version of this program. Update the program to open it.",
            code="history_newer",
            detail=f"unknown migrations: {', '.join(unknown)}",
        )
    return [step for step in steps if step.name not in applied]
