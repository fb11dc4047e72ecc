"""Writes small GGUF models of any shape and tensor type with made-up weights, for measuring and nothing else."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from workbench.errors import StorageFull
from workbench.hub.ggml_types import TENSOR_TYPES
from workbench.paths import DISK_FULL

_ALIGNMENT = 32
_PATTERN_BYTES = 1 << 20
_TYPE_NUMBERS = {kind.name: number for number, kind in TENSOR_TYPES.items()}
# Where a block keeps its scales as F16 (ggml-common.h); the rest of a block may be any bytes. The scale of a type
# makes its weights some 0.02 large: nothing in the model overflows, and nothing is so small that it is slow.
_SCALES: dict[str, tuple[tuple[int, ...], float]] = {
    "Q8_0": ((0,), 0.0003),
    "Q4_0": ((0,), 0.004),
    "Q4_1": ((0, 2), 0.003),
    "Q5_0": ((0,), 0.002),
    "Q5_1": ((0, 2), 0.0015),
    "IQ4_NL": ((0,), 0.0003),
    "Q2_K": ((80, 82), 0.001),
    "Q3_K": ((108,), 0.0003),
    "Q4_K": ((0, 2), 0.0001),
    "Q5_K": ((0, 2), 0.00005),
    "Q6_K": ((208,), 0.00001),
    "IQ4_XS": ((0,), 0.00001),
}
PLAIN_TYPES = ("F32", "F16", "BF16")
KNOWN_TYPES = (*PLAIN_TYPES, *_SCALES)
_ORDINARY, _UNUSED, _CONTROL = 1, 5, 3
_FIXED_TOKENS = ("<|end|>", "<|start|>")


@dataclass(frozen=True, slots=True)
class ProbeShape:
    """A llama with tied embeddings. Widths are multiples of 256, so that every tensor type divides them."""

    width: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int = 512

    @property
    def kv_width(self) -> int:
        return self.width // self.heads * self.kv_heads

    @property
    def rows(self) -> int:
        """Outputs of all matrices that a token goes through."""
        return self.vocabulary + self.layers * sum(out for _, out in self.matrices.values())

    @property
    def weights(self) -> int:
        """Elements of the layers' matrices."""
        return self.layers * sum(into * out for into, out in self.matrices.values())

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """The weight matrices of one layer: input width, output width."""
        width, wide, narrow = self.width, self.feed_forward, self.kv_width
        return {
            "attn_q": (width, width),
            "attn_k": (width, narrow),
            "attn_v": (width, narrow),
            "attn_output": (width, width),
            "ffn_gate": (width, wide),
            "ffn_up": (width, wide),
            "ffn_down": (wide, width),
        }


def write_probe_model(
    path: Path, shape: ProbeShape, type_name: str, is_cancelled: Callable[[], bool] = lambda: False
) -> bool:
    """Layers in `type_name`, embeddings and output in F16. False: cancelled, and nothing is left of the file.

    Raises StorageFull; OSError for a folder that cannot be written.
    """
    tensors = _tensors(shape, type_name)
    try:
        with path.open("wb") as file:
            _write_header(file, shape, tensors)
            for tensor in tensors:
                if is_cancelled():
                    break
                tensor.write(file)
            else:
                return True
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno in DISK_FULL:
            raise StorageFull(f"The disk of {path.parent} became full while a model was made for measuring.") from error
        raise
    path.unlink(missing_ok=True)
    return False


def model_bytes(shape: ProbeShape, type_name: str) -> int:
    """Size of the file that `write_probe_model` makes, without its header (some 20 bytes for each token)."""
    return sum(tensor.padded_bytes for tensor in _tensors(shape, type_name))


def matrix_bytes(shape: ProbeShape, type_name: str) -> int:
    """The part of `model_bytes` that is in the layers' matrices."""
    return sum(t.size_bytes for t in _tensors(shape, type_name) if t.name.startswith("blk.") and len(t.shape) > 1)


