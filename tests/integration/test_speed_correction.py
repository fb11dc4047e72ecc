"""Predicted speed of the demo model beside its own real runs: they pull a wrong probe towards what was measured.

The probe's file is made wrong by an exact factor of what the runs measured, so that nothing here depends on how fast or
how busy the machine is.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.core import Knobs, Workbench
from workbench.engine.process import LocalEngine
from workbench.hardware import describe_machine
from workbench.hub.gguf import read_header
from workbench.hub.model_work import ModelWork, work_of
from workbench.hub.speed import USUAL_CONTEXT, USUAL_PROMPT, MachineSpeed, SpeedEstimate, decode_tps, prefill_tps
from workbench.machine_probe import FILE_NAME, MachineProbe
from workbench.probe_readings import ProbeSize
from workbench.runs.record import RunRecord

pytestmark = pytest.mark.usefixtures("real_engine")

RUNS, TOKENS, OFF = 7, 24, 3.0
NO_END = ((0, -1e9), (1, -1e9), (2, -1e9))
# A prompt of some 1,000 tokens: a prediction is for that much in the context.
SENTENCE = "The context holds the prompt and the answer. " * 110
TINY = ProbeSize(weight_bytes=1, prompt_tokens=32, output_tokens=6, repeats=2, long_prompt_tokens=64)
TIMES, RATES = ("token_s", "row_s", "decode_s", "prefill_s"), ("bytes_per_s", "flops")

Predict = Callable[[ModelWork, MachineSpeed], float]
PREDICTIONS: dict[str, Predict] = {
    "tps": lambda work, machine: decode_tps(work, machine, USUAL_CONTEXT),
    "prefill_tps": lambda work, machine: prefill_tps(work, machine, USUAL_PROMPT),
}


@pytest.fixture
def without_runs(tmp_path: Path) -> Iterator[Workbench]:
    opened = Workbench.open(tmp_path / "without-runs")
    yield opened
    opened.close()


@pytest.mark.parametrize("figure", PREDICTIONS)
def test_own_runs_pull_a_wrong_prediction_towards_what_they_measured(
    figure: str, workbench: Workbench, without_runs: Workbench
) -> None:
    records = [ask(workbench, number) for number in range(RUNS)]
    path = Path(records[0].spec.model.path)
    measured = statistics.median(getattr(record.metrics, figure) for record in records)
    for off in (OFF, 1 / OFF):
        for program in (workbench, without_runs):
            write_probe_that_predicts(measured * off, PREDICTIONS[figure], path, program)
        corrected, uncorrected = estimate(workbench, path), estimate(without_runs, path)
        assert f"corrected by {RUNS} earlier runs" in corrected.basis
        assert "not yet corrected" in uncorrected.basis
        assert middle(uncorrected, figure) == pytest.approx(measured * off, rel=0.01)
        assert distance(middle(corrected, figure), measured) < 0.8 * distance(middle(uncorrected, figure), measured)


def ask(workbench: Workbench, number: int) -> RunRecord:
    """A run whose prompt begins like no other, so that all of it is computed."""
    prompt = f"{'abcdefghij'[number]} {SENTENCE}"
    spec = workbench.build_spec(Knobs(prompt=prompt, mode="fast", context_length=2048, max_tokens=TOKENS))
    record = workbench.run(replace(spec, sampling=replace(spec.sampling, logit_bias=NO_END)), lambda event: None)
    assert record.status == "finished", record.error
    assert record.metrics.output_tokens == TOKENS
    assert record.metrics.prompt_tokens is not None
    assert 900 <= record.metrics.prompt_tokens <= 1150
    return record


def estimate(workbench: Workbench, path: Path) -> SpeedEstimate:
    found = workbench.models.speed((path,))
    assert found is not None
    return found


def middle(found: SpeedEstimate, figure: str) -> float:
    low, high = (
        (found.decode_low, found.decode_high) if figure == "tps" else (found.prefill_low, found.prefill_high)
    )  # fmt: skip
    return math.sqrt(low * high)


def distance(one: float, other: float) -> float:
    return abs(math.log(one / other))


def write_probe_that_predicts(tps: float, predict: Predict, path: Path, workbench: Workbench) -> None:
    """A real probe, small and therefore quick, whose every figure is then made slower or faster by one factor."""
    cpu = dict(describe_machine().as_pairs())["cpu"]
    probe = MachineProbe(workbench.paths.cache, cpu, LocalEngine, TINY)
    threads = workbench.settings.current.threads
    machine = probe.known(threads) or probe.measure(threads, types=("F16",))
    work = work_of(read_header(path))
    assert work is not None
    slower = predict(work, machine) / tps
    file = workbench.paths.cache / FILE_NAME
    content = json.loads(file.read_text(encoding="utf-8"))
    content["results"] = [{**kept, "speed": scaled(kept["speed"], slower)} for kept in content["results"]]
    file.write_text(json.dumps(content), encoding="utf-8")


def scaled(value: Any, slower: float, name: str = "") -> Any:
    """The result of a machine on which everything takes so many times as long."""
    if isinstance(value, dict):
        return {key: scaled(part, slower, key) for key, part in value.items()}
    if isinstance(value, list):
        return [scaled(part, slower, name) for part in value]
    if name in TIMES:
        return value * slower
    return value / slower if name in RATES else value
