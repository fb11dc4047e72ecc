"""Reads the header of a GGUF file (metadata and the list of tensors), never a weight.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every count and length is checked against
the size of the file before it is believed, so a damaged file costs a sentence, not memory or time.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from workbench.errors import ModelFileError, ModelNotFound
from workbench.hub.card import ModelCard, plain, read_card
from workbench.hub.ggml_types import FILE_TYPES, TENSOR_TYPES
from workbench.runs.thinking import switch_by_text

MAX_KEYS = 65_536
MAX_TENSORS = 100_000
MAX_NAME_BYTES = 65_535
MAX_STRING_BYTES = 16 * 1024 * 1024
MAX_HEADER_BYTES = 128 * 1024 * 1024  # the largest vocabularies known take some 15 MB
MAX_KEPT_ITEMS = 1024
MAX_DIMENSIONS = 4
_READ_AHEAD_BYTES, _LARGEST_STEP_BYTES = 1024 * 1024, 4 * 1024 * 1024

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True)
class SkippedArray:
    """An array too long to be worth keeping (a vocabulary, for example). Its items are the bytes `start` to `end`."""

    length: int
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """`shape` as ggml stores it, fastest dimension first; `offset` in bytes from the header's `data_offset`."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size_bytes: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """`metadata` values are int, float, bool, str, a list of them, or SkippedArray."""

    version: int
    tensor_count: int
    metadata: dict[str, object]
    tensors: tuple[TensorEntry, ...]
    data_offset: int

    def text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) and value else None

    def integer(self, key: str) -> int | None:
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_header(path: Path) -> GgufHeader:
    """Raises ModelNotFound when there is no such file, ModelFileError when it is not a sound GGUF."""
    try:
        with path.open("rb") as file:
            return _Reader(file, file.seek(0, 2), path.name).header()
    except FileNotFoundError as error:
        raise ModelNotFound(f"There is no file {path}.") from error
    except OSError as error:
        raise ModelFileError(f"{path.name} cannot be read: {error.strerror or error}.") from error


def parse_header(file: BinaryIO, size_bytes: int, name: str) -> GgufHeader:
    """The header at the beginning of `file`, which holds `size_bytes` as a whole; reads little more than the header.

    Raises ModelFileError when it is not sound, and what `file.read` raises.
    """
    return _Reader(file, size_bytes, name).header()


