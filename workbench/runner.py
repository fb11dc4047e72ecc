"""Runs one spec: leases an engine, plays the strategy's passes, stamps timings and feeds the sinks."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from workbench.engine import api
from workbench.errors import WorkbenchError
from workbench.runs import events
from workbench.runs.record import CancelWay, Dropped, ErrorRecord, LoadReport, PassRecord, Segment
from workbench.runs.spec import RunSpec
from workbench.runs.timings import PassTimings
from workbench.strategies.api import PassCall, PassResult, execute

Sink = Callable[[events.RunEvent], None]


@dataclass
class PassState:
    """One pass while it runs: what has arrived so far."""

    index: int
    call: PassCall
    request_id: str
    submit_ns: int
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    thinking_flags: list[bool] = field(default_factory=list)
    prefill_start_ns: int | None = None
    prefill_end_ns: int | None = None
    prompt: api.PromptReady | None = None
    dropped: Dropped | None = None
    terminal: api.RequestFinished | api.RequestFailed | api.RequestCancelled | None = None

    def record(self) -> PassRecord:
        """The pass as plain data; open ends stay None."""
        finished = self.terminal if isinstance(self.terminal, api.RequestFinished) else None
        prompt = self.prompt
        segments: tuple[Segment, ...] = prompt.segments if prompt else ()
        return PassRecord(
            index=self.index,
            purpose=self.call.purpose,
            timings=PassTimings(
                submit_ns=self.submit_ns,
                prefill_start_ns=self.prefill_start_ns,
                prefill_end_ns=self.prefill_end_ns,
                token_ns=tuple(self.stamps),
                is_thinking=tuple(self.thinking_flags),
                end_ns=self.terminal.t_ns if self.terminal else None,
                prompt_tokens=prompt.prompt_tokens if prompt else None,
                cached_tokens=prompt.cached_tokens if prompt else None,
                forced_tokens=finished.forced_tokens if finished else 0,
            ),
            text="".join(self.texts),
            thinking="".join(self.thoughts),
            finish_reason=finished.reason if finished else None,
            segments=segments,
            dropped=self.dropped,
            engine_prompt_ms=finished.engine_prompt_ms if finished else None,
            cache_note=prompt.cache_note if prompt else None,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the passes ended. `error` set: failed; `cancelled_by` set: cancelled; neither: finished."""

    passes: tuple[PassRecord, ...]
    text: str
    thinking: str
    load: LoadReport | None
    note: str | None = None
    error: ErrorRecord | None = None
    cancelled_by: CancelWay | None = None


