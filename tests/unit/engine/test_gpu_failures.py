"""What a GPU's failures become: llama.cpp has them in its log only, so its own lines stand here."""

from __future__ import annotations

import pytest

from workbench.engine.crash_log import gpu_failure
from workbench.engine.load_log import LoadLog
from workbench.errors import EngineCrashed, OutOfMemory

ALLOCATION = (
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 16000.00 MiB on device 1: cudaMalloc failed: out of memory",
    "alloc_tensor_range: failed to allocate CUDA1 buffer of size 16777216000",
    "llama_model_load: error loading model: unable to allocate CUDA1 buffer",
)


def read(*lines: str) -> LoadLog:
    log = LoadLog()
    for line in lines:
        log.read(line)
    return log


def test_weights_that_a_gpu_has_no_room_for_are_a_sentence_with_the_gpu_and_the_size() -> None:
    error = read(*ALLOCATION).weights_error("big.gguf", "tail")
    assert isinstance(error, OutOfMemory)
    assert error.message.startswith("CUDA1 has no room for 16.8 GB of the weights of big.gguf. Put fewer layers")
    assert error.detail == "tail"


def test_a_context_that_a_gpu_has_no_room_for_names_its_length() -> None:
    lines = ("ggml_gallocr_reserve_n_impl: failed to allocate CUDA0 buffer of size 2147483648", "failed to initialize")
    error = read(*lines).context_error(131_072, "tail")
    assert isinstance(error, OutOfMemory)
    assert "CUDA0 has no room for the 2.15 GB more that a context of 131,072 tokens takes" in error.message


def test_the_processor_s_memory_keeps_its_own_sentence() -> None:
    error = read("alloc_tensor_range: failed to allocate CPU buffer of size 9").weights_error("big.gguf", "")
    assert error.message == "There is not enough memory for the weights of big.gguf."


@pytest.mark.parametrize(
    ("tail", "kind", "words"),
    [
        ("CUDA error: out of memory\n  current device: 0, in function alloc", OutOfMemory, "fewer layers on the GPU"),
        ("ROCm error: out of memory", OutOfMemory, "ran out of memory"),
        ("what():  vk::Device::allocateMemory: ErrorOutOfDeviceMemory", OutOfMemory, "ran out of memory"),
        ("CUDA error: an illegal memory access was encountered", EngineCrashed, "CUDA: an illegal memory access"),
        ("CUDA error: unspecified launch failure\n", EngineCrashed, "The GPU failed (CUDA: unspecified launch"),
        ("vk::Queue::submit: ErrorDeviceLost", EngineCrashed, "device lost"),
    ],
)
def test_a_child_that_died_of_its_gpu_says_so(tail: str, kind: type[Exception], words: str) -> None:
    error = gpu_failure(f"llama_context: n_ctx = 4096\n{tail}")
    assert type(error) is kind
    assert words in str(error)


def test_other_deaths_are_not_laid_at_the_gpu_s_door() -> None:
    assert gpu_failure(None) is None
    assert gpu_failure("llama_context: n_ctx = 4096\nload_tensors: CUDA0 model buffer size = 12 MiB") is None
