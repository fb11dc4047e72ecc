"""Whether a model and its context fit into memory, found out before any of it is taken. Child process only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.engine import llama
from workbench.engine.context import Context
from workbench.engine.load_log import LoadLog
from workbench.engine.model_file import Header
from workbench.engine.weights import Weights
from workbench.errors import OutOfMemory, SpecError
from workbench.metrics.free_memory import free_bytes
from workbench.runs.record import DeviceDescription
from workbench.runs.spec import GPU_LAYERS_ALL, EngineOptions

_KV_BYTES = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}  # fmt: skip
# What llama.cpp takes in passing, and what the machine needs to stay usable.
_SPARE_BYTES = 200 * 1024**2
# llama.cpp's books: position, sequences and shift of every cell of the cache. Not part of any size that it logs.
_CELL_BYTES = 64
# The attention mask has a number of two bytes for every pair of context cell and token of a micro-batch.
_MASK_BYTES = 2
# Back ends that cannot use it as it is hold it in four bytes besides; scores without flash attention are twice four.
_LARGEST_MASK_BYTES, _SCORE_BYTES = 6, 8


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a context takes."""

    kv: int
    compute: int


def check_memory(path: str, header: Header, options: EngineOptions, weights_bytes: int, log: llama.LogCapture) -> None:
    """Raises OutOfMemory with the numbers. `weights_bytes`: what is still to be loaded.

    Most loads are far from the limit, which an upper bound from the header shows at once. Near the limit llama.cpp
    itself plans the context without taking its memory: exact, but it reads the vocabulary once more.
    """
    available = free_bytes()
    books = options.context_length * options.parallel * _CELL_BYTES
    fixed = weights_bytes + books + _SPARE_BYTES
    most = _upper_bound(header, options)
    if fixed + most.kv + most.compute <= available:
        return
    # Planning takes the memory of the books; when those alone are this large, the estimate says enough.
    planned = plan(path, options, log) if books < available // 4 else None
    need = planned or _estimate(header, options)
    needed = fixed + need.kv + need.compute
    if needed <= available:
        return
    advice = "Choose a shorter context" if need.kv + need.compute > weights_bytes else _SMALLER_MODEL
    raise OutOfMemory(
        f"This needs about {needed / 1e9:.1f} GB (weights {weights_bytes / 1e9:.1f} GB, context memory for "
        f"{options.context_length:,} tokens {need.kv / 1e9:.1f} GB, compute buffers {need.compute / 1e9:.1f} GB), but "
        f"only {available / 1e9:.1f} GB are free. {advice}, or close other programs."
    )


_SMALLER_MODEL = "Choose a smaller quantization or model"


def plan(path: str, options: EngineOptions, log: llama.LogCapture) -> Need | None:
    """What llama.cpp would reserve, without reading a weight or taking a buffer; None when it makes no such context."""
    lines = LoadLog()
    with log.listening(lines.read):
        weights = Weights.load(path, options, 0, lambda _fraction: True, plan_only=True)
        if weights is None:
            return None
        try:
            context = Context.make(weights, options, 1)
            if context is None:
                return None
            context.close()
        finally:
            weights.close()
    compute = sum(item.size_bytes for item in lines.memory_items() if item.purpose == "compute")
    return Need(lines.planned_cache_bytes, compute)


def gpus_in_use(options: EngineOptions, devices: Sequence[DeviceDescription]) -> tuple[DeviceDescription, ...]:
    """As llama.cpp chooses them: those in the processor only where there is no other, and one of them with "none"."""
    own = tuple(device for device in devices if device.kind == "gpu")
    gpus = own or tuple(device for device in devices if device.kind == "igpu")
    return gpus[options.main_gpu : options.main_gpu + 1] if options.split_mode == "none" else gpus


def check_gpus(options: EngineOptions, devices: Sequence[DeviceDescription]) -> None:
    """Raises SpecError where options name a GPU that is not there; without any GPU they mean nothing."""
    gpus = gpus_in_use(replace(options, split_mode="layer"), devices)
    if not gpus:
        return
    names = f"There {'is' if len(gpus) == 1 else 'are'} {', '.join(device.name for device in gpus)}"
    if options.main_gpu >= len(gpus):
        raise SpecError(f"main_gpu is {options.main_gpu}; GPUs count from 0. {names}.")
    if len(options.tensor_split) > len(gpus):
        raise SpecError(f"tensor_split has {len(options.tensor_split)} shares. {names}.")


def takes_machine_memory(options: EngineOptions, devices: Sequence[DeviceDescription]) -> bool:
    """Whether all of the model lies in the machine's memory: on the processor, or on a GPU that has no memory."""
    return options.gpu_layers == 0 or all(device.kind == "igpu" for device in gpus_in_use(options, devices))


def layers_that_fit(header: Header, options: EngineOptions, devices: Sequence[DeviceDescription]) -> int:
    """How many layers the GPUs take, by file size and free memory with a fifth of it kept free; -1: all."""
    gpus = gpus_in_use(options, devices)
    free = sum(device.memory_free_bytes or 0 for device in gpus)
    if any(device.kind == "igpu" for device in gpus):
        # It tells of a part of the machine's memory, whoever uses the rest.
        free = min(free, free_bytes())
    layers = (header.number("block_count") or 0) + 1
    per_layer = (header.size_bytes + (kv_bytes(header, options) or 0)) / max(layers, 1)
    if not free or not per_layer:
        return 0
    fitting = int(free * 0.8 / per_layer)
    return GPU_LAYERS_ALL if fitting >= layers else fitting


def kv_bytes(header: Header, options: EngineOptions) -> int | None:
    """A lower estimate of the KV cache in bytes; None for models that keep no such cache."""
    whole = _whole_kv_bytes(header, options)
    layers = header.number("block_count")
    if whole is None or not layers or not header.number("attention.sliding_window"):
        return whole
    # Most layers keep their window only; one in six keeps everything in the sparsest models of this kind.
    return whole * -(-layers // 6) // layers


def _whole_kv_bytes(header: Header, options: EngineOptions) -> int | None:
    """As if every layer kept every token."""
    layers, heads = header.number("block_count"), header.number("attention.head_count")
    width = header.number("embedding_length")
    if not layers or not heads or not width:
        return None
    kv_heads = header.number("attention.head_count_kv") or heads
    key = header.number("attention.key_length") or width // heads
    value = header.number("attention.value_length") or width // heads
    per_token = kv_heads * (key * _KV_BYTES[options.kv_type_k] + value * _KV_BYTES[options.kv_type_v])
    return int(layers * per_token * options.context_length * options.parallel)


def _upper_bound(header: Header, options: EngineOptions) -> Need:
    per_pair = _LARGEST_MASK_BYTES
    if options.flash_attention != "on":
        per_pair += (header.number("attention.head_count") or 0) * _SCORE_BYTES
    # The caches of models with sliding windows are padded by a micro-batch; the spare memory covers that.
    return Need(_whole_kv_bytes(header, options) or 0, options.context_length * options.ubatch_size * per_pair)


def _estimate(header: Header, options: EngineOptions) -> Need:
    return Need(kv_bytes(header, options) or 0, options.context_length * options.ubatch_size * _MASK_BYTES)
