"""`Models`: everything about models that window and command line ask for, put together from hub, engine and history."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from workbench.engine.api import Engine
from workbench.engine.file_types import QuantizeOptions
from workbench.engine.planner import MemoryPlanner
from workbench.engine.protocol import QuantizePlanned
from workbench.engine.quantizer import plan_quantization
from workbench.errors import HistoryError, UserError, WorkbenchError
from workbench.history.model_figures import KEPT_CHECKS, CheckedPart, MemoryCheck, ModelUse
from workbench.history.store import HistoryStore
from workbench.hub import importing
from workbench.hub.catalog import Catalog, CatalogFinding, check_catalog, load_catalog
from workbench.hub.client import HubClient
from workbench.hub.deletion import Deletion
from workbench.hub.download import DownloadQueue
from workbench.hub.fit import MemoryFit, Source, compare
from workbench.hub.fit_verdict import CPU
from workbench.hub.gguf import ModelFile
from workbench.hub.grouping import parts_of
from workbench.hub.importing import Addition
from workbench.hub.library import ModelLibrary
from workbench.hub.memory import CurvePoint, MemoryComparison, MemoryEstimate, Verdict
from workbench.hub.model_work import ModelWork, work_of
from workbench.hub.repository import RepoQuantization, Repository, RepoSummary, SearchQuery
from workbench.hub.repository_reader import read_repository
from workbench.hub.search import repo_id_of, search
from workbench.hub.speed import MachineSpeed, SpeedEstimate, correct, estimate_speed
from workbench.hub.transfers import DownloadOrder
from workbench.hub.verification import Verification
from workbench.machine_probe import MachineProbe
from workbench.making import make_quantization
from workbench.metrics import free_memory
from workbench.paths import Paths, Resources
from workbench.runs.measured_speed import MeasuredSpeed
from workbench.runs.record import RunRecord
from workbench.runs.spec import EngineOptions
from workbench.settings import SettingsStore

# A total is only comparable when the context was about full: pages that nothing was written to are not resident.
_FULL_FROM = 0.9
# Reading the kept result takes milliseconds; whoever holds the lock for longer measures.
_PROBE_WAIT_S = 0.5
_RUN_GOES_ON = "A run is going on, and measuring beside it would slow it down and give wrong figures. Measure after it."
log = logging.getLogger(__name__)


def _log_unreadable(error: HistoryError) -> None:
    log.error("%s %s", error.message, error.detail)


class Models:
    """Find, judge, download, keep and make models. Any thread may call; what reaches the Hub, a process or whole files
    blocks. Nothing is read, started or sent before it is asked for.
    """

    def __init__(
        self,
        paths: Paths,
        resources: Resources,
        settings: SettingsStore,
        library: ModelLibrary,
        history: HistoryStore,
        *,
        make_engine: Callable[[], Engine],
        cpu_name: Callable[[], str],
        in_use: Callable[[], Collection[Path]],
        is_busy: Callable[[], bool],
    ) -> None:
        """`make_engine` gives engines of their own for measuring; `in_use` are the files that are loaded, `is_busy`
        tells whether a run is going on, beside which nothing is measured.
        """
        self.library = library
        self._paths, self._resources, self._settings, self._history = paths, resources, settings, history
        self._make_engine, self._cpu_name, self._in_use, self._is_busy = make_engine, cpu_name, in_use, is_busy
        self.client = HubClient(use_xet=settings.current.hub_xet)
        self._fit = MemoryFit(self.client, MemoryPlanner(), paths.memory_plans)
        self._probe: MachineProbe | None = None
        self._probe_lock = threading.Lock()
        self._works: dict[str, ModelWork | None] = {}
        self._compared: tuple[str, EngineOptions, bool] | None = None
        self._stop = threading.Event()
        self._measuring: threading.Event | None = None
        self._is_run_ahead = False

    def close(self) -> None:
        """Stops downloads, which can be resumed, and measuring; what was deleted is gone for good."""
        self._stop.set()
        if self._measuring is not None:
            self._measuring.set()
        if "downloads" in self.__dict__:
            self.downloads.close()
        self.library.trash.empty()

    @cached_property
    def downloads(self) -> DownloadQueue:
        """The first question takes over what an earlier program left, as paused."""
        return DownloadQueue(self.client, self._paths.downloads_file, self._settings.current.downloads_at_once)

    def apply_settings(self) -> None:
        """Takes over what the settings say of downloads."""
        current = self._settings.current
        self.client.use_xet = current.hub_xet
        if "downloads" in self.__dict__:
            self.downloads.parallel = current.downloads_at_once

    # -- find

    @property
    def endpoint(self) -> str:
        """The Hub or its mirror, without a slash at the end."""
        return self.client.endpoint

    def catalog(self) -> Catalog:
        """Raises ProfileError for a wrong file of the user's."""
        name = "catalog.toml"
        return load_catalog(self._resources.profiles / name, self._paths.user_profiles / name)

    def check_catalog(self) -> tuple[CatalogFinding, ...]:
        """What the Hub says differently. Raises HubError."""
        return check_catalog(self.client, self.catalog())

    def search(self, query: SearchQuery) -> Iterator[tuple[RepoSummary, ...]]:
        """Pages, each fetched when it is taken; with size bounds one may be empty without being the last."""
        return search(self.client, query)

    def repository(self, text: str, revision: str | None = None) -> Repository:
        """`text` is an id or an address on the Hub. Raises HubError and its kinds, UserError."""
        return read_repository(self.client, repo_id_of(text) or text, revision)

    # -- judge

    def estimate(self, source: Source, options: EngineOptions) -> MemoryEstimate:
        """See `MemoryFit.estimate`."""
        return self._fit.estimate(source, options, self._stop)

    def verdict(self, estimate: MemoryEstimate, source: Source, options: EngineOptions) -> Verdict:
        """Against what is free at this moment, of the machine and of its GPUs."""
        return self._fit.verdict(estimate, source, options, _gpu_free_bytes(), self._stop)

    def curve(self, source: Source, options: EngineOptions, contexts: Sequence[int] = ()) -> tuple[CurvePoint, ...]:
        """See `MemoryFit.curve`."""
        return self._fit.curve(source, options, contexts, self._stop)

    def free_bytes(self, devices: Sequence[str] = ()) -> int:
        """Memory that a model could take: the machine's (less where a container has a limit), and that of those of
        `devices` with memory of their own, where it is known.
        """
        gpus = _gpu_free_bytes() if any(name != CPU for name in devices) else {}
        return free_memory.free_bytes() + sum(size for name, size in gpus.items() if name in devices)

    def machine_speed(self, *, measure: bool = True) -> MachineSpeed | None:
        """What llama.cpp reaches on this machine. The first time it is measured, which takes some seconds; None for
        `measure` False when it was never measured.

        Raises UserError (code "run_going_on") when it would have to be measured beside a run, also for a run that
        begins meanwhile, and what `MachineProbe.measure` raises.
        """
        threads = self._settings.current.threads
        with self._probe_lock:
            probe = self._probe_of_machine()
            known = probe.known(threads)
            if known is not None or not measure or self._stop.is_set():
                return known
            try:
                return self._measure_alone(probe, threads, threading.Event())
            except UserError as error:
                if error.code == "cancelled":
                    return None
                raise

    def measure_machine(
        self, on_progress: Callable[[float], None] | None = None, cancel: threading.Event | None = None
    ) -> MachineSpeed:
        """Measures anew, whatever is known; blocks some seconds. `on_progress` gets 0 to 1.

        Raises UserError with the codes "cancelled", "probe_running" and "run_going_on" (also for a run that begins
        meanwhile: it would spoil the figures), and what `MachineProbe.measure` raises. The kept result then stays.
        """
        self._refuse_beside_run()
        if not self._probe_lock.acquire(timeout=_PROBE_WAIT_S):
            raise UserError("The speed of this machine is being measured already.", code="probe_running")
        try:
            threads = self._settings.current.threads
            return self._measure_alone(self._probe_of_machine(), threads, cancel or threading.Event(), on_progress)
        finally:
            self._probe_lock.release()

    def yield_to_run(self) -> None:
        """A run begins: measuring this machine ends within a moment, for both would be slow and the figures wrong."""
        measuring = self._measuring
        if measuring is not None:
            self._is_run_ahead = True
            measuring.set()

    def speed(self, source: Source) -> SpeedEstimate | None:
        """Predicted for this machine, corrected by its own runs; None when it cannot be told.

        Raises what `machine_speed` raises.
        """
        machine = self.machine_speed()
        work = self._work(source) if machine is not None else None
        if machine is None or work is None:
            return None
        corrections = correct(self._history.measured_speeds(), machine, self._work_of_run)
        return estimate_speed(work, machine, corrections)

    def model_use(self) -> dict[str, ModelUse]:
        """Last use and measured speed, by path and by SHA-256."""
        return self._history.model_use()

    @property
    def is_busy(self) -> bool:
        """Whether a run goes on, beside which what nobody waits for is better left."""
        return self._is_busy()

    def memory_checks(
        self,
        path: Path,
        sha256: str | None = None,
        on_unreadable: Callable[[HistoryError], None] = _log_unreadable,
    ) -> tuple[MemoryCheck, ...]:
        """Predicted against measured at all kept loads of this file, newest first; of the same content elsewhere where
        nothing was loaded from this path. Damaged ones are left out. Raises HistoryError.
        """
        found = self._history.memory_checks(path, KEPT_CHECKS, on_unreadable)
        return found or (self._history.memory_checks(sha256, KEPT_CHECKS, on_unreadable) if sha256 else ())

    def check_memory(self, record: RunRecord) -> None:
        """Compares the prediction with what the load of this run took, and keeps both; blocks about a second.

        Does nothing for further runs of the same load, and while another run goes on: the end of that one asks again.
        What cannot be predicted or stored is logged.
        """
        load, spec = record.load, record.spec
        loaded = spec.model.path, replace(spec.engine, threads=None), _full_resident_bytes(record) is not None
        if load is None or loaded == self._compared or self._stop.is_set() or self._is_busy():
            return
        self._compared = loaded
        try:
            estimate = self._fit.estimate(parts_of(Path(spec.model.path)), spec.engine, self._stop)
            parts = compare(estimate, load, _full_resident_bytes(record))
            if parts:
                self._history.add_memory_check(_memory_check(record, estimate, parts))
        except WorkbenchError as error:
            log.info("no memory check of %s: %s", spec.model.name, error.message)

    # -- keep

    def pull(self, repository: Repository, quantization: RepoQuantization) -> str:
        """Queues the download and returns its id. Raises UserError, StorageFull."""
        repo_id = repository.summary.repo_id
        order = DownloadOrder(repo_id, repository.revision, quantization.label, quantization.files)
        return self.downloads.add(order)

    def add_file(
        self,
        path: Path | str,
        how: importing.How = "register",
        progress: importing.Progress | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Addition:
        """See `importing.add_file`."""
        return importing.add_file(self.library, path, how, progress, cancel)

    def verify(
        self,
        file: ModelFile,
        progress: Callable[[float | None], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Verification:
        """See `ModelLibrary.verify`."""
        return self.library.verify(file, progress, cancel)

    def delete(self, files: Sequence[ModelFile]) -> Deletion:
        """Takes files away; they come back with `undo_delete` until the program closes."""
        return self.library.trash.delete(files, self._in_use())

    def undo_delete(self, deletion: Deletion) -> None:
        deletion.undo()

    # -- make

    def plan_quantization(self, source: Path, type_name: str, options: QuantizeOptions) -> QuantizePlanned:
        """The size that the type would have, and whether it needs a matrix; writes nothing."""
        return plan_quantization(source, type_name, options=options)

    def quantize(
        self,
        source: Path,
        type_name: str,
        target: Path | None = None,
        options: QuantizeOptions | None = None,
        on_progress: Callable[[float | None], None] | None = None,
        cancel: threading.Event | None = None,
        threads: int | None = None,
    ) -> Path:
        """See `make_quantization`."""
        folders = tuple(Path(folder) for folder in self._settings.current.models_folders)
        return make_quantization(
            source, type_name, self._paths, own_folders=folders, target=target, options=options,
            on_progress=on_progress, cancel=cancel, threads=threads or self._settings.current.threads,
        )  # fmt: skip

    def _measure_alone(
        self,
        probe: MachineProbe,
        threads: int | None,
        ended: threading.Event,
        on_progress: Callable[[float], None] | None = None,
    ) -> MachineSpeed:
        """For whoever holds the probe's lock."""

        def look(share: float) -> None:
            self._refuse_beside_run()
            if on_progress is not None:
                on_progress(share)

        self._measuring, self._is_run_ahead = ended, False
        try:
            look(0.0)
            if self._stop.is_set():
                ended.set()
            return probe.measure(threads, cancel=ended, on_progress=look)
        except UserError as error:
            if error.code == "cancelled" and self._is_run_ahead:
                raise UserError(_RUN_GOES_ON, code="run_going_on") from error
            raise
        finally:
            self._measuring = None

    def _refuse_beside_run(self) -> None:
        if self._is_busy():
            raise UserError(_RUN_GOES_ON, code="run_going_on")

    def _probe_of_machine(self) -> MachineProbe:
        if self._probe is None:
            self._probe = MachineProbe(self._paths.cache, self._cpu_name(), self._make_engine)
        return self._probe

    def _work(self, source: Source) -> ModelWork | None:
        return work_of(self._fit.headers(source))

    def _work_of_run(self, run: MeasuredSpeed) -> ModelWork | None:
        if run.model_path not in self._works:
            try:
                self._works[run.model_path] = self._work(parts_of(Path(run.model_path)))
            except WorkbenchError:
                self._works[run.model_path] = None  # the file is gone or damaged
        return self._works[run.model_path]


def _gpu_free_bytes() -> dict[str, int]:
    """By llama.cpp's name of the device; empty without an NVIDIA GPU that answers."""
    from workbench.metrics.gpu import Nvml, cuda_free_bytes

    nvml = Nvml.open()
    if nvml is None:
        return {}
    try:
        return cuda_free_bytes(nvml.gpus())
    finally:
        nvml.close()


def _full_resident_bytes(record: RunRecord) -> int | None:
    """The most that the engine held, when the context was about full; else None."""
    metrics, load = record.metrics, record.load
    held = (metrics.prompt_tokens or 0) + (metrics.output_tokens or 0)
    if load is None or held < _FULL_FROM * load.context_length:
        return None
    return max((s.engine_resident_bytes for s in record.telemetry if s.engine_resident_bytes), default=None)


def _memory_check(
    record: RunRecord, estimate: MemoryEstimate, parts: Sequence[MemoryComparison]
) -> MemoryCheck:  # fmt: skip
    return MemoryCheck(
        checked_at=record.started_at,
        model_path=record.spec.model.path,
        sha256=record.spec.model.sha256,
        context_length=estimate.context_length,
        kv_type=estimate.kv_type,
        gpu_layers=estimate.gpu_layers,
        basis=estimate.basis,
        parts=tuple(CheckedPart(part.purpose, part.predicted_bytes, part.measured_bytes) for part in parts),
    )
