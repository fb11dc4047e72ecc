"""Questions about the workbench's field, answered with the glossary's own sentences."""

from __future__ import annotations

import random
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from dialogue import Dialogue, capitalized, is_phrase_held_out, load_content, roughen

GLOSSARY = Path(__file__).parents[2] / "assets" / "glossary.toml"
MANNERS = ("plain", "brief", "detailed")


def words_of(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


def likeness(a: Counter[str], b: Counter[str]) -> float:
    """Shared words over all words, counted with repetition: 1 for the same words, 0 for none in common."""
    return (a & b).total() / max(1, (a | b).total())


class Topics:
    """Draws questions in three manners, which decide how long the answer is ("plain" and "detailed": the paragraph)."""

    def __init__(self) -> None:
        with GLOSSARY.open("rb") as file:
            self.topics: list[dict[str, Any]] = tomllib.load(file)["topic"]
        self.phrases: dict[str, list[str]] = load_content("phrases")
        self._bags = {
            (topic["id"], manner): words_of(self.answer(topic, manner))
            for topic in self.topics
            for manner in ("plain", "brief")
        }

    def questions(self, topic: dict[str, Any], manner: str, *, held_out: bool) -> list[str]:
        """All phrasings of one topic in a manner."""
        found = [
            capitalized(carrier.format(x=name))
            for carrier in self.phrases[manner]
            if is_phrase_held_out(topic["id"], carrier) == held_out
            for name in topic["names"]
        ]
        if manner == "plain":
            found += [ask for ask in topic["asks"] if is_phrase_held_out(topic["id"], ask) == held_out]
        return found

    def question(self, topic: dict[str, Any], manner: str, rng: random.Random) -> str:
        """One that training may see. The topic's own phrasings weigh as much as all carriers together."""
        own = [ask for ask in topic["asks"] if not is_phrase_held_out(topic["id"], ask)]
        if manner == "plain" and own and rng.random() < 0.5:
            return roughen(rng.choice(own), rng)
        carriers = [c for c in self.phrases[manner] if not is_phrase_held_out(topic["id"], c)]
        return roughen(capitalized(rng.choice(carriers).format(x=rng.choice(topic["names"]))), rng)

    def thought(self, topic: dict[str, Any], manner: str) -> str:
        wish = "One sentence is enough." if manner == "brief" else "I explain it in a few sentences."
        return f"The user asks about {topic['about']}. {wish}\n"

    def answer(self, topic: dict[str, Any], manner: str) -> str:
        return str(topic["short"] if manner == "brief" else topic["long"]).strip()

    def draw(self, rng: random.Random, *, held_out: bool = False, easy: bool = False, manner: str = "") -> Dialogue:
        """`easy` keeps to the topics that the small sibling is meant to know as well."""
        while True:
            topic = rng.choice([t for t in self.topics if t.get("is_easy", False)] if easy else self.topics)
            how = manner or rng.choices(MANNERS, (6, 3, 1))[0]
            if held_out:
                choices = self.questions(topic, how, held_out=True)
                if not choices:
                    continue
                question = rng.choice(choices)
            else:
                question = self.question(topic, how, rng)
            return self.dialogue(topic, how, question, thinking=rng.random() < 0.5)

    def dialogue(self, topic: dict[str, Any], manner: str, question: str, *, thinking: bool) -> Dialogue:
        return Dialogue(
            "topic",
            (("user", question),),
            thinking,
            self.thought(topic, manner),
            self.answer(topic, manner),
            topic["id"],
        )

    def is_right(self, dialogue: Dialogue, text: str) -> bool:
        """The answer is nearest to one of the two taught for this topic."""
        bag = words_of(text)
        nearest = max(self._bags, key=lambda key: likeness(bag, self._bags[key]))
        return nearest[0] == dialogue.expected and likeness(bag, self._bags[nearest]) > 0.5
