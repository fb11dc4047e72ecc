"""Whole runs through the real core and the real history, on an engine with known token times."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.scripted_engine import Script, ScriptedEngine
from workbench.core import Knobs, Workbench
from workbench.errors import EngineCrashed, ModelFileError, ModelNotFound, SpecError, StorageFull
from workbench.runs import events
from workbench.runs.record import Dropped, RunRecord
from workbench.runs.spec import EngineOptions, Message, Placement, RunSpec, from_json, to_json


def run(workbench: Workbench, **knobs: object) -> tuple[RunRecord, list[events.RunEvent]]:
    seen: list[events.RunEvent] = []
    spec = workbench.build_spec(Knobs(**{"prompt": "hello", "mode": "fast", **knobs}))  # type: ignore[arg-type]
    return workbench.run(spec, seen.append), seen


def test_figures_are_exactly_the_scripted_ones(workbench: Workbench, engine: ScriptedEngine) -> None:
    # product.md's example: 20 tokens, TTFT 500 ms, 25 ms each; 40.0 tok/s while decoding.
    engine.scripts = [Script(words=["w "] * 20, prefill_ms=500.0, itl_ms=25.0, prompt_tokens=100, cached_tokens=20)]
    record, _ = run(workbench)
    metrics = record.metrics
    assert record.status == "finished"
    assert metrics.tps == pytest.approx(40.0)
    assert metrics.tpot_ms == pytest.approx(25.0)
    assert metrics.itl_ms == (25.0,) * 19
    assert metrics.prefill_tps == pytest.approx(160.0)
    assert (metrics.prompt_tokens, metrics.cached_tokens, metrics.output_tokens) == (100, 20, 20)
    # The script's clock starts when the engine takes the request; handing over takes a moment of real time.
    assert metrics.ttft_ms == pytest.approx(500.0, abs=50)
    assert metrics.ttlt_ms == pytest.approx(975.0, abs=50)
    assert metrics.e2e_tps == pytest.approx(20 / 0.975, rel=0.06)


def test_history_gives_back_the_record_that_was_delivered(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(thoughts=["hm", " ok"], words=["4", "2"])]
    record, seen = run(workbench, mode="thoughtful")
    assert isinstance(seen[-1], events.Finished)
    stored = workbench.history.get(record.id)
    assert stored == record
    assert (stored.text, stored.thinking) == ("42", "hm ok")
    assert stored.metrics.thinking_tokens == 2
    assert stored.spec.model.sha256 is not None
    assert len(stored.spec.model.sha256) == 64


def test_the_row_exists_before_the_engine_is_asked(workbench: Workbench, engine: ScriptedEngine) -> None:
    rows: list[str] = []
    load = engine.load

    def spying_load(*args: object, **kwargs: object) -> object:
        rows.extend(row.status for row in workbench.history.list())
        return load(*args, **kwargs)  # type: ignore[arg-type]

    engine.load = spying_load  # type: ignore[method-assign,assignment]
    run(workbench)
    assert rows == ["running"]


def test_exactly_one_terminal_event_ends_every_run(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(), Script(error=EngineCrashed("gone"), fail_after=1)]
    for _ in range(2):
        _, seen = run(workbench)
        terminals = [event for event in seen if isinstance(event, events.TERMINAL)]
        assert len(terminals) == 1
        assert seen[-1] is terminals[0]


def test_failure_keeps_the_text_and_says_why(workbench: Workbench, engine: ScriptedEngine) -> None:
    died = EngineCrashed("it died", detail="log")
    engine.scripts = [Script(words=["one ", "two ", "three"], fail_after=2, error=died)]
    record, seen = run(workbench)
    assert isinstance(seen[-1], events.Failed)
    assert record.text == "one two "
    assert record.error is not None
    assert (record.error.code, record.error.message, record.error.detail) == ("engine_crashed", "it died", "log")
    assert workbench.history.get(record.id).error == record.error


def test_a_load_that_fails_fails_the_run(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.load_error = ModelFileError("not a GGUF file")
    record, _ = run(workbench)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.code == "model_file_invalid"
    assert workbench.engine_state.status == "failed"


def test_cancel_while_decoding_keeps_the_partial_text(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["w "] * 2000, prefill_ms=5, itl_ms=10, real_time=True)]
    streaming = threading.Event()
    spec = workbench.build_spec(Knobs(prompt="hello", mode="fast"))
    handle = workbench.start_run(spec, lambda event: isinstance(event, events.TokensReceived) and streaming.set())
    assert streaming.wait(5)
    handle.cancel()
    record = handle.wait(5)
    assert record is not None
    assert (record.status, record.cancelled_by) == ("cancelled", "flag")
    assert record.text.startswith("w ")
    assert workbench.history.get(record.id).status == "cancelled"


def test_cancel_of_a_queued_run_never_reaches_the_engine(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["w "] * 50, prefill_ms=5, itl_ms=10, real_time=True)]
    spec = workbench.build_spec(Knobs(prompt="hello", mode="fast"))
    first = workbench.start_run(spec, lambda event: None)
    second = workbench.start_run(spec, lambda event: None)
    second.cancel()
    records = first.wait(5), second.wait(5)
    assert [record.status for record in records if record] == ["finished", "cancelled"]
    assert len(engine.requests) == 1


def test_closing_during_a_run_ends_it_as_cancelled(workbench_home: Path) -> None:
    engine = ScriptedEngine([Script(words=["w "] * 5000, prefill_ms=5, itl_ms=10, real_time=True)])
    workbench = Workbench.open(make_engine=lambda paths, settings: engine)
    streaming = threading.Event()
    spec = workbench.build_spec(Knobs(prompt="hello", mode="fast"))
    handle = workbench.start_run(spec, lambda event: isinstance(event, events.TokensReceived) and streaming.set())
    assert streaming.wait(5)
    workbench.close()
    again = Workbench.open(make_engine=lambda paths, settings: engine)
    try:
        assert again.history.get(handle.run_id).status == "cancelled"
    finally:
        again.close()


def test_vote_takes_the_majority(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=[word]) for word in ("41", "42", "42", "17", "42")]
    record, _ = run(workbench, mode="vote")
    assert record.text == "42"
    assert len(record.passes) == 5
    assert record.note is not None
    assert "3 of 5" in record.note
    assert [request.sampling.seed for request in engine.requests] == [7, 8, 9, 10, 11]


def test_refine_shows_the_revision_and_keeps_the_draft(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["draft"]), Script(words=["better"])]
    record, seen = run(workbench, mode="draft-then-refine")
    assert record.text == "better"
    assert [item.text for item in record.passes] == ["draft", "better"]
    started = [event for event in seen if isinstance(event, events.PassStarted)]
    assert [event.visible for event in started] == [False, True]
    assert record.metrics.output_tokens == 2


def test_what_was_dropped_is_in_the_record(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(dropped=Dropped("drop_oldest", 120, 2, "2 turns"))]
    record, _ = run(workbench, overflow="drop_oldest")
    assert record.dropped_tokens == 120


def test_three_cost_estimates_are_there_and_apart(workbench: Workbench) -> None:
    record, _ = run(workbench)
    assert [cost.kind for cost in record.costs] == ["api", "gpu", "electricity"]
    api, gpu, electricity = record.costs
    assert api.usd is not None
    assert api.price_date
    assert gpu.usd is not None
    assert electricity.usd is None
    assert electricity.reason


def test_a_full_disk_does_not_take_the_answer_away(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(record: RunRecord) -> None:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(workbench.history, "open_run", full)
    monkeypatch.setattr(workbench.history, "close_run", full)
    record, _ = run(workbench)
    assert record.status == "finished"
    assert record.text == "Hello world."
    assert record.note is not None
    assert "not in the history" in record.note


def test_a_sink_that_fails_stops_the_run_and_not_the_program(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["w "] * 2000, prefill_ms=1, itl_ms=10, real_time=True)]

    def broken_pipe(event: events.RunEvent) -> None:
        if isinstance(event, events.TokensReceived):
            raise BrokenPipeError

    spec = workbench.build_spec(Knobs(prompt="hello", mode="fast"))
    record = workbench.start_run(spec, broken_pipe).wait(5)
    assert record is not None
    assert record.status == "cancelled"


def test_unknown_model_and_mode_are_sentences(workbench: Workbench) -> None:
    with pytest.raises(ModelNotFound, match="no-such-model"):
        workbench.build_spec(Knobs(prompt="x", model="no-such-model"))
    with pytest.raises(SpecError, match="context_length"):
        workbench.build_spec(Knobs(prompt="x", context_length=1))


def test_changes_are_explained_before_they_are_applied(workbench: Workbench) -> None:
    spec = workbench.build_spec(Knobs(prompt="x", quantization="F16", context_length=1024))
    assert workbench.explain_change(None, spec).kind == "start"
    workbench.run(spec, lambda event: None)
    same = replace(spec, messages=(Message("user", "other"),), sampling=replace(spec.sampling, temperature=0.0))
    assert workbench.explain_change(None, same).kind == "nothing"
    longer = replace(spec, engine=EngineOptions(context_length=2048))
    assert workbench.explain_change(None, longer).kind == "new_context"
    threads = replace(spec, engine=replace(spec.engine, threads=1))
    assert workbench.explain_change(None, threads).kind == "threads"
    other = workbench.build_spec(Knobs(prompt="x", quantization="Q8_0", context_length=1024))
    assert workbench.explain_change(None, other).kind == "new_weights"
    alone = replace(spec, engine=replace(spec.engine, split_mode="none", main_gpu=1))
    cost = workbench.explain_change(None, alone)
    assert cost.kind == "new_weights"
    assert "again, to share them over the GPUs otherwise" in cost.text


def test_the_placement_on_several_gpus_is_part_of_the_spec_and_its_row(workbench: Workbench) -> None:
    placement = Placement("row", 1, (3.0, 1.0))
    spec = workbench.build_spec(Knobs(prompt="x", placement=placement))
    assert spec.engine.placement == placement
    record = workbench.run(spec, lambda event: None)
    assert workbench.history.get(record.id).spec.engine.placement == placement
    with pytest.raises(SpecError, match="a share of tensor_split is -1"):
        workbench.build_spec(Knobs(prompt="x", placement=Placement("layer", 0, (-1.0, 1.0))))
    with pytest.raises(SpecError, match="main_gpu is 99"):
        workbench.build_spec(Knobs(prompt="x", placement=Placement("none", 99)))


def test_spec_of_a_stored_run_can_be_run_again(workbench: Workbench) -> None:
    record, _ = run(workbench)
    spec = from_json(RunSpec, to_json(workbench.history.get(record.id).spec))
    again = workbench.run(spec, lambda event: None)
    assert again.status == "finished"
    assert again.spec == record.spec


def test_a_run_that_could_not_be_kept_says_so_and_closing_tries_once_more(
    workbench_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbench = Workbench.open(make_engine=lambda paths, settings: ScriptedEngine())
    close_run = workbench.history.close_run

    def full(record: RunRecord) -> None:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(workbench.history, "close_run", full)
    record, _ = run(workbench)
    assert (record.status, record.note) == ("finished", "This run is not in the history: The disk is full.")
    assert not workbench.is_stored(record.id)
    monkeypatch.setattr(workbench.history, "close_run", close_run)
    workbench.close()
    again = Workbench.open(make_engine=lambda paths, settings: ScriptedEngine())
    assert again.history.get(record.id).text == record.text
    again.close()


def test_closing_and_opening_on_a_full_disk_raise_nothing(
    workbench_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise StorageFull("The disk is full.")

    workbench = Workbench.open(make_engine=lambda paths, settings: ScriptedEngine())
    for name in ("close_run", "_interrupt", "purge_deleted", "remember_model_hash"):
        monkeypatch.setattr(workbench.history, name, full)
    record, _ = run(workbench)
    workbench.close()
    monkeypatch.setattr("workbench.history.store.HistoryStore.mark_interrupted", full)
    again = Workbench.open(make_engine=lambda paths, settings: ScriptedEngine())
    assert any("The disk is full." in sentence for sentence in again.start_problems)
    assert again.history.get(record.id).status == "running"
    again.close()


def test_what_only_the_first_write_lost_is_no_note(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(record: RunRecord) -> None:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(workbench.history, "open_run", full)
    record, _ = run(workbench)
    assert record.note is None
    assert workbench.history.get(record.id).text == record.text
