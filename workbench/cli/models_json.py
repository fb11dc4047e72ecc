"""What the commands about models print with `--json`; null means not known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.cli.json_output import file_object
from workbench.history.model_figures import MemoryCheck
from workbench.hub.catalog import Catalog, CatalogEntry, CatalogFinding
from workbench.hub.gguf import ModelFile
from workbench.hub.lineage import Lineage
from workbench.hub.memory import CurvePoint, MemoryComparison, MemoryEstimate, Verdict
from workbench.hub.repository import RepoQuantization, Repository, RepoSummary
from workbench.hub.speed import SpeedEstimate
from workbench.hub.transfers import DownloadView
from workbench.hub.verification import Verification


def summary_object(summary: RepoSummary) -> dict[str, Any]:
    """A repository as a search lists it."""
    return {
        "repository": summary.repo_id,
        "author": summary.author,
        "parameters": summary.parameters,
        "architecture": summary.architecture,
        "trained_context_length": summary.context_trained,
        "license": summary.license,
        "gated": summary.is_gated,
        "private": summary.is_private,
        "downloads": summary.downloads,
        "likes": summary.likes,
        "updated_at": summary.updated_at,
        "tags": list(summary.tags),
    }


def repository_object(repository: Repository, on_disk: Iterable[str] = ()) -> dict[str, Any]:
    """A repository with its files."""
    here = set(on_disk)
    return {
        **summary_object(repository.summary),
        "revision": repository.revision,
        "quantizations": [
            {**quantization_object(item), "on_disk": item.label in here} for item in repository.quantizations
        ],
        "projectors": [dataclasses.asdict(file) for file in repository.projectors],
        "others": [dataclasses.asdict(file) for file in repository.others],
    }


def quantization_object(item: RepoQuantization) -> dict[str, Any]:
    return {
        "label": item.label,
        "quantization": item.quantization,
        "size_bytes": item.size_bytes,
        "bits_per_weight": item.bits_per_weight,
        "recommended": item.is_recommended,
        "reason": item.reason,
        "files": [dataclasses.asdict(file) for file in item.files],
    }


def estimate_object(estimate: MemoryEstimate) -> dict[str, Any]:
    """Every item, and the sums."""
    return {
        "context_length": estimate.context_length,
        "kv_type": estimate.kv_type,
        "gpu_layers": estimate.gpu_layers,
        "basis": estimate.basis,
        "note": estimate.note,
        "reserved_bytes": estimate.reserved_bytes(),
        "resident_bytes": estimate.resident_bytes(),
        "parts": [dataclasses.asdict(part) for part in estimate.parts],
    }


def verdict_object(verdict: Verdict) -> dict[str, Any]:
    return dataclasses.asdict(verdict)


def speed_object(speed: SpeedEstimate | None) -> dict[str, Any] | None:
    return None if speed is None else dataclasses.asdict(speed)


def curve_object(points: Sequence[CurvePoint]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(point) for point in points]


def download_object(view: DownloadView) -> dict[str, Any]:
    """A download at its end."""
    error = None if view.error is None else {"code": view.error_code, "message": view.error, "detail": None}
    return {
        "repository": view.order.repo_id,
        "revision": view.order.revision,
        "quantization": view.order.label,
        "state": view.state,
        "size_bytes": view.order.size_bytes,
        "done_bytes": view.done_bytes,
        "resumed": view.resumed,
        "path": str(view.path) if view.path else None,
        "files": [{"name": file.name, "sha256": file.sha256} for file in view.order.files],
        "error": error,
    }


def fit_object(
    name: str,
    estimate: MemoryEstimate,
    verdict: Verdict,
    speed: SpeedEstimate | None,
    curve: Sequence[CurvePoint],
) -> dict[str, Any]:
    """What `workbench models fit` says."""
    return {
        "model": name,
        "verdict": verdict_object(verdict),
        "memory": estimate_object(estimate),
        "speed": speed_object(speed),
        "curve": curve_object(curve),
    }


def catalog_entry_object(entry: CatalogEntry) -> dict[str, Any]:
    return {
        "repository": entry.repo_id,
        "name": entry.name,
        "parameters": entry.parameters,
        "architecture": entry.architecture,
        "kind": entry.kind,
        "why": entry.why,
        "license": entry.license,
        "thinking_switch": entry.thinking,
        "trained_context_length": entry.context_trained,
        "gated": entry.is_gated,
        "quantization": entry.quantization,
    }


def catalog_object(catalog: Catalog, findings: Sequence[CatalogFinding], *, is_checked: bool) -> dict[str, Any]:
    """`findings` null: the Hub was not asked."""
    return {
        "date": catalog.date,
        "models": [catalog_entry_object(entry) for entry in catalog.entries],
        "findings": [dataclasses.asdict(finding) for finding in findings] if is_checked else None,
    }


def verification_object(result: Verification) -> dict[str, Any]:
    return {
        "path": str(result.path),
        "sound": result.is_sound,
        "proven": result.is_proven,
        "sha256": result.sha256,
        "checks": [dataclasses.asdict(check) for check in result.checks],
    }


def lineage_object(lineage: Lineage | None) -> dict[str, Any] | None:
    return None if lineage is None else dataclasses.asdict(lineage)


def check_object(check: MemoryCheck) -> dict[str, Any]:
    """`error` is relative; positive: predicted too much."""
    parts = [MemoryComparison(part.purpose, part.predicted_bytes, part.measured_bytes) for part in check.parts]
    return {
        **dataclasses.asdict(check),
        "parts": [{**dataclasses.asdict(part), "error": part.error} for part in parts],
    }


def model_card_object(
    name: str,
    file: ModelFile,
    files: Sequence[ModelFile],
    lineage: Lineage | None,
    checks: Sequence[MemoryCheck],
) -> dict[str, Any]:
    """What `workbench models show` says of a model on disk."""
    return {
        "model": name,
        **file_object(file),
        "files": [file_object(item) for item in files],
        "lineage": lineage_object(lineage),
        "memory_checks": [check_object(check) for check in checks],
    }
