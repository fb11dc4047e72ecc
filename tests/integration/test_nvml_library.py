"""The real `pynvml` on a library made for the test: what the C interface answers arrives as figures or as nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "fakes" / "nvml_library.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="needs Linux and a C compiler to make a library of NVML"
)
# One line of input, one reading.
READS = """
import json, sys
from dataclasses import asdict
from workbench.metrics.gpu import Nvml
clock = [0.0]
opened = Nvml.open()
session = opened and Nvml(__import__("pynvml"), lambda: clock[0])
print(json.dumps([asdict(gpu) for gpu in session.gpus()] if session else None), flush=True)
for line in sys.stdin:
    clock[0] += 10
    print(json.dumps(asdict(session.read(7))), flush=True)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    assert COMPILER is not None
    command = [COMPILER, "-shared", "-fPIC", "-w", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True)
    return folder


class Reader:
    def __init__(self, process: subprocess.Popen[str], state: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._into, self._out, self._state = process.stdin, process.stdout, state
        self.gpus = json.loads(self._out.readline())

    def read(self, state: str) -> dict[str, object]:
        self._state.write_text(state)
        self._into.write("\n")
        self._into.flush()
        found: dict[str, object] = json.loads(self._out.readline())
        return found


@contextmanager
def reading(library: Path, tmp_path: Path, state: str) -> Iterator[Reader]:
    file = tmp_path / "state"
    file.write_text(state)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "NVML_FAKE_STATE": str(file)}
    command = [sys.executable, "-c", READS]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        yield Reader(process, file)
    assert process.returncode == 0


def test_a_gpu_is_read_loses_its_power_figure_vanishes_and_comes_back(library: Path, tmp_path: Path) -> None:
    with reading(library, tmp_path, "0 0") as reader:
        (gpu,) = reader.gpus
        assert (gpu["name"], gpu["driver"], gpu["memory_free_bytes"]) == ("Made-up GPU", "580.65.06", 600)
        assert (gpu["compute_capability"], gpu["untold"]) == ([9, 0], [])
        whole = reader.read("0 0")
        assert (whole["util_percent"], whole["power_w"], whole["process_memory_bytes"]) == (70.0, 123.0, 300)
        assert reader.read("0 4") == {**whole, "power_w": None}
        for code in (15, 9, 16, 999, 3, 4, 10):  # lost, no driver, reset required, unknown, refusals, time-out
            reading_now = reader.read(f"{code} 0")
            assert set(reading_now.values()) == {None}, code
            assert reader.read("0 0") == whole, code


def test_power_that_is_not_permitted_is_said(library: Path, tmp_path: Path) -> None:
    with reading(library, tmp_path, "0 4") as reader:
        assert reader.gpus[0]["untold"] == ["power: not permitted to this user"]


def test_a_driver_that_is_not_loaded_is_no_gpu(library: Path, tmp_path: Path) -> None:
    with reading(library, tmp_path, "9 0") as reader:
        assert reader.gpus is None
