"""Strategies: which model calls a run makes, and which text is its answer. They know no engine and no clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from workbench.runs.record import FinishReason
from workbench.runs.spec import RANDOM_SEED, ChatOptions, Limits, Message, RunSpec, Sampling
from workbench.strategies.voting import majority

DEFAULT_INSTRUCTION: Final = (
    "Check your answer above: correct mistakes, add what is missing, cut what is not needed. "
    "Reply with the improved answer only."
)
_SEEDS: Final = RANDOM_SEED  # one more means "random" to llama.cpp


@dataclass(frozen=True, slots=True)
class PassCall:
    """One model call to make. `visible` False: its text is not the answer (a draft, a vote)."""

    purpose: str
    messages: tuple[Message, ...]
    chat: ChatOptions
    sampling: Sampling
    limits: Limits
    visible: bool = True


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a call gave. `ok` False: it was cancelled or failed; `text` is then what had arrived."""

    text: str
    thinking: str
    finish_reason: FinishReason | None
    ok: bool


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """The answer of a run, the thinking that led to it, and a remark for the person who reads it."""

    text: str
    thinking: str
    note: str | None = None


Caller: TypeAlias = Callable[[Sequence[PassCall]], Sequence[PassResult]]


def execute(spec: RunSpec, call: Caller) -> StrategyResult:
    """Makes the passes of the spec's strategy through `call`, which answers a list of calls in order.

    Calls in one list do not depend on each other and may run at once. After a pass that was not `ok` no further
    call is made, and the result is what there is. Errors raised by `call` pass through.
    """
    match spec.strategy.name:
        case "single":
            return single(spec, call)
        case "refine":
            return refine(spec, call)
        case "vote":
            return vote(spec, call)


def single(spec: RunSpec, call: Caller) -> StrategyResult:
    """One visible pass."""
    (result,) = call([_pass(spec, "answer")])
    return StrategyResult(result.text, result.thinking)


def refine(spec: RunSpec, call: Caller) -> StrategyResult:
    """A draft, then a revision that sees the draft as the model's own turn.

    The draft's thinking is left out of the revision's prompt, as chat templates do with earlier turns; it stays
    in the draft's pass. An empty draft (all tokens spent on thinking) is not shown: the revision answers anew.
    """
    (draft,) = call([_pass(spec, "draft", visible=False)])
    if not draft.ok:
        return StrategyResult(draft.text, draft.thinking, "stopped while drafting; this is the draft")
    messages, note = spec.messages, "the draft was empty, so the second pass answered anew"
    if draft.text.strip():
        instruction = spec.strategy.instruction or DEFAULT_INSTRUCTION
        messages = (*messages, Message("assistant", draft.text), Message("user", instruction))
        note = "revised once"
    (revision,) = call([_pass(spec, "revision", messages=messages)])
    if not revision.ok and not revision.text.strip():
        return StrategyResult(draft.text, draft.thinking, "stopped before the revision; this is the draft")
    return StrategyResult(revision.text, revision.thinking, note if revision.ok else "stopped while revising")


def vote(spec: RunSpec, call: Caller) -> StrategyResult:
    """`passes` answers with the seeds seed, seed + 1, ...; the result that most reach, with its own thinking.

    An answer that was cut off (by the output limit or a full context) or is empty has reached no result and does
    not vote, unless all are such. Ties go to the answer that was asked for first.
    """
    count = spec.strategy.passes
    results = call([_ballot(spec, index, count) for index in range(count)])
    finished = [r for r in results if r.ok and r.text.strip()]
    voters = [r for r in finished if r.finish_reason not in ("length", "context_full")] or finished
    if not voters:
        first = next((r for r in results if r.text.strip()), results[0])
        return StrategyResult(first.text, first.thinking, "no answer was finished, so there was no vote")
    outcome = majority([r.text for r in voters])
    winner = voters[outcome.winner]
    return StrategyResult(winner.text, winner.thinking, _vote_note(outcome.agreeing, len(voters), count, spec))


def _vote_note(agreeing: int, voters: int, count: int, spec: RunSpec) -> str:
    note = f"{agreeing} of {count} answers agree"
    if voters < count:
        note += f"; {count - voters} did not come to an end"
    if spec.sampling.temperature == 0:
        note += "; at temperature 0 every vote is the same"
    return note


def _ballot(spec: RunSpec, index: int, count: int) -> PassCall:
    sampling = dataclasses.replace(spec.sampling, seed=(spec.sampling.seed + index) % _SEEDS)
    return dataclasses.replace(_pass(spec, f"vote {index + 1} of {count}", visible=False), sampling=sampling)


def _pass(
    spec: RunSpec, purpose: str, *, messages: tuple[Message, ...] | None = None, visible: bool = True
) -> PassCall:
    chosen = spec.messages if messages is None else messages
    return PassCall(purpose, chosen, spec.chat, spec.sampling, spec.limits, visible)
