"""What a model takes of memory before it is loaded or even downloaded: planned by llama.cpp itself from its header."""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workbench.errors import WorldError
from workbench.hub import fit_arithmetic, fit_verdict
from workbench.hub.fit_cache import PlanCache, clear_old, options_key
from workbench.hub.gguf import GgufHeader, read_header
from workbench.hub.memory import CurvePoint, MemoryComparison, MemoryEstimate, MemoryPart, Purpose, Verdict
from workbench.hub.remote_header import fetch_headers, header_paths, plan_key
from workbench.hub.repository import RemoteFiles
from workbench.metrics import free_memory
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.record import LoadReport
from workbench.runs.spec import EngineOptions, check_engine

if TYPE_CHECKING:
    from workbench.hub.client import HubClient

Source = tuple[Path, ...] | RemoteFiles
_Fits = Callable[[Sequence[EngineOptions]], Sequence[bool]]
# Measured, see docs/memory.md: what a run holds beyond the planning process (modules and threads; buffers in which the
# CPU converts, at the least), and the books on a cell of a cache and on a token of a prompt.
ENGINE_BYTES, WORK_BYTES = 7 * 1024**2, 3 * 1024**2
CELL_BYTES, TOKEN_BYTES = 112, 136
_SHORTEST_POINT, _MOST_POINTS = 512, 8
_FEW_LAYERS_AT_ONCE = 4
_ORDER: tuple[Purpose, ...] = ("weights", "repacked", "kv", "recurrent", "compute", "output")


class Planner(Protocol):
    """Asks llama.cpp. `build` changes with it; the call blocks and may raise any WorkbenchError."""

    @property
    def build(self) -> str: ...

    def __call__(
        self, path: Path, options: Sequence[EngineOptions], cancel: threading.Event | None = None
    ) -> tuple[MemoryPlan, ...]: ...


