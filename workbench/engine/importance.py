"""Importance matrices: reads both of llama.cpp's file formats, and tells whether one belongs to a model."""

from __future__ import annotations

import math
import os
import struct
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from workbench.engine.model_file import Header, TensorPlace, check_model_file
from workbench.errors import ModelFileError, ModelNotFound

_F32 = 0
_SUMS, _COUNTS = ".in_sum2", ".counts"
_LARGEST_MEAN = 1e30
_MAX_ENTRIES, _MAX_NAME_BYTES, _MAX_VALUES = 65_536, 4096, 1 << 30
# A matrix may hold entries for these although the model shares one tensor for both.
_EMBEDDINGS = ("token_embd.weight", "output.weight")
# A model whose extra prediction layers were left out lacks a few of its matrix's tensors; more is another model.
_FOREIGN_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class ImportanceMatrix:
    """Mean squared activation for every column of every tensor. `chunks`: how much text it was computed with."""

    name: str
    values: Mapping[str, array[float]]
    chunks: int | None = None


def read_matrix(path: str) -> ImportanceMatrix:
    """Raises ModelNotFound, and ModelFileError with the code "matrix_unusable"."""
    file = Path(path)
    if not file.is_file():
        raise ModelNotFound(f"There is no importance matrix {path}.")
    try:
        with file.open("rb") as stream:
            is_gguf = stream.read(4) == b"GGUF"
            stream.seek(0)
            matrix = _read_gguf(file, stream) if is_gguf else _LegacyReader(stream, file).read()
    except OSError as error:
        raise _unusable(file, f"it cannot be read: {error.strerror or error}") from error
    for name, values in matrix.values.items():
        # A sum is finite only when every part of it is. With negative or absurd means llama.cpp ends the process.
        if not math.isfinite(sum(values)) or min(values) < 0 or max(values) > _LARGEST_MEAN:
            raise _unusable(file, f"it has values for {name} that are no means of squares")
    return matrix


def check_belongs(matrix: ImportanceMatrix, header: Header) -> str | None:
    """Raises ModelFileError ("matrix_unusable") for another model's matrix; a sentence about entries of no use."""
    foreign = []
    for name, values in matrix.values.items():
        place = header.tensors.get(name)
        if place is None:
            if name not in _EMBEDDINGS:
                foreign.append(name)
        elif len(values) != (wanted := _columns(place)) and name not in _EMBEDDINGS:
            raise _of_another(matrix, f"it has {len(values):,} values for {name}, which needs {wanted:,} here")
    if len(foreign) > len(matrix.values) * _FOREIGN_SHARE:
        raise _of_another(matrix, f"it has values for {foreign[0]}, which this model does not have")
    if not foreign:
        return None
    return f"{len(foreign):,} of {len(matrix.values):,} entries of {matrix.name} are for tensors that are not here."


def _columns(place: TensorPlace) -> int:
    """Values that a tensor needs: one per column, and of each expert."""
    return place.shape[0] * (place.shape[2] if len(place.shape) > 2 else 1)


def _read_gguf(file: Path, stream: BinaryIO) -> ImportanceMatrix:
    try:
        header = check_model_file(str(file))
    except ModelFileError as error:
        raise _unusable(file, f"it cannot be read ({error.message})") from error
    kind = header.values.get("general.type")
    if kind != "imatrix":
        raise _unusable(file, f"it is of the kind {kind or 'model'!r}")
    values = {}
    for name, sums in header.tensors.items():
        if not name.endswith(_SUMS):
            continue
        base = name.removesuffix(_SUMS)
        counts = header.tensors.get(base + _COUNTS)
        if (
            counts is None
            or sums.kind != _F32
            or counts.kind != _F32
            or math.prod(sums.shape) % math.prod(counts.shape)
        ):
            raise _unusable(file, f"its sums and counts for {base} do not belong together")
        values[base] = _means(_floats(stream, sums), _floats(stream, counts))
    if not values:
        raise _unusable(file, "it has no entries")
    chunks = header.values.get("imatrix.chunk_count")
    return ImportanceMatrix(file.name, values, chunks if isinstance(chunks, int) else None)


def _floats(stream: BinaryIO, place: TensorPlace) -> array[float]:
    stream.seek(place.start)
    return _as_floats(stream.read(4 * math.prod(place.shape)))


def _as_floats(data: bytes) -> array[float]:
    values = array("f", data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _means(sums: array[float], counts: array[float]) -> array[float]:
    """Sums of every expert by its own count; 1 for an expert that the text never reached."""
    width = len(sums) // len(counts)
    means = array("f")
    for index, count in enumerate(counts):
        part = sums[index * width : (index + 1) * width]
        means.extend((value / count for value in part) if count > 0 else (1.0 for _ in part))
    return means


class _LegacyReader:
    """The `.dat` format: numbered entries of name, calls, values, then the chunks. No magic, so all is checked."""

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        self._stream, self._file = stream, file
        self._left = os.fstat(stream.fileno()).st_size

    def read(self) -> ImportanceMatrix:
        values = {}
        for _ in range(self._integer(1, _MAX_ENTRIES)):
            name = self._bytes(self._integer(1, _MAX_NAME_BYTES)).decode("utf-8", "replace")
            calls = self._integer(0, 1 << 31)
            sums = _as_floats(self._bytes(4 * self._integer(1, _MAX_VALUES)))
            values[name] = array("f", (value / calls for value in sums)) if calls > 0 else sums
        # What follows is optional.
        chunks = self._integer(-1, 1 << 31) if self._left >= 4 else None
        return ImportanceMatrix(self._file.name, values, chunks if chunks and chunks > 0 else None)

    def _integer(self, least: int, most: int) -> int:
        (value,) = struct.unpack("<i", self._bytes(4))
        if not least <= value <= most:
            raise self._no_matrix()
        return int(value)

    def _bytes(self, count: int) -> bytes:
        if count > self._left:
            raise self._no_matrix()
        self._left -= count
        return self._stream.read(count)

    def _no_matrix(self) -> ModelFileError:
        return _unusable(self._file, "it has neither of the two formats of llama.cpp, or it is cut off")


def _unusable(file: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{file.name} is no importance matrix that can be used: {why}. Choose the imatrix file that was made for this "
        "model.",
        code="matrix_unusable",
    )


def _of_another(matrix: ImportanceMatrix, why: str) -> ModelFileError:
    return ModelFileError(
        f"{matrix.name} is the importance matrix of another model: {why}. Choose the one that was made for this model.",
        code="matrix_unusable",
    )
