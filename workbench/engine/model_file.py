"""A strict look at a GGUF file before llama.cpp sees it: magic, counts, lengths, and that every tensor is inside.

llama.cpp checks much of this itself, but some broken files make it abort or ask for absurd amounts of memory.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import ModelFileError, ModelNotFound

_MAX_PAIRS, _MAX_TENSORS, _MAX_ELEMENTS = 65_536, 65_536, 16_000_000
_MAX_KEY_BYTES = 65_535
_MAX_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
# ggml type -> (elements in a block, bytes of a block). A type that is missing here is left to llama.cpp.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
_SPLIT_NAME = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")


_CONTROL, _USER_DEFINED = 3, 4
_TAG = re.compile(r"<[^<>\n]*[^\W\d][^<>\n]*>|\[[^\[\]\n]*[^\W\d][^\[\]\n]*\]|◁[^◁▷\n]+▷")
# Gemma has these as user-defined tokens: to the model they are text like any other, and no turn begins with them.
_HTML_TAG = re.compile(
    r"</?(?:a|b|blockquote|br|caption|code|em|h[1-6]|hr|i|img|li|ol|p|pre|strong|sub|sup|table|tbody|td|tfoot|th|thead|"
    r"tr|u|ul)>"
)


def is_markup(text: str) -> bool:
    """Whether a user-defined token is a tag (`<think>`, `[TOOL]`) and not merely a frequent piece of text."""
    return _TAG.fullmatch(text) is not None and _HTML_TAG.fullmatch(text) is None


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """`shape` has the row length first, as ggml has it; `kind` is a ggml type; `start` counts from the file's."""

    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(slots=True)
class Header:
    """What a file says of itself. `values` holds scalars, strings and short lists; long arrays are skipped.

    `tensors` are those of all parts; `data_start` is how many bytes the headers of all parts take.
    """

    values: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, TensorPlace] = field(default_factory=dict)
    data_start: int = 0
    control_texts: tuple[str, ...] = ()
    markup_texts: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    size_bytes: int = 0
    fingerprint: tuple[tuple[int, ...], ...] = ()

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", "?"))

    def number(self, key: str) -> int | None:
        """The value of `<architecture>.<key>`; the largest one where the file has a value per layer."""
        value = self.values.get(f"{self.architecture}.{key}")
        if isinstance(value, list):
            value = max((item for item in value if isinstance(item, int)), default=None)
        return int(value) if isinstance(value, int | float) else None


def check_model_file(path: str) -> Header:
    """Reads the header of a model, of every part when it is split. Raises ModelNotFound and ModelFileError."""
    first = Path(path)
    files = _parts(first)
    for file in files:
        if not file.is_file():
            raise ModelNotFound(f"There is no file {file}.")
    headers = [_read(file) for file in files]
    header = headers[0]
    header.files = tuple(files)
    header.fingerprint = fingerprint(header.files)
    header.size_bytes = sum(file.stat().st_size for file in files)
    for later in headers[1:]:
        header.tensors |= later.tensors
        header.data_start += later.data_start
    return header


