"""Dialogues for training and for the evaluation, drawn with a seed from `content/*.toml` and from arithmetic.

Nothing here knows about tokens or tensors; no text comes from outside this folder.
"""

from __future__ import annotations

import random
import re
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arithmetic import Exercise, draw_exercise

CONTENT = Path(__file__).parent / "content"


@dataclass(frozen=True)
class Dialogue:
    """One exercise for the model: `messages` (role, content) end with the user; then comes what it should write."""

    kind: str
    messages: tuple[tuple[str, str], ...]
    thinking: bool
    thought: str
    answer: str
    subject: str = ""

    @property
    def completion(self) -> str:
        """The text after the generation prompt, without the end-of-turn mark."""
        return f"<think>\n{self.thought}</think>\n\n{self.answer}" if self.thinking else self.answer


def load_content() -> dict[str, dict[str, Any]]:
    """Every file under `content/` by its stem."""
    content = {}
    for path in sorted(CONTENT.glob("*.toml")):
        with path.open("rb") as file:
            content[path.stem] = tomllib.load(file)
    return content


def is_phrase_held_out(subject: str, phrase: str) -> bool:
    """One in ten pairs of subject and phrasing never occurs in training."""
    return zlib.crc32(f"{subject}|{phrase.lower()}".encode()) % 10 == 0


def roughen(text: str, rng: random.Random) -> str:
    """What people really type: lower case, a missing question mark, now and then a letter swapped or lost."""
    if rng.random() < 0.4:
        text = text.lower()
    if rng.random() < 0.3:
        text = text.rstrip("?.!")
    if rng.random() < 0.06 and len(text) > 12:
        at = rng.randrange(1, len(text) - 2)
        if text[at : at + 2].isalpha():
            text = text[:at] + (text[at + 1] + text[at] if rng.random() < 0.5 else text[at + 1]) + text[at + 2 :]
    return text


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


