"""One run from its row in history to its terminal event, on the job thread."""

from __future__ import annotations

import datetime
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from workbench.engine.api import Engine, LoadStep
from workbench.errors import Bug, WorkbenchError
from workbench.lease import EngineLease, with_hash
from workbench.metrics.telemetry import Sampler
from workbench.runner import Outcome, PassRunner, Sink
from workbench.runs import events
from workbench.runs.record import CostEstimate, ErrorRecord, LoadReport, RunRecord, RunStatus, TelemetrySample
from workbench.runs.spec import ModelRef, RunSpec

log = logging.getLogger(__name__)
SAVE_EVERY_S = 0.2  # with samples at 4 Hz: at each of them
NOT_KEPT = "This run is not in the history"
TERMINALS: dict[RunStatus, type[events.Finished] | type[events.Failed] | type[events.Cancelled]] = {
    "finished": events.Finished,
    "failed": events.Failed,
    "cancelled": events.Cancelled,
}
BROKEN_CODES = frozenset({"engine_crashed", "engine_start_failed", "out_of_memory"})


@dataclass(frozen=True, slots=True)
class RunServices:
    """What a run needs of the workbench, as callables, so that tests can stand in for each."""

    lease: EngineLease
    open_row: Callable[[RunRecord], None]
    save_progress: Callable[[str, str, str], None]
    close_row: Callable[[RunRecord], None]
    hash_of: Callable[[ModelRef], str | None]
    costs_of: Callable[[RunRecord], tuple[CostEstimate, ...]]
    await_prices: Callable[[], None]
    machine: Callable[[], tuple[tuple[str, str], ...]]


class RunJob:
    """A run under way; the handle that `Workbench.start_run` gives back. Methods may be called from any thread."""

    def __init__(self, spec: RunSpec, sink: Sink, services: RunServices) -> None:
        self.run_id = new_run_id()
        self._spec = spec
        self._sink = sink
        self._services = services
        self._lock = threading.Lock()
        self._passes: PassRunner | None = None
        self._is_cancel_asked = False
        self._is_loading = False
        self._done = threading.Event()
        self._record: RunRecord | None = None
        self._samples: list[TelemetrySample] = []
        self._saved_at = 0.0
        self._storage_note: str | None = None

    def cancel(self) -> None:
        """Asks for a stop; the run's terminal event is `Cancelled` and says which way it took."""
        with self._lock:
            self._is_cancel_asked = True
            passes, is_loading = self._passes, self._is_loading
        if passes is not None:
            passes.cancel()
        elif is_loading:
            self._services.lease.cancel_load()

    def answer_now(self) -> None:
        """Ends the thinking part."""
        with self._lock:
            passes = self._passes
        if passes is not None:
            passes.answer_now()

    def wait(self, timeout_s: float | None = None) -> RunRecord | None:
        """The record after the terminal event, None when the time was over first."""
        return self._record if self._done.wait(timeout_s) else None

    def execute(self) -> None:
        """Runs to the terminal event; called once, on the job thread. Never raises."""
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        record = RunRecord(self.run_id, "running", started, self._spec, machine=self._services.machine())
        try:
            self._store(lambda: self._services.open_row(record))
            self._emit(events.RunStarted(self.run_id, self._spec, time.perf_counter_ns()))
            outcome = self._work()
        except Exception as error:
            log.exception("run %s failed unexpectedly", self.run_id)
            outcome = self._failed(Bug(f"An internal error ended the run: {error}. The log has the details."))
        self._finish(record, outcome)

    def _work(self) -> Outcome:
        with self._lock:
            self._is_loading = not self._is_cancel_asked
        if self._is_cancel_asked:
            return Outcome((), "", "", None, cancelled_by="flag")
        lease = self._services.lease
        try:
            engine, load = lease.acquire(self._spec, self._on_load_progress)
        except WorkbenchError as error:
            if self._is_cancel_asked:
                return Outcome((), "", "", None, cancelled_by="flag")
            return self._failed(error)
        # Reading the tables beside the first tokens would slow what is being measured.
        self._services.await_prices()
        self._emit(events.EngineReady(self.run_id, load))
        outcome = self._play(engine, load)
        is_broken = outcome.cancelled_by == "killed" or (
            outcome.error is not None and outcome.error.code in BROKEN_CODES
        )
        lease.release(is_broken=is_broken)
        return outcome

    def _play(self, engine: Engine, load: LoadReport) -> Outcome:
        passes = PassRunner(engine, self.run_id, self._emit)
        with self._lock:
            self._is_loading = False
            self._passes = passes
            is_cancelled = self._is_cancel_asked
        if is_cancelled:
            passes.cancel()
        sampler = Sampler(lambda: engine.pid, self._on_sample)
        sampler.start()
        try:
            return passes.play(self._spec, load)
        finally:
            sampler.stop()

    def _on_load_progress(self, step: LoadStep, fraction: float | None) -> None:
        self._emit(events.EngineLoading(self.run_id, step, fraction))

    def _on_sample(self, sample: TelemetrySample) -> None:
        self._samples.append(sample)
        self._emit(events.TelemetryArrived(self.run_id, sample))
        passes = self._passes
        if passes is None or time.perf_counter() - self._saved_at < SAVE_EVERY_S:
            return
        text, thinking = passes.partial()
        if text or thinking:
            self._saved_at = time.perf_counter()
            self._store(lambda: self._services.save_progress(self.run_id, text, thinking))

    def _finish(self, record: RunRecord, outcome: Outcome) -> None:
        status: RunStatus = "finished"
        if outcome.error is not None:
            status = "failed"
        elif outcome.cancelled_by is not None:
            status = "cancelled"
        spec = replace(self._spec, model=with_hash(self._spec.model, self._services.hash_of(self._spec.model)))
        record = replace(
            record,
            status=status,
            spec=spec,
            passes=outcome.passes,
            text=outcome.text,
            thinking=outcome.thinking,
            load=outcome.load,
            telemetry=tuple(self._samples),
            error=outcome.error,
            cancelled_by=outcome.cancelled_by,
            note=outcome.note,
        )
        record = replace(record, costs=self._services.costs_of(record))
        # The last write has all that the earlier ones had: only its failure loses something.
        self._storage_note = None
        self._store(lambda: self._services.close_row(record))
        if self._storage_note:
            record = replace(record, note=f"{record.note}. {self._storage_note}" if record.note else self._storage_note)
        self._record = record
        self._emit(TERMINALS[status](self.run_id, record))
        self._done.set()

    def _failed(self, error: WorkbenchError) -> Outcome:
        states = self._passes.states if self._passes else []
        passes = tuple(state.record() for state in states)
        text, thinking = self._passes.partial() if self._passes else ("", "")
        return Outcome(passes, text, thinking, None, error=ErrorRecord(error.code, error.message, error.detail))

    def _store(self, write: Callable[[], None]) -> None:
        # A full disk must not take the answer away: the run goes on and its record says that it was not kept.
        try:
            write()
        except WorkbenchError as error:
            log.error("history: %s", error.message)
            self._storage_note = f"{NOT_KEPT}: {error.message}"

    def _emit(self, event: events.RunEvent) -> None:
        try:
            self._sink(event)
        except Exception:
            log.exception("a sink of run %s failed on %s; the run is being stopped", self.run_id, type(event).__name__)
            self.cancel()


def new_run_id() -> str:
    """Sorts by time and never repeats: "20261121-142501-3fa9c1"."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
