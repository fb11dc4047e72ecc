"""Dialogues of every kind that training never shows, for the figures during training and for the evaluation."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from corpus import TASKS, Corpus
from dialogue import Dialogue


def draw_held_out(corpus: Corpus, count: int, seed: int) -> dict[str, list[Dialogue]]:
    """`count` dialogues of each kind: unseen numbers, names and phrasings. The same seed gives the same ones."""
    return {
        kind: [draw(rng) for _ in range(count)]
        for kind, draw in _drawers(corpus).items()
        for rng in [random.Random(f"{seed} {kind}")]
    }


def _drawers(corpus: Corpus) -> dict[str, Callable[[random.Random], Dialogue]]:
    tasks = {kind: partial(draw, held_out=True) for kind, draw in TASKS.items() if kind != "copy"}
    return tasks | {
        "topic": partial(corpus.topics.draw, held_out=True),
        "talk": partial(corpus.talk.draw_talk, held_out=True),
        "unknown": partial(corpus.talk.draw_unknown, held_out=True),
    }
