"""Where a model runs, in the words of the status bar."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.scripted_engine import REPORT
from workbench.lease import describe_devices
from workbench.runs.record import DeviceDescription, MemoryItem

GPUS = tuple(DeviceDescription(f"CUDA{index}", "Test GPU", "gpu") for index in range(2))


@pytest.mark.parametrize(
    ("devices", "layers", "words"),
    [
        ((), 0, "CPU, 2 threads"),
        (("CUDA1",), 0, "CPU, 2 threads"),
        (("CUDA1",), 24, "CUDA1, 24 layers"),
        (("CUDA0", "CUDA1"), 24, "CUDA0, CUDA1, 24 layers"),
        (("CUDA_Split",), 24, "CUDA0, CUDA1, 24 layers"),
    ],
)
def test_only_gpus_that_hold_something_are_named(devices: tuple[str, ...], layers: int, words: str) -> None:
    memory = (*REPORT.memory, *(MemoryItem("kv", name, 10) for name in devices))
    report = replace(REPORT, devices=(*GPUS, *REPORT.devices), gpu_layers=layers, memory=memory)
    assert describe_devices(report) == words
