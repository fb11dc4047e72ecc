"""A model's memory computed from its header alone, for architectures that this build of llama.cpp does not know.

Every rule is written down in docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.hub.ggml_types import TENSOR_TYPES
from workbench.hub.gguf import GgufHeader, SkippedArray
from workbench.hub.memory import MemoryEstimate, MemoryPart, Purpose
from workbench.runs.spec import EngineOptions

# Of the planning process with a vocabulary of 261 and of 151,936 tokens: 29.2 and 63.9 MiB.
_PROGRAM_BYTES, _PROGRAM_BYTES_PER_TOKEN = 29 * 1024**2, 240
_FLOAT_BYTES, _MASK_BYTES = 4, 2
_MOST_LAYERS = 4096


def from_headers(headers: Sequence[GgufHeader], options: EngineOptions, note: str) -> MemoryEstimate:
    """`headers` of all parts in order; only the first has metadata. `note` says why llama.cpp was not asked.

    Everything is counted on the CPU: how a GPU would share it is not known.
    """
    shape = _Shape(headers[0], headers)
    sizes: dict[Purpose, int] = {
        "weights": sum(tensor.size_bytes for header in headers for tensor in header.tensors),
        "kv": shape.kv_bytes(options),
        "recurrent": shape.state_bytes() * options.parallel,
        "compute": shape.compute_bytes(options),
        "output": shape.vocabulary * _FLOAT_BYTES * options.parallel,
        "program": _PROGRAM_BYTES + _PROGRAM_BYTES_PER_TOKEN * shape.vocabulary,
    }
    kv_type = kv_type_text(options)
    parts = tuple(MemoryPart(purpose, "CPU", size, size) for purpose, size in sizes.items() if size)
    return MemoryEstimate(parts, options.context_length, kv_type, options.gpu_layers or 0, "arithmetic", note)


def kv_type_text(options: EngineOptions) -> str:
    """The type of the cache; "q8_0/q4_0" where keys and values have different ones."""
    keys, values = options.kv_type_k, options.kv_type_v
    return keys if keys == values else f"{keys}/{values}"


class _Shape:
    """The numbers of a header that the rules need; what it does not tell counts as nothing."""

    def __init__(self, header: GgufHeader, parts: Sequence[GgufHeader]) -> None:
        self._header = header
        self._architecture = header.text("general.architecture") or ""
        self.layers = self._number("block_count")
        self.width = self._number("embedding_length")
        heads = max(self._per_layer("attention.head_count"), default=0)
        self._head = self.width // heads if heads else 0
        tokens = header.metadata.get("tokenizer.ggml.tokens")
        self.vocabulary = tokens.length if isinstance(tokens, SkippedArray) else len(tokens or ())  # type: ignore[arg-type]
        rows = [
            t.shape[1] for part in parts for t in part.tensors if t.name == "token_embd.weight" and len(t.shape) > 1
        ]
        self.vocabulary = self.vocabulary or (rows[0] if rows else 0)

    def kv_bytes(self, options: EngineOptions) -> int:
        """As if every layer with key heads kept every token: windows and sharing would make it less."""
        heads = self._per_layer("attention.head_count_kv") or self._per_layer("attention.head_count")
        per_head = _type_bytes(options.kv_type_k, self._number("attention.key_length") or self._head)
        per_head += _type_bytes(options.kv_type_v, self._number("attention.value_length") or self._head)
        return round(sum(heads) * per_head * options.context_length * options.parallel)

    def state_bytes(self) -> int:
        """The running state of one sequence, in all layers."""
        inner, state = self._number("ssm.inner_size"), self._number("ssm.state_size")
        window = max(self._number("ssm.conv_kernel") - 1, 0)
        return self.layers * inner * (state + window) * _FLOAT_BYTES

    def compute_bytes(self, options: EngineOptions) -> int:
        """The widest moment of a layer for a micro-batch, and the attention mask."""
        experts = self._number("expert_used_count")
        forward = max(self._per_layer("feed_forward_length"), default=0)
        if experts:
            forward = experts * (self._number("expert_feed_forward_length") or forward)
        columns = 3 * forward + 4 * self.width
        tokens = min(options.ubatch_size, options.context_length)
        return tokens * (columns * _FLOAT_BYTES + options.context_length * _MASK_BYTES)

    def _number(self, key: str) -> int:
        return max(self._values(key), default=0)

    def _per_layer(self, key: str) -> list[int]:
        """One value for each layer, also where the header has one for all."""
        values = self._values(key)
        # A header may claim billions of layers: nobody knows of so many, and the list would fill the memory.
        return values * min(self.layers, _MOST_LAYERS) if len(values) == 1 else values

    def _values(self, key: str) -> list[int]:
        value = self._header.metadata.get(f"{self._architecture}.{key}")
        items = value if isinstance(value, list) else [value]
        return [item for item in items if isinstance(item, int) and not isinstance(item, bool)]


def _type_bytes(kv_type: str, elements: int) -> float:
    kind = next(kind for kind in TENSOR_TYPES.values() if kind.name == kv_type.upper())
    return elements * kind.block_bytes / kind.block_size
