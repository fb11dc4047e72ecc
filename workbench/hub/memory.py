"""What a model will take of memory, as plain data: reserved and resident, item by item, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Purpose = Literal["weights", "kv", "recurrent", "compute", "output", "repacked", "books", "program"]
Basis = Literal["engine", "arithmetic"]
VerdictKind = Literal["fits", "less_context", "fewer_gpu_layers", "does_not_fit"]


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """Bytes for one purpose on one device ("CPU", "CUDA0"). `reserved` is asked of the system, `resident` is what a
    full context will really touch (docs/memory.md); None where no one can say.
    """

    purpose: Purpose
    device: str
    reserved_bytes: int
    resident_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """The need of one file with one set of engine options. `basis` "engine": llama.cpp itself planned it without
    taking memory; "arithmetic": computed from the header, because llama.cpp does not know the architecture.
    What lies on `shared_devices` (GPUs in the processor) lies in the machine's memory.
    """

    parts: tuple[MemoryPart, ...]
    context_length: int
    kv_type: str
    gpu_layers: int
    basis: Basis
    note: str | None = None
    shared_devices: tuple[str, ...] = ()

    def reserved_bytes(self, purpose: Purpose | None = None, device: str | None = None) -> int:
        return sum(part.reserved_bytes for part in self._chosen(purpose, device))

    def resident_bytes(self, purpose: Purpose | None = None, device: str | None = None) -> int:
        """Counts the reserved bytes of parts whose resident size no one can say."""
        chosen = self._chosen(purpose, device)
        return sum(part.reserved_bytes if part.resident_bytes is None else part.resident_bytes for part in chosen)

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.device for part in self.parts))

    def _chosen(self, purpose: Purpose | None, device: str | None) -> list[MemoryPart]:
        return [p for p in self.parts if purpose in (None, p.purpose) and device in (None, p.device)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it fits into what is free now. `sentence` says it to a person, with the numbers.

    `context_length` is the longest that fits for "less_context", `gpu_layers` the most for "fewer_gpu_layers".
    """

    kind: VerdictKind
    sentence: str
    context_length: int | None = None
    gpu_layers: int | None = None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Memory at one context length."""

    context_length: int
    reserved_bytes: int
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryComparison:
    """Predicted against measured after a load, for one purpose; `error` is relative, positive: predicted too much."""

    purpose: str
    predicted_bytes: int
    measured_bytes: int

    @property
    def error(self) -> float | None:
        return self.predicted_bytes / self.measured_bytes - 1 if self.measured_bytes else None
