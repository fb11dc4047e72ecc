"""What a hostile header or an absurd wish must not cost: memory, time, or a figure that means nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.errors import SpecError
from workbench.hub.client import HubClient
from workbench.hub.fit import MemoryFit
from workbench.hub.fit_arithmetic import from_headers
from workbench.hub.gguf import read_header
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.spec import EngineOptions

DEMO = Path(__file__).resolve().parents[3] / "assets" / "models" / "demo-F16.gguf"


class NoPlanner:
    build = "none"

    def __call__(self, path: Path, options: object, cancel: object = None) -> tuple[MemoryPlan, ...]:
        raise AssertionError("nothing was to be planned")


def test_billions_of_layers_cost_neither_memory_nor_time() -> None:
    header = read_header(DEMO)
    huge = replace(header, metadata={**header.metadata, "llama.block_count": 2**31})
    start = time.perf_counter()
    from_headers([huge], EngineOptions(), "llama.cpp was not asked.")
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "options",
    [EngineOptions(context_length=-5), EngineOptions(context_length=10**20), EngineOptions(kv_type_k="zz")],
)
def test_options_that_no_run_could_have_are_refused(tmp_path: Path, options: EngineOptions) -> None:
    fit = MemoryFit(HubClient(), NoPlanner(), tmp_path)
    with pytest.raises(SpecError):
        fit.estimate((DEMO,), options)
