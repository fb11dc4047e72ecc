"""What is known of a run while it runs, gathered from its events for the live line."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.runs import events
from workbench.runs.record import LoadReport, TelemetrySample
from workbench.runs.timings import Metrics, PassTimings, derive_run


@dataclass
class OpenPass:
    """One pass as it arrives."""

    purpose: str
    visible: bool
    submit_ns: int
    stamps: list[int] = field(default_factory=list)
    thinking: list[bool] = field(default_factory=list)
    prompt_tokens: int | None = None
    cached_tokens: int | None = None

    def timings(self) -> PassTimings:
        return PassTimings(
            submit_ns=self.submit_ns,
            token_ns=tuple(self.stamps),
            is_thinking=tuple(self.thinking),
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
        )


@dataclass
class RunProgress:
    """`phase` is a few words for the line: what the run waits for, or nothing while tokens come."""

    phase: str = "starting"
    load: LoadReport | None = None
    passes: dict[int, OpenPass] = field(default_factory=dict)
    telemetry: list[TelemetrySample] = field(default_factory=list)
    is_cancelling: bool = False

    def take(self, event: events.RunEvent) -> None:
        match event:
            case events.TokensReceived():
                open_pass = self.passes[event.pass_index]
                open_pass.stamps.extend(event.stamps_ns)
                open_pass.thinking.extend(event.is_thinking)
                self.phase = "" if open_pass.visible else open_pass.purpose
            case events.EngineLoading():
                self.phase = _loading_text(event)
            case events.EngineReady():
                self.load, self.phase = event.load, "ready"
            case events.PassStarted():
                self.passes[event.pass_index] = OpenPass(event.purpose, event.visible, event.t_ns)
            case events.PromptPrepared():
                open_pass = self.passes[event.pass_index]
                open_pass.prompt_tokens = sum(segment.tokens for segment in event.segments)
                open_pass.cached_tokens = event.cached_tokens
                self.phase = "reading the prompt"
            case events.PrefillProgressed():
                self.phase = f"reading the prompt, {event.done_tokens:,} of {event.total_tokens:,} tokens"
            case events.TelemetryArrived():
                self.telemetry.append(event.sample)
            case _:
                pass

    def is_visible(self, pass_index: int) -> bool:
        return pass_index not in self.passes or self.passes[pass_index].visible

    def metrics(self) -> Metrics:
        return derive_run([item.timings() for item in self.passes.values()])


def _loading_text(event: events.EngineLoading) -> str:
    if event.step == "weights":
        return "loading weights" if event.fraction is None else f"loading weights, {event.fraction:.0%}"
    return "starting the engine" if event.step == "start" else "making the context"