class _Reader:
    """A cursor over the bytes; every read is checked against the end of the file.

    Reads into memory instead of mapping: a mapped file that another program cuts kills the process.
    """

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file = file
        self._content = bytearray()
        self._size = size
        self._name = name
        self._at = 0
        file.seek(0)

    def header(self) -> GgufHeader:
        if self._size < 24:
            raise self._broken(f"it has only {self._size} bytes")
        start = self._advance(4)
        if self._content[start : self._at] != b"GGUF":
            raise self._broken("it does not begin with the letters GGUF")
        version = self._version()
        tensor_count, key_count = self._number("Q"), self._number("Q")
        if key_count > MAX_KEYS or tensor_count > MAX_TENSORS:
            raise self._broken(f"it claims {key_count:,} metadata keys and {tensor_count:,} tensors")
        metadata = {self._string(MAX_NAME_BYTES): self._value(self._number("I")) for _ in range(key_count)}
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self._broken(f"its alignment is {alignment!r}")
        data_offset = -(-self._at // alignment) * alignment
        self._check_extent(tensors, data_offset)
        return GgufHeader(version, tensor_count, metadata, tensors, data_offset)

    def _version(self) -> int:
        version: int = self._number("I")
        if version and version & 0xFFFF == 0:
            raise self._broken("it is big-endian, made for another kind of machine")
        if version not in (2, 3):
            raise self._broken(f"its GGUF version is {version}, and versions 2 and 3 are known")
        return version

    def _check_extent(self, tensors: tuple[TensorEntry, ...], data_offset: int) -> None:
        end = data_offset + max((tensor.offset + tensor.size_bytes for tensor in tensors), default=0)
        if tensors and end > self._size:
            raise ModelFileError(
                f"{self._name} is cut off: it should have at least {end:,} bytes and has {self._size:,}. "
                "Download or copy it again.",
                code="model_file_truncated",
            )

    def _tensor(self) -> TensorEntry:
        name = self._string(MAX_NAME_BYTES)
        dimensions = self._number("I")
        if dimensions > MAX_DIMENSIONS:
            raise self._broken(f"the tensor {name[:80]!r} has {dimensions:,} dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))
        number, offset = self._number("I"), self._number("Q")
        if number not in TENSOR_TYPES:
            raise self._broken(f"the tensor {name[:80]!r} has the unknown type {number}")
        kind = TENSOR_TYPES[number]
        size_bytes = math.prod(shape) // kind.block_size * kind.block_bytes
        return TensorEntry(name, shape, kind.name, offset, size_bytes)

    def _value(self, kind: int) -> object:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == _STRING:
            return self._string(MAX_STRING_BYTES)
        if kind == _ARRAY:
            return self._array()
        raise self._broken(f"its metadata has the unknown value type {kind}")

    def _array(self) -> object:
        kind, length = self._number("I"), self._number("Q")
        if kind in _SCALARS:
            start = self._advance(length * struct.calcsize(f"<{_SCALARS[kind]}"))
            if length > MAX_KEPT_ITEMS:
                return SkippedArray(length, start, self._at)
            return list(struct.unpack_from(f"<{length}{_SCALARS[kind]}", self._content, start))
        if kind != _STRING:  # llama.cpp reads no arrays of arrays either
            raise self._broken(f"its metadata has an array of the unknown type {kind}")
        if length > MAX_KEPT_ITEMS:
            return self._skip_strings(length)
        return [self._string(MAX_STRING_BYTES) for _ in range(length)]

    def _skip_strings(self, length: int) -> SkippedArray:
        # The hot loop: a vocabulary has some 150,000 strings, its merges as many.
        start = self._at
        self._need(start + 8 * length)
        unpack, content, at = struct.Struct("<Q").unpack_from, self._content, self._at
        last = len(content) - 8
        for _ in range(length):
            if at > last:
                self._need(at + 8)
                last = len(content) - 8
            at += 8 + unpack(content, at)[0]
        self._need(at)
        self._at = at
        return SkippedArray(length, start, self._at)

    def _string(self, limit: int) -> str:
        length = self._number("Q")
        if length > limit:
            raise self._broken(f"it has a text of {length:,} bytes")
        start = self._advance(length)
        return self._content[start : start + length].decode("utf-8", "replace")

    def _number(self, code: str) -> Any:
        start = self._advance(struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{code}", self._content, start)[0]

    def _advance(self, count: int) -> int:
        """The position before `count` more bytes."""
        start = self._at
        self._need(start + count)
        self._at = start + count
        return start

    def _need(self, end: int) -> None:
        if end <= len(self._content):
            return
        if end > self._size:
            raise self._ends_early()
        if end > MAX_HEADER_BYTES:
            raise self._broken(f"its header claims more than {MAX_HEADER_BYTES:,} bytes")
        # Growing steps keep the number of reads small; the last one may be for nothing, and may cross a network.
        step = min(max(len(self._content), _READ_AHEAD_BYTES), _LARGEST_STEP_BYTES)
        self._content += self._file.read(max(end - len(self._content), step))
        if end > len(self._content):
            raise self._ends_early()

    def _ends_early(self) -> ModelFileError:
        return ModelFileError(
            f"{self._name} is damaged or cut off: its header does not fit into its {self._size:,} bytes. "
            "Download or copy it again.",
            code="model_file_truncated",
        )

    def _broken(self, reason: str) -> ModelFileError:
        return ModelFileError(f"{self._name} is not a GGUF model that can be read: {reason}.")


_TAG = re.compile(r"(?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|F16|F32)", re.IGNORECASE)
_NAME_TAG = re.compile(rf"^(?P<base>.*?)[-._ ]?(?P<tag>{_TAG.pattern})$", re.IGNORECASE)


Origin = Literal["demo", "own", "folder", "registered", "hub_cache", "lm_studio", "ollama"]
ThinkingKind = Literal["enable_thinking", "thinking", "reasoning_effort", "always_on", "none"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a header says about one model file (the first of a split, then with the sums of all parts).

    `parameters` are counted from the tensors. `problem` set: the file cannot be used, and this says why; `warning`:
    it can be used, and this should be known. `label` is what its place calls it where the file's name says nothing
    (Ollama), `aliases` are its other names there. `also_at` are other paths of the same content. `written_ns` is the
    wall clock of the last write. `thinking` is how the default chat template switches thinking; None: no template.
    `description`, `license`, `author` and `card` are what the makers say, as plain text of limited length.
    """

    path: Path
    name: str
    architecture: str
    quantization: str | None
    parameters: int | None
    size_bytes: int
    context_trained: int | None = None
    bits_per_weight: float | None = None
    description: str | None = None
    license: str | None = None
    chat_templates: tuple[str, ...] = ()
    kind: str = "model"
    demo: bool = False
    parts: tuple[Path, ...] = ()
    problem: str | None = None
    origin: Origin = "folder"
    is_read_only: bool = False
    repo_id: str | None = None
    revision: str | None = None
    label: str | None = None
    aliases: tuple[str, ...] = ()
    also_at: tuple[Path, ...] = ()
    thinking: ThinkingKind | None = None
    written_ns: int | None = None
    warning: str | None = None
    author: str | None = None
    card: ModelCard | None = None

    @property
    def is_derived(self) -> bool:
        """Made on first use from a model that comes with the program."""
        return self.origin == "demo" and not self.is_read_only


def describe(path: Path) -> ModelFile:
    """The model in the single file `path`. Raises ModelNotFound, ModelFileError."""
    header = read_header(path)
    architecture = header.text("general.architecture")
    if architecture is None and not header.integer("split.no"):
        raise ModelFileError(f"{path.name} is not a model: it names no architecture.")
    _require_split_name(header, path)
    parameters = sum(tensor.elements for tensor in header.tensors)
    weight_bytes = sum(tensor.size_bytes for tensor in header.tensors)
    template = header.text("tokenizer.chat_template")
    status = path.stat()
    return ModelFile(
        path=path,
        name=header.text("general.name") or split_name(path.stem)[0],
        architecture=architecture or "",  # of a split, only the first part has the metadata
        quantization=_quantization(header, path),
        parameters=parameters or None,
        size_bytes=status.st_size,
        context_trained=header.integer(f"{architecture}.context_length"),
        bits_per_weight=weight_bytes * 8 / parameters if parameters else None,
        description=plain(header.text("general.description")),
        license=plain(header.text("general.license")),
        author=plain(header.text("general.author")),
        chat_templates=_chat_templates(header),
        kind=header.text("general.type") or "model",
        parts=(path,),
        thinking=switch_by_text(template).kind if template else None,
        written_ns=status.st_mtime_ns,
        card=read_card(header.metadata),
    )


def _require_split_name(header: GgufHeader, path: Path) -> None:
    # llama.cpp finds the other parts by the name of the first, and refuses any other name.
    count = header.integer("split.count") or 1
    if count > 1 and not path.stem.lower().endswith(f"-of-{count:05d}"):
        raise ModelFileError(
            f"{path.name} is a part of a model in {count} files and has lost its name. Put the parts side by side "
            f"and name them as they were, with endings from -00001-of-{count:05d}.gguf on."
        )


def split_name(stem: str) -> tuple[str, str | None]:
    """A file's name without ending as base and quantization: ("Qwen3-0.6B", "Q4_K_M"); None: names none."""
    match = _NAME_TAG.match(stem)
    return (match["base"], match["tag"].upper()) if match else (stem, None)


def _quantization(header: GgufHeader, path: Path) -> str | None:
    """The header's word, unless the name tells of a mixture that llama.cpp has no number for (Q4_K_XL)."""
    by_name = split_name(path.stem)[1]
    if by_name is not None and by_name not in FILE_TYPES.values():
        return by_name
    number = header.integer("general.file_type")
    by_header = FILE_TYPES.get(number) if number is not None else None
    return by_header or by_name or _dominant_type(header)


def _dominant_type(header: GgufHeader) -> str | None:
    sizes: dict[str, int] = {}
    for tensor in header.tensors:
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.elements
    return max(sizes, key=sizes.__getitem__) if sizes else None


def _chat_templates(header: GgufHeader) -> tuple[str, ...]:
    prefix = "tokenizer.chat_template"
    names = [key.removeprefix(f"{prefix}.") for key in header.metadata if key.startswith(f"{prefix}.")]
    return (*(["default"] if header.text(prefix) else []), *sorted(names))
