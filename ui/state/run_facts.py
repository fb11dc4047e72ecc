"""Short facts under the knobs of the Run page: pending costs, sizes, and what a mode was measured to change."""

from __future__ import annotations

from collections.abc import Callable

from ui.state.run_view import RunView
from workbench import units
from workbench.profiles import ModeProfile
from workbench.runs.record import LoadReport, RunRecord
from workbench.runs.spec import RunSpec


def knob_facts(
    view: RunView, spec: RunSpec | None, load: LoadReport | None, consequence: Callable[..., str]
) -> dict[str, str]:
    """By knob. A pending cost stands under the knob that causes it."""
    choices, values = view.choices, view.values
    model = next((item.note for item in choices.models if item.key in (values.model, choices.model_key)), "")
    key = values.quantization or choices.quantization
    quantization = next((item.note for item in choices.quantizations if item.key == key), "")
    context = f"trained for {choices.trained_context:,}" if choices.trained_context else ""
    if spec is None and choices.models:
        model = consequence()
    elif spec is not None and load is not None:
        if spec.model.quantization != load.quantization:
            quantization = f"next run {consequence()}"
        elif spec.engine.context_length != load.context_length:
            context = consequence()
    if load is None and choices.models and not choices.is_demo:
        model = consequence()
    return {"model": model, "quantization": quantization, "context_length": context, "mode": _current_mode(view, load)}


def _current_mode(view: RunView, load: LoadReport | None) -> str:
    pair = _same_question(view)
    if pair is not None:
        return _difference(*pair)
    if view.values.mode == "thoughtful" and load is not None and load.thinking_switch.kind == "none":
        return "this model has no thinking part"
    return ""


def mode_fact(mode: ModeProfile, view: RunView, load: LoadReport | None) -> str:
    """What switching to `mode` would change; switching itself costs nothing."""
    measured = _last_of(view, mode.name)
    current = _last_of(view, view.values.mode or "")
    if measured is not None and current is not None and _question(measured) == _question(current):
        return _difference(measured, current)
    if mode.thinking == "on" and load is not None and load.thinking_switch.kind == "none":
        return "this model has no thinking part; only sampling changes"
    return f"{mode_words(mode)}; free to switch"


def mode_words(mode: ModeProfile) -> str:
    """thinks first, up to 1,024 tokens"""
    said = {"on": "thinks first", "off": "answers at once", "default": "as the model does"}[mode.thinking]
    if mode.thinking == "on" and mode.thinking_budget:
        said += f", up to {mode.thinking_budget:,} tokens"
    if mode.strategy.passes > 1:
        said += f", {mode.strategy.passes} passes"
    return said


def _same_question(view: RunView) -> tuple[RunRecord, RunRecord] | None:
    """The last run in the present mode and the last one in another, when both answered the same question."""
    current = _last_of(view, view.values.mode or "")
    others = [r for r in view.records if r.spec.mode and r.spec.mode.name != view.values.mode]
    if current is None or not others or _question(others[-1]) != _question(current):
        return None
    return current, others[-1]


def _difference(run: RunRecord, other: RunRecord) -> str:
    """thoughtful against fast: +1.4 s, +84 tokens on this prompt"""
    mine, theirs = run.metrics, other.metrics
    parts = []
    if mine.ttlt_ms is not None and theirs.ttlt_ms is not None:
        change = mine.ttlt_ms - theirs.ttlt_ms
        parts.append(f"{'+' if change >= 0 else '−'}{units.ms_text(abs(change))}")
    tokens = mine.output_tokens - theirs.output_tokens
    parts.append(f"{'+' if tokens >= 0 else '−'}{abs(tokens):,} tokens")
    name = other.spec.mode.name if other.spec.mode else "before"
    return f"{', '.join(parts)} against {name} on this prompt"


def _last_of(view: RunView, mode: str) -> RunRecord | None:
    found = [record for record in view.records if record.spec.mode and record.spec.mode.name == mode]
    return found[-1] if found else None


def _question(record: RunRecord) -> str:
    return record.spec.messages[-1].content if record.spec.messages else ""
