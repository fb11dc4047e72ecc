"""Small talk, what the model says about itself, and questions beyond it; longer explanations in steps."""

from __future__ import annotations

import random
from typing import Any

from dialogue import Dialogue, is_held_out, is_phrase_held_out, load_content, roughen
from topics import likeness, words_of

HELD_OUT_FILLS = 6
NONSENSE = "nothing"


class Talk:
    def __init__(self) -> None:
        self.talks: list[dict[str, Any]] = load_content("smalltalk")["talk"]
        self.unknowns: list[dict[str, Any]] = load_content("unknown")["unknown"]
        self.stories: list[dict[str, Any]] = load_content("stories")["story"]
        self._beyond = {talk["id"] for talk in self.unknowns}
        self._bags = {talk["id"]: words_of(str(talk["answer"])) for talk in (*self.talks, *self.unknowns)}

    def draw_talk(self, rng: random.Random, *, held_out: bool = False) -> Dialogue:
        """A greeting, a question about the model itself, praise, nonsense ..."""
        while True:
            talk = rng.choice(self.talks)
            asks = [ask for ask in talk["asks"] if is_phrase_held_out(talk["id"], ask) == held_out]
            if asks:
                ask = _gibberish(rng) if talk["id"] == NONSENSE and rng.random() < 0.6 else rng.choice(asks)
                return _turn("talk", talk, ask if held_out else roughen(ask, rng), rng)

    def draw_unknown(self, rng: random.Random, *, held_out: bool = False) -> Dialogue:
        """A question beyond the model. The subjects of the evaluation are never named in training."""
        weights = [len(unknown["fill"]) ** 0.5 for unknown in self.unknowns]
        while True:
            unknown = rng.choices(self.unknowns, weights)[0]
            fills = [f for f in unknown["fill"] if is_held_out(f"{unknown['id']}|{f}", HELD_OUT_FILLS) == held_out]
            if fills:
                ask = rng.choice(unknown["asks"]).format(x=rng.choice(fills))
                return _turn("unknown", unknown, ask if held_out else roughen(ask, rng), rng)

    def draw_story(self, rng: random.Random, *, held_out: bool = False) -> Dialogue:
        while True:
            story = rng.choice(self.stories)
            asks = [ask for ask in story["asks"] if is_phrase_held_out(story["id"], ask) == held_out]
            if asks:
                thought = f"The user wants {story['about']}. I take it step by step."
                return _turn("story", {**story, "thought": thought}, roughen(rng.choice(asks), rng), rng)

    def is_right(self, dialogue: Dialogue, text: str) -> bool:
        """The answer taught for this kind of talk; which of the ways of not knowing it picks does not matter."""
        bag = words_of(text)
        nearest = max(self._bags, key=lambda key: likeness(bag, self._bags[key]))
        if likeness(bag, self._bags[nearest]) < 0.5:
            return False
        return nearest in self._beyond if dialogue.kind == "unknown" else nearest == dialogue.expected


def _gibberish(rng: random.Random) -> str:
    """Letters at random, at times as several words: a class that no list can teach."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(3, 7))) for _ in range(rng.choice((1, 1, 1, 2)))]
    return " ".join(words)


def _turn(kind: str, talk: dict[str, Any], question: str, rng: random.Random) -> Dialogue:
    return Dialogue(
        kind, (("user", question),), rng.random() < 0.5, f"{talk['thought']}\n", str(talk["answer"]).strip(), talk["id"]
    )
