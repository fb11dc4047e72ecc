"""Small GGUF files, sound and broken, written byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

from workbench.hub.lineage import Lineage, write_lineage

Value = int | float | bool | str | list[int] | list[str]
MAGIC = b"GGUF"


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def typed(value: Value) -> bytes:
    """Type number and content of a metadata value."""
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<IQ", 10, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + text(value)
        case [str(), *_]:
            items = b"".join(text(item) for item in value if isinstance(item, str))
            return struct.pack("<IIQ", 9, 8, len(value)) + items
        case _:
            return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def header(metadata: dict[str, Value], tensors: dict[str, tuple[tuple[int, ...], int, int]]) -> bytes:
    """`tensors` are name -> (shape, type number, offset)."""
    parts = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    parts += [text(key) + typed(value) for key, value in metadata.items()]
    for name, (shape, kind, offset) in tensors.items():
        parts.append(text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
    return b"".join(parts)


def write_model(
    path: Path,
    *,
    file_type: int | None = 1,
    name: str | None = "Tiny",
    architecture: str = "llama",
    weights: int = 2048,
    kind: int = 1,
    extra: dict[str, Value] | None = None,
) -> Path:
    """A file with one tensor of `weights` elements; `kind` is the tensor's type (1 F16, 12 Q4_K, 8 Q8_0)."""
    metadata: dict[str, Value] = {"general.architecture": architecture, f"{architecture}.context_length": 2048}
    if name is not None:
        metadata["general.name"] = name
    if file_type is not None:
        metadata["general.file_type"] = file_type
    metadata |= extra or {}
    content = header(metadata, {"token_embd.weight": ((256, weights // 256), kind, 0)})
    content += b"\0" * (-len(content) % 32)
    size = {1: weights * 2, 8: weights // 32 * 34, 12: weights // 256 * 144}[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content + bytes(size))
    return path


def write_made(model: Path) -> Lineage:
    """Says beside `model`, which need not be there, that it was made on this machine."""
    size_bytes = model.stat().st_size if model.is_file() else 1
    lineage = Lineage(
        "Q4_K_M", "/from/Tiny-F16.gguf", "a" * 64, "F16", "llama.cpp 1", "2026-11-21T10:00:00", size_bytes
    )
    write_lineage(model, lineage)
    return lineage