def sized(shape: ProbeShape, type_name: str, weight_bytes: int) -> ProbeShape:
    """The shape with as many layers as make about so many bytes, one at least."""
    layer = matrix_bytes(replace(shape, layers=1), type_name)
    return replace(shape, layers=max(1, round(weight_bytes / layer)))


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type_name: str

    @property
    def size_bytes(self) -> int:
        kind = TENSOR_TYPES[_TYPE_NUMBERS[self.type_name]]
        elements = self.shape[0] * (self.shape[1] if len(self.shape) > 1 else 1)
        return elements // kind.block_size * kind.block_bytes

    @property
    def padded_bytes(self) -> int:
        return -(-self.size_bytes // _ALIGNMENT) * _ALIGNMENT

    def write(self, file: BinaryIO) -> None:
        left = self.size_bytes
        pattern = _ones(self.shape[0]) if len(self.shape) == 1 else _pattern(self.type_name)
        while left > 0:
            file.write(pattern[:left])
            left -= len(pattern)
        file.write(bytes(self.padded_bytes - self.size_bytes))


def _tensors(shape: ProbeShape, type_name: str) -> list[_Tensor]:
    width = shape.width
    tensors = [
        _Tensor("token_embd.weight", (width, shape.vocabulary), "F16"),
        _Tensor("output_norm.weight", (width,), "F32"),
    ]
    for layer in range(shape.layers):
        tensors += [_Tensor(f"blk.{layer}.{name}.weight", (width,), "F32") for name in ("attn_norm", "ffn_norm")]
        tensors += [_Tensor(f"blk.{layer}.{name}.weight", size, type_name) for name, size in shape.matrices.items()]
    return tensors


def _ones(count: int) -> bytes:
    return struct.pack("<f", 1.0) * count


def _pattern(type_name: str) -> bytes:
    """About 1 MiB of valid blocks, repeated through a file: only their place in memory matters, not their values."""
    source = random.Random(7)
    if type_name in PLAIN_TYPES:
        return _plain_pattern(type_name, source)
    places, scale = _SCALES[type_name]
    size = TENSOR_TYPES[_TYPE_NUMBERS[type_name]].block_bytes
    packed = struct.pack("<e", scale)
    content = bytearray(source.randbytes(_PATTERN_BYTES // size * size))
    for place in places:
        for index in range(2):
            content[place + index :: size] = packed[index : index + 1] * (len(content) // size)
    return bytes(content)


def _plain_pattern(type_name: str, source: random.Random) -> bytes:
    values = [source.uniform(-0.03, 0.03) for _ in range(8192)]
    if type_name == "BF16":  # the upper half of an F32
        whole = struct.pack(f"<{len(values)}f", *values)
        content = b"".join(whole[at + 2 : at + 4] for at in range(0, len(whole), 4))
    else:
        content = struct.pack(f"<{len(values)}{'f' if type_name == 'F32' else 'e'}", *values)
    return content * (_PATTERN_BYTES // len(content))


def _write_header(file: BinaryIO, shape: ProbeShape, tensors: list[_Tensor]) -> None:
    metadata = list(_metadata(shape))
    file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata:
        file.write(_text(key) + value)
    offset = 0
    for tensor in tensors:
        dimensions = len(tensor.shape)
        file.write(_text(tensor.name) + struct.pack(f"<I{dimensions}Q", dimensions, *tensor.shape))
        file.write(struct.pack("<IQ", _TYPE_NUMBERS[tensor.type_name], offset))
        offset += tensor.padded_bytes
    file.write(bytes(-file.tell() % _ALIGNMENT))


def _metadata(shape: ProbeShape) -> Iterator[tuple[str, bytes]]:
    numbers = {
        "context_length": 4096,
        "embedding_length": shape.width,
        "block_count": shape.layers,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "rope.dimension_count": shape.width // shape.heads,
        "vocab_size": shape.vocabulary,
    }
    yield "general.architecture", _text_value("llama")
    yield "general.name", _text_value("Speed probe")
    for key, number in numbers.items():
        yield f"llama.{key}", struct.pack("<II", 4, number)
    yield "llama.attention.layer_norm_rms_epsilon", struct.pack("<If", 6, 1e-5)
    # Byte-level BPE without merges: one token for every ASCII character of a prompt.
    yield "tokenizer.ggml.model", _text_value("gpt2")
    yield "tokenizer.ggml.pre", _text_value("qwen2")
    tokens = _tokens(shape.vocabulary)
    kinds = [_CONTROL] * len(_FIXED_TOKENS) + [_ORDINARY] * 256 + [_UNUSED] * (len(tokens) - 258)
    yield "tokenizer.ggml.tokens", struct.pack("<IIQ", 9, 8, len(tokens)) + b"".join(map(_text, tokens))
    yield "tokenizer.ggml.token_type", struct.pack(f"<IIQ{len(kinds)}i", 9, 5, len(kinds), *kinds)
    yield "tokenizer.ggml.merges", struct.pack("<IIQ", 9, 8, 1) + _text("t h")
    for name in ("bos", "eos", "padding"):
        yield f"tokenizer.ggml.{name}_token_id", struct.pack("<II", 4, 0)
    yield "tokenizer.ggml.add_bos_token", struct.pack("<I?", 7, False)


def _tokens(count: int) -> list[str]:
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    letters = [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
    fixed = [*_FIXED_TOKENS, *letters]
    return [*fixed, "th", *(f"<|{number}|>" for number in range(len(fixed) + 1, count))]


def _text(value: str) -> bytes:
    content = value.encode()
    return struct.pack("<Q", len(content)) + content


def _text_value(value: str) -> bytes:
    return struct.pack("<I", 8) + _text(value)
