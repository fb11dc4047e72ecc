"""On which device the weights of a planned model would lie: llama.cpp's log has no sizes in a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from workbench.runs.record import MemoryItem

_CPU = "CPU"
_INPUT, _OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a tensor lies in its file, in bytes."""

    start: int
    size_bytes: int


def weight_items(
    tensors: Mapping[str, Extent],
    layers: Mapping[int, str],
    copied: Collection[str],
    *,
    is_mapped: bool,
    is_split: bool = False,
) -> tuple[MemoryItem, ...]:
    """`layers` are devices by layer, the last one of the output; `copied` are the tensors that the CPU repacks.

    `copied` may hold the input's matrix, where it serves as the output too: then it is kept as it is besides.
    """
    by_device: dict[str, dict[str, Extent]] = {}
    for name, tensor in tensors.items():
        by_device.setdefault(_device_of(name, layers), {})[name] = tensor
    sizes = {device: _sum(found.values()) for device, found in by_device.items()}
    output_device = layers.get(max(layers, default=0), _CPU)
    if _OUTPUT not in tensors and _INPUT in tensors and output_device != _CPU:
        sizes[output_device] = sizes.get(output_device, 0) + tensors[_INPUT].size_bytes
    on_cpu = by_device.get(_CPU, {})
    if on_cpu:
        sizes[_CPU] = _cpu_bytes(on_cpu, copied, is_mapped, is_split)
    repacked = _sum(tensor for name, tensor in on_cpu.items() if name in copied)
    items = [MemoryItem("weights", device, size) for device, size in sizes.items() if size]
    return (*items, *([MemoryItem("repacked", _CPU, repacked)] if repacked else []))


def _device_of(name: str, layers: Mapping[int, str]) -> str:
    """Tensors of blocks lie with their layer, those of the output with the last; the input stays on the CPU."""
    parts = name.split(".")
    if parts[0] == "blk" and len(parts) > 1 and parts[1].isdigit():
        return layers.get(int(parts[1]), _CPU)
    return layers.get(max(layers, default=0), _CPU) if parts[0].startswith("output") else _CPU


def _cpu_bytes(on_cpu: Mapping[str, Extent], copied: Collection[str], is_mapped: bool, is_split: bool) -> int:
    kept = [tensor for name, tensor in on_cpu.items() if name not in copied or name == _INPUT]
    if not is_mapped:
        return _sum(kept)
    if is_split:
        # Places count from the beginning of each part, so that there is no one range.
        return _sum(on_cpu.values())
    if not kept:
        return 0
    # llama.cpp keeps the file mapped from the first to the last tensor that is used where it lies.
    return max(tensor.start + tensor.size_bytes for tensor in kept) - min(tensor.start for tensor in kept)


def _sum(tensors: Iterable[Extent]) -> int:
    return sum(tensor.size_bytes for tensor in tensors)
