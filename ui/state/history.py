"""The history page's state: loads pages of runs in the background, searches, deletes with undo, exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from ui.bridge import Bridge
from ui.tables.history import STATUS_WORDS, local_time
from ui.tasks import Tasks
from workbench import units
from workbench.core import Workbench
from workbench.errors import StorageFull, WorkbenchError, WorldError
from workbench.glossary import Glossary
from workbench.history.store import ExportFormat, RunSummary
from workbench.paths import DISK_FULL
from workbench.runs.record import RunRecord

PAGE_ROWS = 500
# The terms of the glossary behind the names of figures.
TOPICS = {
    "First token": "ttft", "First answer token": "ttfa", "Decode speed": "tps", "Prefill": "prefillspeed",
    "Last token": "ttlt", "Cold start": "coldstart", "Prompt tokens": "tokens", "of them cached": "cached",
    "Output tokens": "tokens", "Memory, peak": "resident", "Cost, estimated": "apicost", "Dropped tokens": "truncation",
}  # fmt: skip
SUFFIXES: dict[ExportFormat, str] = {"jsonl": "jsonl", "csv": "csv", "markdown": "md"}


@dataclass(frozen=True)
class RunDetails:
    """One run as the details pane shows it; every text is ready to be shown."""

    id: str
    status: str
    status_word: str
    title: str
    subtitle: str
    figures: tuple[tuple[str, str], ...]
    prompt: str
    thinking: str
    thinking_title: str
    answer: str
    error: str


class HistoryState(QObject):
    """Results of older questions are dropped: only the newest search fills the table."""

    rows_reset = Signal(list, int)
    rows_added = Signal(list)
    details_loaded = Signal(object)
    deleted = Signal(int)
    restored = Signal(int)
    exported = Signal(str)
    failed = Signal(str)

    def __init__(self, workbench: Workbench, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workbench, self._tasks = workbench, tasks
        self._search, self._status = "", ""
        self._question = 0
        self._loaded = 0
        self._last_deleted: tuple[str, ...] = ()
        self._wanted_id = ""
        self._bridge = Bridge(self)
        self._bridge.drained.connect(self._on_engine_states)
        workbench.on_engine_state(self._bridge.post)

    @property
    def glossary(self) -> Glossary:
        return self._workbench.glossary

    @property
    def is_filtered(self) -> bool:
        return bool(self._search or self._status)

    def load(self, search: str | None = None, status: str | None = None) -> None:
        """Reads the first page anew; None keeps the search or the status as it is."""
        self._search = self._search if search is None else search.strip()
        self._status = self._status if status is None else status
        self._fetch(0, max(PAGE_ROWS, self._loaded if search is None and status is None else 0), is_new=True)

    def load_more(self) -> None:
        self._fetch(self._loaded, PAGE_ROWS, is_new=False)

    def load_all(self) -> None:
        """For a sort that needs every row."""
        self._fetch(0, 10_000_000, is_new=True)

    def select(self, run_id: str) -> None:
        """`details_loaded` brings the run, unless another one was selected meanwhile."""
        self._wanted_id = run_id
        history = self._workbench.history
        self._tasks.run(lambda: _details(history.get(run_id)), self._on_details, self._on_failed)

    def delete(self, run_ids: Sequence[str]) -> None:
        ids = tuple(run_ids)
        history = self._workbench.history
        self._tasks.run(lambda: history.delete(ids), lambda count: self._on_deleted(ids, count), self._on_failed)

    def undo_delete(self) -> None:
        ids, self._last_deleted = self._last_deleted, ()
        history = self._workbench.history
        self._tasks.run(lambda: history.restore(ids), self._on_restored, self._on_failed)

    def export(self, run_ids: Sequence[str] | None, form: ExportFormat, path: Path) -> None:
        """Writes the runs to a file; None exports all."""
        ids = None if run_ids is None else tuple(run_ids)
        self._tasks.run(lambda: self._write(ids, form, path), self.exported.emit, self._on_failed)

    def _fetch(self, offset: int, limit: int, is_new: bool) -> None:
        if is_new:
            self._question += 1
        question, history = self._question, self._workbench.history
        search, status = self._search or None, self._status or None

        def work() -> tuple[list[RunSummary], int]:
            rows = history.list(limit, offset, search, status)  # type: ignore[arg-type]
            return rows, history.count(search, status)  # type: ignore[arg-type]

        self._tasks.run(work, lambda found: self._on_rows(question, is_new, *found), self._on_failed)

    def _write(self, ids: tuple[str, ...] | None, form: ExportFormat, path: Path) -> str:
        try:
            with path.open("w", encoding="utf-8", newline="") as file:
                for line in self._workbench.history.export(ids, form):
                    file.write(line)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise StorageFull("The export was not written: the disk is full.") from error
            raise WorldError(f"The export to {path} was not written: {error.strerror or error}.") from error
        return str(path)

    def _on_rows(self, question: int, is_new: bool, rows: list[RunSummary], total: int) -> None:
        if question != self._question:
            return
        if is_new:
            self._loaded = len(rows)
            self.rows_reset.emit(rows, total)
        else:
            self._loaded += len(rows)
            self.rows_added.emit(rows)

    def _on_details(self, details: RunDetails) -> None:
        if details.id == self._wanted_id:
            self.details_loaded.emit(details)

    def _on_deleted(self, ids: tuple[str, ...], count: int) -> None:
        self._last_deleted = ids
        self.deleted.emit(count)
        self.load()

    def _on_restored(self, count: int) -> None:
        self.restored.emit(count)
        self.load()

    def _on_failed(self, error: WorkbenchError) -> None:
        self.failed.emit(error.message)

    def _on_engine_states(self, states: list[Any]) -> None:
        # A run begins or ends with a new engine state: the list has a row more, or an end in it.
        if any(state.status in ("ready", "running", "off", "failed") for state in states) and self._question:
            self.load()


def _details(record: RunRecord) -> RunDetails:
    spec, metrics = record.spec, record.metrics
    quantization = f" {spec.model.quantization}" if spec.model.quantization else ""
    parts = [local_time(record.started_at), f"context {units.count_text(spec.engine.context_length)}"]
    parts += [ref.name for ref in (spec.mode, spec.surface) if ref is not None]
    parts.append(f"seed {spec.sampling.seed}")
    error = "" if record.error is None else "\n".join(filter(None, (record.error.message, record.error.detail)))
    thought = f"Thinking, {units.count_text(metrics.thinking_tokens)} tokens"
    return RunDetails(
        id=record.id,
        status=record.status,
        status_word=STATUS_WORDS[record.status],
        title=f"{spec.model.name}{quantization}",
        subtitle=", ".join(parts),
        figures=_figures(record),
        prompt=spec.messages[-1].content,
        thinking=record.thinking,
        thinking_title=thought,
        answer=record.text,
        error=error or record.note or "",
    )


def _figures(record: RunRecord) -> tuple[tuple[str, str], ...]:
    metrics = record.metrics
    peak = [s.engine_resident_bytes for s in record.telemetry if s.engine_resident_bytes is not None]
    api = next((cost for cost in record.costs if cost.kind == "api"), None)
    cold = record.load.cold_start_ms if record.load else None
    return (
        ("First token", units.ms_text(metrics.ttft_ms)),
        ("First answer token", units.ms_text(metrics.ttfa_ms)),
        ("Decode speed", units.rate_text(metrics.tps)),
        ("Prefill", units.rate_text(metrics.prefill_tps)),
        ("Last token", units.ms_text(metrics.ttlt_ms)),
        ("Cold start", units.ms_text(cold)),
        ("Prompt tokens", units.count_text(metrics.prompt_tokens)),
        ("of them cached", units.count_text(metrics.cached_tokens)),
        ("Output tokens", units.count_text(metrics.output_tokens)),
        ("Memory, peak", units.bytes_text(max(peak)) if peak else units.UNKNOWN),
        ("Cost, estimated", units.usd_text(api.usd) if api and api.usd is not None else units.UNKNOWN),
        ("Dropped tokens", units.count_text(record.dropped_tokens)),
    )
