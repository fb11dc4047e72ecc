"""The closing table and the JSON object of runs of the scripted engine, whose every figure is known."""

from __future__ import annotations

import json

import pytest

from tests.fakes.scripted_engine import Script, ScriptedEngine
from workbench.cli import figures, json_output
from workbench.cli.closing import verdicts
from workbench.core import Knobs, Workbench
from workbench.errors import EngineCrashed, ModelNotFound
from workbench.runs.record import Dropped, RunRecord


def record_of(workbench: Workbench, **knobs: object) -> RunRecord:
    spec = workbench.build_spec(Knobs(**{"prompt": "hello", "mode": "fast", **knobs}))  # type: ignore[arg-type]
    return workbench.run(spec, lambda event: None)


def rows_of(workbench: Workbench, record: RunRecord) -> dict[str, figures.Row]:
    return {row.name: row for row in figures.closing_rows(record, verdicts(workbench, record))}


def test_the_table_shows_the_scripted_figures(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [
        Script(thoughts=["hm "] * 5, words=["w "] * 15, prefill_ms=100, itl_ms=25, prompt_tokens=100, cached_tokens=20)
    ]
    rows = rows_of(workbench, record_of(workbench, mode="thoughtful"))
    assert rows["TPS"].value == "40.0 tok/s"
    assert rows["Prefill"].value == "800 tok/s"
    assert rows["ITL p50 / p95 / p99"].value == "25 ms / 25 ms / —"
    assert "19 samples" in rows["ITL p50 / p95 / p99"].remark
    assert (rows["Prompt"].value, rows["Prompt"].remark) == ("100 tokens", "20 cached")
    assert (rows["Output"].value, rows["Output"].remark) == ("20 tokens", "5 thinking, the model ended")
    assert rows["TTFT"].verdict == "good"
    assert "within" in rows["TTFT"].remark
    assert rows["Memory reserved"].value == "12.0 MB"
    assert rows["Memory reserved"].remark == "weights 8.00 MB, KV 4.00 MB"
    assert rows["Cold start"].value == "330 ms"


def test_p99_is_shown_from_a_hundred_samples_on(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["w "] * 101, itl_ms=10)]
    rows = rows_of(workbench, record_of(workbench))
    assert rows["ITL p50 / p95 / p99"].value == "10 ms / 10 ms / 10 ms"


def test_a_budget_that_is_not_met_is_said_in_words(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(prefill_ms=680)]
    row = rows_of(workbench, record_of(workbench))["TTFT"]
    assert row.verdict == "bad"
    assert row.remark.startswith("over by ")


def test_three_estimates_are_labelled_and_what_is_not_measured_is_a_dash(workbench: Workbench) -> None:
    rows = rows_of(workbench, record_of(workbench))
    costs = [row for name, row in rows.items() if name.startswith("Cost")]
    assert len(costs) == 3
    assert all("estimated" in row.name for row in costs)
    assert rows["Cost, here (estimated)"].value == "—"
    assert rows["Cost, here (estimated)"].remark


def test_a_warm_run_has_no_cold_start(workbench: Workbench) -> None:
    record_of(workbench)
    row = rows_of(workbench, record_of(workbench))["Cold start"]
    assert (row.value, row.remark) == ("—", "everything was warm")


def test_what_was_cut_is_a_notice(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(dropped=Dropped("drop_oldest", 1204, 2, "2 turns, 1,204 tokens"), reason="length")]
    found = figures.notices(record_of(workbench, overflow="drop_oldest"))
    assert "Text was cut (drop_oldest): 2 turns, 1,204 tokens" in found
    assert any("not complete" in notice for notice in found)


def test_json_of_a_finished_run_is_exact(workbench: Workbench, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(thoughts=["hm"], words=["4", "2"], prefill_ms=100, itl_ms=25)]
    found = json_output.run_object(record_of(workbench, mode="thoughtful"))
    json.dumps(found, allow_nan=False)
    assert (found["status"], found["text"], found["thinking"]) == ("finished", "42", "hm")
    assert (found["finish_reason"], found["error"]) == ("stop", None)
    assert found["tps"] == pytest.approx(40.0)
    assert found["itl_ms"] == {"p50": 25.0, "p95": 25.0, "p99": None, "count": 2}
    assert (found["prompt_tokens"], found["cached_tokens"]) == (12, 0)
    assert (found["output_tokens"], found["thinking_tokens"], found["dropped_tokens"]) == (3, 1, 0)
    assert (found["memory"]["weights_bytes"], found["memory"]["kv_bytes"]) == (8_000_000, 4_000_000)
    assert found["memory"]["compute_bytes"] is None
    assert found["cold_start_ms"] == 330.0
    assert found["engine"]["llama_cpp"] == "scripted"
    assert found["model"]["thinking_switch"] == "enable_thinking"


def test_json_of_a_crash_keeps_the_text_and_the_reason(workbench: Workbench, engine: ScriptedEngine) -> None:
    died = EngineCrashed("it died", detail="last line")
    engine.scripts = [Script(words=["one ", "two"], fail_after=1, error=died)]
    found = json_output.run_object(record_of(workbench))
    assert (found["status"], found["text"]) == ("failed", "one ")
    assert found["error"] == {"code": "engine_crashed", "message": "it died", "detail": "last line"}


def test_a_run_that_never_began_has_the_same_keys_and_measured_nothing(workbench: Workbench) -> None:
    never = json_output.failure_object(ModelNotFound("no such model"))
    assert list(never) == list(json_output.run_object(record_of(workbench)))
    measured = [key for key, value in never.items() if isinstance(value, int | float)]
    assert measured == []
    assert all(value is None for value in never["memory"].values())
    assert never["error"]["code"] == "model_not_found"
