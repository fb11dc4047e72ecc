"""What the context's sequences hold, so that a request starts from the longest prefix that is already there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.engine.context import Context
from workbench.engine.weights import Weights

if TYPE_CHECKING:
    from workbench.engine.generation import Generation

NOTE_RECURRENT = (
    "{common:,} tokens of this prompt were in memory, but this model keeps one running state that cannot be cut back; "
    "the whole prompt was evaluated again."
)
NOTE_WINDOW = (
    "{common:,} tokens of this prompt were in memory, but the sliding window of this model has already dropped the "
    "ones before the change; the whole prompt was evaluated again."
)


@dataclass(slots=True)
class Slot:
    """One sequence. `tokens` is exactly what its memory holds; `exact` of them are as a fresh prefill would make them.

    After a context shift the rest carries traces of what was dropped: usable to go on, not to start from.
    """

    sequence: int
    tokens: list[int] = field(default_factory=list)
    exact: int = 0
    last_used: int = 0
    generation: Generation | None = None

    def forget(self, context: Context) -> None:
        context.cut(self.sequence, 0)
        self.tokens.clear()
        self.exact = 0


def common_prefix(held: list[int], wanted: list[int]) -> int:
    """Number of equal tokens at the start."""
    limit = min(len(held), len(wanted))
    if held[:limit] == wanted[:limit]:
        return limit
    low, high = 0, limit
    # Slices compare in C; a Python loop over 100,000 tokens takes 5 ms of the time to the first token.
    while low < high:
        middle = (low + high + 1) // 2
        if held[low:middle] == wanted[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def choose_slot(slots: list[Slot], wanted: list[int]) -> Slot | None:
    """The free slot with the longest usable prefix; else the one whose content was used longest ago.

    A prefix counts only when it is worth more than what would be overwritten: two conversations that share
    nothing but the first words of a template must not take each other's memory.
    """
    free = [slot for slot in slots if slot.generation is None]
    if not free:
        return None

    def worth(slot: Slot) -> tuple[int, int, int]:
        usable = _usable(slot, wanted)
        loss = slot.exact - usable
        return (usable if usable >= loss else 0, -slot.last_used, -slot.sequence)

    return max(free, key=worth)


def _usable(slot: Slot, wanted: list[int]) -> int:
    return min(common_prefix(slot.tokens, wanted), slot.exact)


def reuse_prefix(slot: Slot, wanted: list[int], context: Context, weights: Weights) -> tuple[int, str | None]:
    """Cuts the slot's memory back to what `wanted` shares with it.

    Returns the number of tokens kept, always less than the prompt because the last one gives the first output,
    and a sentence when more could have been kept by another kind of model.
    """
    common = _usable(slot, wanted)
    keep = min(common, len(wanted) - 1)
    if keep <= 0:
        slot.forget(context)
        return 0, None
    if keep == len(slot.tokens):
        return keep, None
    window_start = context.first_position(slot.sequence)
    needs_from = max(0, keep - weights.sliding_window) if weights.sliding_window > 0 else 0
    if weights.sliding_window > 0 and window_start > needs_from:
        slot.forget(context)
        return 0, NOTE_WINDOW.format(common=common)
    if not context.cut(slot.sequence, keep):
        slot.forget(context)
        note = NOTE_RECURRENT if weights.is_recurrent else NOTE_WINDOW
        return 0, note.format(common=common)
    del slot.tokens[keep:]
    slot.exact = min(slot.exact, keep)
    return keep, None
