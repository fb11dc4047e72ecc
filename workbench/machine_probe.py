"""Measures what llama.cpp reaches on this machine with models made for it, and keeps the result in the cache."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.engine import api
from workbench.errors import SpecError, StorageFull, UserError, WorldError
from workbench.hub.speed import MachineSpeed
from workbench.paths import DISK_FULL, write_atomically
from workbench.probe_model import KNOWN_TYPES, model_bytes, sized
from workbench.probe_readings import WIDE, ProbeSession, ProbeSize, take_readings
from workbench.runs.spec import EngineOptions, from_plain

FILE_NAME = "machine_speed.json"
# Types whose kernels differ most and that most files are made of (docs/speed.md); the rest is derived.
USUAL_TYPES = ("F16", "Q4_K", "Q8_0", "Q6_K")
_FORMAT = 1
_KEPT = 8
_FOLDER = "probe-"
_SPARE_DISK_BYTES = 64 * 1024**2
log = logging.getLogger(__name__)

EngineFactory = Callable[[], api.Engine]
ProgressSink = Callable[[float], None]


class MachineProbe:
    """The speed of one machine, one result for each number of threads and each place (CPU, GPU).

    `folder` is the cache folder, `machine` the name of the processor (a cache may move with a home folder).
    `make_engine` gives an engine that is used for one measurement and closed.
    """

    def __init__(self, folder: Path, machine: str, make_engine: EngineFactory, size: ProbeSize | None = None) -> None:
        self._folder, self._machine, self._make_engine = folder, machine, make_engine
        self._size = size or ProbeSize()
        self._lock = threading.Lock()

    def known(
        self, threads: int | None = None, gpu_layers: int | None = None, engine_build: str | None = None
    ) -> MachineSpeed | None:
        """The kept result for these threads and layers on the GPU (None: the engine's choice), or None when there is
        none that still holds.

        A result of another processor, another version of the binding, another set of its back-ends or, where given,
        another `engine_build` does not hold.
        """
        for kept in self._read():
            if kept.key == self._key(threads, gpu_layers) and engine_build in (None, kept.speed.engine_build):
                return kept.speed
        return None

    def measure(
        self,
        threads: int | None = None,
        gpu_layers: int | None = None,
        *,
        types: Sequence[str] = USUAL_TYPES,
        cancel: threading.Event | None = None,
        on_progress: ProgressSink | None = None,
    ) -> MachineSpeed:
        """Measures anew and keeps the result; blocks. `on_progress` gets 0 to 1.

        With `gpu_layers` None the probe's models go where a run's would: all onto a GPU that the build can use.

        Raises UserError (codes "cancelled", "probe_running"), StorageFull, and what the engine raises. The numbers mean
        little while something else computes on this machine.
        """
        unknown = [name for name in types if name not in KNOWN_TYPES]
        if unknown:
            raise UserError(f"The speed of {unknown[0]} cannot be measured; known are {', '.join(KNOWN_TYPES)}.")
        if not self._lock.acquire(blocking=False):
            raise UserError("The speed of this machine is being measured already.", code="probe_running")
        try:
            speed = self._measure(threads, gpu_layers, types, cancel or threading.Event(), on_progress)
        finally:
            self._lock.release()
        self._keep(_Kept(self._key(threads, gpu_layers), speed))
        return speed

    def _measure(
        self,
        threads: int | None,
        gpu_layers: int | None,
        types: Sequence[str],
        cancel: threading.Event,
        on_progress: ProgressSink | None,
    ) -> MachineSpeed:
        # One model exists at a time, and one layer may be more than was asked for.
        largest = max(model_bytes(sized(WIDE, name, self._size.weight_bytes), name) for name in (*USUAL_TYPES, *types))
        self._check_disk(largest)
        options = EngineOptions(context_length=2048, threads=threads, gpu_layers=gpu_layers)
        engine = self._make_engine()
        try:
            with _private_folder(self._folder) as folder:
                session = ProbeSession(engine, folder, options, self._size, cancel)
                return take_readings(session, self._size, types, self._machine, on_progress or (lambda _: None))
        except OSError as error:
            raise _folder_error(self._folder, error) from error
        finally:
            engine.close()

    def _check_disk(self, needed: int) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise _folder_error(self._folder, error) from error
        if free < needed + _SPARE_DISK_BYTES:
            raise StorageFull(
                f"Measuring this machine needs {(needed + _SPARE_DISK_BYTES) / 1e6:.0f} MB for a moment, and only "
                f"{free / 1e6:.0f} MB are free in {self._folder}. Free some space and measure again."
            )

    # -- the kept results

    def _key(self, threads: int | None, gpu_layers: int | None) -> str:
        layers = "auto" if gpu_layers is None else gpu_layers
        place = f"{layers} layers on {'+'.join(_backends())}"
        return f"{self._machine} | {_binding_version()} | {threads or 'default'} of {os.cpu_count()} | {place}"

    @property
    def _file(self) -> Path:
        return self._folder / FILE_NAME

    def _read(self) -> tuple[_Kept, ...]:
        """A file that cannot be used costs a new measurement, not a failure."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.get("format") != _FORMAT:
                return ()
            kept: tuple[_Kept, ...] = from_plain(tuple[_Kept, ...], content.get("results"))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, RecursionError, SpecError) as error:
            log.warning("%s cannot be used and will be made anew: %s", self._file.name, error)
            return ()
        return tuple(result for result in kept if _is_possible(result.speed))

    def _keep(self, result: _Kept) -> None:
        others = [kept for kept in self._read() if kept.key != result.key]
        results = [asdict(kept) for kept in (result, *others)][:_KEPT]
        try:
            write_atomically(self._file, json.dumps({"format": _FORMAT, "results": results}, indent=1))
        except OSError as error:
            # The caller has the result; it will be measured again at the next start.
            log.warning("%s cannot be written: %s", self._file.name, error)


