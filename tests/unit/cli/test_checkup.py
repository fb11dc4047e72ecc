"""The sentences of `workbench doctor` that count things."""

from __future__ import annotations

import pytest

from workbench.cli import checkup
from workbench.core import Knobs, Workbench
from workbench.hardware import Hardware, Machine
from workbench.runs.record import EngineBuild


def sentences(workbench: Workbench) -> list[str]:
    return [finding.text for finding in checkup._stores(workbench)]


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (1, "1 run was interrupted by a crash; its text so far is kept."),
        (1204, "1,204 runs were interrupted by a crash; their text so far is kept."),
    ],
)
def test_interrupted_runs_are_counted_in_words(workbench: Workbench, count: int, says: str) -> None:
    workbench.interrupted_runs = count
    assert says in sentences(workbench)


def test_runs_and_models_are_counted_in_words(workbench: Workbench) -> None:
    assert f"0 runs in {workbench.paths.history_file}" in sentences(workbench)
    models = len(workbench.library.list())
    assert any(text.startswith("1 model: " if models == 1 else f"{models} models: ") for text in sentences(workbench))
    handle = workbench.start_run(workbench.build_spec(Knobs(prompt="hello")), lambda event: None)
    assert handle.wait(10) is not None
    assert f"1 run in {workbench.paths.history_file}" in sentences(workbench)


def test_the_build_is_a_sentence() -> None:
    machine = Machine("Test CPU", 4, 8, 2**34, "Linux", "3.11")
    (finding,) = checkup._build(Hardware(machine, EngineBuild("llama.cpp", ("CPU",), ("AVX2",), ())))
    assert finding.text == "llama.cpp runs on the CPU only; of the CPU's instruction sets it uses AVX2"
