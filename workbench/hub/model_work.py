"""What one token costs a model, read from its header: bytes of weights, operations, steps of attention."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.hub.gguf import GgufHeader, TensorEntry

# llama.cpp takes 512 at most (LLAMA_MAX_LAYERS); a header may claim billions.
_MOST_LAYERS = 4096
_KV_ELEMENT_BYTES = 2  # f16, llama.cpp's default
_BLOCK = re.compile(r"^blk\.(\d+)\.")
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
# Tables of which a token takes one row.
_LOOKED_UP = (_EMBEDDING, "per_layer_token_embd.weight", "position_embd.weight", "token_types.weight")
# One in so many layers looks at the whole context where a model with a sliding window mixes both (llama.cpp,
# set_swa_pattern in llama-model.cpp); in others every layer has the window.
_FULL_LAYER_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4, "llama4": 4, "olmo2": 4}


@dataclass(frozen=True, slots=True)
class TypeWork:
    """The part of a token's work in tensors of one type. `prefill_elements` are multiplied for every prompt token."""

    type: str
    decode_bytes: float
    prefill_elements: float


@dataclass(frozen=True, slots=True)
class AttentionLayer:
    """`window` None: looks at the whole context. `kv_elements` are kept for every token."""

    query_heads: int
    head_width: int
    kv_elements: int
    window: int | None = None

    def visible(self, context_tokens: int) -> int:
        return context_tokens if self.window is None else min(context_tokens, self.window)


@dataclass(frozen=True, slots=True)
class ModelWork:
    """Work for one token. `rows` are the outputs of all matrices it goes through; `active_parameters` those weights
    that it meets, the output included and the embedding table not.
    """

    types: tuple[TypeWork, ...]
    rows: float
    active_parameters: float
    output_type: str
    output_bytes: float
    attention: tuple[AttentionLayer, ...]
    is_mixture: bool = False

    @property
    def active_bytes(self) -> float:
        return sum(part.decode_bytes for part in self.types)

    @property
    def flops_per_token(self) -> float:
        """Of the weights, in decode: a multiplication and an addition for each."""
        return 2 * self.active_parameters

    @property
    def largest_types(self) -> tuple[TypeWork, ...]:
        """Those with a tenth of the bytes or more."""
        return tuple(part for part in self.types if part.decode_bytes >= self.active_bytes / 10)

    def kv_bytes(self, context_tokens: int) -> int:
        """What a token reads of an f16 cache with so many tokens."""
        return sum(layer.kv_elements * layer.visible(context_tokens) for layer in self.attention) * _KV_ELEMENT_BYTES


def work_of(headers: GgufHeader | Sequence[GgufHeader]) -> ModelWork | None:
    """The work of a model from the header of its file, or from those of all its parts with the first one first.

    None: the header names no architecture, has no weights or claims more layers than a model can have.
    """
    parts = (headers,) if isinstance(headers, GgufHeader) else tuple(headers)
    architecture = parts[0].text("general.architecture") if parts else None
    tensors = [tensor for part in parts for tensor in part.tensors if tensor.elements]
    if architecture is None or not tensors:
        return None
    reading = _Reading(parts[0], architecture)
    return reading.work(tensors) if reading.layers <= _MOST_LAYERS else None


class _Reading:
    """One header's numbers, by the names of its architecture."""

    def __init__(self, header: GgufHeader, architecture: str) -> None:
        self._header, self._architecture = header, architecture
        self.layers = self._number("block_count") or 0
        # Layers that only predict further ahead take no part in ordinary decoding.
        self._used_layers = self.layers - (self._number("nextn_predict_layers") or 0)
        used, count = self._number("expert_used_count"), self._number("expert_count")
        self._is_mixture = bool(used and count)
        self._expert_share = used / count if used and count else 1.0

    def work(self, tensors: Iterable[TensorEntry]) -> ModelWork:
        by_name = {tensor.name: tensor for tensor in tensors}
        output = by_name.get(_OUTPUT) or by_name.get(_EMBEDDING)
        decode_bytes: dict[str, float] = {}
        elements: dict[str, float] = {}
        rows = parameters = 0.0
        for tensor in self._active(by_name.values(), output):
            share = self._share(tensor)
            decode_bytes[tensor.type] = decode_bytes.get(tensor.type, 0.0) + tensor.size_bytes * share
            parameters += tensor.elements * share
            if len(tensor.shape) < 2:
                continue
            rows += tensor.elements / tensor.shape[0] * share
            if tensor is not output:  # a prompt needs the output of its last token only
                elements[tensor.type] = elements.get(tensor.type, 0.0) + tensor.elements * share
        return ModelWork(
            tuple(TypeWork(name, size, elements.get(name, 0.0)) for name, size in decode_bytes.items()),
            rows,
            parameters,
            output.type if output else "F16",
            output.size_bytes if output else 0,
            self._attention(),
            self._is_mixture,
        )

    def _active(self, tensors: Iterable[TensorEntry], output: TensorEntry | None) -> Iterable[TensorEntry]:
        for tensor in tensors:
            block = _BLOCK.match(tensor.name)
            if block is not None and self.layers and int(block[1]) >= self._used_layers:
                continue
            if tensor.name in _LOOKED_UP and tensor is not output:
                continue
            yield tensor

    def _share(self, tensor: TensorEntry) -> float:
        return self._expert_share if "_exps." in tensor.name else 1.0

    def _attention(self) -> tuple[AttentionLayer, ...]:
        width, window = self._number("embedding_length"), self._number("attention.sliding_window")
        layers = []
        for index in range(self._used_layers):
            heads = self._number("attention.head_count", index)
            kv_heads = self._number("attention.head_count_kv", index)
            kv_heads = heads if kv_heads is None else kv_heads
            if not heads or not kv_heads or not width:
                continue  # a recurrent layer
            head_width = self._number("attention.key_length") or width // heads
            if not head_width:
                continue  # more heads than there are numbers for them
            seen = window if window and self._has_window(index) else None
            layers.append(AttentionLayer(heads, head_width, self._kv_elements(kv_heads, head_width), seen))
        return tuple(layers)

    def _kv_elements(self, kv_heads: int, head_width: int) -> int:
        compressed = self._number("attention.kv_lora_rank")
        if compressed:  # one compressed row for all heads, and the rotated part of the key
            return compressed + (self._number("rope.dimension_count") or 0)
        return kv_heads * (head_width + (self._number("attention.value_length") or head_width))

    def _has_window(self, index: int) -> bool:
        pattern = self._header.metadata.get(f"{self._architecture}.attention.sliding_window_pattern")
        if isinstance(pattern, list):
            return bool(pattern[index % len(pattern)]) if pattern else True
        every = pattern if isinstance(pattern, int) and pattern > 1 else _FULL_LAYER_EVERY.get(self._architecture)
        return every is None or (index + 1) % every != 0

    def _number(self, key: str, index: int = 0) -> int | None:
        """A number of this architecture; some have one for each layer."""
        value = self._header.metadata.get(f"{self._architecture}.{key}")
        if isinstance(value, list):
            value = value[index] if index < len(value) else None
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
