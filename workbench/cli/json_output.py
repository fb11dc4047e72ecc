"""Runs as one JSON object, the same keys for every ending; null means not measured."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from workbench.cli import output
from workbench.errors import WorkbenchError
from workbench.history.model_figures import ModelUse
from workbench.history.store import RunSummary
from workbench.hub.card import ModelCard
from workbench.hub.gguf import ModelFile
from workbench.hub.grouping import ModelEntry
from workbench.metrics.stats import summarize
from workbench.runs.record import CostEstimate, LoadReport, RunRecord, TelemetrySample
from workbench.runs.spec import RunSpec
from workbench.runs.timings import Metrics

# Bytes of a path that are no UTF-8: JSON can carry them, as "\\udcff", where a stream of UTF-8 cannot.
_SURROGATES = re.compile("[\ud800-\udfff]")
COST_KINDS: tuple[Literal["api", "gpu", "electricity"], ...] = ("api", "gpu", "electricity")


def print_json(value: Any) -> None:
    """One document on standard output; non-ASCII as it is. Raises OutputUnwritable, BrokenPipeError."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    text = _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    output.duty.is_done = True  # a document that broke off must not be followed by another one
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output.OutputUnwritable(error) from error


def error_object(error: WorkbenchError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "detail": error.detail}


def failure_object(error: WorkbenchError, spec: RunSpec | None = None) -> dict[str, Any]:
    """A run that never began: every figure null."""
    return {
        "run_id": None,
        "status": "failed",
        "started_at": None,
        "text": "",
        "thinking": "",
        **_figures(Metrics(), None),
        **_context(spec, None, ()),
        "cost": {kind: _cost(None) for kind in COST_KINDS},
        "cancelled_by": None,
        "note": None,
        "error": error_object(error),
    }


def cancelled_object() -> dict[str, Any]:
    """A run that was cancelled before it began."""
    return {**failure_object(WorkbenchError("")), "status": "cancelled", "error": None}


def run_object(record: RunRecord) -> dict[str, Any]:
    """A run that ended."""
    costs = {cost.kind: cost for cost in record.costs}
    return {
        "run_id": record.id,
        "status": record.status,
        "started_at": record.started_at,
        "text": record.text,
        "thinking": record.thinking,
        **_figures(record.metrics, record),
        **_context(record.spec, record.load, record.telemetry),
        "cost": {kind: _cost(costs.get(kind)) for kind in COST_KINDS},
        "cancelled_by": record.cancelled_by,
        "note": record.note,
        "error": dataclasses.asdict(record.error) if record.error else None,
    }


def _figures(metrics: Metrics, record: RunRecord | None) -> dict[str, Any]:
    load = record.load if record else None
    is_measured = metrics.prompt_tokens is not None
    return {
        "finish_reason": record.finish_reason if record else None,
        "ttft_ms": metrics.ttft_ms,
        "ttfa_ms": metrics.ttfa_ms,
        "tps": metrics.tps,
        "e2e_tps": metrics.e2e_tps,
        "prefill_tps": metrics.prefill_tps,
        "itl_ms": inter_token_latency(metrics),
        "ttlt_ms": metrics.ttlt_ms,
        "cold_start_ms": load.cold_start_ms if load else None,
        "prompt_tokens": metrics.prompt_tokens,
        "cached_tokens": metrics.cached_tokens,
        "output_tokens": metrics.output_tokens if is_measured else None,
        "thinking_tokens": metrics.thinking_tokens if is_measured else None,
        "dropped_tokens": record.dropped_tokens if record and is_measured else None,
    }


def inter_token_latency(metrics: Metrics) -> dict[str, float | int | None]:
    """Percentiles with their sample count; none of no samples, and no p99 of too few."""
    summary = summarize(metrics.itl_ms)
    return {
        "p50": summary.p50 if summary else None,
        "p95": summary.p95 if summary else None,
        "p99": summary.p99 if summary else None,
        "count": summary.count if summary else 0,
    }


def _context(spec: RunSpec | None, load: LoadReport | None, telemetry: tuple[TelemetrySample, ...]) -> dict[str, Any]:
    return {
        "memory": memory_object(load, telemetry),
        "spec": dataclasses.asdict(spec) if spec else None,
        "model": _model(spec, load),
        "engine": engine_object(load),
    }


def memory_object(load: LoadReport | None, telemetry: tuple[TelemetrySample, ...]) -> dict[str, int | None]:
    """Reserved as llama.cpp reported it; the rest are the highest readings of the engine's process."""

    def reserved(purpose: str) -> int | None:
        return load.reserved_bytes(purpose) if load else None

    def highest(field: str) -> int | None:
        known = [value for sample in telemetry if (value := getattr(sample, field)) is not None]
        return max(known, default=None)

    return {
        "weights_bytes": reserved("weights"),
        "kv_bytes": reserved("kv"),
        "compute_bytes": reserved("compute"),
        "repacked_bytes": reserved("repacked"),
        "output_bytes": reserved("output"),
        "recurrent_bytes": reserved("recurrent"),
        "resident_peak_bytes": highest("engine_resident_bytes"),
        "unique_bytes": highest("engine_unique_bytes"),
        "file_mapped_bytes": highest("engine_file_mapped_bytes"),
        "gpu_bytes": highest("gpu_engine_memory_bytes"),
    }


