"""The process that says what the installed llama.cpp was built with: the real one, and ones that fail."""

from __future__ import annotations

import sys

import pytest

from workbench.core import read_hardware
from workbench.engine.inventory import read_build
from workbench.errors import EngineStartFailed


def test_the_installed_build_names_back_ends_features_and_devices() -> None:
    build = read_build()
    assert "CPU" in build.backends
    assert any(device.kind == "cpu" and device.memory_total_bytes for device in build.devices)
    assert not {"OPENMP", "LLAMAFILE", "REPACK"} & set(build.features), "these are no instruction sets"
    assert build.description.startswith("llama.cpp ")


def test_hardware_puts_machine_and_build_side_by_side() -> None:
    hardware = read_hardware()
    assert hardware.problem is None
    assert hardware.build is not None
    assert len(hardware.uses) == len(hardware.machine.gpus)


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import time; time.sleep(60)"])
def test_a_process_that_ends_or_hangs_is_a_sentence(code: str) -> None:
    with pytest.raises(EngineStartFailed, match="devices"):
        read_build([sys.executable, "-c", code], timeout_s=0.5)
