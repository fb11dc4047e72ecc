"""Models of true shapes for the GPU benches: random weights already in their quantized types, made in seconds.

Nothing is quantized: blocks are drawn as bytes with a scale that gives values of about 0.02, and one megabyte of
them is repeated through the file. That changes neither sizes nor speed, and the text means nothing in either case.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from tests.fakes import tiny_models

Kind = gguf.GGMLQuantizationType
_POOL_BYTES = 2**20
# Where the scale of a block lies, and a scale that gives values of about 0.02; a Q4_K block has two.
_SCALES: dict[Kind, tuple[tuple[int, float], ...]] = {
    Kind.Q4_K: ((0, 1e-4), (2, 7.5e-4)),
    Kind.Q6_K: ((208, 1.5e-5),),
    Kind.Q5_0: ((0, 2.2e-3),),
    Kind.Q8_0: ((0, 2.7e-4),),
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a model. `experts` are (all, used for a token, width of one); `head` 0: width over heads."""

    name: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int = 151_936
    head: int = 0
    experts: tuple[int, int, int] | None = None
    has_output: bool = False
    context: int = 131_072

    @property
    def head_width(self) -> int:
        return self.head or self.width // self.heads


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("0.5B", 896, 24, 14, 2, 4864),
        Shape("3B", 2048, 36, 16, 2, 11_008),
        Shape("8B", 4096, 32, 32, 8, 14_336, vocabulary=128_256, has_output=True),
        Shape("30B-A3B", 2048, 48, 32, 4, 6144, head=128, experts=(128, 8, 768), has_output=True),
        Shape("smoke", 256, 3, 4, 2, 512, vocabulary=1024, context=4096),
        Shape("smoke-experts", 256, 3, 4, 2, 512, vocabulary=1024, experts=(8, 2, 256), has_output=True, context=4096),
    )
}


def make(name: str, folder: Path | None = None) -> Path:
    """The file, made when it is not there. `WORKBENCH_BENCH_MODELS` or the temporary folder holds it."""
    place = folder or Path(
        os.environ.get("WORKBENCH_BENCH_MODELS", Path(tempfile.gettempdir()) / "workbench-gpu-models")
    )
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"shape-{name}-Q4_K_M.gguf"
    if not path.exists():
        part = path.with_suffix(".part")
        _write(SHAPES[name], part)
        part.rename(path)
    return path


def _write(shape: Shape, path: Path) -> None:
    writer = gguf.GGUFWriter(str(path), "qwen3moe" if shape.experts else "llama")
    writer.add_name(f"Shape of {shape.name}")
    tiny_models._llama_sizes(
        writer, vocabulary=shape.vocabulary, width=shape.width, layers=shape.layers, heads=shape.heads,
        kv_heads=shape.kv_heads, feed_forward=shape.feed_forward, context=shape.context,
    )  # fmt: skip
    writer.kv_data[0].pop("general.file_type")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    if shape.experts:
        count, used, inner = shape.experts
        writer.add_key_length(shape.head_width)
        writer.add_value_length(shape.head_width)
        writer.add_expert_count(count)
        writer.add_expert_used_count(used)
        writer.add_expert_feed_forward_length(inner)
    tiny_models._add_vocabulary(writer, [], shape.vocabulary, template=tiny_models.CHATML)
    tensors = list(_tensors(shape))
    for name, rows, kind in tensors:
        _describe(writer, name, rows, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    blocks = {kind: _blocks(kind) for kind in _SCALES}
    for number, (_name, rows, kind) in enumerate(tensors):
        writer.write_tensor_data(_filled(rows, kind, blocks, number))
    writer.close()


def _tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...], Kind]]:
    """Names, shapes with the rows' length last, and types, those of Q4_K_M: more bits where most is lost."""
    width, q_width, kv_width = shape.width, shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    yield "token_embd.weight", (shape.vocabulary, width), _kind(Kind.Q4_K if shape.has_output else Kind.Q6_K, width)
    yield "output_norm.weight", (width,), Kind.F32
    if shape.has_output:
        yield "output.weight", (shape.vocabulary, width), _kind(Kind.Q6_K, width)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        more = Kind.Q6_K if _has_more_bits(layer, shape.layers) else Kind.Q4_K
        yield block + "attn_norm.weight", (width,), Kind.F32
        yield block + "attn_q.weight", (q_width, width), _kind(Kind.Q4_K, width)
        yield block + "attn_k.weight", (kv_width, width), _kind(Kind.Q4_K, width)
        yield block + "attn_v.weight", (kv_width, width), _kind(more, width)
        yield block + "attn_output.weight", (width, q_width), _kind(Kind.Q4_K, q_width)
        yield block + "ffn_norm.weight", (width,), Kind.F32
        yield from _forward(shape, block, more)


def _forward(shape: Shape, block: str, more: Kind) -> Iterator[tuple[str, tuple[int, ...], Kind]]:
    width = shape.width
    if shape.experts is None:
        inner = shape.feed_forward
        yield block + "ffn_gate.weight", (inner, width), _kind(Kind.Q4_K, width)
        yield block + "ffn_up.weight", (inner, width), _kind(Kind.Q4_K, width)
        yield block + "ffn_down.weight", (width, inner), _kind(more, inner)
        return
    count, _used, inner = shape.experts
    yield block + "attn_q_norm.weight", (shape.head_width,), Kind.F32
    yield block + "attn_k_norm.weight", (shape.head_width,), Kind.F32
    yield block + "ffn_gate_inp.weight", (count, width), Kind.F32
    yield block + "ffn_gate_exps.weight", (count, inner, width), _kind(Kind.Q4_K, width)
    yield block + "ffn_up_exps.weight", (count, inner, width), _kind(Kind.Q4_K, width)
    yield block + "ffn_down_exps.weight", (count, width, inner), _kind(more, inner)


def _has_more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth, and every third between (use_more_bits in llama.cpp's quantizer)."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _kind(wanted: Kind, row: int) -> Kind:
    """As llama.cpp's quantizer: rows that are no whole blocks of 256 get a type with blocks of 32."""
    if row % 256 == 0:
        return wanted
    return Kind.Q8_0 if wanted == Kind.Q6_K else Kind.Q5_0


def _byte_shape(rows: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
    return gguf.quant_shape_to_byte_shape(rows, kind)


def _describe(writer: gguf.GGUFWriter, name: str, rows: tuple[int, ...], kind: Kind) -> None:
    if kind == Kind.F32:
        writer.add_tensor_info(name, rows, np.dtype(np.float32), 4 * int(np.prod(rows)))
    else:
        shape = _byte_shape(rows, kind)
        writer.add_tensor_info(name, shape, np.dtype(np.uint8), int(np.prod(shape)), raw_dtype=kind)


def _blocks(kind: Kind) -> np.ndarray:
    """A pool of whole random blocks."""
    _size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(int(kind))
    pool = rng.integers(0, 256, (_POOL_BYTES // block_bytes, block_bytes), dtype=np.uint8)
    for place, scale in _SCALES[kind]:
        pool[:, place : place + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    return pool


def _filled(rows: tuple[int, ...], kind: Kind, blocks: dict[Kind, np.ndarray], number: int) -> np.ndarray:
    if kind == Kind.F32:
        if len(rows) == 1:
            return np.ones(rows, np.float32)
        values = np.random.default_rng(number).standard_normal(rows, dtype=np.float32)
        return values * np.float32(0.02)
    shape = _byte_shape(rows, kind)
    pool = np.roll(blocks[kind], number, axis=0).reshape(-1)
    return np.resize(pool, int(np.prod(shape))).reshape(shape)