def _model(spec: RunSpec | None, load: LoadReport | None) -> dict[str, Any] | None:
    if spec is None:
        return None
    return {
        "name": spec.model.name,
        "path": spec.model.path,
        "sha256": spec.model.sha256,
        "architecture": load.architecture if load else None,
        "quantization": (load.quantization if load else None) or spec.model.quantization,
        "parameters": load.parameters if load else None,
        "size_bytes": load.model_size_bytes if load else None,
        "thinking_switch": load.thinking_switch.kind if load else None,
    }


def engine_object(load: LoadReport | None) -> dict[str, Any] | None:
    """What the engine said of itself when it was ready."""
    if load is None:
        return None
    return {
        "llama_cpp": load.engine_build,
        "devices": [dataclasses.asdict(device) for device in load.devices],
        "threads": load.threads,
        "gpu_layers": load.gpu_layers,
        "context_length": load.context_length,
        "reused": load.reused,
        "warnings": list(load.warnings),
    }


def _cost(estimate: CostEstimate | None) -> dict[str, Any]:
    if estimate is None:
        estimate = CostEstimate("api", None, "", "", reason="the run did not come that far")
    return {
        "usd": estimate.usd,
        "label": estimate.label,
        "formula": estimate.formula,
        "price_date": estimate.price_date,
        "inputs": dict(estimate.inputs),
        "reason": estimate.reason,
    }


def model_object(entry: ModelEntry, uses: Mapping[Path, ModelUse | None] | None = None) -> dict[str, Any]:
    """A model of the library with its files; `uses` by path tell when a file was used and how fast it was."""
    return {
        "name": entry.name,
        "demo": entry.demo,
        "repository": entry.repo_id,
        "quantizations": list(entry.quantizations),
        "makeable": list(entry.makeable),
        "size_bytes": entry.size_bytes,
        "problem": entry.problem,
        "files": [{**file_object(file), **use_object((uses or {}).get(file.path))} for file in entry.files],
    }


def file_object(file: ModelFile) -> dict[str, Any]:
    """A model file, or all parts of a split one."""
    return {
        "path": str(file.path),
        "parts": [str(part) for part in file.parts],
        "name": file.label or file.name,
        "quantization": file.quantization,
        "architecture": file.architecture or None,
        "parameters": file.parameters,
        "size_bytes": file.size_bytes,
        "bits_per_weight": file.bits_per_weight,
        "trained_context_length": file.context_trained,
        "chat_templates": list(file.chat_templates),
        "thinking_switch": file.thinking,
        "license": file.license,
        "author": file.author,
        "description": file.description,
        "card": _card_object(file.card),
        "origin": file.origin,
        "read_only": file.is_read_only,
        "repository": file.repo_id,
        "revision": file.revision,
        "aliases": list(file.aliases),
        "also_at": [str(path) for path in file.also_at],
        "problem": file.problem,
        "warning": file.warning,
    }


def _card_object(card: ModelCard | None) -> dict[str, Any] | None:
    """What the makers say of the model; null: nothing."""
    if card is None:
        return None
    figures = [{"name": name, "value": value} for name, value in card.figures]
    return {**dataclasses.asdict(card), "figures": figures}


def use_object(use: ModelUse | None) -> dict[str, Any]:
    """Medians over the newest runs; null: never used, or never measured."""
    return {
        "runs": use.runs if use else 0,
        "last_used_at": use.last_used_at if use else None,
        "tps": use.decode_tps if use else None,
        "prefill_tps": use.prefill_tps if use else None,
    }


def summary_object(
    summary: RunSummary, record: RunRecord | None, error: WorkbenchError | None = None
) -> dict[str, Any]:
    """A run in a list; the whole prompt and answer when the record is at hand, else their beginnings.

    `error` says why the record cannot be read.
    """
    return {
        "id": summary.id,
        "status": summary.status,
        "started_at": summary.started_at,
        "model": summary.model,
        "quantization": summary.quantization,
        "context_length": summary.context_length,
        "mode": summary.mode,
        "surface": summary.surface,
        "ttft_ms": summary.ttft_ms,
        "ttfa_ms": summary.ttfa_ms,
        "tps": summary.tps,
        "ttlt_ms": summary.ttlt_ms,
        "output_tokens": summary.output_tokens,
        "cost_api_usd": summary.cost_api_usd,
        "prompt": record.spec.messages[-1].content if record else summary.prompt,
        "text": record.text if record else summary.text,
        "error": error_object(error) if error else None,
    }
