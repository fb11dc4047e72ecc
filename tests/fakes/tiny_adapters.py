"""Makes LoRA adapters in GGUF format with known matrices, for the models of `tiny_models` and the demo model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from tests.fakes.tiny_models import finish, spell

# For every weight A (rank x columns) and B (rows x rank): B @ A is added to it, times scale and alpha / rank.
Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]


def write_adapter(
    path: Path,
    pairs: Pairs,
    *,
    architecture: str = "llama",
    alpha: float | None = None,
    kind: str = "adapter",
    form: str = "lora",
    extra: Mapping[str, np.ndarray] | None = None,
    invocation_tokens: list[int] | None = None,
) -> Path:
    """`alpha` None: the rank of the first pair, so that scale 1 adds just B @ A. `extra`: tensors that are no pairs."""
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", form)
    rank = next((len(a) for a, _b in pairs.values()), 1)
    writer.add_float32("adapter.lora.alpha", float(rank) if alpha is None else alpha)
    if invocation_tokens is not None:
        writer.add_key_value(
            "adapter.alora.invocation_tokens", invocation_tokens, gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT32
        )
    tensors = {
        f"{name}.lora_{which}": matrix for name, pair in pairs.items() for which, matrix in zip("ab", pair, strict=True)
    }
    return finish(writer, path, tensors | dict(extra or {}))


def tensors_of(model: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by name, rows first as numpy has them."""
    return {tensor.name: tuple(int(size) for size in tensor.shape[::-1]) for tensor in gguf.GGUFReader(model).tensors}


def random_pairs(
    model: Path, *, rank: int = 2, seed: int = 1, strength: float = 1.0
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A pair for every matrix in the layers of `model`."""
    rng = np.random.default_rng(seed)
    pairs = {}
    for name, shape in tensors_of(model).items():
        if name.startswith("blk.") and len(shape) == 2:
            rows, columns = shape
            a = rng.standard_normal((rank, columns)).astype(np.float32) * np.float32(strength / columns**0.5)
            b = rng.standard_normal((rows, rank)).astype(np.float32)
            pairs[name] = (a, b)
    return pairs


def successor_pairs(
    model: Path, *changes: tuple[bytes | str, bytes | str], strength: float = 2.0
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For a model of `tiny_models.write_chain`: each `(previous, following)` makes that token follow instead.

    Its embeddings are one-hot and its output matrix has a 1 where one token follows another; this adds `strength` at
    other places, so that a scale above 1 / `strength` wins and one below does not.
    """
    reader = gguf.GGUFReader(model)
    field = reader.fields["tokenizer.ggml.tokens"]
    tokens = [bytes(field.parts[index]).decode() for index in field.data]
    rows, columns = tensors_of(model)["output.weight"]
    a = np.zeros((len(changes), columns), np.float32)
    b = np.zeros((rows, len(changes)), np.float32)
    for index, (previous, following) in enumerate(changes):
        a[index, tokens.index(_spelled(previous))] = 1
        b[tokens.index(_spelled(following)), index] = strength
    return {"output.weight": (a, b)}


def _spelled(token: bytes | str) -> str:
    return spell(token) if isinstance(token, bytes) else token
