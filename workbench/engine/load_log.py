"""What llama.cpp's log says while it loads: the buffers it reserved, and why it refused.

The C interface reports neither, so these lines are read; what is not recognized is left out, never guessed.
"""

from __future__ import annotations

import re
from typing import Literal

from workbench.errors import ModelFileError, OutOfMemory, WorkbenchError
from workbench.runs.record import MemoryItem
from workbench.units import bytes_text

Purpose = Literal["weights", "kv", "compute", "repacked", "output", "recurrent"]

_MIB = 1024 * 1024
_BUFFER = re.compile(r"(?P<device>\S+)\s+(?P<kind>model|KV|RS|compute|output) buffer size =\s*(?P<size>[\d.]+) MiB")
_PURPOSES: dict[str, Purpose] = {
    "model": "weights", "KV": "kv", "RS": "recurrent", "compute": "compute", "output": "output",
}  # fmt: skip
# "llama_kv_cache: size = 1953.50 MiB (1000192 cells, ...": the sum of a cache's buffers, also of those only planned.
_CACHE = re.compile(r"^(?P<memory>llama_\w+): size =\s*(?P<size>[\d.]+) MiB \(\s*(?P<cells>\d+) cells")
# Debug lines, which only a planning process reads: where a layer's weights and its part of a cache go.
_LAYER = re.compile(r"^load_tensors: layer\s+(\d+) assigned to device ([^,\s]+)")
_CACHE_LAYER = re.compile(r"^llama_\w+[:,] layer\s+\d+: dev = (\S+)")
_HOST = "_Host"
_NO_FLASH = re.compile(r"Flash Attention\b.*\b(?:disabled|not supported)")
# Buffer types in which the CPU back end keeps weights in a layout of its own.
_EXTRA_TYPES = ("_REPACK", "_KLEIDIAI", "AMX", "SPACEMIT")
_OFFLOADED = re.compile(r"offloaded (\d+)/\d+ layers to GPU")
_ARCHITECTURE = re.compile(r"unknown model architecture: '([^']*)'")
_ERROR = re.compile(r"error loading model: (?P<why>.*)$")
_CONTEXT_ERROR = re.compile(r"llama_init_from_model: (?P<why>.*)$")
# "alloc_tensor_range: failed to allocate CUDA0 buffer of size 16777216000", and the same of the allocator of graphs.
_NO_BUFFER = re.compile(r"failed to allocate (?P<device>\S+) buffer of size (?P<size>\d+)")
_MEMORY_WORDS = ("failed to allocate", "unable to allocate", "out of memory", "bad_alloc", "not enough memory")


