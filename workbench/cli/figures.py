"""A run's figures as words: the live line and the rows of the closing table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from workbench.cli.json_output import memory_object
from workbench.cli.progress import RunProgress
from workbench.core import Workbench
from workbench.history.store import RunSummary
from workbench.metrics.slo import BudgetVerdict
from workbench.metrics.stats import P99_MINIMUM_SAMPLES, summarize
from workbench.runs.record import CostEstimate, RunRecord
from workbench.units import UNKNOWN, bytes_text, count_text, ms_text, rate_text, usd_text

Verdict = Literal["", "good", "bad"]
COST_NAMES = {"api": "Cost, API (estimated)", "gpu": "Cost, GPU (estimated)", "electricity": "Cost, here (estimated)"}
FINISH_TEXTS = {
    "stop": "the model ended",
    "length": "the output limit was reached",
    "stop_string": "a stop string came",
    "context_full": "the context is full",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what, how much, and a remark."""

    name: str
    value: str
    remark: str = ""
    verdict: Verdict = ""


def live_line(workbench: Workbench, progress: RunProgress) -> str:
    """TTFT, TPS, tokens, memory and cost so far, in one line."""
    if progress.is_cancelling:
        return "stopping; press Ctrl-C again to end the engine"
    metrics = progress.metrics()
    if not metrics.output_tokens:
        return f"{progress.phase} ..."
    telemetry = tuple(progress.telemetry)
    parameters = progress.load.parameters if progress.load else None
    costs = workbench.estimate_costs(metrics, len(progress.passes), telemetry, parameters)
    resident = telemetry[-1].engine_resident_bytes if telemetry else None
    parts = [
        progress.phase,
        f"TTFT {ms_text(metrics.ttft_ms)}",
        rate_text(metrics.tps),
        f"{count_text(metrics.output_tokens)} tokens",
        f"memory {bytes_text(resident)}",
        *(f"API {usd_text(cost.usd)} estimated" for cost in costs if cost.kind == "api" and cost.usd is not None),
    ]
    return "  ".join(part for part in parts if part)


def closing_rows(record: RunRecord, verdicts: tuple[BudgetVerdict, ...]) -> list[Row]:
    """Everything measured of a run that ended; "—" is not measured."""
    metrics = record.metrics
    judged = {verdict.metric: verdict for verdict in verdicts}
    return [
        Row("TTFT", ms_text(metrics.ttft_ms), *_judgement(judged.get("ttft"))),
        Row("TTFA", ms_text(metrics.ttfa_ms), *_judgement(judged.get("ttfa"))),
        Row("TPS", rate_text(metrics.tps), f"end to end {rate_text(metrics.e2e_tps)}"),
        Row("Prefill", rate_text(metrics.prefill_tps)),
        _itl_row(record, judged.get("itl")),
        Row("TTLT", ms_text(metrics.ttlt_ms), *_judgement(judged.get("ttlt"))),
        _prompt_row(record),
        _output_row(record),
        *_memory_rows(record),
        *(cost_row(cost) for cost in record.costs),
        _cold_start_row(record),
    ]


def cost_row(cost: CostEstimate) -> Row:
    if cost.usd is None:
        return Row(COST_NAMES[cost.kind], UNKNOWN, cost.reason or "not measured")
    dated = f", prices: {cost.price_date}" if cost.price_date else ""
    return Row(COST_NAMES[cost.kind], usd_text(cost.usd), f"{cost.label}{dated}")


def notices(record: RunRecord) -> list[str]:
    """What must not be missed: text that was cut, warnings of the engine, remarks of the run."""
    dropped = [item.dropped for item in record.passes if item.dropped is not None]
    found = [
        f"Text was cut ({item.policy}): {item.description or f'{count_text(item.tokens)} tokens'}" for item in dropped
    ]
    found += dict.fromkeys(item.cache_note for item in record.passes if item.cache_note)
    found += record.load.warnings if record.load else ()
    if record.note:
        found.append(record.note)
    if record.finish_reason in ("length", "context_full"):
        found.append(f"The answer is not complete: {FINISH_TEXTS[record.finish_reason]}.")
    return found


def _judgement(verdict: BudgetVerdict | None) -> tuple[str, Verdict]:
    if verdict is None or verdict.within is None:
        return "", ""
    return verdict.text, "good" if verdict.within else "bad"


