"""Token stamps and telemetry as compact little-endian blobs, and back, exactly."""

from __future__ import annotations

import math
import sys
import typing
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise

from workbench.runs.record import TelemetrySample

_NO_INTEGER = -(2**63)


def pack_stamps(stamps_ns: Sequence[int]) -> bytes:
    """The first stamp, then the differences, each as int64."""
    first = stamps_ns[:1]
    return _to_bytes(array("q", [*first, *(b - a for a, b in pairwise(stamps_ns))]))


def unpack_stamps(blob: bytes) -> tuple[int, ...]:
    return tuple(accumulate(_from_bytes("q", blob)))


def pack_flags(flags: Sequence[bool]) -> bytes:
    """One byte for each flag."""
    return bytes(flags)


def unpack_flags(blob: bytes) -> tuple[bool, ...]:
    return tuple(value != 0 for value in blob)


def _field_kinds() -> dict[str, str]:
    # A number is int64 or float64 by the type that the sample declares.
    hints = typing.get_type_hints(TelemetrySample)
    return {name: "d" if float in (hint, *typing.get_args(hint)) else "q" for name, hint in hints.items()}


def pack_telemetry(samples: Sequence[TelemetrySample]) -> list[tuple[str, bytes]]:
    """One blob for each field that was measured at least once; a sample without it is NaN or -2^63."""
    blobs = []
    for name, kind in _field_kinds().items():
        values = [getattr(sample, name) for sample in samples]
        if any(value is not None for value in values):
            missing = math.nan if kind == "d" else _NO_INTEGER
            blobs.append((name, _to_bytes(array(kind, [missing if v is None else v for v in values]))))
    return blobs


def unpack_telemetry(blobs: Mapping[str, bytes]) -> tuple[TelemetrySample, ...]:
    """The inverse of `pack_telemetry`."""
    kinds = _field_kinds()
    columns = {name: list(_measured(kinds[name], blob)) for name, blob in blobs.items()}
    names = tuple(columns)
    return tuple(TelemetrySample(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True))


def _measured(kind: str, blob: bytes) -> Iterable[float | int | None]:
    for value in _from_bytes(kind, blob):
        yield None if value == _NO_INTEGER or value != value else value


def _to_bytes(values: array[typing.Any]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _from_bytes(kind: str, blob: bytes) -> array[typing.Any]:
    values: array[typing.Any] = array(kind)
    values.frombytes(blob)
    if sys.byteorder == "big":
        values.byteswap()
    return values
