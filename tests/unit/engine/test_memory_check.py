"""How many layers go to a GPU, by what is free on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.gguf_files import write_model
from workbench.engine.memory_check import layers_that_fit
from workbench.engine.model_file import Header, check_model_file
from workbench.runs.record import DeviceDescription
from workbench.runs.spec import GPU_LAYERS_ALL, EngineOptions


@pytest.fixture
def header(tmp_path: Path) -> Header:
    """Nine layers of blocks and one of output, in a file of about a megabyte."""
    return check_model_file(str(write_model(tmp_path / "m.gguf", weights=500_000, extra={"llama.block_count": 9})))


def gpu(free_bytes: int | None) -> DeviceDescription:
    return DeviceDescription("CUDA0", "a GPU", "gpu", None, free_bytes)


def test_a_fifth_of_the_free_memory_stays_free(header: Header) -> None:
    size = header.size_bytes
    processor = DeviceDescription("CPU", "a processor", "cpu", None, 100 * size)
    assert layers_that_fit(header, EngineOptions(), [processor, gpu(size * 5 // 8 + 10)]) == 5
    assert layers_that_fit(header, EngineOptions(), [gpu(size), gpu(size)]) == GPU_LAYERS_ALL


def test_without_a_gpu_or_when_nobody_knows_its_memory_no_layer_goes_there(header: Header) -> None:
    for devices in ([], [gpu(None)], [DeviceDescription("CPU", "a processor", "cpu", None, 10**12)]):
        assert layers_that_fit(header, EngineOptions(), devices) == 0