@dataclass(frozen=True, slots=True)
class _Kept:
    key: str
    speed: MachineSpeed


def _is_possible(speed: MachineSpeed) -> bool:
    """Whether predictions can divide by its figures: a file that was edited or damaged may hold any number."""
    rates = [figure for kind in speed.types for figure in (kind.bytes_per_s, kind.flops)]
    times = [figure for look in speed.attention for figure in (look.decode_s, look.prefill_s)]
    rates += [look.head_width for look in speed.attention]
    times += [speed.token_s, speed.row_s, *(kind.spread for kind in speed.types)]
    is_whole = bool(speed.types) and bool(speed.attention)
    return is_whole and all(0 < rate < math.inf for rate in rates) and all(0 <= time < math.inf for time in times)


@contextmanager
def _private_folder(cache: Path) -> Iterator[Path]:
    """A folder of this process in the cache, gone afterwards; those that a killed process left go as well."""
    import psutil

    for left in cache.glob(f"{_FOLDER}*"):
        pid = left.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=cache))
    except OSError as error:
        raise _folder_error(cache, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binding_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("llama-cpp-python")
    except metadata.PackageNotFoundError:
        return "?"


def _backends() -> list[str]:
    """The back-ends among the libraries of the binding, such as cpu and cuda: of the same version there are several
    builds, and one that can use a GPU is another machine.
    """
    spec = importlib.util.find_spec("llama_cpp")
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    files = [file.name for folder in folders for file in Path(folder, "lib").glob("*ggml-*")]
    return sorted({file.partition("ggml-")[2].partition(".")[0] for file in files} - {"base"})


def _folder_error(folder: Path, error: OSError) -> WorldError | StorageFull:
    if error.errno in DISK_FULL:
        return StorageFull(f"The disk of {folder} is full. Free some space and measure again.")
    return WorldError(
        f"This machine could not be measured, because {folder} cannot be written: {error.strerror or error}.",
        code="probe_failed",
    )
