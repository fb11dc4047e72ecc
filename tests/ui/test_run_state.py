"""The state of the Run page without a widget: figures exactly as scripted, conversation, problems and remedies."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from tests.fakes.scripted_engine import Script, ScriptedEngine
from ui.bridge import Bridge
from ui.state import run_knobs
from ui.state.run import RunState
from ui.state.run_figures import LiveFigures, gap_series, of_record
from ui.tasks import Tasks
from workbench import units
from workbench.core import Knobs, Workbench
from workbench.engine import api
from workbench.errors import EngineCrashed, ModelFileError, OutOfMemory, PromptTooLong, UserError
from workbench.runs import events
from workbench.runs.events import TokensReceived
from workbench.runs.record import Dropped, RunRecord
from workbench.runs.spec import Adapter

MS = 1_000_000


@pytest.fixture
def state(qtbot: QtBot, workbench: Workbench, tasks: Tasks) -> Iterator[RunState]:
    made = RunState(workbench, Bridge(), tasks)
    made.prepare()
    qtbot.waitUntil(lambda: bool(made.view.choices.models) and workbench.engine_state.status == "ready", timeout=10_000)
    yield made
    made.close()


def run(qtbot: QtBot, state: RunState, prompt: str = "hello") -> RunRecord:
    with qtbot.waitSignal(state.run_finished, timeout=10_000) as finished:
        assert state.start(prompt)
    record = finished.args[0]
    assert isinstance(record, RunRecord)
    return record


def test_figures_are_exactly_those_of_the_script(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(thoughts=["a", "b"], words=["c", "d", "e"], prefill_ms=100, itl_ms=25, prompt_tokens=12,
                             cached_tokens=2)]  # fmt: skip
    record = run(qtbot, state)
    assert record.status == "finished"
    figures = state.figures
    assert figures.is_final
    # The script's clock begins when the engine takes the request, a moment after the submit.
    assert figures.metrics.ttft_ms == pytest.approx(100, abs=20)
    assert figures.metrics.ttfa_ms == pytest.approx(figures.metrics.ttft_ms + 50)
    assert figures.metrics.tps == pytest.approx(40.0)
    assert figures.metrics.itl_ms == pytest.approx((25.0,) * 4)
    assert figures.metrics.prefill_tps == pytest.approx(100.0)
    assert (figures.metrics.thinking_tokens, figures.metrics.answer_tokens) == (2, 3)
    assert figures.itl_p50_ms == pytest.approx(25.0)
    assert figures.context_used == 17


def test_live_figures_agree_with_the_record(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(thoughts=["x"] * 30, words=["y "] * 200, prefill_ms=50, itl_ms=10)]
    live = LiveFigures()
    record = run(qtbot, state)
    timings = record.passes[0].timings
    live.start_pass(0, timings.submit_ns, True)
    for start in range(0, len(timings.token_ns), 7):
        stamps, flags = timings.token_ns[start : start + 7], timings.is_thinking[start : start + 7]
        live.take_tokens(TokensReceived("r", 0, ("",) * len(stamps), stamps, flags))
    now, exact = live.snapshot(timings.token_ns[-1]), of_record(record)
    assert now.metrics.ttft_ms == exact.metrics.ttft_ms
    assert now.metrics.ttfa_ms == exact.metrics.ttfa_ms
    assert now.metrics.tps == pytest.approx(exact.metrics.tps)
    assert now.metrics.thinking_tokens == exact.metrics.thinking_tokens
    assert now.itl_p50_ms == pytest.approx(exact.itl_p50_ms)
    assert now.itl_p95_ms == pytest.approx(exact.itl_p95_ms)
    assert now.speed_series == exact.speed_series
    assert now.tps_now == pytest.approx(100.0)


class ReportingEngine(ScriptedEngine):
    """Reports the prefill as the engine process does: without cached tokens, at last with the stamp of the end."""

    def _play(self, request: api.EngineRequest, script: Script) -> Iterator[api.EngineEvent]:
        evaluated = script.prompt_tokens - script.cached_tokens
        started = 0
        for event in super()._play(request, script):
            if isinstance(event, api.PrefillStarted):
                started = event.t_ns
            if isinstance(event, api.PrefillEnded):
                yield api.PrefillProgress(request.id, evaluated // 2, evaluated, (started + event.t_ns) // 2)
                yield api.PrefillProgress(request.id, evaluated, evaluated, event.t_ns)
            yield event


@pytest.mark.parametrize("cached", [0, 5, 12])
@pytest.mark.parametrize("mode", ["fast", "draft-then-refine"])
def test_prefill_while_it_streams_is_the_figure_of_the_record(
    qtbot: QtBot, workbench_home: Path, tasks: Tasks, cached: int, mode: str
) -> None:
    engine = ReportingEngine([Script(words=["a"] * 30, prefill_ms=40, itl_ms=1, cached_tokens=cached)])
    opened = Workbench.open(make_engine=lambda paths, settings: engine)
    seen: list[object] = []
    handle = opened.start_run(opened.build_spec(Knobs(prompt="hello", mode=mode)), seen.append)
    record = handle.wait(10.0)
    assert record is not None
    live = LiveFigures()
    shown: list[float | None] = []
    for event in seen:
        match event:
            case events.PassStarted():
                live.start_pass(event.pass_index, event.t_ns, event.visible)
            case events.PromptPrepared():
                live.take_prompt(event)
            case events.PrefillStarted() | events.PrefillProgressed():
                live.take_prefill(event)
            case events.TokensReceived():
                live.take_tokens(event)
                shown.append(live.snapshot(event.stamps_ns[-1]).metrics.prefill_tps)
    final = record.metrics
    assert shown[-1] == final.prefill_tps
    assert live.metrics(0).prefill_ms == final.prefill_ms
    assert (final.prefill_tps is None) == (cached == 12)
    if mode == "fast":
        assert set(shown) == {final.prefill_tps}, "the same from the first token on"
    opened.close()


def test_prefill_is_not_told_before_it_is_over() -> None:
    live = LiveFigures()
    live.start_pass(0, 0, True)
    live.take_prompt(events.PromptPrepared("r", 0, "", ("t",) * 100, (), 512, 20))
    live.take_prefill(events.PrefillStarted("r", 0, 10 * MS))
    live.take_prefill(events.PrefillProgressed("r", 0, 40, 80, 30 * MS))
    assert live.metrics(40 * MS).prefill_tps is None
    live.take_prefill(events.PrefillProgressed("r", 0, 80, 80, 50 * MS))
    assert live.metrics(60 * MS).prefill_tps == 80 / 0.040


def test_a_stall_is_counted_and_kept_in_the_series() -> None:
    live = LiveFigures()
    live.start_pass(0, 0, True)
    stamps = [index * 10 * MS for index in range(1, 2001)]
    stamps = [stamp + (200 * MS if index > 1000 else 0) for index, stamp in enumerate(stamps)]
    live.take_tokens(TokensReceived("r", 0, ("",) * 2000, tuple(stamps), (False,) * 2000))
    figures = live.snapshot(stamps[-1])
    assert figures.stalls == 1
    assert max(figures.itl_series) == pytest.approx(210.0)
    assert len(figures.itl_series) <= 160
    assert len(gap_series([1.0] * 161)) <= 160


def test_text_arrives_in_order_and_whole(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(thoughts=["th", "ink"], words=[f"w{i} " for i in range(300)], itl_ms=0.5, real_time=True)]
    pieces: list[tuple[str, str]] = []
    state.tokens_arrived.connect(pieces.extend)
    record = run(qtbot, state)
    assert "".join(text for part, text in pieces if part == "thinking") == "think"
    assert "".join(text for part, text in pieces if part == "answer") == record.text
    assert len(pieces) < 60, "neighbouring tokens are one insertion"


def test_history_of_the_conversation_is_sent_with_the_next_question(
    qtbot: QtBot, state: RunState, engine: ScriptedEngine, tmp_path: Path
) -> None:
    document = tmp_path / "notes.txt"
    document.write_text("a note", encoding="utf-8")
    state.set_knob("system", "Be brief.")
    state.attach(document)
    run(qtbot, state, "first")
    assert state.view.attachment is None
    run(qtbot, state, "second")
    messages = engine.requests[-1].messages
    assert [m.role for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[1].document == "a note"
    assert messages[1].document_name == "notes.txt"
    assert messages[2].content == "Hello world."
    assert messages[3].content == "second"


def test_regenerate_takes_the_next_seed_and_replaces_the_turn(
    qtbot: QtBot, state: RunState, engine: ScriptedEngine
) -> None:
    run(qtbot, state, "question")
    with qtbot.waitSignal(state.run_finished, timeout=10_000):
        state.regenerate()
    assert len(state.view.turns) == 1
    assert [request.sampling.seed for request in engine.requests] == [7, 8]
    assert [message.content for message in engine.requests[-1].messages] == ["question"]


def test_edit_and_resend_drops_what_came_after(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    run(qtbot, state, "one")
    run(qtbot, state, "two")
    with qtbot.waitSignal(state.run_finished, timeout=10_000):
        state.edit_and_resend(0, "one, better")
    assert [turn.question for turn in state.view.turns] == ["one, better"]
    assert [message.content for message in engine.requests[-1].messages] == ["one, better"]


def test_the_run_before_is_the_ghost(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(itl_ms=25), Script(itl_ms=50), Script(error=EngineCrashed("gone")), Script(itl_ms=10)]
    run(qtbot, state)
    run(qtbot, state)
    assert state.previous is not None
    assert state.previous.metrics.tps == pytest.approx(40.0)
    run(qtbot, state)
    run(qtbot, state)
    assert state.previous.metrics.tps == pytest.approx(20.0), "a failed run is no ghost"


def test_the_last_run_of_history_is_the_first_ghost(
    qtbot: QtBot, state: RunState, workbench: Workbench, tasks: Tasks, engine: ScriptedEngine
) -> None:
    run(qtbot, state)
    later = RunState(workbench, Bridge(), tasks)
    later.prepare()
    qtbot.waitUntil(lambda: later.previous is not None, timeout=10_000)
    assert later.previous is not None
    assert later.previous.metrics.tps == pytest.approx(40.0)
    later.close()


@pytest.mark.parametrize(
    ("error", "remedy", "action"),
    [
        (PromptTooLong("too long"), "larger_context", "Use 1k context"),
        (OutOfMemory("no room"), "smaller_context", None),
        (EngineCrashed("the child died"), "retry", "Try again"),
        (ModelFileError("not a GGUF"), "none", None),
    ],
)
def test_each_failure_offers_what_mends_it(
    qtbot: QtBot, state: RunState, engine: ScriptedEngine, error: Exception, remedy: str, action: str | None
) -> None:
    state.set_knob("context_length", 512 if remedy == "larger_context" else 1024)
    engine.scripts = [Script(error=error), Script()]  # type: ignore[arg-type]
    record = run(qtbot, state)
    assert record.status == "failed"
    problem = state.view.problem
    assert problem is not None
    assert (problem.remedy, problem.text) == (remedy, str(error))
    if action is not None:
        assert problem.action_text == action
    if remedy == "none":
        return
    with qtbot.waitSignal(state.run_finished, timeout=10_000) as finished:
        state.apply_remedy()
    assert finished.args[0].status == "finished"
    assert state.view.problem is None
    assert len(state.view.turns) == 1
    wanted = {"larger_context": 1024, "smaller_context": 512}.get(remedy)
    if wanted is not None:
        assert engine.loads[-1][1].context_length == wanted


def test_what_was_cut_is_said(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(dropped=Dropped("drop_oldest", 612, 3, "three turns were left out"))]
    run(qtbot, state)
    problem = state.view.problem
    assert problem is not None
    assert problem.text == "612 tokens were cut and the model did not see them: three turns were left out."
    assert problem.remedy == "show_prompt"
    assert state.view.prompt is not None


def test_a_wrong_model_is_a_sentence_and_nothing_starts(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    state.set_knob("model", "no such model")
    assert not state.start("hello")
    problem = state.view.problem
    assert problem is not None
    assert "no such model" in problem.text
    assert not state.view.turns
    assert not engine.requests


def test_attachments_that_are_no_text_are_refused_with_a_sentence(state: RunState, tmp_path: Path) -> None:
    binary = tmp_path / "picture.png"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    state.attach(binary)
    assert state.view.attachment is None
    assert state.view.problem is not None
    assert state.view.problem.text == "picture.png is not UTF-8 text; save it as text and attach it again."
    large = tmp_path / "large.txt"
    large.write_bytes(b"a" * 4_000_001)
    state.attach(large)
    assert "up to 4.00 MB can be attached" in state.view.problem.text
    state.attach(tmp_path / "missing.txt")
    assert state.view.problem.text.startswith("missing.txt cannot be read")


def test_what_is_no_regular_file_is_refused_at_once(state: RunState, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), tmp_path):
        state.attach(path)
        assert state.view.attachment is None
        assert state.view.problem is not None
        assert state.view.problem.text == f"{path.name} is no regular file; only text files can be attached."


def test_a_file_that_is_longer_than_it_says_is_read_with_a_bound(
    state: RunState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing.txt"
    path.write_bytes(b"a" * 5_000)
    monkeypatch.setattr(run_knobs, "LARGEST_ATTACHMENT_BYTES", 1_000)
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **kw: os.stat_result((*real(self)[:6], 0, *real(self)[7:10])))
    with pytest.raises(UserError, match=re.escape("growing.txt has more than 1.00 kB; text files up to 1.00 kB")):
        run_knobs.read_attachment(path)


def test_a_model_given_by_path_shows_its_size(
    qtbot: QtBot, state: RunState, workbench: Workbench, tmp_path: Path
) -> None:
    source = Path(workbench.build_spec(Knobs(prompt="?")).model.path)
    copy = tmp_path / "elsewhere" / "Other-1B-F16.gguf"
    copy.parent.mkdir()
    shutil.copyfile(source, copy)
    state.set_knob("model", str(copy))
    qtbot.waitUntil(lambda: state.view.choices.model_key == str(copy), timeout=10_000)
    (choice,) = state.view.choices.quantizations
    assert choice.key == "F16"
    assert choice.text == "F16  16.0 bpw"
    assert choice.note == f"{units.bytes_text(source.stat().st_size)} of weights"
    run(qtbot, state)
    assert "first use" not in state.knob_facts()["quantization"]


def test_consequences_are_told_before_a_change(qtbot: QtBot, state: RunState) -> None:
    assert state.consequence() == "free"
    run(qtbot, state)
    longer = state.consequence(context_length=1024)
    assert longer.startswith("new context: −"), "with the memory it saves"
    assert "loads" in state.consequence(quantization="Q8_0") or "made on first use" in state.consequence(
        quantization="Q8_0"
    )
    state.set_knob("context_length", 1024)
    assert state.knob_facts()["context_length"].startswith("new context: −")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A file that passes for an adapter as long as nobody loads it."""
    path = tmp_path / "style.gguf"
    path.write_bytes(b"pairs of matrices")
    return path


