"""What the history knows of models: when they were used, how fast they were, and how well their memory was foretold."""

from __future__ import annotations

import json
import sqlite3
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import HistoryError, SpecError
from workbench.history.rows import path_text
from workbench.runs.measured_speed import MeasuredSpeed
from workbench.runs.spec import from_plain

RECENT_RUNS = 20
KEPT_CHECKS = 100
LEAST_OUTPUT_TOKENS = 16
_BEYOND = 2**63


@dataclass(frozen=True, slots=True)
class ModelUse:
    """`runs` counts all that were begun and not deleted; the medians are those of the newest finished ones.

    `last_used_at` is ISO 8601 in UTC, rates are tokens per second, None: no finished run has measured it.
    """

    last_used_at: str
    runs: int
    decode_tps: float | None = None
    prefill_tps: float | None = None


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """Bytes reserved for one purpose ("weights", "kv", "compute" ...)."""

    purpose: str
    predicted_bytes: int
    measured_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryCheck:
    """A prediction of memory and what the load then took. `checked_at` is ISO 8601 in UTC; `basis` that of the
    prediction ("engine" or "arithmetic").
    """

    checked_at: str
    model_path: str
    sha256: str | None
    context_length: int
    kv_type: str
    gpu_layers: int
    basis: str
    parts: tuple[CheckedPart, ...]


def model_use(connection: sqlite3.Connection, recent: int) -> dict[str, ModelUse]:
    """By path and by SHA-256: a file that was moved is found by its content."""
    return _use_by(connection, "model_path", recent) | _use_by(connection, "model_sha256", recent)


def _use_by(connection: sqlite3.Connection, column: str, recent: int) -> dict[str, ModelUse]:
    # The index runs_by_... answers this without touching the rows.
    found = connection.execute(
        f"SELECT {column} AS model, max(started_at) AS last_used_at, count(*) AS runs FROM runs "
        f"WHERE deleted_at IS NULL AND {column} IS NOT NULL GROUP BY {column}"
    ).fetchall()
    return {
        row["model"]: ModelUse(row["last_used_at"], row["runs"], *_medians(connection, column, row["model"], recent))
        for row in found
    }


def _medians(connection: sqlite3.Connection, column: str, model: str, recent: int) -> tuple[float | None, float | None]:
    """Decode and prefill speed of the newest finished runs."""
    newest = connection.execute(
        f"SELECT number, tps FROM runs WHERE deleted_at IS NULL AND {column} = ? AND status = 'finished' "
        "ORDER BY started_at DESC LIMIT ?",
        (model, recent),
    ).fetchall()
    decode = [row["tps"] for row in newest if row["tps"] is not None]
    prefill = [rate for row in newest if (rate := _prefill_tps(_first_timings(connection, row["number"]))) is not None]
    return (statistics.median(decode) if decode else None, statistics.median(prefill) if prefill else None)


def measured_speeds(connection: sqlite3.Connection, limit: int) -> tuple[MeasuredSpeed, ...]:
    """The newest runs that predictions can be compared with, newest first; those without a load report are left out.

    Only runs of one pass that had their context for themselves: more sequences at once share the bandwidth.
    """
    found = connection.execute(
        "SELECT number, id, model_path, model_sha256, quantization, context_length, tps, output_tokens, "
        "json_extract(load, '$.threads') AS threads, json_extract(load, '$.gpu_layers') AS gpu_layers, "
        "json_extract(load, '$.engine_build') AS engine_build, machine FROM runs JOIN contents USING (number) "
        "WHERE deleted_at IS NULL AND status = 'finished' AND output_tokens >= ? AND tps IS NOT NULL "
        "AND load IS NOT NULL AND json_extract(spec, '$.engine.parallel') = 1 "
        "AND (SELECT count(*) FROM passes WHERE passes.number = runs.number) = 1 "
        "ORDER BY started_at DESC, runs.number DESC LIMIT ?",
        (LEAST_OUTPUT_TOKENS, limit),
    )
    return tuple(_measured(connection, row) for row in found.fetchall())


