"""What the Models page says of a model that lies on several devices."""

from __future__ import annotations

from dataclasses import replace

from ui.state.models_fit import fit_figures
from workbench.hub.memory import MemoryEstimate, MemoryPart, Verdict

GB = 1000**3
PARTS = (
    MemoryPart("weights", "CPU", GB, GB),
    MemoryPart("weights", "CUDA0", 9 * GB, 9 * GB),
    MemoryPart("kv", "CUDA0", 2 * GB, 2 * GB),
    MemoryPart("weights", "CUDA1", 4 * GB, 4 * GB),
)
ESTIMATE = MemoryEstimate(PARTS, 8192, "f16", 40, "engine")


def test_every_device_has_its_sum() -> None:
    tip = fit_figures(ESTIMATE, Verdict("fits", "Fits."), 64 * GB).tip
    assert "On CPU: 1.00 GB in all\nOn CUDA0: 11.0 GB in all\nOn CUDA1: 4.00 GB in all" in tip
    assert "Weights, CUDA1: 4.00 GB" in tip


def test_a_gpu_in_the_processor_is_said_to_share_the_memory() -> None:
    tip = fit_figures(replace(ESTIMATE, shared_devices=("CUDA1",)), None, 64 * GB).tip
    assert "On CUDA1, in the machine's memory: 4.00 GB in all" in tip


def test_one_device_needs_no_sum() -> None:
    alone = MemoryEstimate(PARTS[:1], 8192, "f16", 0, "engine")
    assert "in all" not in fit_figures(alone, None, 64 * GB).tip