class LoadLog:
    """Collects lines of one load or of one context creation."""

    def __init__(self) -> None:
        self.offloaded_layers = 0
        self.planned_cache_bytes = 0
        self.planned_cells = 0
        self.is_flash_refused = False
        self.layer_devices: dict[int, str] = {}
        self._cache_layers: list[str] = []
        self._planned: dict[tuple[Purpose, str], int] = {}
        self._sizes: dict[tuple[Purpose, str], int] = {}
        self._lines: list[str] = []

    def read(self, line: str) -> None:
        self._lines.append(line)
        if match := _BUFFER.search(line):
            purpose, device = _PURPOSES[match["kind"]], match["device"]
            if device.endswith(_EXTRA_TYPES):
                purpose, device = "repacked", "CPU"
            key = (purpose, device.removesuffix("_Mapped"))
            self._sizes[key] = self._sizes.get(key, 0) + round(float(match["size"]) * _MIB)
        elif match := _CACHE.search(line):
            self._plan_cache(match)
        elif match := _OFFLOADED.search(line):
            self.offloaded_layers = int(match[1])
        elif match := _LAYER.search(line):
            self.layer_devices[int(match[1])] = match[2]
        elif match := _CACHE_LAYER.search(line):
            self._cache_layers.append(match[1])
        elif _NO_FLASH.search(line):
            self.is_flash_refused = True

    def _plan_cache(self, match: re.Match[str]) -> None:
        """The layers of one cache are equally large, as far as the log tells."""
        size, layers = round(float(match["size"]) * _MIB), self._cache_layers or ["CPU"]
        self.planned_cache_bytes += size
        is_recurrent = "recurrent" in match["memory"]
        # A running state has one place for each sequence, and keeps no books on tokens.
        self.planned_cells += 0 if is_recurrent else int(match["cells"])
        for device in dict.fromkeys(layers):
            key: tuple[Purpose, str] = ("recurrent" if is_recurrent else "kv", device)
            self._planned[key] = self._planned.get(key, 0) + size * layers.count(device) // len(layers)
        self._cache_layers = []

    def has_planned(self, purpose: Purpose) -> bool:
        """Whether there is a buffer for it at all; those of a plan are empty."""
        return any(key[0] == purpose for key in self._sizes)

    def planned_items(self) -> tuple[MemoryItem, ...]:
        """What a planned context would take: caches, compute and output buffers. Memory of the host is "CPU"."""
        sizes = dict(self._planned)
        for (purpose, device), size in self._sizes.items():
            if purpose in ("compute", "output"):
                key = (purpose, "CPU" if device.endswith(_HOST) else device)
                sizes[key] = sizes.get(key, 0) + size
        return tuple(MemoryItem(purpose, device, size) for (purpose, device), size in sizes.items())

    def memory_items(self) -> tuple[MemoryItem, ...]:
        return tuple(MemoryItem(purpose, device, size) for (purpose, device), size in self._sizes.items())

    def _is_memory_failure(self) -> bool:
        return any(word in line for line in self._lines for word in _MEMORY_WORDS)

    def _gpu_lack(self) -> tuple[str, int] | None:
        """The GPU whose buffer could not be made, and its size in bytes."""
        for line in self._lines:
            match = _NO_BUFFER.search(line)
            if match and not match["device"].startswith("CPU"):
                return match["device"], int(match["size"])
        return None

    def weights_error(self, name: str, detail: str) -> WorkbenchError:
        """Why llama.cpp did not load the file."""
        text = "\n".join(self._lines)
        if match := _ARCHITECTURE.search(text):
            return ModelFileError(
                f"{name} has the architecture {match[1]!r}, which this build of llama.cpp does not know. "
                "A newer version of the workbench may.",
                code="architecture_unsupported",
                detail=detail,
            )
        if (lack := self._gpu_lack()) is not None:
            device, size_bytes = lack
            return OutOfMemory(
                f"{device} has no room for {bytes_text(size_bytes)} of the weights of {name}. Put fewer layers on the "
                "GPU, choose a smaller quantization, or close what else uses it.",
                detail=detail,
            )
        if self._is_memory_failure():
            return OutOfMemory(f"There is not enough memory for the weights of {name}.", detail=detail)
        reasons = [match["why"] for line in self._lines if (match := _ERROR.search(line))]
        why = f" It said: {reasons[-1].rstrip('.')}." if reasons else ""
        return ModelFileError(f"llama.cpp cannot load {name}.{why}", detail=detail)

    def context_error(self, context_length: int, detail: str) -> WorkbenchError:
        """Why llama.cpp did not make a context."""
        if (lack := self._gpu_lack()) is not None:
            device, size_bytes = lack
            return OutOfMemory(
                f"{device} has no room for the {bytes_text(size_bytes)} more that a context of {context_length:,} "
                "tokens takes. Choose a shorter one, put fewer layers on the GPU, or close what else uses it.",
                detail=detail,
            )
        if self._is_memory_failure():
            return OutOfMemory(
                f"There is not enough memory for a context of {context_length:,} tokens. Choose a shorter one.",
                detail=detail,
            )
        reasons = [match["why"] for line in self._lines if (match := _CONTEXT_ERROR.search(line))]
        why = f" It said: {reasons[-1].rstrip('.')}." if reasons else ""
        return ModelFileError(
            f"llama.cpp could not make a context of {context_length:,} tokens for this model.{why}",
            code="context_refused",
            detail=detail,
        )