def fingerprint(files: Sequence[Path]) -> tuple[tuple[int, ...], ...]:
    """Changes when a file is replaced or written to; empty when one is gone."""
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return ()
    return tuple((stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in stats)


def _parts(first: Path) -> list[Path]:
    match = _SPLIT_NAME.match(first.name)
    if match is None:
        return [first]
    count = int(match["count"])
    if int(match["number"]) != 1:
        raise ModelFileError(f"{first.name} is a later part of a split model; open part 00001 of {count:05}.")
    return [first.with_name(f"{match['stem']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]


def _read(path: Path) -> Header:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 24:
                raise ModelFileError(f"{path.name} is not a GGUF model: it has only {size} bytes.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data, path.name).read()
    except OSError as error:
        raise ModelFileError(f"{path.name} cannot be read: {error.strerror or error}.") from error


class _Reader:
    """Walks through a header; every length is compared with what is left of the file before it is believed."""

    def __init__(self, data: mmap.mmap, name: str) -> None:
        self._data, self._name = data, name
        self._at = 0
        self._end = len(data)

    def read(self) -> Header:
        if self._data[:4] != b"GGUF":
            raise ModelFileError(f"{self._name} is not a GGUF model: it does not begin with the letters GGUF.")
        self._at = 4
        version = self._number("<I")
        if version not in (2, 3):
            raise ModelFileError(f"{self._name} has GGUF version {version}; llama.cpp reads versions 2 and 3.")
        tensors, pairs = self._number("<Q"), self._number("<Q")
        if tensors > _MAX_TENSORS or pairs > _MAX_PAIRS:
            raise self._damaged(f"it claims {tensors:,} tensors and {pairs:,} metadata entries")
        header = Header()
        token_starts: list[int] = []
        token_types = b""
        for _ in range(pairs):
            key = self._string(_MAX_KEY_BYTES)
            kind = self._number("<I")
            if key == "tokenizer.ggml.tokens" and kind == _ARRAY:
                token_starts = self._string_array_starts()
            elif key == "tokenizer.ggml.token_type" and kind == _ARRAY:
                token_types = self._raw_array(4)
            else:
                header.values[key] = self._value(kind)
        header.control_texts, header.markup_texts = self._special_texts(token_starts, token_types)
        self._read_tensors(header, tensors, header.values.get("general.alignment", 32))
        return header

    def _damaged(self, why: str) -> ModelFileError:
        return ModelFileError(f"{self._name} is damaged or incomplete: {why}. Download it again.")

    def _need(self, count: int) -> None:
        if count > self._end - self._at:
            raise self._damaged(f"it ends at byte {self._end:,}, inside its header or its list of tensors")

    def _number(self, form: str) -> Any:
        self._need(struct.calcsize(form))
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value

    def _string(self, limit: int | None = None) -> str:
        length = self._number("<Q")
        if limit is not None and length > limit:
            raise self._damaged(f"a name of {length:,} bytes")
        self._need(length)
        self._at += length
        return bytes(self._data[self._at - length : self._at]).decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise self._damaged(f"metadata of the unknown type {kind}")
        return self._number(_SCALARS[kind])

    def _array_head(self) -> tuple[int, int]:
        kind, count = self._number("<I"), self._number("<Q")
        if count > _MAX_ELEMENTS:
            raise self._damaged(f"a list of {count:,} entries")
        return kind, count

    def _array(self) -> Any:
        kind, count = self._array_head()
        if kind == _STRING:
            for _ in range(count):
                length = self._number("<Q")
                self._need(length)
                self._at += length
            return None
        if kind not in _SCALARS:
            raise self._damaged(f"a list of the unknown type {kind}")
        size = struct.calcsize(_SCALARS[kind])
        self._need(size * count)
        start = self._at
        self._at += size * count
        if count > 4096:
            return None
        return [struct.unpack_from(_SCALARS[kind], self._data, start + index * size)[0] for index in range(count)]

    def _raw_array(self, element_bytes: int) -> bytes:
        kind, count = self._array_head()
        if kind not in _SCALARS or struct.calcsize(_SCALARS[kind]) != element_bytes:
            raise self._damaged("the list of token types has the wrong type")
        self._need(element_bytes * count)
        self._at += element_bytes * count
        return bytes(self._data[self._at - element_bytes * count : self._at])

    def _string_array_starts(self) -> list[int]:
        kind, count = self._array_head()
        if kind != _STRING:
            raise self._damaged("the vocabulary is not a list of texts")
        starts = []
        for _ in range(count):
            starts.append(self._at)
            length = self._number("<Q")
            self._need(length)
            self._at += length
        return starts

    def _special_texts(self, starts: list[int], types: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Texts of the control tokens and of user-defined markup: what a message must not smuggle into a prompt."""
        found: dict[int, list[str]] = {_CONTROL: [], _USER_DEFINED: []}
        kinds = memoryview(types).cast("i")
        for start, kind in zip(starts, kinds, strict=False):
            if kind in found:
                (length,) = struct.unpack_from("<Q", self._data, start)
                text = bytes(self._data[start + 8 : start + 8 + length]).decode("utf-8", "replace")
                # A text of one character cannot be broken by a mark inside it.
                if len(text) > 1 and (kind == _CONTROL or is_markup(text)):
                    found[kind].append(text)
        return tuple(found[_CONTROL]), tuple(found[_USER_DEFINED])

    def _read_tensors(self, header: Header, count: int, alignment: Any) -> None:
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1) or alignment > 1 << 20:
            raise self._damaged(f"an alignment of {alignment} bytes")
        ends = [0]
        for _ in range(count):
            name = self._string(_MAX_KEY_BYTES)
            dimensions = self._number("<I")
            if not 1 <= dimensions <= _MAX_DIMENSIONS:
                raise self._damaged(f"tensor {name!r} has {dimensions:,} dimensions")
            shape = tuple(self._number("<Q") for _ in range(dimensions))
            elements = math.prod(shape)
            kind, offset = self._number("<I"), self._number("<Q")
            block, block_bytes = _BLOCKS.get(kind, (1, 0))
            if elements == 0 or shape[0] % block or elements >= 1 << 62 or offset % alignment:
                raise self._damaged(f"tensor {name!r} has an impossible shape or place")
            header.tensors[name] = TensorPlace(shape, kind, offset)
            ends.append(offset + elements // block * block_bytes)
        start = -(-self._at // alignment) * alignment
        if start + max(ends) > self._end and count:
            missing = start + max(ends) - self._end
            raise self._damaged(f"{missing:,} bytes are missing at its end")
        header.data_start = start
        header.tensors = {
            name: TensorPlace(place.shape, place.kind, start + place.start) for name, place in header.tensors.items()
        }
