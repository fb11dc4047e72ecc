"""A GPU that fails or is not there, with real children whose llama.cpp is made to say so: no GPU is needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.engine.asking import Asker, request
from workbench.engine import api
from workbench.engine.child import _environment
from workbench.engine.process import LocalEngine
from workbench.errors import SpecError

# llama.cpp's back end for CUDA writes this and aborts; the first steps succeed.
RUNS_OUT = """
import os
from workbench.engine import context, worker
steps, decode = [], context.Context.decode
def fail(self):
    steps.append(1)
    if len(steps) > 3:
        os.write(2, b"CUDA error: {why}\\n  current device: 0, in function alloc at ggml-cuda.cu:518\\n")
        os.abort()
    return decode(self)
context.Context.decode = fail
worker.main()
"""
TWO_GPUS = """
from workbench.engine import llama, worker
from workbench.runs.record import DeviceDescription
found = llama.list_devices()
gpus = tuple(DeviceDescription(f"CUDA{i}", "made up", "gpu", 10**9, 10**9) for i in range(2))
llama.list_devices = lambda: (*gpus, *found)
worker.main()
"""


@pytest.fixture
def engine_of(tmp_path: Path) -> Iterator[Callable[[str], LocalEngine]]:
    """An engine whose children run this script first."""
    made: list[LocalEngine] = []

    def make(code: str) -> LocalEngine:
        script = tmp_path / "worker.py"
        script.write_text(code)
        made.append(LocalEngine(command=(sys.executable, "-P", str(script))))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.mark.parametrize(
    ("why", "code", "words"),
    [
        ("out of memory", "out_of_memory", "The GPU ran out of memory while it computed."),
        ("unspecified launch failure", "engine_crashed", "The GPU failed (CUDA: unspecified launch failure)"),
    ],
)
def test_a_gpu_that_fails_during_a_run_is_a_sentence_and_the_next_load_works(
    engine_of: Callable[[str], LocalEngine], demo: Path, why: str, code: str, words: str
) -> None:
    asker = Asker(engine_of(RUNS_OUT.format(why=why)))
    asker.load(demo)
    (answer,) = asker.run([request("What is a token?", max_tokens=50)])
    assert isinstance(answer.end, api.RequestFailed)
    assert answer.end.code == code
    assert answer.end.message.startswith(words)
    assert asker.load(demo).reused == "nothing"


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_loaded(
    engine_of: Callable[[str], LocalEngine], demo: Path
) -> None:
    asker = Asker(engine_of(TWO_GPUS))
    with pytest.raises(SpecError, match=r"main_gpu is 2; GPUs count from 0. There are CUDA0, CUDA1\."):
        asker.load(demo, split_mode="none", main_gpu=2)
    with pytest.raises(SpecError, match="tensor_split has 3 shares"):
        asker.load(demo, tensor_split=(1.0, 1.0, 1.0))
    assert asker.load(demo, split_mode="row", main_gpu=1, tensor_split=(3.0, 1.0), gpu_layers=0).gpu_layers == 0


def test_cuda_counts_gpus_as_other_tools_do_unless_the_person_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert _environment()["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert _environment()["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"
