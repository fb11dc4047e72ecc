"""What waits for runs: measuring the machine, and comparing memory with its prediction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.scripted_engine import Script, ScriptedEngine
from workbench.core import Knobs, RunHandle, Workbench
from workbench.engine.process import LocalEngine
from workbench.errors import UserError
from workbench.history.model_figures import MemoryCheck
from workbench.history.store import HistoryStore
from workbench.hub.speed import MachineSpeed
from workbench.machine_probe import MachineProbe
from workbench.probe_readings import ProbeSize

LONG = ProbeSize(weight_bytes=1, prompt_tokens=32, output_tokens=2000, repeats=30, long_prompt_tokens=64)
TINY = ProbeSize(weight_bytes=1, prompt_tokens=32, output_tokens=6, repeats=2, long_prompt_tokens=64, limit_s=0)


@pytest.fixture
def started(workbench: Workbench, engine: ScriptedEngine) -> Iterator[list[RunHandle]]:
    """Runs that are cancelled after the test."""
    engine.scripts = [Script(words=["a "] * 5000, itl_ms=5, real_time=True)]
    handles: list[RunHandle] = []
    yield handles
    for handle in handles:
        handle.cancel()
        assert handle.wait(10) is not None


def begin(workbench: Workbench, started: list[RunHandle]) -> None:
    started.append(workbench.start_run(workbench.build_spec(Knobs(prompt="hello")), lambda event: None))


def probe_with(workbench: Workbench, size: ProbeSize) -> None:
    workbench.models._probe = MachineProbe(workbench.paths.cache, "Test", LocalEngine, size)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_first_measuring_is_put_off_while_a_run_goes_on(workbench: Workbench, started: list[RunHandle]) -> None:
    probe_with(workbench, TINY)
    begin(workbench, started)
    wait_for(lambda: workbench.models.is_busy)
    source = (Path(workbench.library.list()[0].files[0].path),)
    with pytest.raises(UserError) as caught:
        workbench.models.speed(source)
    assert caught.value.code == "run_going_on"
    assert workbench.models.machine_speed(measure=False) is None
    started[0].cancel()
    assert started[0].wait(10) is not None
    wait_for(lambda: not workbench.models.is_busy)
    assert workbench.models.speed(source) is not None


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_a_run_that_begins_ends_the_measuring_within_a_moment(
    workbench: Workbench, started: list[RunHandle], is_asked_for: bool
) -> None:
    probe_with(workbench, LONG)
    models = workbench.models
    ended: list[tuple[MachineSpeed | None, str, float]] = []

    def measure() -> None:
        try:
            speed = models.measure_machine() if is_asked_for else models.machine_speed()
            ended.append((speed, "", time.monotonic()))
        except UserError as error:
            ended.append((None, error.code or "", time.monotonic()))

    thread = threading.Thread(target=measure)
    thread.start()
    wait_for(lambda: models._measuring is not None)
    time.sleep(0.3)
    began = time.monotonic()
    begin(workbench, started)
    thread.join(20)
    ((speed, code, at),) = ended
    assert (speed, code) == (None, "run_going_on")
    assert at - began < 3.0
    assert models.machine_speed(measure=False) is None


def test_memory_is_compared_once_nobody_runs(
    workbench: Workbench, engine: ScriptedEngine, started: list[RunHandle]
) -> None:
    scripts = engine.scripts
    engine.scripts = [Script(words=["a"])]
    record = workbench.run(workbench.build_spec(Knobs(prompt="hello")), lambda event: None)
    engine.scripts = scripts
    begin(workbench, started)
    wait_for(lambda: workbench.models.is_busy)
    workbench.models.check_memory(record)
    assert checks(workbench) == ()
    started[0].cancel()
    assert started[0].wait(10) is not None
    wait_for(lambda: not workbench.models.is_busy)
    for _ in range(2):
        workbench.models.check_memory(record)
    assert len(checks(workbench)) == 1, "once for a load"


def test_a_comparison_under_way_is_finished_before_the_end(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["a"])]
    spec = workbench.build_spec(Knobs(prompt="hello"))
    workbench.run(spec, lambda event: None)
    workbench.check_memory_of_loads()
    workbench.run(spec, lambda event: None)
    workbench.close(finish_checks_s=10)
    assert len(checks(workbench)) == 1, "only what ran after it was asked for"


def test_a_comparison_is_given_up_where_nobody_waits_for_it(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["a"])]
    workbench.check_memory_of_loads()
    workbench.run(workbench.build_spec(Knobs(prompt="hello")), lambda event: None)
    began = time.monotonic()
    workbench.close()
    assert time.monotonic() - began < 2.0


def test_checks_are_found_by_content_where_the_file_has_moved(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["a"])]
    record = workbench.run(workbench.build_spec(Knobs(prompt="hello")), lambda event: None)
    workbench.models.check_memory(record)
    sha256 = record.spec.model.sha256
    assert sha256 is not None
    assert workbench.models.memory_checks(Path("/elsewhere.gguf")) == ()
    assert workbench.models.memory_checks(Path("/elsewhere.gguf"), sha256) == checks(workbench)


def checks(workbench: Workbench) -> tuple[MemoryCheck, ...]:
    with closing(HistoryStore(workbench.paths.history_file)) as history:
        return history.memory_checks(workbench.library.list()[0].files[0].path)
