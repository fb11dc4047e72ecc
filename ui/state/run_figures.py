"""Adds up the figures of a run while its events come in; cheap at 2,000 tokens a second."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from ui.state.run_view import Figures
from workbench.metrics.stats import percentile
from workbench.runs.events import PrefillProgressed, PrefillStarted, PromptPrepared, TokensReceived
from workbench.runs.record import CostEstimate, LoadReport, RunRecord, Segment, TelemetrySample
from workbench.runs.timings import NS_PER_MS, NS_PER_S, Metrics

WINDOW_NS = NS_PER_S
SERIES_POINTS = 160
SMOOTHED_OVER = 8
STALL_FACTOR = 4.0
STALL_LEAST_MS = 20.0


@dataclass
class _Pass:
    submit_ns: int
    stamps: list[int] = field(default_factory=list)
    thinking: int = 0
    first_answer_ns: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    prefill_start_ns: int | None = None
    prefill_end_ns: int | None = None
    visible: bool = True

    @property
    def prefill_ns(self) -> int | None:
        """None until the last piece of the prompt is done."""
        if self.prefill_start_ns is None or self.prefill_end_ns is None:
            return None
        return self.prefill_end_ns - self.prefill_start_ns


@dataclass
class LiveFigures:
    """One per run. `snapshot` gives what is known at a moment; `of_record` the figures of a finished run."""

    load: LoadReport | None = None
    mode: str = ""
    passes: dict[int, _Pass] = field(default_factory=dict)
    samples: list[TelemetrySample] = field(default_factory=list)
    segments: tuple[Segment, ...] = ()
    context_length: int | None = None
    costs: tuple[CostEstimate, ...] = ()
    shown_ms: float | None = None
    _gaps: list[float] = field(default_factory=list)
    _sorted_gaps: list[float] = field(default_factory=list)

    def start_pass(self, index: int, t_ns: int, visible: bool) -> None:
        self.passes[index] = _Pass(t_ns, visible=visible)

    def take_prompt(self, event: PromptPrepared) -> None:
        found = self.passes.setdefault(event.pass_index, _Pass(0))
        found.prompt_tokens, found.cached_tokens = len(event.pieces), event.cached_tokens
        self.segments, self.context_length = event.segments, event.context_length

    def take_prefill(self, event: PrefillStarted | PrefillProgressed) -> None:
        found = self.passes.setdefault(event.pass_index, _Pass(event.t_ns))
        if isinstance(event, PrefillStarted):
            found.prefill_start_ns = event.t_ns
        elif event.done_tokens >= event.total_tokens:
            found.prefill_end_ns = event.t_ns

    def take_tokens(self, event: TokensReceived) -> None:
        found = self.passes.setdefault(event.pass_index, _Pass(event.stamps_ns[0] if event.stamps_ns else 0))
        before = found.stamps[-1] if found.stamps else None
        for stamp, thinks in zip(event.stamps_ns, event.is_thinking, strict=True):
            if before is not None:
                self._gaps.append((stamp - before) / NS_PER_MS)
            before = stamp
            if thinks:
                found.thinking += 1
            elif found.first_answer_ns is None:
                found.first_answer_ns = stamp
        found.stamps.extend(event.stamps_ns)

    def snapshot(self, now_ns: int) -> Figures:
        """The figures at `now_ns`. Definitions are those of `workbench.runs.timings.derive_run`."""
        metrics = self.metrics(now_ns)
        self._sorted_gaps.extend(self._gaps[len(self._sorted_gaps) :])
        self._sorted_gaps.sort()  # nearly sorted: a merge, not a sort
        ordered = self._sorted_gaps
        median = _middle(ordered, 0.50)
        shown = list(self.passes.values())[-1] if self.passes else None
        return Figures(
            metrics=metrics,
            shown_ms=self.shown_ms,
            tps_now=self._tps_now(),
            itl_p50_ms=median,
            itl_p95_ms=_middle(ordered, 0.95),
            stalls=_stalls(ordered, median),
            speed_series=speed_series(self._current_stamps()),
            itl_series=gap_series(self._gaps),
            memory_series=memory_series(self.samples, self._submit_ns()),
            sample=self.samples[-1] if self.samples else None,
            load=self.load,
            costs=self.costs,
            segments=self.segments,
            context_thinking=shown.thinking if shown else 0,
            context_answer=len(shown.stamps) - shown.thinking if shown else 0,
            context_length=self.context_length,
            elapsed_ms=(now_ns - self._submit_ns()) / NS_PER_MS if self.passes else None,
            mode=self.mode,
        )

    def metrics(self, now_ns: int) -> Metrics:
        """Without the raw gaps, which would be copied at each call."""
        runs = list(self.passes.values())
        firsts = [item.stamps[0] for item in runs if item.stamps]
        if not runs:
            return Metrics()
        submit = self._submit_ns()
        decode_ns = sum(item.stamps[-1] - item.stamps[0] for item in runs if len(item.stamps) > 1)
        steps = sum(len(item.stamps) - 1 for item in runs if len(item.stamps) > 1)
        answer_ns = runs[-1].first_answer_ns
        prompt, cached = _sum([item.prompt_tokens for item in runs]), _sum([item.cached_tokens for item in runs])
        prefill_ns = _sum([item.prefill_ns for item in runs])
        return Metrics(
            ttft_ms=(min(firsts) - submit) / NS_PER_MS if firsts else None,
            ttfa_ms=(answer_ns - submit) / NS_PER_MS if answer_ns is not None else None,
            tpot_ms=decode_ns / NS_PER_MS / steps if steps else None,
            tps=steps * NS_PER_S / decode_ns if decode_ns > 0 else None,
            prefill_ms=prefill_ns / NS_PER_MS if prefill_ns is not None else None,
            prefill_tps=_prefill_tps(prompt, cached, prefill_ns),
            ttlt_ms=(now_ns - submit) / NS_PER_MS,
            prompt_tokens=prompt,
            cached_tokens=cached,
            output_tokens=sum(len(item.stamps) for item in runs),
            thinking_tokens=sum(item.thinking for item in runs),
        )

    def _submit_ns(self) -> int:
        return min((item.submit_ns for item in self.passes.values()), default=0)

    def _current_stamps(self) -> Sequence[int]:
        return next((item.stamps for item in reversed(self.passes.values()) if item.stamps), ())

    def _tps_now(self) -> float | None:
        """Over the last second of decoding, all passes together."""
        stamps = self._current_stamps()
        if len(stamps) < 2:
            return None
        start = max(0, bisect_left(stamps, stamps[-1] - WINDOW_NS))
        span = stamps[-1] - stamps[start]
        return (len(stamps) - 1 - start) * NS_PER_S / span if span > 0 else None


def of_record(record: RunRecord, shown_ms: float | None = None) -> Figures:
    """The exact figures of an ended run."""
    metrics = record.metrics
    visible = record.passes[-1] if record.passes else None
    stamps = visible.timings.token_ns if visible else ()
    gaps = sorted(metrics.itl_ms)
    median = percentile(gaps, 50) if gaps else None
    submit = record.passes[0].timings.submit_ns if record.passes else 0
    return Figures(
        metrics=metrics,
        shown_ms=shown_ms,
        tps_now=metrics.tps,
        itl_p50_ms=median,
        itl_p95_ms=percentile(gaps, 95) if gaps else None,
        stalls=_stalls(gaps, median),
        speed_series=speed_series(stamps),
        itl_series=gap_series(metrics.itl_ms),
        memory_series=memory_series(record.telemetry, submit),
        sample=record.telemetry[-1] if record.telemetry else None,
        load=record.load,
        costs=record.costs,
        segments=visible.segments if visible else (),
        context_thinking=sum(visible.timings.is_thinking) if visible else 0,
        context_answer=len(stamps) - sum(visible.timings.is_thinking) if visible else 0,
        context_length=record.load.context_length if record.load else None,
        elapsed_ms=metrics.ttlt_ms,
        is_final=True,
        mode=record.spec.mode.name if record.spec.mode else "",
    )


def speed_series(stamps: Sequence[int]) -> tuple[float, ...]:
    """Tokens per second over the last tokens before each point, at most `SERIES_POINTS` of them."""
    count = len(stamps)
    if count < 3:
        return ()
    step = max(1, count // SERIES_POINTS)
    width = max(SMOOTHED_OVER, step)
    points = []
    for index in range(2, count, step):
        start = max(0, index - width)
        span = stamps[index] - stamps[start]
        if span > 0:
            points.append((index - start) * NS_PER_S / span)
    return tuple(points)


def gap_series(gaps: Sequence[float]) -> tuple[float, ...]:
    """The longest gap of each stretch, so that no stall is lost when there are more gaps than points."""
    step = max(1, -(-len(gaps) // SERIES_POINTS))
    return tuple(max(gaps[start : start + step]) for start in range(0, len(gaps), step))


def memory_series(samples: Sequence[TelemetrySample], submit_ns: int) -> tuple[tuple[float, float], ...]:
    """(seconds since submit, MB resident) of the engine."""
    return tuple(
        ((sample.t_ns - submit_ns) / NS_PER_S, sample.engine_resident_bytes / 1e6)
        for sample in samples
        if sample.engine_resident_bytes is not None
    )


def _middle(ordered: Sequence[float], share: float) -> float | None:
    """A percentile of sorted values, linearly interpolated."""
    if not ordered:
        return None
    position = (len(ordered) - 1) * share
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def _stalls(ordered: Sequence[float], median: float | None) -> int:
    """Gaps that a reader notices as a halt: four times the median, and at least 20 ms."""
    if median is None:
        return 0
    limit = max(STALL_FACTOR * median, STALL_LEAST_MS)
    return len(ordered) - bisect_left(ordered, limit)


def _prefill_tps(prompt: int | None, cached: int | None, prefill_ns: int | None) -> float | None:
    """As in `workbench.runs.timings`: nothing before the prefill is over, then the figure of the record."""
    if prompt is None or cached is None or prompt == cached or not prefill_ns:
        return None
    return (prompt - cached) * NS_PER_S / prefill_ns


def _sum(values: Sequence[int | None]) -> int | None:
    """None unless every pass has it."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
