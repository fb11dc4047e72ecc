"""What llama.cpp's log says while it loads: the buffers it reserved, and why it refused.

The C interface reports neither, so these lines are read; what is not recognized is left out, never guessed.
"""

from __future__ import annotations

import re
from typing import Literal

from workbench.errors import ModelFileError, OutOfMemory, WorkbenchError
from workbench.runs.record import MemoryItem

Purpose = Literal["weights", "kv", "compute", "repacked", "output", "recurrent"]

_MIB = 1024 * 1024
_BUFFER = re.compile(r"(?P<device>\S+)\s+(?P<kind>model|KV|RS|compute|output) buffer size =\s*(?P<size>[\d.]+) MiB")
_PURPOSES: dict[str, Purpose] = {
    "model": "weights", "KV": "kv", "RS": "recurrent", "compute": "compute", "output": "output",
}  # fmt: skip
# "llama_kv_cache: size = 1953.50 MiB (1000192 cells, ...": the sum of a cache's buffers, also of those only planned.
_CACHE = re.compile(r"^llama_\w+: size =\s*(?P<size>[\d.]+) MiB \(")
_OFFLOADED = re.compile(r"offloaded (\d+)/\d+ layers to GPU")
_ARCHITECTURE = re.compile(r"unknown model architecture: '([^']*)'")
_ERROR = re.compile(r"error loading model: (?P<why>.*)$")
_CONTEXT_ERROR = re.compile(r"llama_init_from_model: (?P<why>.*)$")
_MEMORY_WORDS = ("failed to allocate", "unable to allocate", "out of memory", "bad_alloc", "not enough memory")


class LoadLog:
    """Collects lines of one load or of one context creation."""

    def __init__(self) -> None:
        self.offloaded_layers = 0
        self.planned_cache_bytes = 0
        self._sizes: dict[tuple[Purpose, str], int] = {}
        self._lines: list[str] = []

    def read(self, line: str) -> None:
        self._lines.append(line)
        if match := _BUFFER.search(line):
            purpose, device = _PURPOSES[match["kind"]], match["device"]
            if device.endswith("_REPACK"):
                purpose, device = "repacked", device.removesuffix("_REPACK")
            key = (purpose, device.removesuffix("_Mapped"))
            self._sizes[key] = self._sizes.get(key, 0) + round(float(match["size"]) * _MIB)
        elif match := _CACHE.search(line):
            self.planned_cache_bytes += round(float(match["size"]) * _MIB)
        elif match := _OFFLOADED.search(line):
            self.offloaded_layers = int(match[1])

    def memory_items(self) -> tuple[MemoryItem, ...]:
        return tuple(MemoryItem(purpose, device, size) for (purpose, device), size in self._sizes.items())

    def _is_memory_failure(self) -> bool:
        return any(word in line for line in self._lines for word in _MEMORY_WORDS)

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
        if self._is_memory_failure():
            return OutOfMemory(f"There is not enough memory for the weights of {name}.", detail=detail)
        reasons = [match["why"] for line in self._lines if (match := _ERROR.search(line))]
        why = f" It said: {reasons[-1].rstrip('.')}." if reasons else ""
        return ModelFileError(f"llama.cpp cannot load {name}.{why}", detail=detail)

    def context_error(self, context_length: int, detail: str) -> WorkbenchError:
        """Why llama.cpp did not make a context."""
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