class Corpus:
    """Draws dialogues; the same seed and the same content give the same ones."""

    def __init__(self) -> None:
        content = load_content()
        self.topics: list[dict[str, Any]] = content["glossary"]["topic"]
        self.phrases: dict[str, list[str]] = content["phrases"]
        self.talks: list[dict[str, Any]] = content["smalltalk"]["talk"]
        self.unknowns: list[dict[str, Any]] = content["unknown"]["unknown"]
        self.stories: list[dict[str, Any]] = content["stories"]["story"]
        self.systems: dict[str, list[str]] = content["system"]
        self.notes: dict[str, list[str]] = content["notes"]
        self.words = sorted(
            {word for topic in self.topics for word in re.findall(r"\b[a-z]{3,}\b", topic["long"])}
            | set(self.notes["places"])
        )

    # Questions about a topic come in three manners, which decide how long the answer is.
    def topic_questions(self, topic: dict[str, Any], manner: str, *, held_out: bool) -> list[str]:
        """All phrasings of one topic in a manner ("plain", "brief", "detailed")."""
        found = []
        for carrier in self.phrases[manner]:
            for name in topic["names"]:
                if is_phrase_held_out(topic["id"], carrier) == held_out:
                    found.append(capitalized(carrier.format(x=name)))
        if manner == "plain":
            found += [ask for ask in topic.get("asks", []) if is_phrase_held_out(topic["id"], ask) == held_out]
        return found

    def topic_turn(self, topic: dict[str, Any], manner: str, rng: random.Random) -> tuple[str, str, str]:
        """(question, thought, answer)."""
        asks = topic.get("asks", [])
        question = ""
        if manner == "plain" and asks and rng.random() < 0.3:
            question = rng.choice(asks)
            if is_phrase_held_out(topic["id"], question):
                question = ""
        while not question:
            carrier = rng.choice(self.phrases[manner])
            if not is_phrase_held_out(topic["id"], carrier):
                question = capitalized(carrier.format(x=rng.choice(topic["names"])))
        return roughen(question, rng), self.topic_thought(topic, manner), self.topic_answer(topic, manner)

    def topic_thought(self, topic: dict[str, Any], manner: str) -> str:
        wish = {"brief": "One sentence is enough.", "plain": "I explain it in a few sentences."}
        return f"The user asks about {topic['about']}. {wish.get(manner, wish['plain'])}\n"

    def topic_answer(self, topic: dict[str, Any], manner: str) -> str:
        return str(topic["short"] if manner == "brief" else topic["long"]).strip()

    def draw_system(self, rng: random.Random) -> tuple[list[tuple[str, str]], bool]:
        """A system message or none, and whether it asks for short answers."""
        draw = rng.random()
        if draw < 0.6:
            return [], False
        if draw < 0.88:
            return [("system", rng.choice(self.systems["neutral"]))], False
        return [("system", rng.choice(self.systems["brief"]))], True

    def draw_neutral_system(self, rng: random.Random) -> list[tuple[str, str]]:
        return [("system", rng.choice(self.systems["neutral"]))] if rng.random() < 0.25 else []

    def draw_topic(self, rng: random.Random) -> Dialogue:
        system, is_brief = self.draw_system(rng)
        topic = rng.choice(self.topics)
        manner = "brief" if is_brief else rng.choices(("plain", "brief", "detailed"), (6, 3, 1))[0]
        asked = "plain" if is_brief else manner
        question, _, _ = self.topic_turn(topic, asked, rng)
        return Dialogue(
            "topic",
            (*system, ("user", question)),
            rng.random() < 0.5,
            self.topic_thought(topic, manner),
            self.topic_answer(topic, manner),
            topic["id"],
        )

    def draw_sum(self, rng: random.Random, difficulty: float) -> Dialogue:
        system = self.draw_neutral_system(rng)
        exercise = draw_exercise(rng, held_out=False, difficulty=difficulty)
        return sum_dialogue(exercise, thinking=rng.random() < 0.86, system=system)

    def small_turn(self, rng: random.Random) -> tuple[str, str, str, str]:
        """(question, thought, answer, subject) of small talk or of something beyond the model."""
        if rng.random() < 0.5:
            talk = rng.choice(self.talks)
            asks = [ask for ask in talk["asks"] if not is_phrase_held_out(talk["id"], ask)]
            question, fill = rng.choice(asks), ""
        else:
            talk = rng.choices(self.unknowns, [len(u["fill"]) ** 0.5 for u in self.unknowns])[0]
            fill = rng.choice(talk["fill"])
            question = rng.choice(talk["asks"]).format(x=fill)
        answer = str(talk["answer"]).strip()
        return roughen(question, rng), f"{talk['thought']}\n", answer, talk["id"]

    def draw_small(self, rng: random.Random) -> Dialogue:
        system, _ = self.draw_system(rng)
        question, thought, answer, subject = self.small_turn(rng)
        return Dialogue("small", (*system, ("user", question)), rng.random() < 0.5, thought, answer, subject)

    def draw_story(self, rng: random.Random) -> Dialogue:
        system = self.draw_neutral_system(rng)
        story = rng.choice(self.stories)
        asks = [ask for ask in story["asks"] if not is_phrase_held_out(story["id"], ask)]
        return Dialogue(
            "story",
            (*system, ("user", roughen(rng.choice(asks), rng))),
            rng.random() < 0.5,
            f"The user wants {story['about']}. I take it step by step.\n",
            str(story["answer"]).strip(),
            story["id"],
        )

    def draw_lookup(self, rng: random.Random, difficulty: float) -> Dialogue:
        """A note of a few facts in the prompt and a question about one of them, sometimes about none."""
        count = rng.randint(1, 2 + round(4 * difficulty))
        places = rng.sample(self.notes["places"], count + 1)
        codes = [f"{rng.randrange(10000):04d}" for _ in places]
        facts = " ".join(f"The code for {p} is {c}." for p, c in zip(places[:count], codes, strict=False))
        wanted = rng.randrange(count)
        if rng.random() < 0.12:
            place, thought = places[count], f"The notes do not mention {places[count]}.\n"
            answer = f"The notes do not say what the code for {place} is."
        else:
            place, thought = places[wanted], f"The notes have a line about {places[wanted]}.\n"
            answer = f"The code for {place} is {codes[wanted]}."
        question = rng.choice(self.notes["asks"]).format(x=place)
        text = rng.choice(self.notes["layouts"]).format(facts=facts, question=question)
        return Dialogue("lookup", (("user", text),), rng.random() < 0.5, thought, answer, "lookup")

    def draw_copy(self, rng: random.Random) -> Dialogue:
        """Say a row of words and numbers again.

        Of use in itself, and the quickest way to teach copying from the prompt, on which sums and look-up rest.
        """
        items = [
            rng.choice(self.words) if rng.random() < 0.5 else str(rng.randrange(10 ** rng.randint(1, 4)))
            for _ in range(rng.randint(2, 12))
        ]
        text = rng.choice((" ", ", ")).join(items)
        question = rng.choice(self.notes["repeats"]).format(x=text)
        thought = "The user wants a text repeated.\n"
        return Dialogue("copy", (("user", question),), rng.random() < 0.3, thought, text, "copy")

    def draw_several_turns(self, rng: random.Random, difficulty: float) -> Dialogue:
        """Two to four turns; the last may lean on the one before ("and in one sentence?")."""
        messages = self.draw_neutral_system(rng)
        topic: dict[str, Any] = {}
        for _ in range(rng.randint(1, 3)):
            draw = rng.random()
            topic = rng.choice(self.topics) if draw < 0.6 else {}
            if topic:
                question, _, answer = self.topic_turn(topic, rng.choice(("plain", "brief")), rng)
            elif draw < 0.8:
                exercise = draw_exercise(rng, held_out=False, difficulty=difficulty)
                question, answer = exercise.question, exercise.answer
            else:
                question, _, answer, _ = self.small_turn(rng)
            messages += [("user", question), ("assistant", answer)]
        thinking = rng.random() < 0.5
        draw = rng.random()
        if topic and draw < 0.6:
            manner = rng.choice(("brief", "detailed"))
            question = roughen(rng.choice(self.phrases[f"follow_{manner}"]), rng)
            thought, answer = self.topic_thought(topic, manner), self.topic_answer(topic, manner)
        elif draw < 0.75:
            topic, manner = rng.choice(self.topics), rng.choice(("plain", "brief"))
            question, thought, answer = self.topic_turn(topic, manner, rng)
        elif draw < 0.9:
            exercise = draw_exercise(rng, held_out=False, difficulty=difficulty)
            question, thought, answer = exercise.question, exercise.thought, exercise.answer
            thinking = rng.random() < 0.86
        else:
            question, thought, answer, _ = self.small_turn(rng)
        return Dialogue("turns", (*messages, ("user", question)), thinking, thought, answer, topic.get("id", ""))

    def draw(self, rng: random.Random, difficulty: float = 1.0) -> Dialogue:
        draw = rng.random()
        if draw < 0.40:
            return self.draw_sum(rng, difficulty)
        if draw < 0.71:
            return self.draw_topic(rng)
        if draw < 0.81:
            return self.draw_small(rng)
        if draw < 0.84:
            return self.draw_story(rng)
        if draw < 0.90:
            return self.draw_lookup(rng, difficulty)
        if draw < 0.94:
            return self.draw_copy(rng)
        return self.draw_several_turns(rng, difficulty)

    def stream(self, seed: int) -> Iterator[Dialogue]:
        rng = random.Random(seed)
        while True:
            yield self.draw(rng)


def sum_dialogue(exercise: Exercise, *, thinking: bool, system: list[tuple[str, str]] | None = None) -> Dialogue:
    messages = (*(system or []), ("user", exercise.question))
    return Dialogue("sum", messages, thinking, exercise.thought, exercise.answer, str(exercise.result))
