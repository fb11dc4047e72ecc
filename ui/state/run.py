"""State of the Run page: the knobs, the conversation and the run under way; it knows no widget."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from ui.bridge import Bridge
from ui.state import run_facts, run_knobs, run_problems, run_stream
from ui.state.run_figures import LiveFigures, of_record
from ui.state.run_stream import Piece
from ui.state.run_view import Figures, KnobChoices, KnobValues, Phase, Problem, Prompt, RunView, Turn
from ui.tasks import Tasks
from workbench.core import EngineState, RunHandle, Workbench
from workbench.errors import WorkbenchError
from workbench.glossary import Glossary
from workbench.profiles import ModeProfile, SurfaceProfile
from workbench.runs import events
from workbench.runs.record import LoadReport, RunRecord
from workbench.runs.spec import Adapter, RunSpec

FIGURES_EVERY_NS = 200_000_000  # faster changes cannot be read, and each repaint takes time from the model
COSTS_EVERY_NS = 250_000_000
KEPT_RECORDS = 50
WARM_UP_TO_BYTES = 1_000_000_000


class RunState(QObject):
    """One conversation. All methods belong to the main thread.

    `changed`: `view` is another one. `tokens_arrived` carries (part, text) pairs in order, part being "thinking"
    or "answer". `prompt_offered` carries a question to put into the composer.
    """

    changed = Signal()
    figures_changed = Signal()
    run_started = Signal(object)
    tokens_arrived = Signal(list)
    run_finished = Signal(object)
    conversation_replaced = Signal()
    prompt_offered = Signal(str)

    def __init__(self, workbench: Workbench, bridge: Bridge, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workbench = workbench
        self._bridge = bridge
        self._tasks = tasks
        settings = workbench.settings.current
        values = KnobValues(mode=settings.default_mode, surface=settings.default_surface, model=settings.default_model)
        self._view = RunView(values=values)
        self._figures = Figures()
        self._previous: Figures | None = None
        self._live: LiveFigures | None = None
        self._handle: RunHandle | None = None
        self._clicked_ns = 0
        self._figures_ns = self._costs_ns = 0
        self._unsent: Turn | None = None
        self._has_asked_prices = self._is_closed = False
        bridge.drained.connect(self._on_bridge_drained)
        workbench.on_engine_state(bridge.post)

    # --- what is shown -----------------------------------------------------------------------------------

    @property
    def view(self) -> RunView:
        return self._view

    @property
    def figures(self) -> Figures:
        """Of the run under way, else of the last one."""
        return self._figures

    @property
    def previous(self) -> Figures | None:
        """Of the run before the one that `figures` shows; the first ghost comes from history."""
        return self._previous

    @property
    def surface(self) -> SurfaceProfile | None:
        name = self._view.values.surface
        return next((item for item in self._workbench.profiles.surfaces() if item.name == name), None)

    @property
    def load(self) -> LoadReport | None:
        """Of the model that is warm."""
        return self._workbench.engine_state.load or self._figures.load

    @property
    def glossary(self) -> Glossary:
        return self._workbench.glossary

    @property
    def is_banner_dismissed(self) -> bool:
        return self._workbench.settings.current.banner_dismissed

    def planned_spec(self, **changes: Any) -> RunSpec | None:
        """The spec of the next run, None when these knobs make none; `consequence` says why."""
        try:
            return self._plan(**changes)
        except WorkbenchError:
            return None

    def _plan(self, **changes: Any) -> RunSpec:
        values = replace(self._view.values, **changes)
        return self._workbench.build_spec(run_knobs.knobs_of(values, run_knobs.PROBE))

    @property
    def context_length(self) -> int | None:
        """Of the next run, also while an adapter's file is gone; None when nothing can be planned."""
        set_by_hand = self._view.values.context_length
        spec = self.planned_spec(adapters=()) if set_by_hand is None and self._view.choices.models else None
        return spec.engine.context_length if spec is not None else set_by_hand

    def consequence(self, **changes: Any) -> str:
        """What the next run pays for the knobs as they are, or for `changes` to them."""
        return run_knobs.consequence(self._workbench, self._view.values, changes, self.load)

    def knob_facts(self) -> dict[str, str]:
        """Under each knob: what the next run pays for it, or a fact when it costs nothing."""
        facts = run_facts.knob_facts(self._view, self.planned_spec(), self.load, self.consequence)
        mode = self._mode(self._view.values.mode)
        if not facts["mode"] and mode is not None:
            facts["mode"] = run_facts.mode_words(mode)
        return facts | self._adapter_fact()

    def _adapter_fact(self) -> dict[str, str]:
        """Under the model, which adapters change; only while they are what the next run pays for."""
        spec = self.planned_spec() if self._view.choices.models else None
        cost = self._workbench.explain_change(None, spec) if spec is not None else None
        return {"model": f"next run {cost.text}"} if cost is not None and cost.kind == "adapters" else {}

    def mode_fact(self, name: str) -> str:
        """What a mode does, measured where this question was asked in it and in the present one."""
        mode = self._mode(name)
        return run_facts.mode_fact(mode, self._view, self.load) if mode is not None else ""

    def _mode(self, name: str | None) -> ModeProfile | None:
        return next((item for item in self._workbench.profiles.modes() if item.name == name), None)

    # --- what a person does ------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Reads what can be chosen and warms a small model up, in the background; call it after the first paint."""
        self._read_choices(and_warm=True)
        self._tasks.run(lambda: self._workbench.history.last_finished(1), self._on_last_run_read)

    def start(self, prompt: str) -> bool:
        """False when nothing was started: no text, a run under way, or a problem that the view now shows."""
        text = prompt.strip()
        if not text or self._view.is_running:
            return False
        return self._start(Turn(text, self._view.attachment))

    def stop(self) -> None:
        if self._handle is not None:
            self._set_phase("stopping", "stopping")
            self._handle.cancel()

    def answer_now(self) -> None:
        if self._handle is not None:
            self._handle.answer_now()

    def regenerate(self) -> None:
        """Asks the last question again with the next seed; with the same one the answer would be the same."""
        self._update(values=replace(self._view.values, seed=self._view.values.seed + 1))
        self.retry()

    def retry(self) -> None:
        """Asks the last question again with the knobs as they are."""
        if self._view.is_running:
            return
        if self._unsent is not None:
            self._start(self._unsent)
        elif self._view.turns:
            turn = self._view.turns[-1]
            self._cut_turns(len(self._view.turns) - 1)
            self._start(Turn(turn.question, turn.attachment))

    def edit_and_resend(self, index: int, text: str) -> None:
        """Replaces question `index`; it and everything after it are asked and answered anew."""
        if text.strip() and not self._view.is_running and index < len(self._view.turns):
            attachment = self._view.turns[index].attachment
            self._cut_turns(index)
            self._start(Turn(text.strip(), attachment))

    def new_chat(self) -> None:
        if not self._view.is_running:
            self._update(turns=(), attachment=None, problem=None, prompt=None)
            self.conversation_replaced.emit()

    def set_knob(self, name: str, value: object) -> None:
        """`name` is a field of `KnobValues`."""
        changes: dict[str, Any] = run_knobs.model_changes(value) if name == "model" else {name: value}
        values = replace(self._view.values, **changes)
        if values != self._view.values:
            self._update(values=values)
            if name == "model":
                self._read_choices()

    def add_adapter(self, path: Path) -> None:
        """Reads it in the background and adds it to the knobs; the view's problem says why not."""
        values = self._view.values
        self._tasks.run(
            lambda: run_knobs.read_adapter(self._workbench, path, values),
            lambda adapter: self._on_adapter_read(adapter, values.model),
            self._on_adapter_refused,
        )

    def _on_adapter_read(self, adapter: Adapter, model: str | None) -> None:
        values = self._view.values
        if values.model == model and adapter.path not in [item.path for item in values.adapters]:
            self.set_knob("adapters", (*values.adapters, adapter))

    def _on_adapter_refused(self, error: WorkbenchError) -> None:
        self._update(problem=Problem("bad", error.message, detail=error.detail))

    def attach(self, path: Path) -> None:
        """A text file for the next question; a GGUF file is taken as an adapter."""
        if path.suffix.lower() == ".gguf":
            self.add_adapter(path)
            return
        try:
            self._update(attachment=run_knobs.read_attachment(path), problem=None)
        except WorkbenchError as error:
            self._update(problem=Problem("bad", error.message))

    def remove_attachment(self) -> None:
        self._update(attachment=None)

    def apply_remedy(self) -> None:
        """Does what the problem's button says; showing the prompt is the page's part."""
        problem = self._view.problem
        if problem is None or self._view.is_running or problem.remedy in ("none", "show_prompt"):
            return
        self._update(problem=None, values=run_problems.mended(problem, self._view, self.planned_spec()))
        if problem.remedy == "demo_model" or not problem.asks_again:
            self._read_choices()
        if problem.asks_again:
            self.retry()

    def dismiss_problem(self) -> None:
        self._update(problem=None)

    def dismiss_banner(self) -> None:
        try:
            self._workbench.settings.update(banner_dismissed=True)
        except WorkbenchError as error:
            self._update(problem=Problem("warn", error.message))

    def load_run(self, run_id: str) -> None:
        """Puts the knobs and the conversation of a run from history here, and its question into the composer."""
        if self._view.is_running:
            return
        record = self._workbench.history.get(run_id)
        values, turns, question, attachment = run_problems.replayed(record)
        self._update(values=values, turns=turns, attachment=attachment, problem=None, prompt=None)
        self._read_choices()
        self.conversation_replaced.emit()
        self.prompt_offered.emit(question)

    def note_painted(self, t_ns: int) -> None:
        """The first characters of the answer were drawn at `t_ns`."""
        shown_ms = (t_ns - self._clicked_ns) / 1e6
        if self._live is not None and self._live.shown_ms is None:
            self._live.shown_ms = shown_ms
        if self._figures.shown_ms is None:
            self._figures = replace(self._figures, shown_ms=shown_ms)
            self.figures_changed.emit()

    def close(self) -> None:
        """The window closes: a run under way is asked to stop."""
        self._is_closed = True
        if self._handle is not None:
            self._handle.cancel()
        self._bridge.close()

    # --- starting ----------------------------------------------------------------------------------------

    def _start(self, turn: Turn) -> bool:
        self._clicked_ns = time.perf_counter_ns()
        history = tuple(message for earlier in self._view.turns for message in earlier.messages())
        try:
            spec = self._workbench.build_spec(
                run_knobs.knobs_of(self._view.values, turn.question, history, turn.attachment)
            )
        except WorkbenchError as error:
            self._unsent = turn
            self._update(problem=run_problems.of_error(error.code, error.message, error.detail, self._view, None))
            return False
        self._unsent = None
        if self._figures.is_final and self._figures.metrics.output_tokens:
            self._previous = self._figures
        self._live = LiveFigures(mode=spec.mode.name if spec.mode else "")
        self._figures_ns = self._costs_ns = 0
        self._update(
            turns=(*self._view.turns, turn), attachment=None, problem=None, prompt=None,
            phase="waiting", phase_text="starting", model_title=spec.model.name,
        )  # fmt: skip
        self._figures = Figures(load=self.load, mode=self._live.mode)
        self.run_started.emit(turn)
        self.figures_changed.emit()
        self._ask_prices()
        self._handle = self._workbench.start_run(spec, self._bridge.post)
        return True

    def _ask_prices(self) -> None:
        if not self._has_asked_prices:
            self._has_asked_prices = True
            self._workbench.load_prices()

    def _cut_turns(self, count: int) -> None:
        self._update(turns=self._view.turns[:count], prompt=None)
        self.conversation_replaced.emit()

    def _read_choices(self, and_warm: bool = False) -> None:
        values = self._view.values
        self._tasks.run(
            lambda: run_knobs.read_choices(self._workbench, values),
            lambda choices: self._on_choices_read(choices, and_warm),
            self._on_choices_failed,
        )

    def _on_choices_read(self, choices: KnobChoices, and_warm: bool) -> None:
        self._update(choices=choices)
        try:
            spec = self._plan()
        except WorkbenchError as error:
            self._on_choices_failed(error)
            return
        path = Path(spec.model.path)
        is_small = choices.is_demo or (path.is_file() and path.stat().st_size <= WARM_UP_TO_BYTES)
        if and_warm and is_small and not self._view.is_running and not self._is_closed:
            self._workbench.warm(spec)

    def _on_choices_failed(self, error: WorkbenchError) -> None:
        problem = run_problems.of_error(error.code, error.message, error.detail, self._view, None)
        self._update(problem=run_problems.of_knobs(problem))

    def _on_last_run_read(self, records: list[RunRecord]) -> None:
        if records and self._previous is None and not self._figures.is_final:
            self._previous = of_record(records[0])
            self.figures_changed.emit()

    # --- what the run tells ------------------------------------------------------------------------------

    def _on_bridge_drained(self, drained: list[object]) -> None:
        if any(isinstance(event, EngineState) for event in drained):
            self.changed.emit()
        if self._handle is None or self._live is None:
            return
        run_id = self._handle.run_id
        pieces: list[Piece] = []
        for event in drained:
            if getattr(event, "run_id", None) == run_id:
                self._take(event, self._live, pieces)
        if pieces:
            self.tokens_arrived.emit(run_stream.joined(pieces))
        if self._handle is not None:
            self._refresh_figures(self._live)
        else:
            self._flush_terminal()

    def _take(self, event: object, live: LiveFigures, pieces: list[Piece]) -> None:
        match event:
            case events.TokensReceived():
                self._take_tokens(event, live, pieces)
            case events.EngineReady():
                live.load = event.load
            case events.PassStarted():
                live.start_pass(event.pass_index, event.t_ns, event.visible)
            case events.PromptPrepared():
                self._take_prompt(event, live)
            case events.PrefillStarted() | events.PrefillProgressed():
                live.take_prefill(event)
            case events.PassEnded():
                if not live.passes[event.pass_index].visible:
                    pieces += run_stream.draft_of(event)
            case events.ContextShifted():
                self._update(problem=run_problems.of_dropped(event.dropped))
            case events.TelemetryArrived():
                live.samples.append(event.sample)
            case events.Finished() | events.Failed() | events.Cancelled():
                self._end(event.record, live)
        if (phase := run_stream.phase_of(event)) is not None:
            self._set_phase(*phase)

    def _take_tokens(self, event: events.TokensReceived, live: LiveFigures, pieces: list[Piece]) -> None:
        is_first = not any(item.stamps for item in live.passes.values())
        live.take_tokens(event)
        if is_first:
            self._figures_ns = 0
        if not live.passes[event.pass_index].visible:
            self._set_phase("drafting", f"{sum(len(item.stamps) for item in live.passes.values()):,} tokens")
            return
        pieces += run_stream.pieces_of(event)
        if event.is_thinking:
            self._set_phase("thinking" if event.is_thinking[-1] else "answering", "")

    def _take_prompt(self, event: events.PromptPrepared, live: LiveFigures) -> None:
        live.take_prompt(event)
        prompt = Prompt(
            event.text, event.pieces, event.segments, event.context_length, event.cached_tokens, event.dropped,
            event.cache_note,
        )  # fmt: skip
        problem = run_problems.of_dropped(event.dropped) if event.dropped else self._view.problem
        self._update(prompt=prompt, problem=problem)
        self._figures_ns = 0

    def _end(self, record: RunRecord, live: LiveFigures) -> None:
        self._handle = None
        self._figures = replace(of_record(record, live.shown_ms), load=record.load or live.load)
        if not self._figures.segments:
            self._figures = replace(self._figures, segments=live.segments, context_length=live.context_length)
        turns = (*self._view.turns[:-1], replace(self._view.turns[-1], record=record))
        problem = run_problems.of_record(record, self._view) or self._view.problem
        records = (*self._view.records, record)[-KEPT_RECORDS:] if record.status == "finished" else self._view.records
        self._view = replace(self._view, turns=turns, records=records, problem=problem, phase="idle", phase_text="")

    def _flush_terminal(self) -> None:
        """Tells of the end after the last tokens were handed on."""
        record = self._view.turns[-1].record
        if record is not None and record.load is not None and record.load.reused == "nothing":
            self._read_choices()  # the file may have been made for this run
        self.figures_changed.emit()
        self.run_finished.emit(record)
        self.changed.emit()

    def _refresh_figures(self, live: LiveFigures) -> None:
        now = time.perf_counter_ns()
        if now - self._figures_ns < FIGURES_EVERY_NS:
            return
        if now - self._costs_ns >= COSTS_EVERY_NS and live.passes:
            self._costs_ns = now
            live.costs = self._workbench.estimate_costs(
                live.metrics(now), len(live.passes), tuple(live.samples), live.load.parameters if live.load else None
            )
        self._figures_ns = now
        self._figures = live.snapshot(now)
        self.figures_changed.emit()

    def _set_phase(self, phase: Phase, text: str) -> None:
        if self._view.phase == "stopping" and phase != "idle":
            return
        if (phase, text) != (self._view.phase, self._view.phase_text):
            self._update(phase=phase, phase_text=text)

    def _update(self, **changes: Any) -> None:
        view = replace(self._view, **changes)
        if view != self._view:
            self._view = view
            self.changed.emit()
