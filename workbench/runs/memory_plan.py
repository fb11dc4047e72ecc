"""What llama.cpp would take of memory for a model and a context, as its planning process reports it."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.runs.record import MemoryItem


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The answer for one set of engine options. `items` are what a load would reserve, by purpose and device.

    `cells` are the places for a token that all caches together have; `layers` counts the model's layers, the output
    layer included. `scores_bytes` is what the CPU takes in passing for attention scores where flash attention is off.
    `program_bytes` is what the planning process itself held once it had read the vocabulary and made
    a context, which a real load holds too; None: not measured. `refused` says why there is no such context; `items`
    are those of the weights then. What lies on `shared_devices` lies in the machine's memory.
    """

    items: tuple[MemoryItem, ...]
    gpu_layers: int
    layers: int
    cells: int = 0
    scores_bytes: int = 0
    program_bytes: int | None = None
    refused: str | None = None
    shared_devices: tuple[str, ...] = ()
