"""How many layers go to a GPU, by what is free on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.gguf_files import write_model
from workbench.engine.memory_check import check_gpus, gpus_in_use, layers_that_fit, takes_machine_memory
from workbench.engine.model_file import Header, check_model_file
from workbench.errors import SpecError
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


CUDA0, CUDA1 = gpu(1000), DeviceDescription("CUDA1", "a GPU", "gpu", None, 10**9)
IN_PROCESSOR = DeviceDescription("Vulkan0", "a GPU in the processor", "igpu", None, 10**15)


def test_one_gpu_alone_gets_what_fits_on_it(header: Header) -> None:
    alone = EngineOptions(split_mode="none", main_gpu=1)
    assert layers_that_fit(header, alone, [CUDA0, CUDA1]) == GPU_LAYERS_ALL
    assert layers_that_fit(header, replace(alone, main_gpu=0), [CUDA0, CUDA1]) == 0


def test_a_gpu_in_the_processor_has_the_machine_s_memory_and_waits_behind_cards(header: Header) -> None:
    huge = replace(header, size_bytes=10**14)
    assert layers_that_fit(huge, EngineOptions(), [IN_PROCESSOR]) == 0, "its own figure is more than there is free"
    assert layers_that_fit(header, EngineOptions(), [IN_PROCESSOR]) == GPU_LAYERS_ALL
    assert gpus_in_use(EngineOptions(), [IN_PROCESSOR, CUDA0]) == (CUDA0,)
    assert takes_machine_memory(EngineOptions(), [IN_PROCESSOR])
    assert takes_machine_memory(EngineOptions(), [])
    assert takes_machine_memory(EngineOptions(gpu_layers=0), [CUDA0])
    assert not takes_machine_memory(EngineOptions(), [IN_PROCESSOR, CUDA0])


def test_a_gpu_that_is_not_there_is_named_with_those_that_are() -> None:
    check_gpus(EngineOptions(main_gpu=1, tensor_split=(1.0, 2.0)), [CUDA0, CUDA1])
    check_gpus(EngineOptions(main_gpu=5), [])
    with pytest.raises(SpecError, match=r"main_gpu is 2; GPUs count from 0. There are CUDA0, CUDA1\."):
        check_gpus(EngineOptions(split_mode="none", main_gpu=2), [CUDA0, CUDA1])
    with pytest.raises(SpecError, match=r"3 shares. There is CUDA0\."):
        check_gpus(EngineOptions(tensor_split=(1.0, 1.0, 1.0)), [CUDA0])
