"""The probe with the real llama.cpp and little to measure: nothing here says how fast a machine is."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from workbench import machine_probe
from workbench.engine.process import LocalEngine
from workbench.errors import ModelFileError, StorageFull, UserError, WorldError
from workbench.hub.gguf import read_header
from workbench.hub.model_work import work_of
from workbench.hub.speed import MachineSpeed, estimate_speed
from workbench.machine_probe import FILE_NAME, MachineProbe
from workbench.probe_model import KNOWN_TYPES, ProbeShape, model_bytes, write_probe_model
from workbench.probe_readings import ProbeSize
from workbench.runs.spec import EngineOptions, ModelRef

TINY = ProbeSize(weight_bytes=1, prompt_tokens=32, output_tokens=6, repeats=2, long_prompt_tokens=64)
SHAPE = ProbeShape(256, 1, 256, 4, 2)


def probe_in(folder: Path, machine: str = "Test", size: ProbeSize = TINY) -> MachineProbe:
    return MachineProbe(folder, machine, LocalEngine, size)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty folder; the home of every test lies in `tmp_path`."""
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MachineSpeed]:
    """A cache folder with the result of one real probe."""
    folder = tmp_path_factory.mktemp("probe")
    return folder, probe_in(folder).measure(threads=1, types=("Q4_K", "Q8_0"))


@pytest.fixture
def kept(measured: tuple[Path, MachineSpeed], cache: Path) -> tuple[Path, MachineSpeed]:
    """A copy of it for a test of its own."""
    shutil.copy(measured[0] / FILE_NAME, cache / FILE_NAME)
    return cache, measured[1]


@pytest.mark.parametrize("type_name", KNOWN_TYPES)
def test_llama_cpp_loads_and_runs_a_made_up_model_of_every_type(
    type_name: str, tmp_path: Path, engine: LocalEngine
) -> None:
    path = tmp_path / "m.gguf"
    assert write_probe_model(path, SHAPE, type_name)
    header = read_header(path)
    assert {item.type for item in header.tensors if item.name.startswith("blk.0.ffn_down")} == {type_name}
    assert path.stat().st_size - header.data_offset == model_bytes(SHAPE, type_name)
    report = engine.load(ModelRef(str(path), "m"), EngineOptions(context_length=128, threads=1))
    assert report.vocabulary_size == SHAPE.vocabulary


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine()
    yield engine
    engine.close()


