"""A `Models` for the window's tests: the real library on real files, a Hub of canned answers, a queue moved by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.engine.file_types import QuantizeOptions
from workbench.engine.protocol import QuantizePlanned
from workbench.errors import HubAccessDenied, HubOffline, ModelFileError, WorkbenchError
from workbench.history.model_figures import CheckedPart, MemoryCheck, ModelUse
from workbench.hub.catalog import Catalog, load_catalog
from workbench.hub.deletion import Deletion
from workbench.hub.demo_model import DEMO_NAMES
from workbench.hub.gguf import ModelFile
from workbench.hub.importing import Addition, add_file
from workbench.hub.library import ModelLibrary
from workbench.hub.memory import CurvePoint, MemoryEstimate, MemoryPart, Verdict
from workbench.hub.repository import (
    RemoteFiles,
    RepoFile,
    RepoQuantization,
    Repository,
    RepoSummary,
    SearchQuery,
)
from workbench.hub.speed import SpeedEstimate
from workbench.hub.transfers import UNDER_WAY, DownloadOrder, DownloadView
from workbench.hub.verification import Verification, verify
from workbench.paths import resources
from workbench.runs.spec import EngineOptions

ROOT = Path(__file__).resolve().parents[2]
# How many demo models this installation has.
DEMOS = sum((resources().assets / "models" / f"{name}-F16.gguf").is_file() for name in DEMO_NAMES)
FREE = 20_900_000_000
QWEN = "Qwen/Qwen3-0.6B-GGUF"
GATED = "meta-llama/Llama-3.2-1B-Instruct-GGUF"
COMMIT = "23749fefcc72300e3a2ad315e1317431b06b590a"
Source = tuple[Path, ...] | RemoteFiles
_SIZES = (
    ("Q2_K", 296_000_000, 3.4), ("Q4_K_M", 484_000_000, 5.2), ("Q5_K_M", 551_000_000, 6.0),
    ("Q8_0", 805_000_000, 8.5), ("F16", 1_510_000_000, 16.0),
)  # fmt: skip


def summary(repo_id: str = QWEN, **changes: object) -> RepoSummary:
    base = RepoSummary(
        repo_id, downloads=1_234_567, likes=420, updated_at="2026-09-01T10:00:00+00:00", license="apache-2.0",
        parameters=596_049_920, architecture="qwen3", context_trained=40_960,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def repository(repo_id: str = QWEN, sizes: Sequence[tuple[str, int, float]] = _SIZES) -> Repository:
    name = repo_id.split("/")[-1].removesuffix("-GGUF")
    found = tuple(
        RepoQuantization(
            label=label,
            quantization=label,
            files=(RepoFile(f"{name}-{label}.gguf", size, f"{number:02x}" * 32),),
            bits_per_weight=bits,
            reason="The usual compromise: little is lost against F16, and it is a third of its size."
            if label == "Q4_K_M" else None,
        )
        for number, (label, size, bits) in enumerate(sizes)
    )  # fmt: skip
    return Repository(summary(repo_id), COMMIT, found, others=(RepoFile("README.md", 4_000),))


def estimate_of(weights: int, options: EngineOptions) -> MemoryEstimate:
    per_token = {"f16": 112_000, "q8_0": 59_500, "q4_0": 31_500}[options.kv_type_k]
    kv = options.context_length * per_token
    return MemoryEstimate(
        parts=(
            MemoryPart("weights", "CPU", weights, weights),
            MemoryPart("repacked", "CPU", weights // 5, weights // 5),
            MemoryPart("kv", "CPU", kv, kv),
            MemoryPart("compute", "CPU", 300_000_000, 43_000_000),
            MemoryPart("output", "CPU", 600_000, 600_000),
        ),
        context_length=options.context_length,
        kv_type=options.kv_type_k,
        gpu_layers=0,
        basis="engine",
    )


def checked(*parts: CheckedPart, day: int = 21, context: int = 4096, kv_type: str = "f16") -> MemoryCheck:
    return MemoryCheck(f"2026-11-{day:02d}T12:00:00+00:00", "/m", None, context, kv_type, 0, "engine", parts)


@dataclass
class FakeQueue:
    """Does nothing by itself: a test moves a download with `move`."""

    orders: list[DownloadView] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    _listeners: list[Callable[[DownloadView], None]] = field(default_factory=list)

    def add(self, order: DownloadOrder, check_content: bool = False) -> str:
        view = DownloadView(f"d{len(self.orders) + 1}", order, "queued")
        self.orders.append(view)
        self._tell(view)
        return view.id

    def move(self, download_id: str, **changes: object) -> DownloadView:
        """The download in another moment; listeners hear of it on a thread of the queue's."""
        place = next(i for i, view in enumerate(self.orders) if view.id == download_id)
        self.orders[place] = replace(self.orders[place], **changes)  # type: ignore[arg-type]
        self._tell(self.orders[place])
        return self.orders[place]

    def pause(self, id: str) -> None:
        self._called("pause", id)
        self.move(id, state="paused", bytes_per_s=None, remaining_s=None)

    def resume(self, id: str) -> None:
        self._called("resume", id)
        view = self._view(id)
        self.move(id, state="running", resumed=view.resumed + 1, error=None, error_code=None)

    def cancel(self, id: str) -> None:
        self._called("cancel", id)
        self.move(id, state="cancelled", done_bytes=0)

    def forget(self, id: str) -> None:
        self._called("forget", id)
        if self._view(id).state not in UNDER_WAY:
            self.orders = [view for view in self.orders if view.id != id]

    def views(self) -> tuple[DownloadView, ...]:
        return tuple(self.orders)

    def listen(self, listener: Callable[[DownloadView], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _view(self, download_id: str) -> DownloadView:
        return next(view for view in self.orders if view.id == download_id)

    def _called(self, name: str, download_id: str) -> None:
        self.calls.append((name, download_id))

    def _tell(self, view: DownloadView) -> None:
        for listener in list(self._listeners):
            thread = threading.Thread(target=listener, args=(view,))
            thread.start()
            thread.join()


class FakeModels:
    """The interface of `workbench.models.Models`. `gates` hold calls back until a test opens them."""

    def __init__(self, library: ModelLibrary) -> None:
        self.library = library
        self.downloads = FakeQueue()
        self.endpoint = "https://hub.example"
        self.pages: dict[str, list[tuple[RepoSummary, ...]]] = {}
        self.repositories: dict[str, Repository] = {QWEN: repository()}
        self.problem: WorkbenchError | None = None
        self.fit_problem: WorkbenchError | None = None
        self.curve_problems: dict[int, WorkbenchError] = {}
        self.checks: tuple[MemoryCheck, ...] = ()
        self.is_busy = False
        self.used: dict[str, ModelUse] = {}
        self.asked: list[tuple[str, object]] = []
        self.gates: dict[str, threading.Event] = {}
        self.free = FREE

    def catalog(self) -> Catalog:
        return load_catalog(ROOT / "profiles" / "catalog.toml")

    def search(self, query: SearchQuery) -> Iterator[tuple[RepoSummary, ...]]:
        self.asked.append(("search", query))
        self._wait("search")
        if self.problem is not None:
            raise self.problem
        for page in self.pages.get(query.text, []):
            self._wait("page")
            yield page

    def repository(self, text: str) -> Repository:
        self.asked.append(("repository", text))
        self._wait("repository")
        if self.problem is not None:
            raise self.problem
        if text == GATED:
            raise HubAccessDenied(f"{text} is gated: ask for access on its page, then try again with a token.")
        return self.repositories.get(text) or repository(text)

    def pull(self, repository: Repository, quantization: RepoQuantization) -> str:
        order = DownloadOrder(repository.summary.repo_id, repository.revision, quantization.label, quantization.files)
        return self.downloads.add(order)

    def estimate(self, source: Source, options: EngineOptions) -> MemoryEstimate:
        self.asked.append(("estimate", (source, options)))
        self._wait("estimate")
        if self.fit_problem is not None:
            raise self.fit_problem
        return estimate_of(_size(source), options)

    def verdict(self, estimate: MemoryEstimate, source: Source, options: EngineOptions) -> Verdict:
        need = estimate.resident_bytes()
        if need <= self.free:
            return Verdict("fits", f"Takes {need / 1e9:.2f} of {self.free / 1e9:.2f} GB that are free.")
        smallest = estimate_of(_size(source), replace(options, context_length=2048)).resident_bytes()
        if smallest <= self.free:
            return Verdict("less_context", "Fits with a context of 2,048 tokens.", context_length=2048)
        return Verdict("does_not_fit", "The weights alone are more than what is free.")

    def curve(self, source: Source, options: EngineOptions, contexts: Sequence[int] = ()) -> tuple[CurvePoint, ...]:
        self.asked.append(("curve", source))
        self._wait(f"curve of {_size(source)}")
        if _size(source) in self.curve_problems:
            raise self.curve_problems[_size(source)]
        found = [estimate_of(_size(source), replace(options, context_length=length)) for length in contexts]
        return tuple(CurvePoint(e.context_length, e.reserved_bytes(), e.resident_bytes()) for e in found)

    def speed(self, source: Source) -> SpeedEstimate | None:
        tps = 21e9 / _size(source)
        return SpeedEstimate(tps * 0.93, tps * 1.07, tps * 9, tps * 11, "From this machine's measured 21 GB/s.")

    def memory_checks(self, path: Path, sha256: str | None = None) -> tuple[MemoryCheck, ...]:
        return self.checks

    def free_bytes(self, devices: Sequence[str] = ()) -> int | None:
        return self.free

    def model_use(self) -> dict[str, ModelUse]:
        return self.used

    def add_file(self, path: Path) -> Addition:
        return add_file(self.library, path)

    def verify(self, file: ModelFile) -> Verification:
        self._wait("verify")
        return verify(file, known_sha256=self.library.sha256_of(file))

    def delete(self, files: Sequence[ModelFile]) -> Deletion:
        return self.library.trash.delete(files)

    def undo_delete(self, deletion: Deletion) -> None:
        deletion.undo()

    def plan_quantization(self, source: Path, type_name: str, options: QuantizeOptions) -> QuantizePlanned:
        if type_name == "Q2_K":
            raise ModelFileError("The rows of this model are too short for Q2_K. Choose Q8_0.")
        return QuantizePlanned(round(source.stat().st_size * 0.3), needs_matrix=False)

    def quantize(
        self, source: Path, type_name: str, options: QuantizeOptions, on_progress: Callable[[float | None], None],
        cancel: threading.Event,
    ) -> Path:  # fmt: skip
        self.asked.append(("quantize", (source, type_name, options)))
        on_progress(0.4)
        self._wait("quantize", cancel)
        if cancel.is_set():
            raise WorkbenchError("The quantization was cancelled.", code="cancelled")
        target = source.with_name(f"{source.stem}-{type_name}.gguf")
        target.write_bytes(source.read_bytes())
        return target

    def hold(self, name: str) -> threading.Event:
        """Calls of this name wait until the event that comes back is set."""
        return self.gates.setdefault(name, threading.Event())

    def close(self) -> None:
        for gate in self.gates.values():
            gate.set()

    def _wait(self, name: str, cancel: threading.Event | None = None) -> None:
        gate = self.gates.get(name)
        while gate is not None and not gate.wait(0.02):
            if cancel is not None and cancel.is_set():
                return


def offline() -> HubOffline:
    return HubOffline("The Hub does not answer. Check the network; what is on this machine can be used.")


def _size(source: Source) -> int:
    if isinstance(source, RemoteFiles):
        return sum(file.size_bytes for file in source.files)
    return sum(path.stat().st_size for path in source)
