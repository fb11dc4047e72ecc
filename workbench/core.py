"""The `Workbench`: one object that a window or a command asks for everything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.economics.prices import PriceBook
from workbench.economics.unit import busy_seconds, estimate_run, unknown_choices
from workbench.engine.api import Engine
from workbench.errors import StorageFull, WorkbenchError
from workbench.glossary import Glossary
from workbench.history.store import HistoryStore
from workbench.hub.library import ModelLibrary
from workbench.hub.places import other_places
from workbench.jobs import JobQueue
from workbench.lease import ChangeCost, EngineLease, EngineState, StateListener
from workbench.paths import Paths, resources
from workbench.profiles import ProfileStore
from workbench.run_job import RunJob, RunServices
from workbench.runner import Sink
from workbench.runs.record import CostEstimate, RunRecord, TelemetrySample
from workbench.runs.spec import ModelRef, RunSpec
from workbench.runs.timings import Metrics
from workbench.settings import Settings, SettingsStore
from workbench.spec_builder import Knobs, build_spec

if TYPE_CHECKING:
    from workbench.hardware import Hardware
    from workbench.models import Models

__all__ = ["ChangeCost", "EngineState", "Knobs", "RunHandle", "Workbench"]

EngineFactory = Callable[[Paths, Settings], Engine]
RunHandle = RunJob
HASH_WAIT_S = 1.0
_BUSY = ("loading", "running")
log = logging.getLogger(__name__)


class Workbench:
    """Everything a program needs. Made once per program by `Workbench.open`, closed at its end.

    `start_problems` are sentences about what could not be read or written at the start, without which it goes on.
    """

    def __init__(self, paths: Paths, make_engine: EngineFactory, problems: tuple[str, ...] = ()) -> None:
        found = resources()
        self.paths = paths
        self.settings = SettingsStore(paths.settings_file)
        self.profiles = ProfileStore(found.profiles, paths.user_profiles)
        self.history = HistoryStore(paths.history_file)
        self.start_problems = (*problems, *self.settings.problems)
        self.interrupted_runs = self._mark_interrupted()
        folders = tuple(Path(folder) for folder in self.settings.current.models_folders)
        self.library = ModelLibrary(
            paths, found, folders, self.history.model_hash, self._remember_hash, find_places=other_places
        )
        self.prices = PriceBook()
        self._hashes: dict[str, threading.Event] = {}
        self._machine: tuple[tuple[str, str], ...] | None = None
        self._runs = JobQueue("runs")
        self._chores = JobQueue("chores")
        self._checks = JobQueue("memory checks")
        self._lease = EngineLease(lambda: make_engine(paths, self.settings.current), self._ensure_file)
        self._active: set[RunJob] = set()
        self._unstored: dict[str, RunRecord] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._checks_memory = False

    @cached_property
    def models(self) -> Models:
        """Search, judging, downloads and keeping of models; made with the first question."""
        from workbench.models import Models

        made = Models(
            self.paths,
            resources(),
            self.settings,
            self.library,
            self.history,
            make_engine=lambda: local_engine(self.paths, self.settings.current),
            cpu_name=self._cpu_name,
            in_use=self._lease.files,
            is_busy=lambda: self._lease.state.status in _BUSY,
        )
        self._lease.listen(lambda state: made.yield_to_run() if state.status in _BUSY else None)
        return made

    @cached_property
    def glossary(self) -> Glossary:
        """The definitions that window and command line show."""
        return Glossary(resources().glossary)

    @classmethod
    def open(cls, home: Path | None = None, make_engine: EngineFactory | None = None) -> Workbench:
        """Opens folders, settings, profiles and history; starts no engine and no network.

        `home` replaces the standard folders. Raises UserError for folders that cannot be written, HistoryError
        for a history that cannot be read.
        """
        paths = Paths.below(home) if home is not None else Paths.standard()
        problems: tuple[str, ...] = ()
        try:
            paths.create()
        except StorageFull as error:
            if not paths.history_file.is_file():
                raise
            problems = (error.message,)  # what is there can still be read
        return cls(paths, make_engine or local_engine, problems)

    def build_spec(self, knobs: Knobs) -> RunSpec:
        """The complete spec for these knobs. Raises ModelNotFound, ProfileError, SpecError."""
        spec = build_spec(knobs, self.settings.current, self.profiles, self.library)
        self._request_hash(spec.model)
        return spec

    def start_run(self, spec: RunSpec, sink: Sink) -> RunJob:
        """Queues the run and returns at once; `sink` is called in order, from the job and telemetry threads."""
        self.load_prices()
        job = RunJob(spec, sink, self._services())
        with self._lock:
            self._active.add(job)
        self._runs.submit(lambda: self._execute(job))
        return job

    def run(self, spec: RunSpec, sink: Sink) -> RunRecord:
        """Like `start_run`, but returns after the terminal event was delivered. Ctrl-C is the caller's."""
        job = self.start_run(spec, sink)
        while (record := job.wait(0.2)) is None:
            pass
        return record

    def warm(self, spec: RunSpec) -> None:
        """Loads the spec's model in the background, so that the next run starts warm; failures show as state."""
        self._runs.submit(lambda: self._warm(spec))

    def check_memory_of_loads(self) -> None:
        """From here on, what a load took is compared with the prediction in the background, after the first run with it
        has finished, and kept in the history.
        """
        self._checks_memory = True

    def load_prices(self) -> None:
        """Reads the price tables in the background (about 0.6 s the first time)."""
        if not self.prices.loaded and not self._is_closed:
            self._chores.submit(self.prices.load)

    def read_hardware(self) -> Hardware:
        """This machine, and what the installed llama.cpp can use of it. Blocks for about half a second."""
        return read_hardware()

    def explain_change(self, old: RunSpec | None, new: RunSpec) -> ChangeCost:
        """What it will cost to run `new`; `old` None: from what is warm now."""
        return self._lease.explain(new, old)

    @property
    def engine_state(self) -> EngineState:
        return self._lease.state

    @property
    def engine_pid(self) -> int | None:
        """The process of the engine, for readings between runs."""
        return self._lease.pid

    def on_engine_state(self, listener: StateListener) -> None:
        """Calls `listener` at each change, from any thread."""
        self._lease.listen(listener)

    def estimate_costs(
        self,
        metrics: Metrics,
        passes: int,
        telemetry: tuple[TelemetrySample, ...],
        parameters: int | None,
        busy_s: float | None = None,
    ) -> tuple[CostEstimate, ...]:
        """API, rented GPU and electricity for figures so far, by the settings' choices; < 1 ms once loaded.

        `busy_s`: seconds of work in the passes; None takes TTLT.
        """
        settings = self.settings.current
        api, gpu = unknown_choices(settings.api_price, settings.gpu_price, self.prices, self.profiles)
        return estimate_run(
            metrics,
            passes,
            telemetry,
            api=self.prices.chosen(settings.api_price, parameters),
            machine=self.profiles.rented_gpu(settings.gpu_price),
            usd_per_kwh=settings.electricity_usd_per_kwh,
            busy_s=busy_s,
            api_reason=self.prices.absence_reason,
            unknown_api=api,
            unknown_gpu=gpu,
        )

    def close(self, finish_checks_s: float = 0.0) -> None:
        """Ends runs (as cancelled), the engine and the history; safe to call twice.

        A comparison of memory under way has `finish_checks_s` beyond the engine's end, and is given up then. What the
        history cannot store any more is logged, not raised: `is_stored` has said so of each run.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            active = list(self._active)
            self._checks_memory = self._checks_memory and finish_checks_s > 0
        for job in active:
            job.cancel()
        self._lease.cancel_load()
        if not self._checks_memory and "models" in self.__dict__:
            self.models.close()
        self._runs.close(timeout_s=8.0)
        self._lease.close()
        if self._checks_memory:
            self._checks.close(finish_checks_s)
            if "models" in self.__dict__:
                self.models.close()
        self._checks.close(timeout_s=1.0)
        self._chores.close(timeout_s=2.0)
        for record in list(self._unstored.values()):
            _logged(partial(self._close_row, record))  # space may be free by now
        _logged(self.history.close)

    def is_stored(self, run_id: str) -> bool:
        """Whether the end of a run of this program was written to the history."""
        return run_id not in self._unstored

    def _mark_interrupted(self) -> int:
        try:
            return self.history.mark_interrupted()
        except WorkbenchError as error:
            sentence = f"Runs that a crash interrupted could not be marked: {error.message}"
            log.error("%s", sentence)
            self.start_problems = (*self.start_problems, sentence)
            return 0

    def _remember_hash(self, path: str, size_bytes: int, mtime_ns: int, sha256: str) -> None:
        # A full disk costs the time to compute the hash again, not the run.
        _logged(partial(self.history.remember_model_hash, path, size_bytes, mtime_ns, sha256))

    def _close_row(self, record: RunRecord) -> None:
        self._unstored[record.id] = record
        self.history.close_run(record)
        del self._unstored[record.id]

    def _services(self) -> RunServices:
        return RunServices(
            lease=self._lease,
            open_row=self.history.open_run,
            save_progress=self.history.save_progress,
            close_row=self._close_row,
            hash_of=self._hash_of,
            costs_of=self._costs_of,
            await_prices=self.prices.load,
            machine=self._machine_pairs,
        )

    def _execute(self, job: RunJob) -> None:
        try:
            job.execute()
        finally:
            with self._lock:
                self._active.discard(job)
        record = job.wait(0)
        if record is not None and record.status == "finished" and self._checks_memory:
            self._checks.submit(lambda: self._check_memory(record))

    def _check_memory(self, record: RunRecord) -> None:
        if self._checks_memory:
            self.models.check_memory(record)

    def _warm(self, spec: RunSpec) -> None:
        try:
            self._lease.acquire(spec)
        except WorkbenchError:
            return  # the lease has told its listeners why
        self._lease.release()

    def _ensure_file(self, model: ModelRef) -> None:
        self.library.ensure(model, _quantize)

    def _costs_of(self, record: RunRecord) -> tuple[CostEstimate, ...]:
        timings = [item.timings for item in record.passes]
        parameters = record.load.parameters if record.load else None
        return self.estimate_costs(record.metrics, len(timings), record.telemetry, parameters, busy_seconds(timings))

    def _cpu_name(self) -> str:
        return dict(self._machine_pairs()).get("cpu", "")

    def _machine_pairs(self) -> tuple[tuple[str, str], ...]:
        if self._machine is None:
            from workbench.hardware import describe_machine

            self._machine = describe_machine().as_pairs()
        return self._machine

    def _request_hash(self, model: ModelRef) -> None:
        if model.sha256 is not None or model.path in self._hashes:
            return
        done = self._hashes[model.path] = threading.Event()
        self._chores.submit(lambda: self._compute_hash(model, done))

    def _compute_hash(self, model: ModelRef, done: threading.Event) -> None:
        try:
            self.library.compute_sha256(model, lambda: self._is_closed)
        except WorkbenchError as error:
            log.info("no hash of %s: %s", model.path, error.message)
        finally:
            done.set()
            # A file that is made on first use, or made anew, has no hash before that: ask again with the next spec.
            self._hashes.pop(model.path, None)

    def _hash_of(self, model: ModelRef) -> str | None:
        known = self.library.sha256(model)
        if known is not None:
            return known
        self._request_hash(model)
        event = self._hashes.get(model.path)
        if event is not None:
            event.wait(HASH_WAIT_S)
        return self.library.sha256(model)


def _logged(write: Callable[[], object]) -> None:
    try:
        write()
    except WorkbenchError as error:
        log.error("history: %s", error.message)


def local_engine(paths: Paths, settings: Settings) -> Engine:
    """The llama.cpp child with this program's log folder."""
    from workbench.engine.process import LocalEngine

    return LocalEngine(log_dir=paths.logs, memory_check=settings.memory_check, idle_gpu_advice=_idle_gpu_advice)


def read_hardware() -> Hardware:
    """What `Workbench.read_hardware` says, where there is no workbench to ask."""
    from workbench.engine.inventory import read_build
    from workbench.hardware import Hardware, describe_machine

    machine = describe_machine()
    try:
        return Hardware(machine, read_build())
    except WorkbenchError as error:
        return Hardware(machine, problem=error.message)


def _idle_gpu_advice() -> str | None:
    """What to do about a GPU that the engine's build cannot use; None when there is none."""
    from workbench.hardware import describe_machine, gpu_advice

    return gpu_advice(describe_machine(), build_supports_gpu=False)


def _quantize(source: Path, target: Path, type_name: str, on_progress: Callable[[float | None], None] | None) -> None:
    from workbench.engine.quantizer import quantize_file

    quantize_file(source, target, type_name, on_progress=on_progress)
