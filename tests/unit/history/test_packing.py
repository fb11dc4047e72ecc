from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from workbench.history.packing import (
    pack_flags,
    pack_stamps,
    pack_telemetry,
    unpack_flags,
    unpack_stamps,
    unpack_telemetry,
)
from workbench.runs.record import TelemetrySample

STAMPS = st.lists(st.integers(0, 2**63 - 1)).map(lambda values: tuple(sorted(values)))
BYTES = st.none() | st.integers(0, 2**62)
FIGURES = st.none() | st.floats(allow_nan=False)


@given(STAMPS)
def test_stamps_come_back_exactly(stamps: tuple[int, ...]) -> None:
    assert unpack_stamps(pack_stamps(stamps)) == stamps


@given(st.lists(st.booleans()).map(tuple))
def test_flags_come_back(flags: tuple[bool, ...]) -> None:
    assert unpack_flags(pack_flags(flags)) == flags


def test_stamps_are_little_endian_differences() -> None:
    assert pack_stamps((1000, 1003, 1010)) == struct.pack("<qqq", 1000, 3, 7)


@given(
    st.lists(
        st.builds(
            TelemetrySample,
            t_ns=st.integers(0, 2**62),
            engine_resident_bytes=BYTES,
            engine_cpu_percent=FIGURES,
            gpu_memory_used_bytes=BYTES,
            cpu_power_w=FIGURES,
        )
    ).map(tuple)
)
def test_telemetry_comes_back_with_its_gaps(samples: tuple[TelemetrySample, ...]) -> None:
    assert unpack_telemetry(dict(pack_telemetry(samples))) == samples


def test_fields_never_measured_take_no_room() -> None:
    assert [name for name, _ in pack_telemetry([TelemetrySample(t_ns=1)])] == ["t_ns"]
