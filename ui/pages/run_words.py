"""The short texts of the Run page that change while a run goes on."""

from __future__ import annotations

from ui.state.run_view import Figures, RunView
from workbench import units
from workbench.profiles import SurfaceProfile
from workbench.runs.record import RunRecord
from workbench.runs.timings import Metrics

_BUDGETS = {"ttft": "first token", "ttfa": "first answer token", "itl": "between tokens", "ttlt": "whole answer"}


def budget_text(surface: SurfaceProfile | None) -> str:
    """chat budget: first token 500 ms"""
    if surface is None:
        return ""
    budget = dict(surface.budgets).get(surface.judged_on)
    return f"{surface.title.lower()} budget: {_BUDGETS[surface.judged_on]} {units.ms_text(budget)}" if budget else ""


def phase_pill(view: RunView, figures: Figures) -> tuple[str, str]:
    """What goes on, and the tone of the pill."""
    match view.phase:
        case "answering":
            return f"streaming  {_rate(figures)}", "good"
        case "thinking":
            return f"thinking  {_rate(figures)}", "thinking"
        case "drafting":
            return f"drafting  {_rate(figures)}", "thinking"
        case "stopping":
            return "stopping", "warn"
    return view.phase_text or "starting", "accent"


def thinking_line(metrics: Metrics) -> tuple[str, str]:
    """Thought for 1.4 s / 84 tokens, first answer token at 1.56 s"""
    if not metrics.thinking_tokens:
        return "Other passes", f"{metrics.output_tokens:,} tokens in all passes"
    title = "Thought"
    if metrics.ttfa_ms is not None and metrics.ttft_ms is not None:
        title = f"Thought for {units.ms_text(metrics.ttfa_ms - metrics.ttft_ms)}"
    said = f"{metrics.thinking_tokens:,} tokens" if metrics.thinking_tokens else ""
    if metrics.ttfa_ms is not None:
        at = f"first answer token at {seconds_text(metrics.ttfa_ms)}"
        said = f"{said}, {at}" if said else at
    return title, said


def answer_footer(record: RunRecord) -> str:
    """Why the answer ended where it did, and what else must be said of it."""
    said = []
    if record.error is not None:
        said.append(record.error.message)
    if record.note:
        said.append(record.note[0].upper() + record.note[1:])
    if record.finish_reason == "length":
        limit = record.spec.limits.max_tokens
        said.append(f"Stopped at the output limit of {limit:,} tokens" if limit else "Stopped at the output limit")
    elif record.finish_reason == "context_full":
        said.append("Stopped because the context is full")
    if record.status == "finished":
        said.append(_summary(record))
    return ". ".join(text.rstrip(".") for text in said if text)


def _summary(record: RunRecord) -> str:
    metrics = record.metrics
    parts = [f"{metrics.output_tokens:,} tokens in {units.ms_text(metrics.ttlt_ms)}"]
    if record.spec.model.quantization:
        parts.append(record.spec.model.quantization)
    if record.spec.mode:
        parts.append(record.spec.mode.name)
    parts.append(f"seed {record.spec.sampling.seed}")
    return ", ".join(parts)


def seconds_text(ms: float) -> str:
    """Two decimals where the difference to the budget is small: 1.56 s."""
    return f"{ms / 1000:.2f} s" if 1000 <= ms < 10_000 else units.ms_text(ms)


def _rate(figures: Figures) -> str:
    rate = figures.tps_now
    return f"{rate:.0f} tok/s" if rate is not None else ""