def test_same_model_is_written_each_time(cache: Path) -> None:
    hashes = set()
    for name in ("a", "b"):
        write_probe_model(cache / name, SHAPE, "Q6_K")
        hashes.add(hashlib.sha256((cache / name).read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_probe_measures_every_type_asked_for_and_leaves_only_its_result(measured: tuple[Path, MachineSpeed]) -> None:
    folder, speed = measured
    assert {item.type for item in speed.types} == {"F16", "Q4_K", "Q8_0"}
    for item in speed.types:
        assert item.bytes_per_s > 0
        assert item.flops > 0
        assert item.spread >= 0
    assert [item.head_width for item in speed.attention] == [64, 128]
    assert min(speed.token_s, speed.row_s, *(item.decode_s for item in speed.attention)) >= 0
    assert (speed.threads, speed.gpu_layers, speed.machine) == (1, 0, "Test")
    assert "llama.cpp" in speed.engine_build
    assert [entry.name for entry in folder.iterdir()] == [FILE_NAME]


def test_result_gives_an_estimate_of_a_real_header(measured: tuple[Path, MachineSpeed], cache: Path) -> None:
    write_probe_model(cache / "m.gguf", SHAPE, "Q4_K")
    work = work_of(read_header(cache / "m.gguf"))
    assert work is not None
    assert work.rows == SHAPE.rows
    estimate = estimate_speed(work, measured[1])
    assert 0 < estimate.decode_low < estimate.decode_high
    assert 0 < estimate.prefill_low < estimate.prefill_high


def test_kept_result_comes_back_equal_without_an_engine(kept: tuple[Path, MachineSpeed]) -> None:
    folder, speed = kept

    def no_engine() -> LocalEngine:
        raise AssertionError("an engine was asked for")

    probe = MachineProbe(folder, "Test", no_engine)
    assert probe.known(threads=1) == speed
    assert probe.known(threads=1, engine_build=speed.engine_build) == speed


def test_result_of_other_conditions_does_not_hold(
    kept: tuple[Path, MachineSpeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = kept
    probe = probe_in(folder)
    assert probe.known(threads=2) is None
    assert probe.known() is None
    assert probe.known(threads=1, gpu_layers=-1) is None
    assert probe.known(threads=1, engine_build="another") is None
    assert probe_in(folder, machine="Another processor").known(threads=1) is None
    with monkeypatch.context() as changed:
        changed.setattr(machine_probe, "_backends", lambda: ["cpu", "cuda"])
        assert probe.known(threads=1) is None
    monkeypatch.setattr(machine_probe, "_binding_version", lambda: "0.0.1")
    assert probe.known(threads=1) is None


def test_backends_of_the_installed_build_are_read_from_its_libraries() -> None:
    assert "cpu" in machine_probe._backends()
    assert "base" not in machine_probe._backends()


def test_results_of_several_thread_counts_are_kept_beside_each_other(kept: tuple[Path, MachineSpeed]) -> None:
    folder, first = kept
    probe = probe_in(folder)
    second = probe.measure(threads=2, types=())
    assert probe.known(threads=1) == first
    assert probe.known(threads=2) == second
    again = probe.measure(threads=2, types=())
    assert probe.known(threads=2) == again
    assert len(json.loads((folder / FILE_NAME).read_text())["results"]) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 99}', '{"format": 1, "results": [{"key": 1}]}', "[" * 100_000]
)
def test_damaged_cache_costs_a_new_measurement_only(cache: Path, content: str) -> None:
    (cache / FILE_NAME).write_text(content)
    assert probe_in(cache).known() is None


@pytest.mark.parametrize("figure", ["0", "-7", "Infinity"])
@pytest.mark.parametrize("name", ["bytes_per_s", "flops", "head_width"])
def test_a_kept_result_with_figures_that_cannot_be_does_not_hold(
    kept: tuple[Path, MachineSpeed], name: str, figure: str
) -> None:
    folder, _ = kept
    content = (folder / FILE_NAME).read_text()
    (folder / FILE_NAME).write_text(re.sub(rf'("{name}": )[^,\n]+', rf"\g<1>{figure}", content))
    assert probe_in(folder).known(threads=1) is None


def test_progress_goes_from_start_to_end(cache: Path) -> None:
    seen: list[float] = []
    probe_in(cache).measure(threads=1, types=(), on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_cancel_ends_the_engine_and_keeps_nothing(cache: Path) -> None:
    started: list[LocalEngine] = []
    cancel = threading.Event()

    def make() -> LocalEngine:
        started.append(LocalEngine())
        return started[-1]

    probe = MachineProbe(cache, "Test", make, replace(TINY, output_tokens=1000))
    with pytest.raises(UserError, match="cancelled") as caught:
        probe.measure(threads=1, cancel=cancel, on_progress=lambda _: cancel.set())
    assert caught.value.code == "cancelled"
    assert started[0].pid is None
    assert list(cache.iterdir()) == []
    assert probe.known(threads=1) is None


def test_cancelled_before_the_start_makes_no_model(cache: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(UserError) as caught:
        probe_in(cache).measure(cancel=cancel)
    assert caught.value.code == "cancelled"
    assert list(cache.iterdir()) == []


def test_disk_without_room_is_refused_before_anything_is_written(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 10_000_000)
    monkeypatch.setattr(machine_probe.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageFull, match="10 MB are free"):
        probe_in(cache).measure()
    assert list(cache.iterdir()) == []


def test_disk_that_fills_up_while_the_model_is_written_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = Path.open

    class FullAfterHeader:
        """A file whose disk has room for a few writes."""

        def __init__(self, file: IO[bytes]) -> None:
            self._file, self._left = file, 60

        def write(self, content: bytes) -> int:
            self._left -= 1
            if self._left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._file.write(content)

        def tell(self) -> int:
            return self._file.tell()

        def __enter__(self) -> FullAfterHeader:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    def limited(self: Path, mode: str = "r", *rest: object, **more: object) -> object:
        file = real_open(self, mode, *rest, **more)  # type: ignore[call-overload]
        return FullAfterHeader(file) if "w" in mode and self.name == "probe.gguf" else file

    monkeypatch.setattr(Path, "open", limited)
    with pytest.raises(StorageFull, match="became full"):
        probe_in(cache).measure()
    assert list(cache.iterdir()) == []


def test_folder_that_cannot_be_made_is_a_sentence(cache: Path) -> None:
    (cache / "file").write_text("in the way")
    with pytest.raises(WorldError, match="could not be measured") as caught:
        probe_in(cache / "file" / "cache").measure()
    assert caught.value.code == "probe_failed"


def test_type_that_cannot_be_made_is_a_sentence(cache: Path) -> None:
    with pytest.raises(UserError, match="MXFP4"):
        probe_in(cache).measure(types=("MXFP4",))


def test_engine_that_refuses_leaves_its_sentence_and_no_file(cache: Path) -> None:
    class Refusing(LocalEngine):
        def load(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise ModelFileError("It is damaged.")

    with pytest.raises(ModelFileError, match="damaged"):
        MachineProbe(cache, "Test", Refusing, TINY).measure()
    assert list(cache.iterdir()) == []


def test_second_probe_at_once_is_refused(cache: Path) -> None:
    codes: list[str] = []
    probe = probe_in(cache)

    def ask_again(_: float) -> None:
        with pytest.raises(UserError) as caught:
            probe.measure()
        codes.append(caught.value.code)

    probe.measure(threads=1, types=(), on_progress=ask_again)
    assert set(codes) == {"probe_running"}


def test_folder_of_a_killed_probe_is_cleared_and_one_at_work_is_not(cache: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        (cache / f"probe-{pid}-x").mkdir()
        (cache / f"probe-{pid}-x" / "probe.gguf").write_bytes(b"left")
    probe_in(cache).measure(threads=1, types=())
    assert sorted(entry.name for entry in cache.iterdir()) == [FILE_NAME, f"probe-{os.getpid()}-x"]


def test_types_left_out_for_lack_of_time_are_derived(cache: Path) -> None:
    speed = probe_in(cache, size=replace(TINY, limit_s=0.0)).measure(threads=1)
    assert [item.type for item in speed.types] == ["Q4_K", "F16"]
    assert speed.of("Q8_0")[1] is False