class PassRunner:
    """Plays the passes of one run on a loaded engine. `cancel` and `answer_now` come from other threads."""

    def __init__(self, engine: api.Engine, run_id: str, sink: Sink) -> None:
        self._engine = engine
        self._run_id = run_id
        self._sink = sink
        self._counter = itertools.count()
        self._lock = threading.Lock()
        self._open: dict[str, PassState] = {}
        self._states: list[PassState] = []
        self._is_cancel_asked = False

    @property
    def states(self) -> list[PassState]:
        return self._states

    def play(self, spec: RunSpec, load: LoadReport) -> Outcome:
        """Runs the strategy to its end. Never raises for a failure of the engine or a cancel."""
        try:
            result = execute(spec, self._call)
        except WorkbenchError as error:
            return self._outcome(load, error=ErrorRecord(error.code, error.message, error.detail))
        failed = next((s.terminal for s in self._states if isinstance(s.terminal, api.RequestFailed)), None)
        if failed is not None:
            return self._outcome(load, error=ErrorRecord(failed.code, failed.message, failed.detail))
        stopped = next((s.terminal for s in self._states if isinstance(s.terminal, api.RequestCancelled)), None)
        if stopped is not None or (self._is_cancel_asked and not result.text):
            return self._outcome(load, cancelled_by=stopped.way if stopped else "flag")
        return replace(self._outcome(load), text=result.text, thinking=result.thinking, note=result.note)

    def cancel(self) -> None:
        """Asks every open pass to stop and lets no further pass begin."""
        with self._lock:
            self._is_cancel_asked = True
            open_ids = list(self._open)
        for request_id in open_ids:
            self._engine.cancel(request_id)

    def answer_now(self) -> None:
        with self._lock:
            open_ids = list(self._open)
        for request_id in open_ids:
            self._engine.answer_now(request_id)

    def partial(self) -> tuple[str, str]:
        """Text and thinking of the latest pass so far, for saving in case of a crash."""
        if not self._states:
            return "", ""
        state = self._states[-1]
        return "".join(state.texts), "".join(state.thoughts)

    def _outcome(
        self, load: LoadReport, *, error: ErrorRecord | None = None, cancelled_by: CancelWay | None = None
    ) -> Outcome:
        passes = tuple(state.record() for state in self._states)
        visible = [state for state in self._states if state.call.visible] or self._states
        last = visible[-1].record() if visible else None
        return Outcome(
            passes=passes,
            text=last.text if last else "",
            thinking=last.thinking if last else "",
            load=load,
            error=error,
            cancelled_by=cancelled_by,
        )

    def _call(self, calls: Sequence[PassCall]) -> list[PassResult]:
        states: list[PassState] = []
        with self._lock:
            if self._is_cancel_asked:
                return [PassResult(text="", thinking="", finish_reason=None, ok=False) for _ in calls]
            for call in calls:
                index = next(self._counter)
                states.append(PassState(index, call, f"{self._run_id}/{index}", time.perf_counter_ns()))
            self._states.extend(states)
            self._open.update({state.request_id: state for state in states})
        for state in states:
            call = state.call
            self._sink(events.PassStarted(self._run_id, state.index, call.purpose, call.visible, state.submit_ns))
        self._consume(states)
        return [self._end(state) for state in states]

    def _consume(self, states: Sequence[PassState]) -> None:
        requests = [
            api.EngineRequest(s.request_id, s.call.messages, s.call.chat, s.call.sampling, s.call.limits)
            for s in states
        ]
        submit_ns = time.perf_counter_ns()
        by_id = {state.request_id: state for state in states}
        for state in states:
            state.submit_ns = submit_ns
        for event in self._engine.run(requests):
            self._take(by_id[event.request_id], event)

    def _take(self, state: PassState, event: api.EngineEvent) -> None:
        run_id, index = self._run_id, state.index
        match event:
            case api.Tokens():
                self._take_tokens(state, event)
            case api.PromptReady():
                state.prompt, state.dropped = event, event.dropped
                self._sink(
                    events.PromptPrepared(
                        run_id, index, event.text, event.pieces, event.segments, event.context_length,
                        event.cached_tokens, event.dropped, event.cache_note,
                    )
                )  # fmt: skip
            case api.PrefillStarted():
                state.prefill_start_ns = event.t_ns
                self._sink(events.PrefillStarted(run_id, index, event.t_ns))
            case api.PrefillProgress():
                self._sink(events.PrefillProgressed(run_id, index, event.done_tokens, event.total_tokens, event.t_ns))
            case api.PrefillEnded():
                state.prefill_end_ns = event.t_ns
            case api.Shifted():
                state.dropped = event.dropped
                self._sink(events.ContextShifted(run_id, index, event.dropped))
            case api.RequestFinished() | api.RequestFailed() | api.RequestCancelled():
                state.terminal = event
                with self._lock:
                    self._open.pop(state.request_id, None)

    def _take_tokens(self, state: PassState, event: api.Tokens) -> None:
        state.stamps.extend(event.stamps_ns)
        state.thinking_flags.extend(event.is_thinking)
        for text, thinking in zip(event.texts, event.is_thinking, strict=True):
            (state.thoughts if thinking else state.texts).append(text)
        self._sink(events.TokensReceived(self._run_id, state.index, event.texts, event.stamps_ns, event.is_thinking))

    def _end(self, state: PassState) -> PassResult:
        text, thinking = "".join(state.texts), "".join(state.thoughts)
        self._sink(events.PassEnded(self._run_id, state.index, state.call.purpose, text))
        finished = state.terminal if isinstance(state.terminal, api.RequestFinished) else None
        return PassResult(
            text=text, thinking=thinking, finish_reason=finished.reason if finished else None, ok=finished is not None
        )
