"""What the events of a run under way say to the Run page: the phase that they begin, and their text in pieces."""

from __future__ import annotations

from collections.abc import Iterable

from ui.state.run_view import Phase
from workbench.runs import events

Piece = tuple[str, str]
"""The part of an answer, "thinking" or "answer", and some of its text."""


def phase_of(event: object) -> tuple[Phase, str] | None:
    """The phase and its words; None for an event that begins none, and for tokens, whose pass decides."""
    match event:
        case events.EngineLoading():
            return "loading", _loading_text(event)
        case events.EngineReady():
            return "prefill", "reading the prompt"
        case events.PrefillProgressed():
            return "prefill", f"reading the prompt, {event.done_tokens:,} of {event.total_tokens:,}"
    return None


def draft_of(event: events.PassEnded) -> list[Piece]:
    """The whole text of a pass that was not streamed, under its purpose; nothing when it is empty."""
    text = event.text.strip()
    return [("thinking", f"{event.purpose.capitalize()}:\n{text}\n\n")] if text else []


def pieces_of(event: events.TokensReceived) -> list[Piece]:
    return [
        ("thinking" if thinks else "answer", text) for text, thinks in zip(event.texts, event.is_thinking, strict=True)
    ]


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Neighbours of the same part as one piece: one insertion into the document."""
    found: list[tuple[str, list[str]]] = []
    for part, text in pieces:
        if found and found[-1][0] == part:
            found[-1][1].append(text)
        else:
            found.append((part, [text]))
    return [(part, "".join(texts)) for part, texts in found]


def _loading_text(event: events.EngineLoading) -> str:
    step = {"start": "starting the engine", "weights": "loading the model", "context": "making the context"}[event.step]
    return step if event.fraction is None else f"{step}, {event.fraction:.0%}"
