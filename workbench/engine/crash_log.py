"""What the log's last lines say of a child that a GPU's driver ended: llama.cpp aborts on every failure of a GPU."""

from __future__ import annotations

import re

from workbench.errors import EngineCrashed, OutOfMemory, WorkbenchError

# ggml_cuda_error in ggml-cuda.cu, for CUDA, ROCm and MUSA; Vulkan throws the name of a VkResult.
_COMPUTE = re.compile(r"\b(?P<backend>CUDA|ROCm|MUSA) error: (?P<why>[^\n]+)")
_VULKAN = re.compile(r"\bvk::\S+: Error(?P<why>OutOf(?:Device|Host)Memory|DeviceLost)|\b(?P<name>ErrorDeviceLost)\b")
_NO_MEMORY = (
    "The GPU ran out of memory while it computed. Choose a shorter context, put fewer layers on the GPU, or close what "
    "else uses it."
)


def gpu_failure(log_tail: str | None) -> WorkbenchError | None:
    """The failure that the last lines name; None when they name none of a GPU."""
    text = log_tail or ""
    if match := _COMPUTE.search(text):
        if "out of memory" in match["why"]:
            return OutOfMemory(_NO_MEMORY, detail=log_tail)
        return EngineCrashed(
            f"The GPU failed ({match['backend']}: {match['why'].strip()}), and the engine with it.", detail=log_tail
        )
    if match := _VULKAN.search(text):
        if match["why"] and "Memory" in match["why"]:
            return OutOfMemory(_NO_MEMORY, detail=log_tail)
        return EngineCrashed("The GPU failed (Vulkan: device lost), and the engine with it.", detail=log_tail)
    return None
