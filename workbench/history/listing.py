"""Which runs there are: short rows for lists, counted, searched and found by id."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from workbench.runs.record import RunStatus


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as lists show it. `prompt` and `text` are the beginnings of the last user message and the answer."""

    id: str
    status: RunStatus
    started_at: str
    model: str
    quantization: str | None
    context_length: int
    mode: str | None
    surface: str | None
    prompt: str
    ttft_ms: float | None
    ttfa_ms: float | None
    tps: float | None
    ttlt_ms: float | None
    output_tokens: int | None
    cost_api_usd: float | None
    text: str


_SUMMARY_COLUMNS = (
    "id, status, started_at, model, quantization, context_length, mode, surface, prompt, "
    "ttft_ms, ttfa_ms, tps, ttlt_ms, output_tokens, cost_api_usd, preview AS text"
)


def summaries(
    connection: sqlite3.Connection, limit: int, offset: int, search: str | None, status: str | None
) -> list[RunSummary]:
    condition, values = _condition(search, status)
    found = connection.execute(
        f"SELECT {_SUMMARY_COLUMNS} FROM runs WHERE {condition} ORDER BY started_at DESC, number DESC LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return [RunSummary(**dict(row)) for row in found]


def count(connection: sqlite3.Connection, search: str | None, status: str | None) -> int:
    condition, values = _condition(search, status)
    return int(connection.execute(f"SELECT count(*) FROM runs WHERE {condition}", values).fetchone()[0])


def all_ids(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("SELECT id FROM runs WHERE deleted_at IS NULL ORDER BY started_at DESC, number DESC")
    return [row[0] for row in found]


def ids_starting_with(connection: sqlite3.Connection, text: str) -> list[str]:
    """At most two are needed to see that a beginning is not unique; the whole id comes first."""
    if text == "last":
        found = connection.execute(
            "SELECT id FROM runs WHERE deleted_at IS NULL ORDER BY started_at DESC, number DESC LIMIT 1"
        )
    else:
        found = connection.execute(
            "SELECT id FROM runs WHERE deleted_at IS NULL AND id >= ? AND id < ? ORDER BY id LIMIT 2",
            (text, text + "\U0010ffff"),
        )
    return [row[0] for row in found] if text else []


def _condition(search: str | None, status: str | None) -> tuple[str, tuple[str, ...]]:
    parts, values = ["deleted_at IS NULL"], []
    if status is not None:
        parts.append("status = ?")
        values.append(status)
    for word in (search or "").split():
        escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        like = "LIKE ? ESCAPE '\\'"
        parts.append(
            f"(prompt {like} OR model {like} OR preview {like} OR EXISTS "
            f"(SELECT 1 FROM contents WHERE contents.number = runs.number AND contents.text {like}))"
        )
        values.extend([f"%{escaped}%"] * 4)
    return " AND ".join(parts), tuple(values)