def _itl_row(record: RunRecord, verdict: BudgetVerdict | None) -> Row:
    summary = summarize(record.metrics.itl_ms)
    if summary is None:
        return Row("ITL p50 / p95 / p99", UNKNOWN)
    figures = " / ".join(ms_text(value) for value in (summary.p50, summary.p95, summary.p99))
    text, mark = _judgement(verdict)
    few = f"; p99 from {P99_MINIMUM_SAMPLES} on" if summary.p99 is None else ""
    samples = f"{count_text(summary.count)} samples{few}"
    return Row("ITL p50 / p95 / p99", figures, f"{text}, {samples}" if text else samples, mark)


def _prompt_row(record: RunRecord) -> Row:
    metrics = record.metrics
    return Row("Prompt", f"{count_text(metrics.prompt_tokens)} tokens", f"{count_text(metrics.cached_tokens)} cached")


def _output_row(record: RunRecord) -> Row:
    metrics = record.metrics
    parts = [f"{count_text(metrics.thinking_tokens)} thinking"] if metrics.thinking_tokens else []
    if len(record.passes) > 1:
        parts.append(f"{len(record.passes)} passes")
    if record.finish_reason is not None:
        parts.append(FINISH_TEXTS[record.finish_reason])
    return Row("Output", f"{count_text(metrics.output_tokens)} tokens", ", ".join(parts))


def _memory_rows(record: RunRecord) -> list[Row]:
    memory = memory_object(record.load, record.telemetry)
    items = [
        (name, memory[key])
        for name, key in (("weights", "weights_bytes"), ("KV", "kv_bytes"), ("compute", "compute_bytes"))
    ]
    reserved = [size for _, size in items if size is not None]
    rows = [
        Row(
            "Memory reserved",
            bytes_text(sum(reserved)) if reserved else UNKNOWN,
            ", ".join(f"{name} {bytes_text(size)}" for name, size in items if size is not None),
        ),
        Row(
            "Memory resident",
            bytes_text(memory["resident_peak_bytes"]),
            f"its own {bytes_text(memory['unique_bytes'])}, file-mapped {bytes_text(memory['file_mapped_bytes'])}",
        ),
    ]
    if memory["gpu_bytes"] is not None:
        rows.append(Row("Memory on the GPU", bytes_text(memory["gpu_bytes"])))
    return rows


def _cold_start_row(record: RunRecord) -> Row:
    load = record.load
    if load is None or load.cold_start_ms is None:
        return Row("Cold start", UNKNOWN, "everything was warm" if load is not None else "")
    steps = (("start", load.start_ms), ("weights", load.load_ms), ("context", load.context_ms))
    return Row(
        "Cold start",
        ms_text(load.cold_start_ms),
        ", ".join(f"{name} {ms_text(value)}" for name, value in steps if value is not None),
    )


SUMMARY_HEADERS = ("id", "status", "started", "model", "mode", "TTFT", "TPS", "prompt", "answer")
SUMMARY_RIGHT = frozenset({5, 6})


def summary_cells(summary: RunSummary) -> list[str]:
    """A run as one line of a list; the time is local."""
    return [
        summary.id,
        summary.status,
        datetime.fromisoformat(summary.started_at).astimezone().strftime("%Y-%m-%d %H:%M"),
        f"{summary.model} {summary.quantization or ''}".strip(),
        summary.mode or "",
        ms_text(summary.ttft_ms),
        rate_text(summary.tps),
        summary.prompt,
        summary.text,
    ]


def turn_line(record: RunRecord) -> str:
    """One line below an answer of a chat."""
    metrics = record.metrics
    parts = [
        f"TTFT {ms_text(metrics.ttft_ms)}",
        rate_text(metrics.tps),
        f"{count_text(metrics.output_tokens)} tokens",
        f"{count_text(metrics.cached_tokens)} of {count_text(metrics.prompt_tokens)} prompt tokens cached",
    ]
    return "  ".join([*parts, *_context_part(record)])


def _context_part(record: RunRecord) -> list[str]:
    """How much of the context the last pass filled; nothing when tokens left it on the way."""
    if record.load is None or not record.passes:
        return []
    last = record.passes[-1]
    if last.dropped is not None and last.dropped.policy == "shift":
        return ["context full"]
    used = (last.timings.prompt_tokens or 0) + len(last.timings.token_ns)
    return [f"context {count_text(used)} of {count_text(record.load.context_length)}"]
