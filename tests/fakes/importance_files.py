"""Importance matrices for tests, in both file formats of llama.cpp; the values are made up and all positive."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np


def columns_of(model: Path) -> dict[str, tuple[int, int]]:
    """(row length, number of experts) of every weight that llama.cpp would collect statistics for."""
    found = {}
    for tensor in gguf.GGUFReader(model).tensors:
        shape = [int(size) for size in tensor.shape]
        if tensor.name.startswith("blk.") and tensor.name.endswith(".weight") and len(shape) >= 2:
            found[tensor.name] = (shape[0], shape[2] if len(shape) > 2 else 1)
    return found


def write_matrix(path: Path, columns: Mapping[str, tuple[int, int]], *, kind: str = "imatrix", seed: int = 1) -> Path:
    """The GGUF format: sums of squares beside the counts they were taken over."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "")
    writer.kv_data[0].clear()
    writer.add_string("general.type", kind)
    writer.add_array("imatrix.datasets", ["made-up.txt"])
    writer.add_uint32("imatrix.chunk_count", 10)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, (width, experts) in columns.items():
        sums = rng.uniform(1, 100, (experts, width)).astype(np.float32)
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", np.full((experts, 1), 5120, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_legacy_matrix(path: Path, columns: Mapping[str, tuple[int, int]], *, seed: int = 1) -> Path:
    """The `.dat` format, with the chunks and the data set at its end."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(struct.pack("<i", len(columns)))
        for name, (width, experts) in columns.items():
            sums = rng.uniform(1, 100, width * experts).astype("<f4")
            text = name.encode()
            file.write(struct.pack("<i", len(text)) + text + struct.pack("<ii", 10, sums.size) + sums.tobytes())
        file.write(struct.pack("<ii", 10, 4) + b"text")
    return path
