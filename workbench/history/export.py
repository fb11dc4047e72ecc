"""Runs as text to take away: JSON Lines with everything, CSV with figures, Markdown to read."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from workbench.errors import UserError
from workbench.runs.record import RunRecord

# A spreadsheet would compute a cell that begins with one of these (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def lines(records: Iterable[RunRecord], format: str) -> Iterator[str]:
    """Raises UserError for an unknown format, before the first line."""
    writers = {"jsonl": _jsonl, "csv": _csv, "markdown": _markdown}
    if format not in writers:
        raise UserError(f"The format {format!r} is unknown; choose one of {', '.join(writers)}.", code="unknown_format")
    return writers[format](records)


def _jsonl(records: Iterable[RunRecord]) -> Iterator[str]:
    for record in records:
        plain = dataclasses.asdict(record) | {"metrics": dataclasses.asdict(record.metrics)}
        yield json.dumps(plain, ensure_ascii=False) + "\n"


def _figures(record: RunRecord) -> dict[str, Any]:
    spec, metrics = record.spec, record.metrics
    costs = {cost.kind: cost.usd for cost in record.costs}
    return {
        "id": record.id,
        "status": record.status,
        "started_at": record.started_at,
        "model": spec.model.name,
        "quantization": spec.model.quantization,
        "model_sha256": spec.model.sha256,
        "context_length": spec.engine.context_length,
        "mode": spec.mode.name if spec.mode else None,
        "surface": spec.surface.name if spec.surface else None,
        "ttft_ms": metrics.ttft_ms,
        "ttfa_ms": metrics.ttfa_ms,
        "tpot_ms": metrics.tpot_ms,
        "tps": metrics.tps,
        "e2e_tps": metrics.e2e_tps,
        "prefill_tps": metrics.prefill_tps,
        "ttlt_ms": metrics.ttlt_ms,
        "cold_start_ms": record.load.cold_start_ms if record.load else None,
        "prompt_tokens": metrics.prompt_tokens,
        "cached_tokens": metrics.cached_tokens,
        "output_tokens": metrics.output_tokens,
        "thinking_tokens": metrics.thinking_tokens,
        "dropped_tokens": record.dropped_tokens,
        "cost_api_usd": costs.get("api"),
        "cost_gpu_usd": costs.get("gpu"),
        "cost_electricity_usd": costs.get("electricity"),
        "error": record.error.code if record.error else None,
        "prompt": spec.messages[-1].content,
        "text": record.text,
    }


def _csv(records: Iterable[RunRecord]) -> Iterator[str]:
    """An empty cell: not measured. A text that begins like a formula gets an apostrophe before it."""
    is_first = True
    for record in records:
        figures = _figures(record)
        if is_first:
            yield _csv_line(figures)
            is_first = False
        yield _csv_line(_cell(value) for value in figures.values())


def _csv_line(cells: Iterable[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_SIGNS):
        return "'" + value
    return value


def _markdown(records: Iterable[RunRecord]) -> Iterator[str]:
    yield "# Runs\n"
    for record in records:
        figures = _figures(record)
        yield f"\n## {record.started_at} — {record.spec.model.name}\n\n"
        yield "| figure | value |\n| --- | --- |\n"
        for name, value in figures.items():
            if name not in ("prompt", "text"):
                yield f"| {name} | {_table_cell(value)} |\n"
        for message in record.spec.messages:
            yield f"\n**{message.role}**\n\n{_quoted(message.full_content)}"
        if record.thinking:
            yield f"\n**thinking**\n\n{_quoted(record.thinking)}"
        yield f"\n**answer**\n\n{_quoted(record.text)}"


def _table_cell(value: Any) -> str:
    if value is None:
        return "—"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _quoted(text: str) -> str:
    return "".join(f"> {line}\n" for line in text.splitlines() or [""])
