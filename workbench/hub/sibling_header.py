"""Puts the header of a quantization together from its own bytes and the vocabulary of another of the same model.

The vocabulary is nearly all of a header and the same in every quantization. Everything before and behind it is the
file's own, so that its values (`general.file_type`) and its tensors are what the file says.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import ModelFileError, ModelNotFound
from workbench.hub.gguf import GgufHeader, SkippedArray, parse_header, read_header

log = logging.getLogger(__name__)
# Below this the whole header comes with one request, of about as many bytes.
MIN_SHARED_BYTES = 256 * 1024
# Compared at both ends of the vocabulary; in front of its first item stand its key and its length.
_SAMPLE_BYTES, _KEY_BYTES = 1024, 24
# A file may have some values more than its sibling: those of an importance matrix, for example.
_SLACK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int


def compose(sibling: Path, size_bytes: int, read: Callable[[int, int], bytes]) -> bytes | None:
    """The header of a file of `size_bytes`, of which `read` gives the bytes from a place to before another.

    None where it cannot be shown to be sound. Raises what `read` raises.
    """
    try:
        known = read_header(sibling)
        with sibling.open("rb") as file:
            content = file.read(known.data_offset)
    except (ModelFileError, ModelNotFound, OSError) as error:
        log.info("the header %s helps no other: %s", sibling, error)
        return None
    span = _vocabulary(known)
    if span is None or span.end - span.start < MIN_SHARED_BYTES:
        return None
    head = read(0, min(span.start + _SAMPLE_BYTES + _SLACK_BYTES, size_bytes))
    place = head.find(content[span.start - _KEY_BYTES : span.start + _SAMPLE_BYTES])
    if place < 0:
        return None
    start = place + _KEY_BYTES
    shift = start - span.start
    end = span.end + shift
    stop = min(known.data_offset + shift + _SLACK_BYTES, size_bytes)
    tail = read(end - _SAMPLE_BYTES, stop) if end < stop else b""
    if tail[:_SAMPLE_BYTES] != content[span.end - _SAMPLE_BYTES : span.end]:
        return None
    whole = head[:start] + content[span.start : span.end] + tail[_SAMPLE_BYTES:]
    return _proven(whole, size_bytes, known, _Span(start, end))


def _vocabulary(header: GgufHeader) -> _Span | None:
    """From the first to the last long array; None where something else than the tokenizer's lies between."""
    keys = list(header.metadata)
    long = [(place, value) for place, value in enumerate(header.metadata.values()) if isinstance(value, SkippedArray)]
    if not long or not all(key.startswith("tokenizer.") for key in keys[long[0][0] : long[-1][0] + 1]):
        return None
    return _Span(long[0][1].start, long[-1][1].end)


def _proven(content: bytes, size_bytes: int, known: GgufHeader, span: _Span) -> bytes | None:
    """`content` up to its end, if it is read without a gap and speaks of the same model and of the whole file."""
    try:
        header = parse_header(io.BytesIO(content), size_bytes, "header")
    except ModelFileError:
        return None
    is_same = (
        header.text("general.architecture") == known.text("general.architecture")
        and _long_arrays(header) == _long_arrays(known)
        and _vocabulary(header) == span
        and len(header.tensors) == len(known.tensors)
        and {tensor.name: tensor.shape for tensor in header.tensors} == {t.name: t.shape for t in known.tensors}
    )
    if not is_same or header.data_offset > len(content) or not _fills(header, size_bytes):
        return None
    return content[: header.data_offset]


def _long_arrays(header: GgufHeader) -> list[tuple[str, SkippedArray]]:
    return [(key, value) for key, value in header.metadata.items() if isinstance(value, SkippedArray)]


def _fills(header: GgufHeader, size_bytes: int) -> bool:
    """Whether the tensors follow each other without a gap, up to the end of the file (filled up or not)."""
    alignment = header.integer("general.alignment") or 32
    end = 0
    for tensor in header.tensors:
        if tensor.offset != -(-end // alignment) * alignment:
            return False
        end = tensor.offset + tensor.size_bytes
    return size_bytes - header.data_offset in (end, -(-end // alignment) * alignment)