def _measured(connection: sqlite3.Connection, row: sqlite3.Row) -> MeasuredSpeed:
    timings = _first_timings(connection, row["number"])
    return MeasuredSpeed(
        run_id=row["id"],
        model_path=row["model_path"],
        sha256=row["model_sha256"],
        quantization=row["quantization"],
        tps=row["tps"],
        prefill_tps=_prefill_tps(timings),
        prompt_tokens=timings.get("prompt_tokens"),
        evaluated_tokens=_evaluated(timings),
        output_tokens=row["output_tokens"],
        context_length=row["context_length"],
        threads=row["threads"],
        gpu_layers=row["gpu_layers"],
        engine_build=row["engine_build"],
        cpu=dict(json.loads(row["machine"])).get("cpu"),
    )


def _first_timings(connection: sqlite3.Connection, number: int) -> dict[str, Any]:
    """The stamps of a run's first pass, without those of its tokens; empty for a run that made none."""
    row = connection.execute(
        "SELECT json_extract(record, '$.timings') FROM passes WHERE number = ? AND position = 0", (number,)
    ).fetchone()
    timings = json.loads(row[0]) if row is not None and row[0] is not None else {}
    return timings if isinstance(timings, dict) else {}


def _evaluated(timings: dict[str, Any]) -> int | None:
    whole, cached = timings.get("prompt_tokens"), timings.get("cached_tokens")
    return None if whole is None or cached is None else whole - cached


def _prefill_tps(timings: dict[str, Any]) -> float | None:
    start, end, tokens = timings.get("prefill_start_ns"), timings.get("prefill_end_ns"), _evaluated(timings)
    return tokens * 1e9 / (end - start) if tokens and start is not None and end is not None and end > start else None


def add_memory_check(connection: sqlite3.Connection, check: MemoryCheck) -> None:
    """Of a model's checks only the newest 100 are kept."""
    connection.execute(
        "INSERT INTO memory_checks (checked_at, model_path, sha256, context_length, kv_type, gpu_layers, basis, parts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            check.checked_at,
            path_text(check.model_path),
            check.sha256,
            check.context_length,
            check.kv_type,
            check.gpu_layers,
            check.basis,
            json.dumps([asdict(part) for part in check.parts]),
        ),
    )
    connection.execute(
        "DELETE FROM memory_checks WHERE model_path = ?1 AND number NOT IN "
        "(SELECT number FROM memory_checks WHERE model_path = ?1 ORDER BY number DESC LIMIT ?2)",
        (path_text(check.model_path), KEPT_CHECKS),
    )


def memory_checks(
    connection: sqlite3.Connection,
    path_or_sha: str,
    limit: int,
    on_unreadable: Callable[[HistoryError], None] | None = None,
) -> tuple[MemoryCheck, ...]:
    """Newest first. Raises HistoryError (code "history_damaged") unless `on_unreadable` takes it."""
    found = connection.execute(
        "SELECT * FROM memory_checks WHERE model_path = ?1 OR sha256 = ?1 ORDER BY number DESC LIMIT ?2",
        (path_text(path_or_sha), limit),
    )
    checks = []
    for row in found:
        try:
            checks.append(_check(row))
        except HistoryError as error:
            if on_unreadable is None:
                raise
            on_unreadable(error)
    return tuple(checks)


def _check(row: sqlite3.Row) -> MemoryCheck:
    columns = {name: row[name] for name in row.keys() if name != "number"}  # noqa: SIM118
    try:
        check: MemoryCheck = from_plain(MemoryCheck, {**columns, "parts": json.loads(row["parts"])})
        sizes = [size for part in check.parts for size in (part.predicted_bytes, part.measured_bytes)]
        if not all(0 <= size < _BEYOND for size in sizes):
            raise ValueError("sizes that cannot be")
    except (SpecError, ValueError, TypeError, RecursionError) as error:
        sentence = f"A memory check of {row['model_path']} in the history is damaged and cannot be read."
        raise HistoryError(sentence, code="history_damaged", detail=str(error)) from error
    return check
