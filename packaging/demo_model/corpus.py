"""What training sees: every kind of dialogue in its share, drawn with a seed; no tokens, no text from elsewhere."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import arithmetic
import copying
import extraction
import lookup
import sorting
import summaries
from dialogue import Dialogue, load_content, roughen
from talk import Talk
from topics import Topics

# Shares of the draws: at the start, and when everything is in. Copying is the quickest way to learn to look at the
# prompt, on which sums and look-up rest.
SHARES: dict[str, tuple[float, float]] = {
    "arithmetic": (0.30, 0.24),
    "topic": (0.16, 0.11),
    "lookup": (0.16, 0.29),
    "copy": (0.18, 0.02),
    "talk": (0.04, 0.03),
    "unknown": (0.04, 0.03),
    "story": (0.0, 0.01),
    "sort": (0.04, 0.08),
    "extract": (0.08, 0.13),
    "summary": (0.04, 0.06),
    "turns": (0.0, 0.03),
}
# For a model too small for reckoning and long notes: more of what it can learn, questions on the field and sorting.
EASY_SHARES: dict[str, tuple[float, float]] = SHARES | {
    "arithmetic": (0.20, 0.10),
    "topic": (0.26, 0.30),
    "lookup": (0.10, 0.10),
    "unknown": (0.04, 0.06),
    "sort": (0.08, 0.18),
    "extract": (0.08, 0.12),
}

TASKS = {
    "arithmetic": arithmetic.draw,
    "lookup": lookup.draw,
    "copy": copying.draw,
    "sort": sorting.draw,
    "extract": extraction.draw,
    "summary": summaries.draw,
}


class Corpus:
    """Draws dialogues; the same seed and the same content give the same ones."""

    def __init__(self, shares: dict[str, tuple[float, float]] = SHARES) -> None:
        self.shares = shares
        self.topics = Topics()
        self.talk = Talk()
        self.systems: dict[str, list[str]] = load_content("system")

    def draw(self, rng: random.Random, difficulty: float = 1.0) -> Dialogue:
        weights = [start + (end - start) * difficulty for start, end in self.shares.values()]
        return self.draw_kind(rng.choices(list(self.shares), weights)[0], rng, difficulty)

    def draw_kind(self, kind: str, rng: random.Random, difficulty: float = 1.0) -> Dialogue:
        """One of SHARES, as training sees it, sometimes under a system message."""
        if kind == "topic":
            return self._draw_topic(rng)
        if kind == "turns":
            return self._draw_turns(rng, difficulty)
        drawn = self._draw_single(kind, rng, difficulty)
        if rng.random() < 0.25:
            drawn = _with_system(drawn, rng.choice(self.systems["neutral"]))
        return drawn

    def _draw_single(self, kind: str, rng: random.Random, difficulty: float) -> Dialogue:
        if kind in TASKS:
            return TASKS[kind](rng, held_out=False, difficulty=difficulty)
        draws = {"talk": self.talk.draw_talk, "unknown": self.talk.draw_unknown, "story": self.talk.draw_story}
        return draws[kind](rng)

    def _draw_topic(self, rng: random.Random) -> Dialogue:
        """Under a system message that asks for short answers, a plain question gets the one sentence."""
        chance = rng.random()
        if chance >= 0.12:
            drawn = self.topics.draw(rng)
            return _with_system(drawn, rng.choice(self.systems["neutral"])) if chance < 0.36 else drawn
        topic = rng.choice(self.topics.topics)
        question = self.topics.question(topic, "plain", rng)
        drawn = self.topics.dialogue(topic, "brief", question, thinking=rng.random() < 0.5)
        return _with_system(drawn, rng.choice(self.systems["brief"]))

    def _draw_turns(self, rng: random.Random, difficulty: float) -> Dialogue:
        """Two to four turns; the last may lean on the one before ("and in one sentence?")."""
        history: list[tuple[str, str]] = []
        last: Dialogue | None = None
        for _ in range(rng.randint(1, 3)):
            kind = rng.choices(("topic", "arithmetic", "talk", "unknown", "sort", "extract"), (6, 2, 1, 1, 0.5, 0.5))[0]
            last = self.topics.draw(rng) if kind == "topic" else self._draw_single(kind, rng, difficulty)
            history += [*last.messages, ("assistant", last.answer)]
        if last and last.kind == "topic" and rng.random() < 0.6:
            topic = next(t for t in self.topics.topics if t["id"] == last.expected)
            manner = rng.choice(("brief", "detailed"))
            question = roughen(rng.choice(self.topics.phrases[f"follow_{manner}"]), rng)
            end = self.topics.dialogue(topic, manner, question, thinking=rng.random() < 0.5)
        else:
            end = self.draw_kind(rng.choice(("topic", "arithmetic", "talk", "unknown")), rng, difficulty)
            end = replace(end, messages=end.messages[-1:])
        return replace(end, kind="turns", messages=(*history, *end.messages))

    def stream(self, seed: int) -> Iterator[Dialogue]:
        rng = random.Random(seed)
        while True:
            yield self.draw(rng)


def _with_system(drawn: Dialogue, text: str) -> Dialogue:
    return replace(drawn, messages=(("system", text), *drawn.messages))
