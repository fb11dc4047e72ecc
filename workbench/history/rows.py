"""Records to rows and back, inside a transaction that the caller holds."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from workbench.errors import HistoryError, SpecError
from workbench.history.owner import Owner
from workbench.history.packing import (
    pack_flags,
    pack_stamps,
    pack_telemetry,
    unpack_flags,
    unpack_stamps,
    unpack_telemetry,
)
from workbench.runs.record import (
    CancelWay,
    CostEstimate,
    ErrorRecord,
    LoadReport,
    PassRecord,
    RunRecord,
)
from workbench.runs.spec import RunSpec, from_json, from_plain, to_json

PROMPT_LENGTH = 200
PREVIEW_LENGTH = 300
_CHUNK = 500  # SQLite's default limit of variables in one statement was 999 before 3.32


def insert(connection: sqlite3.Connection, record: RunRecord, owner: Owner) -> None:
    """The row of a run that begins."""
    columns = _columns(record) | {"owner_pid": owner.pid, "owner_created": owner.created}
    number = connection.execute(
        f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", tuple(columns.values())
    ).lastrowid
    _write_contents(connection, cast(int, number), record)


def update_progress(connection: sqlite3.Connection, run_id: str, text: str, thinking: str) -> None:
    connection.execute(
        "UPDATE contents SET text = ?, thinking = ? "
        "WHERE number = (SELECT number FROM runs WHERE id = ? AND status = 'running')",
        (_storable(text), _storable(thinking), run_id),
    )


def replace_all(connection: sqlite3.Connection, record: RunRecord) -> None:
    """Everything of a run that ended. A row that is missing is made: no finished run is lost."""
    columns = _columns(record) | {"owner_pid": None, "owner_created": None}
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
    connection.execute(
        f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT (id) DO UPDATE SET {updates}",
        tuple(columns.values()),
    )
    number = connection.execute("SELECT number FROM runs WHERE id = ?", (record.id,)).fetchone()[0]
    _write_contents(connection, number, record)
    connection.execute("DELETE FROM passes WHERE number = ?", (number,))
    connection.executemany(
        "INSERT INTO passes VALUES (?, ?, ?, ?, ?)",
        [(number, position, *_pass_row(item)) for position, item in enumerate(record.passes)],
    )
    connection.execute("DELETE FROM telemetry WHERE number = ?", (number,))
    connection.executemany(
        "INSERT INTO telemetry VALUES (?, ?, ?)",
        [(number, name, blob) for name, blob in pack_telemetry(record.telemetry)],
    )


def load(connection: sqlite3.Connection, run_id: str) -> RunRecord | None:
    """The run as it was closed; a hash that became known later is in its spec."""
    row = connection.execute(
        "SELECT runs.number, id, status, started_at, model_sha256, contents.* "
        "FROM runs JOIN contents USING (number) WHERE id = ?",
        (run_id,),
    ).fetchone()
    if row is None:
        return None
    passes = connection.execute(
        "SELECT record, token_ns, is_thinking FROM passes WHERE number = ? ORDER BY position", (row["number"],)
    ).fetchall()
    telemetry = connection.execute("SELECT field, samples FROM telemetry WHERE number = ?", (row["number"],))
    try:
        return RunRecord(
            id=row["id"],
            status=row["status"],
            started_at=row["started_at"],
            spec=_spec(row),
            passes=tuple(_pass(item) for item in passes),
            text=row["text"],
            thinking=row["thinking"],
            load=from_json(LoadReport, row["load"]) if row["load"] else None,
            telemetry=unpack_telemetry({item["field"]: item["samples"] for item in telemetry}),
            costs=from_plain(tuple[CostEstimate, ...], json.loads(row["costs"])),
            error=from_json(ErrorRecord, row["error"]) if row["error"] else None,
            cancelled_by=cast("CancelWay | None", row["cancelled_by"]),
            note=row["note"],
            machine=from_plain(tuple[tuple[str, str], ...], json.loads(row["machine"])),
        )
    except (SpecError, ValueError, TypeError, KeyError) as error:
        sentence = f"The run {run_id} in the history is damaged and cannot be read."
        raise HistoryError(sentence, code="history_damaged", detail=str(error)) from error


def running_owners(connection: sqlite3.Connection) -> list[tuple[str, Owner]]:
    found = connection.execute("SELECT id, owner_pid, owner_created FROM runs WHERE status = 'running'")
    return [(row[0], Owner(row[1] or 0, row[2] or 0.0)) for row in found]


def interrupt(connection: sqlite3.Connection, ids: Sequence[str]) -> int:
    changed = 0
    for run_id in ids:
        changed += connection.execute(
            "UPDATE runs SET status = 'interrupted', owner_pid = NULL, owner_created = NULL, preview = "
            "substr((SELECT text FROM contents WHERE contents.number = runs.number), 1, ?) "
            "WHERE id = ? AND status = 'running'",
            (PREVIEW_LENGTH, run_id),
        ).rowcount
    return changed


def set_deleted(connection: sqlite3.Connection, ids: Sequence[str], deleted_at: str | None) -> int:
    state = "IS NULL" if deleted_at else "IS NOT NULL"
    return _for_each_chunk(
        connection, f"UPDATE runs SET deleted_at = ? WHERE deleted_at {state} AND id IN", (deleted_at,), ids
    )


def purge(connection: sqlite3.Connection, ids: Sequence[str], before: str) -> int:
    removed = _for_each_chunk(connection, "DELETE FROM runs WHERE deleted_at IS NOT NULL AND id IN", (), ids)
    return removed + connection.execute("DELETE FROM runs WHERE deleted_at < ?", (before,)).rowcount


def model_hash(connection: sqlite3.Connection, path: str, size_bytes: int, mtime_ns: int) -> str | None:
    row = connection.execute(
        "SELECT sha256 FROM model_hashes WHERE path = ? AND size_bytes = ? AND mtime_ns = ?",
        (path_text(path), size_bytes, mtime_ns),
    ).fetchone()
    return None if row is None else str(row[0])


def remember_model_hash(connection: sqlite3.Connection, path: str, size_bytes: int, mtime_ns: int, sha256: str) -> None:
    path = path_text(path)
    connection.execute("INSERT OR REPLACE INTO model_hashes VALUES (?, ?, ?, ?)", (path, size_bytes, mtime_ns, sha256))
    # Runs that began before the file was last written may have used another content.
    written_at = datetime.fromtimestamp(mtime_ns / 1e9, UTC).isoformat()
    connection.execute(
        "UPDATE runs SET model_sha256 = ? WHERE model_path = ? AND model_sha256 IS NULL AND started_at >= ?",
        (sha256, path, written_at),
    )


def _for_each_chunk(connection: sqlite3.Connection, statement: str, values: tuple[Any, ...], ids: Iterable[str]) -> int:
    changed, rest = 0, list(ids)
    while rest:
        chunk, rest = rest[:_CHUNK], rest[_CHUNK:]
        marks = ", ".join("?" * len(chunk))
        changed += connection.execute(f"{statement} ({marks})", (*values, *chunk)).rowcount
    return changed


def _columns(record: RunRecord) -> dict[str, Any]:
    spec, metrics = record.spec, record.metrics
    prompt = next((m.content for m in reversed(spec.messages) if m.role == "user"), spec.messages[-1].content)
    api_cost = next((cost.usd for cost in record.costs if cost.kind == "api"), None)
    return {
        "id": record.id,
        "status": record.status,
        "started_at": record.started_at,
        "model": _storable(spec.model.name),
        "model_path": path_text(spec.model.path),
        "model_sha256": spec.model.sha256,
        "quantization": spec.model.quantization,
        "context_length": spec.engine.context_length,
        "mode": spec.mode.name if spec.mode else None,
        "surface": spec.surface.name if spec.surface else None,
        "prompt": _storable(prompt[:PROMPT_LENGTH]),
        "preview": _storable(record.text[:PREVIEW_LENGTH]),
        "ttft_ms": metrics.ttft_ms,
        "ttfa_ms": metrics.ttfa_ms,
        "tps": metrics.tps,
        "ttlt_ms": metrics.ttlt_ms,
        "output_tokens": metrics.output_tokens if record.passes else None,
        "cost_api_usd": api_cost,
    }


def _write_contents(connection: sqlite3.Connection, number: int, record: RunRecord) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number,
            _storable(record.text),
            _storable(record.thinking),
            _storable(to_json(record.spec)),
            _storable(to_json(record.load)) if record.load else None,
            _storable(json.dumps([dataclasses.asdict(cost) for cost in record.costs], ensure_ascii=False)),
            _storable(to_json(record.error)) if record.error else None,
            record.cancelled_by,
            _storable(record.note) if record.note is not None else None,
            _storable(json.dumps(record.machine, ensure_ascii=False)),
        ),
    )


def _pass_row(item: PassRecord) -> tuple[str, bytes, bytes]:
    timings = item.timings
    slim = replace(item, timings=replace(timings, token_ns=(), is_thinking=()))
    return _storable(to_json(slim)), pack_stamps(timings.token_ns), pack_flags(timings.is_thinking)


def _pass(row: sqlite3.Row) -> PassRecord:
    slim = from_json(PassRecord, row["record"])
    stamps, flags = unpack_stamps(row["token_ns"]), unpack_flags(row["is_thinking"])
    return replace(slim, timings=replace(slim.timings, token_ns=stamps, is_thinking=flags))


def _spec(row: sqlite3.Row) -> RunSpec:
    spec = from_json(RunSpec, row["spec"])
    if spec.model.sha256 is None and row["model_sha256"] is not None:
        return replace(spec, model=replace(spec.model, sha256=row["model_sha256"]))
    return spec


def path_text(path: str) -> str:
    """A path as a key: bytes that are no UTF-8 stay apart, as "\\udcff", where `_storable` would make them equal."""
    return path.encode("utf-8", "backslashreplace").decode()


def _storable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot carry, as question marks: a run is worth more than they."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