class MemoryFit:
    """Estimates, curves and verdicts. Any thread; questions about one model wait for each other.

    Everything that needs the network or a process blocks: about a second for the first question about a model.
    """

    def __init__(
        self,
        client: HubClient,
        planner: Planner,
        plans_dir: Path,
        *,
        free_bytes: Callable[[], int] = free_memory.free_bytes,
    ) -> None:
        """`plans_dir` keeps headers and plans; `free_bytes` tells what a model could take."""
        self._client, self._planner, self._plans_dir = client, planner, plans_dir
        self._free_bytes = free_bytes
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._repositories: dict[tuple[str, str], list[Path]] = {}
        self._refusals: dict[str, str] = {}
        self._is_cleared = False

    def estimate(self, source: Source, options: EngineOptions, cancel: threading.Event | None = None) -> MemoryEstimate:
        """Raises HubError and its kinds, ModelNotFound, ModelFileError for a damaged file, UserError "cancelled".

        Where llama.cpp cannot be asked the estimate is computed from the header, and its note says why.
        """
        return self.estimates(source, [options], cancel)[0]

    def estimates(
        self, source: Source, options: Sequence[EngineOptions], cancel: threading.Event | None = None
    ) -> tuple[MemoryEstimate, ...]:
        """One for each of `options`, in order: several cost little more than one. Raises SpecError too."""
        for item in options:
            check_engine(item)
        key = _source_key(source)
        with self._lock(key):
            plans = self._plans(key, source, list(dict.fromkeys(options)), cancel)
            if isinstance(plans, str):
                headers = [read_header(path) for path in self._paths(key, source)]
                return tuple(fit_arithmetic.from_headers(headers, item, plans) for item in options)
        return tuple(self._from_plan(plans[options_key(item)], item, key, source) for item in options)

    def curve(
        self,
        source: Source,
        options: EngineOptions,
        contexts: Sequence[int] = (),
        cancel: threading.Event | None = None,
    ) -> tuple[CurvePoint, ...]:
        """Memory at each of `contexts`, or at powers of two up to the length the model was trained with."""
        lengths = tuple(contexts) or self._powers(source)
        asked = [replace(options, context_length=length) for length in lengths]
        return tuple(
            CurvePoint(item.context_length, item.reserved_bytes(), item.resident_bytes())
            for item in self.estimates(source, asked, cancel)
        )

    def verdict(
        self,
        estimate: MemoryEstimate,
        source: Source,
        options: EngineOptions,
        gpu_free: Mapping[str, int] | None = None,
        cancel: threading.Event | None = None,
    ) -> Verdict:
        """Against the memory that is free at this moment; `gpu_free` are the free bytes of GPUs by llama.cpp's name."""
        free = {**(gpu_free or {}), fit_verdict.CPU: self._free_bytes()}
        lacks = fit_verdict.shortages(estimate, free)
        if not lacks:
            return fit_verdict.fits_verdict(estimate, free)

        def fits(variants: Sequence[EngineOptions]) -> list[bool]:
            return [not fit_verdict.shortages(item, free) for item in self.estimates(source, variants, cancel)]

        if any(lack.device != fit_verdict.CPU for lack in lacks):
            layers = _most_layers(options, estimate.gpu_layers, fits)
            if layers is not None:
                return fit_verdict.fewer_layers_verdict(estimate, layers, lacks[0])
        # With as many layers on the GPU as the estimate has: a shorter context must not move them.
        fixed = replace(options, gpu_layers=estimate.gpu_layers)
        least = min(fit_verdict.SHORTEST_CONTEXT, options.context_length)
        shortest = self.estimate(source, replace(fixed, context_length=least), cancel)
        length = _longest_context(fixed, fits, fit_verdict.guessed_context(shortest, estimate, free))
        if length is not None:
            found = self.estimate(source, replace(fixed, context_length=length), cancel)
            return fit_verdict.less_context_verdict(estimate, found, lacks[0])
        return fit_verdict.does_not_fit_verdict(estimate, lacks[0], shortest)

    def header(self, source: Source) -> GgufHeader:
        """The header of the first file; fetched when it is not here yet."""
        key = _source_key(source)
        with self._lock(key):
            return read_header(self._paths(key, source)[0])

    def headers(self, source: Source) -> tuple[GgufHeader, ...]:
        """Those of all parts, in order; fetched when they are not here yet."""
        key = _source_key(source)
        with self._lock(key):
            return tuple(read_header(path) for path in self._paths(key, source))

    # -- plans

    def _plans(
        self, key: str, source: Source, options: list[EngineOptions], cancel: threading.Event | None
    ) -> dict[str, MemoryPlan] | str:
        """By `options_key`; a sentence where llama.cpp could not plan."""
        self._siblings(key, source)
        if key in self._refusals:
            return self._refusals[key]
        cache = PlanCache(self._plans_dir / key, self._planner.build)
        known = cache.read()
        missing = {options_key(item): item for item in options if options_key(item) not in known}
        if missing:
            if not self._is_cleared:
                clear_old(self._plans_dir)
                self._is_cleared = True
            # A damaged file is an error here, and not a reason to compute something from it.
            first = self._paths(key, source)[0]
            if not isinstance(source, RemoteFiles):
                read_header(first)
            try:
                planned = self._planner(first, list(missing.values()), cancel)
            except WorldError as error:
                note = f"{error.message} The figures are computed from the header instead."
                if error.code == "architecture_unsupported":
                    self._refusals[key] = note
                return note
            found = dict(zip(missing, planned, strict=True))
            cache.add({name: plan for name, plan in found.items() if _is_lasting(missing[name], plan)})
            known |= found
        cache.touch()
        return known

    def _paths(self, key: str, source: Source) -> tuple[Path, ...]:
        if not isinstance(source, RemoteFiles):
            return source
        return fetch_headers(self._client, source, self._plans_dir / key, self._siblings(key, source))

    def _siblings(self, key: str, source: Source) -> list[Path]:
        """Headers of other files of the same repository that are here, at most two; `source` is noted as the latest.

        Two, as a repository may have two models.
        """
        if not isinstance(source, RemoteFiles) or len(source.files) > 1:
            return []
        (own,) = header_paths(self._plans_dir / key, 1)
        with self._guard:
            known = self._repositories.setdefault((source.repo_id, source.revision), [])
            others = [path for path in known if path != own]
            known[:] = [own, *others]
        return [path for path in others if path.is_file()][:2]

    def _from_plan(self, plan: MemoryPlan, options: EngineOptions, key: str, source: Source) -> MemoryEstimate:
        if plan.refused is not None:
            paths = (
                header_paths(self._plans_dir / key, len(source.files)) if isinstance(source, RemoteFiles) else source
            )
            return fit_arithmetic.from_headers([read_header(path) for path in paths], options, plan.refused)
        sizes: dict[tuple[Purpose, str], int] = {}
        for item in plan.items:
            sizes[item.purpose, item.device] = sizes.get((item.purpose, item.device), 0) + item.size_bytes
        sizes["weights", "CPU"] = sizes.get(("weights", "CPU"), 0) + _adapter_bytes(options)
        books = plan.cells * CELL_BYTES + options.context_length * options.parallel * TOKEN_BYTES
        sizes["books", "CPU"] = books
        if plan.program_bytes is not None:
            sizes["program", "CPU"] = plan.program_bytes + ENGINE_BYTES + max(WORK_BYTES, plan.scores_bytes)
        parts = tuple(
            MemoryPart(purpose, device, size, size)
            for purpose in (*_ORDER, "books", "program")
            for (named, device), size in sizes.items()
            if named == purpose and size
        )
        kv_type = fit_arithmetic.kv_type_text(options)
        shared = plan.shared_devices
        return MemoryEstimate(parts, options.context_length, kv_type, plan.gpu_layers, "engine", shared_devices=shared)

    def _powers(self, source: Source) -> tuple[int, ...]:
        """Ascending, the last one the trained length; where the header does not tell it, up to 65,536."""
        header = self.header(source)
        trained = header.integer(f"{header.text('general.architecture')}.context_length") or 65_536
        lengths = [trained]
        power = 1 << (trained - 1).bit_length()
        while (power := power // 2) >= _SHORTEST_POINT and len(lengths) < _MOST_POINTS:
            lengths.append(power)
        return tuple(sorted(set(lengths)))

    def _lock(self, key: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(key, threading.Lock())


def compare(
    estimate: MemoryEstimate, report: LoadReport, resident_bytes: int | None = None
) -> tuple[MemoryComparison, ...]:
    """Predicted against reserved in a load with the same options; empty when the contexts differ.

    `resident_bytes` is the most that the engine's process held while it ran: with it the total resident is compared.
    """
    if report.context_length != estimate.context_length:
        return ()
    found = []
    for purpose in _ORDER:
        predicted, measured = estimate.reserved_bytes(purpose), report.reserved_bytes(purpose)
        if predicted or measured:
            found.append(MemoryComparison(purpose, predicted, measured or 0))
    if resident_bytes is not None:
        total = estimate.resident_bytes(device=fit_verdict.CPU)
        found.append(MemoryComparison("total resident", total, resident_bytes))
    return tuple(found)


def _most_layers(options: EngineOptions, below: int, fits: _Fits) -> int | None:
    return fit_verdict.largest(
        range(below), lambda counts: fits([replace(options, gpu_layers=count) for count in counts]), _FEW_LAYERS_AT_ONCE
    )


def _longest_context(options: EngineOptions, fits: _Fits, guessed: int) -> int | None:
    lengths = fit_verdict.shorter_contexts(options.context_length)
    return fit_verdict.largest(
        lengths,
        lambda tried: fits([replace(options, context_length=length) for length in tried]),
        guess=bisect_right(lengths, guessed) - 1,
    )


def _source_key(source: Source) -> str:
    """The folder of the plans: by content for files on the Hub, by place and last write for files here."""
    if isinstance(source, RemoteFiles):
        return plan_key(source)
    marks = []
    for path in source:
        try:
            status = path.stat()
        except OSError:
            # The reader of the header says what is wrong.
            return hashlib.sha256(str(path).encode()).hexdigest()
        marks.append(f"{path}\n{status.st_size}\n{status.st_mtime_ns}\n{status.st_ino}")
    return hashlib.sha256("\n".join(marks).encode("utf-8", "surrogateescape")).hexdigest()


def _is_lasting(options: EngineOptions, plan: MemoryPlan) -> bool:
    """Not where the number of layers followed from the memory of a GPU that was free just then."""
    return options.gpu_layers is not None or plan.gpu_layers == 0


def _adapter_bytes(options: EngineOptions) -> int:
    """Adapters are read as they are; a missing one is the load's error."""
    paths = [Path(adapter.path) for adapter in options.adapters]
    return sum(path.stat().st_size for path in paths if path.is_file())
