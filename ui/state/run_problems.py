"""From errors, cuts and old records to what the Run page offers: a sentence and the button that mends it."""

from __future__ import annotations

from dataclasses import replace

from ui.state.run_knobs import lacks_adapter, model_changes, short_count, smaller_context
from ui.state.run_view import Attachment, KnobValues, Problem, RunView, Tone, Turn
from workbench.runs.record import Dropped, RunRecord
from workbench.runs.spec import Message, RunSpec

ADAPTER_CODES = ("adapter_unusable", "adapter_wrong_model")
CHARACTERS_PER_TOKEN = 3.0  # rather few: a context that is too large costs less than a second error


def of_record(record: RunRecord, view: RunView) -> Problem | None:
    """What a person must be told of an ended run, None when all went well."""
    if record.error is not None:
        return of_error(record.error.code, record.error.message, record.error.detail, view, record.spec)
    dropped = next((item.dropped for item in record.passes if item.dropped), None)
    if dropped is not None:
        return of_dropped(dropped)
    if record.finish_reason == "context_full":
        return _larger("The context is full, so the answer stopped before its end.", None, view, record.spec, "warn")
    if record.note and record.note.startswith("This run is not in the history"):
        return Problem("warn", record.note)
    return None


def of_error(code: str, message: str, detail: str | None, view: RunView, spec: RunSpec | None) -> Problem:
    """The remedy is chosen by the error's code, never by its words."""
    if code == "prompt_too_long":
        return _larger(message, detail, view, spec, "bad")
    if code == "out_of_memory":
        length = smaller_context(view.choices.contexts, spec.engine.context_length) if spec else None
        if length is not None:
            return Problem("bad", message, "smaller_context", f"Use {short_count(length)} context", detail)
        return Problem("bad", message, "demo_model", "Choose the demo model", detail)
    if code in ADAPTER_CODES or (code == "model_not_found" and lacks_adapter(view.values)):
        text = "Run without it" if len(view.values.adapters) == 1 else "Run without adapters"
        return Problem("bad", message, "no_adapters", text, detail)
    if code in ("model_file_invalid", "model_not_found") and not view.choices.is_demo:
        return Problem("bad", message, "demo_model", "Choose the demo model", detail)
    can_retry = code not in ("spec_invalid", "profile_invalid", "model_file_invalid")
    return Problem("bad", message, "retry" if can_retry else "none", "Try again" if can_retry else None, detail)


def of_dropped(dropped: Dropped) -> Problem:
    what = dropped.description or f"the policy {dropped.policy} left them out"
    return Problem(
        "warn", f"{dropped.tokens:,} tokens were cut and the model did not see them: {what.rstrip('.')}.",
        "show_prompt", "What the model saw",
    )  # fmt: skip


def _larger(message: str, detail: str | None, view: RunView, spec: RunSpec | None, tone: Tone) -> Problem:
    length = _fitting_context(view, spec) if spec else None
    if length is not None:
        return Problem(tone, message, "larger_context", f"Use {short_count(length)} context", detail, length)
    if len(view.turns) > 1:
        return Problem(tone, message, "drop_oldest", "Leave out the oldest turns", detail)
    return Problem(tone, message, "keep_head_tail", "Keep head and tail", detail)


def _fitting_context(view: RunView, spec: RunSpec) -> int | None:
    """The smallest larger context that probably holds the messages; None when there is none."""
    tokens = sum(len(message.full_content) for message in spec.messages) / CHARACTERS_PER_TOKEN
    larger = [length for length in view.choices.contexts if length > spec.engine.context_length]
    return next((length for length in larger if length >= tokens), larger[-1] if larger else None)


def mended(problem: Problem, view: RunView, spec: RunSpec | None) -> KnobValues:
    """The knobs as the problem's remedy wants them."""
    values, current = view.values, spec.engine.context_length if spec else 0
    match problem.remedy:
        case "larger_context":
            return replace(values, context_length=problem.context_length)
        case "smaller_context":
            return replace(values, context_length=smaller_context(view.choices.contexts, current))
        case "drop_oldest":
            return replace(values, overflow="drop_oldest")
        case "keep_head_tail":
            return replace(values, overflow="keep_head_tail")
        case "demo_model":
            return replace(values, **model_changes("demo"))
        case "no_adapters":
            return replace(values, adapters=())
    return values


def of_knobs(problem: Problem) -> Problem:
    """The problem as that of knobs with which nothing was asked yet."""
    text = problem.action_text
    if problem.remedy == "no_adapters":
        text = "Take it out" if text == "Run without it" else "Take them out"
    return replace(problem, action_text=text, asks_again=False)


def replayed(record: RunRecord) -> tuple[KnobValues, tuple[Turn, ...], str, Attachment | None]:
    """Knobs, earlier turns, question and attachment that make the same run again."""
    spec = record.spec
    messages = list(spec.messages)
    system = messages.pop(0).content if messages and messages[0].role == "system" else None
    question = messages.pop() if messages else Message("user", "")
    values = KnobValues(
        model=spec.model.name,
        quantization=spec.model.quantization,
        context_length=spec.engine.context_length,
        mode=spec.mode.name if spec.mode else None,
        surface=spec.surface.name if spec.surface else None,
        seed=spec.sampling.seed,
        temperature=spec.sampling.temperature,
        max_tokens=spec.limits.max_tokens,
        threads=spec.engine.threads,
        gpu_layers=spec.engine.gpu_layers,
        kv_type=spec.engine.kv_type_k,
        placement=spec.engine.placement,
        overflow=spec.chat.overflow,
        system=system,
        adapters=spec.engine.adapters,
    )
    turns = tuple(
        Turn(asked.content, _attachment(asked), answer=answered.content)
        for asked, answered in zip(messages[::2], messages[1::2], strict=False)
    )
    return values, turns, question.content, _attachment(question)


def _attachment(message: Message) -> Attachment | None:
    return Attachment(message.document_name or "document", message.document) if message.document else None