def test_an_adapter_that_is_gone_hides_neither_the_context_nor_what_another_one_costs(
    state: RunState, adapter: Path
) -> None:
    usual = state.context_length
    assert usual is not None
    state.set_knob("adapters", (Adapter(str(adapter)),))
    adapter.unlink()
    assert state.planned_spec() is None
    assert state.context_length == usual
    assert state.consequence(context_length=usual // 2).startswith("new context")
    problem = f"There is no adapter file {adapter}. Check the path."
    assert state.consequence() == problem
    assert state.knob_facts()["model"] == problem


def test_a_run_of_the_history_whose_adapter_is_gone_brings_its_context_and_the_problem(
    qtbot: QtBot, state: RunState, adapter: Path
) -> None:
    state.set_knob("context_length", 1000)
    state.set_knob("adapters", (Adapter(str(adapter)),))
    record = run(qtbot, state)
    state.set_knob("context_length", None)
    state.set_knob("adapters", ())
    adapter.unlink()
    state.load_run(record.id)
    qtbot.waitUntil(lambda: state.view.problem is not None, timeout=10_000)
    assert state.view.problem is not None
    assert (state.view.problem.remedy, state.view.problem.action_text) == ("no_adapters", "Take it out")
    assert state.context_length == 1000
    assert 1000 in state.view.choices.contexts
    turns = state.view.turns
    state.apply_remedy()
    assert (state.view.values.adapters, state.view.problem, state.view.turns) == ((), None, turns)
    assert not state.view.is_running, "the question waits in the composer"


def test_the_other_mode_is_compared_on_the_same_question(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(itl_ms=10), Script(thoughts=["hm"] * 100, itl_ms=10)]
    assert "thinks first" in state.mode_fact("thoughtful")
    run(qtbot, state, "same question")
    state.set_knob("mode", "thoughtful")
    with qtbot.waitSignal(state.run_finished, timeout=10_000):
        state.retry()
    assert state.knob_facts()["mode"] == "+1.0 s, +100 tokens against fast on this prompt"


def test_run_again_from_history_restores_knobs_and_question(
    qtbot: QtBot, state: RunState, engine: ScriptedEngine
) -> None:
    state.set_knob("seed", 41)
    state.set_knob("system", "Be brief.")
    run(qtbot, state, "first")
    record = run(qtbot, state, "second")
    state.new_chat()
    state.set_knob("seed", 1)
    with qtbot.waitSignal(state.prompt_offered) as offered:
        state.load_run(record.id)
    assert offered.args == ["second"]
    assert state.view.values.seed == 41
    assert state.view.values.system == "Be brief."
    run(qtbot, state, "second")
    assert engine.requests[-1].messages == engine.requests[-2].messages


def test_several_passes_are_told_as_drafts(qtbot: QtBot, state: RunState, engine: ScriptedEngine) -> None:
    engine.scripts = [Script(words=["a ", "draft"]), Script(words=["the ", "answer"])]
    pieces: list[tuple[str, str]] = []
    state.tokens_arrived.connect(pieces.extend)
    state.set_knob("mode", "draft-then-refine")
    record = run(qtbot, state)
    assert record.text == "the answer"
    assert "".join(text for part, text in pieces if part == "answer") == "the answer"
    assert "Draft:\na draft" in "".join(text for part, text in pieces if part == "thinking")
