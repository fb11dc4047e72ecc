"""Looking up a fact in notes that stand in the prompt, or saying that they do not tell it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from dialogue import Dialogue, capitalized, load_content, load_unseen
from names import draw_name, invent, plain_words

KIND = "lookup"
THINKING_SHARE = 0.5
MISSING_SHARE = 0.15
# Training needs more of them: at the share above, nearly every missing fact was answered with a told one.
TRAINED_MISSING_SHARE = 0.25
# How often notes have at most 5, 8, 24 facts or the most. Of short ones, more fit into as many tokens.
SIZE_WEIGHTS = (0, 5, 3, 2)
TRAINED_SIZE_WEIGHTS = (2, 3, 4, 4)
# In training, further questions about the same notes, each a turn: reading long notes then teaches more than one fact.
MOST_FURTHER = 6
# Notes of as many facts leave no room for one in a training row.
FACTS_OF_A_ROW = 48
# Of the missing facts, how many have a note about the same name that tells something else.
NEAR_MISS_SHARE = 0.4
INVENTED_SHARE = 0.5
CAN_BE_INVENTED = ("places", "people", "programs", "projects")
NOT_TOLD = "do not say"
# In training, how many questions are put together.
FRAMED_SHARE = 0.4
# In training, how many have a word or a sentence before them that does not belong to them. Without it, words of a
# question that training had not shown were taken for the name.
LED_SHARE = 0.2


@dataclass(frozen=True)
class Fact:
    """One line of the notes; `shape` is its kind's entry in `content/lookup.toml`."""

    shape: dict[str, Any]
    name: str
    value: str

    @property
    def key(self) -> tuple[str, str]:
        """What notes tell once."""
        return self.shape["id"], self.name.lower()

    def say(self, pattern: str) -> str:
        return pattern.format(x=self.name, v=self.value)


@cache
def content() -> dict[str, Any]:
    return load_content("lookup")


def draw_value(rng: random.Random, kind: str, held_out: bool) -> str:
    if kind == "person":
        return draw_name(rng, "people", held_out)
    if kind == "hours":
        return f"{rng.randint(6, 11)} to {rng.randint(13, 22)}"
    if kind == "version":
        return f"{rng.randint(1, 9)}.{rng.randint(0, 29)}"
    low, high = {
        "code": (1000, 9999),
        "platform": (1, 24),
        "room": (101, 599),
        "cents": (15, 3999),
        "shelf": (2, 60),
        "extension": (100, 999),
    }[kind]
    return str(rng.randint(low, high))


def draw_fact(rng: random.Random, shape: dict[str, Any], *, held_out: bool, mixed: bool = False) -> Fact:
    """A fact with a name of the wanted side; `mixed` takes names of both, for what is not asked in an evaluation."""
    side = rng.random() < 0.5 if mixed else held_out
    if shape["names"] in CAN_BE_INVENTED and rng.random() < INVENTED_SHARE:
        name = invent(rng, side)
    else:
        name = draw_name(rng, shape["names"], side)
    return Fact(shape, name, draw_value(rng, shape["value"], side))


def draw_others(
    rng: random.Random, asked: Fact, count: int, shapes: list[dict[str, Any]], held_out: bool
) -> list[Fact]:
    """Facts that leave the asked one the only one of its kind about its name."""
    facts: list[Fact] = []
    taken = {asked.key}
    while len(facts) < count:
        fact = draw_fact(rng, rng.choice(shapes), held_out=held_out, mixed=held_out)
        if fact.shape["names"] == asked.shape["names"] and fact.shape is not asked.shape and rng.random() < 0.15:
            fact = Fact(fact.shape, asked.name, fact.value)
        if fact.key not in taken:
            taken.add(fact.key)
            facts.append(fact)
    return facts


def draw_chatter(rng: random.Random, facts: Iterable[Fact], held_out: bool) -> str:
    """A sentence beside the point, often about a name that the notes know."""
    names = [(fact.shape["names"], fact.name) for fact in facts]
    fill = {}
    for slot, kind in (("person", "people"), ("place", "places")):
        known = [name for found, name in names if found == kind]
        fill[slot] = rng.choice(known) if known and rng.random() < 0.6 else draw_name(rng, kind, held_out)
    return str(rng.choice(content()["chatter"]["sentences"])).format(**fill)


def framed(rng: random.Random, shape: dict[str, Any]) -> str:
    """A question in a frame that fits every kind, and that is none of the held-out ones."""
    frames = content()["frames"]
    hidden = {ask.lower() for ask in load_unseen(KIND)[shape["id"]]}
    while True:
        if rng.random() < 0.5:
            question = rng.choice(frames["about"]).format(about=shape["about"])
        else:
            question = rng.choice(frames["clause"]).format(clause=rng.choice(shape["clauses"]))
        if question.lower() not in hidden:
            return capitalized(question)


def word_question(rng: random.Random, asked: Fact, held_out: bool) -> str:
    if held_out:
        pattern = rng.choice(load_unseen(KIND)[asked.shape["id"]])
    else:
        pattern = framed(rng, asked.shape) if rng.random() < FRAMED_SHARE else rng.choice(asked.shape["asks"])
    question = asked.say(pattern)
    if not question.startswith(("I ", asked.name)) and rng.random() < 0.25:
        question = question[0].lower() + question[1:]
    if not held_out and rng.random() < LED_SHARE:
        question = f"{draw_lead(rng)} {question}"
    return question.rstrip("?.") if rng.random() < 0.15 else question


def draw_lead(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return draw_chatter(rng, (), held_out=False)
    return capitalized(rng.choice(plain_words())) + rng.choice(",:!")


def lay_out(rng: random.Random, layout: str, sentences: list[str], facts: list[Fact], question: str) -> str:
    return layout.format(
        facts=" ".join(sentences),
        lines="\n".join(sentences),
        dashes="\n".join(f"- {sentence}" for sentence in sentences),
        list="\n".join(f"{fact.name}: {fact.value}" for fact in facts),
        question=question,
    )


def make(rng: random.Random, asked: Fact, is_told: bool, prompt: str) -> Dialogue:
    about = asked.say(asked.shape["about"])
    # Whether and what the notes say is decided right after the name, where both have just been written.
    if is_told:
        thought, answer = f"I look for {about}: {asked.value}.\n", asked.say(asked.shape["answer"])
    else:
        thought, answer = f"I look for {about}: not there.\n", f"{capitalized(about)}: the notes {NOT_TOLD}."
    expected = f"{asked.name}|{asked.value}" if is_told else asked.name
    return Dialogue(KIND, (("user", prompt),), rng.random() < THINKING_SHARE, thought, answer, expected)


def most_facts(difficulty: float) -> int:
    """6 at a difficulty of 0.2; at 1 it is 42, about 640 tokens."""
    return round(6 + 36 * (difficulty - 0.2) / 0.8) if difficulty > 0.2 else round(2 + 20 * difficulty)


def draw(rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
    """Notes of one to `most_facts` facts, half of them short; held out: the asked name, its value and its question."""
    most = most_facts(difficulty)
    size = rng.choices((5, 8, 24, most), SIZE_WEIGHTS if held_out else TRAINED_SIZE_WEIGHTS)[0]
    count = rng.randint(1, min(most, size))
    shapes: list[dict[str, Any]] = content()["fact"]
    is_list = rng.random() < 0.15
    shape = shapes[0] if is_list or rng.random() < 0.1 else rng.choice(shapes)
    # Notes of one kind are the hard ones: only the name tells the facts apart. Long ones would run out of shops.
    kinds = [shape] if is_list else [shape, *rng.sample(shapes, rng.choice((0, 2, 4) if count <= 16 else (3, 5)))]
    asked = draw_fact(rng, shape, held_out=held_out)
    is_told = rng.random() >= (MISSING_SHARE if held_out else TRAINED_MISSING_SHARE)
    facts = draw_others(rng, asked, count - is_told, kinds, held_out)
    siblings = [other for other in shapes if other["names"] == shape["names"] and other is not shape]
    if not is_told and siblings and not is_list and rng.random() < NEAR_MISS_SHARE:
        near = rng.choice(siblings)
        facts = [fact for fact in facts if (fact.shape["id"], fact.name) != (near["id"], asked.name)][: count - 1]
        facts.append(Fact(near, asked.name, draw_value(rng, near["value"], held_out)))
    facts += [asked] if is_told else []
    rng.shuffle(facts)
    sentences = [fact.say(rng.choice(fact.shape["facts"])) for fact in facts]
    if not is_list and rng.random() < 0.4:
        chatter = {draw_chatter(rng, facts, held_out): None for _ in range(rng.randint(1, 1 + count // 4))}
        for sentence in chatter:
            sentences.insert(rng.randint(0, len(sentences)), sentence)
    layouts = content()["layouts"]
    group = "list" if is_list else rng.choices(("after", "before"), (3, 1))[0]
    prompt = lay_out(rng, rng.choice(layouts[group]), sentences, facts, word_question(rng, asked, held_out))
    drawn = make(rng, asked, is_told, prompt)
    return drawn if held_out else ask_further(rng, drawn, facts, kinds)


def ask_further(rng: random.Random, drawn: Dialogue, facts: list[Fact], shapes: list[dict[str, Any]]) -> Dialogue:
    """The dialogue with none to MOST_FURTHER more questions about the same notes, every answer to be learnt."""
    last, messages = drawn, list(drawn.messages)
    for _ in range(rng.randint(0, min(MOST_FURTHER, (FACTS_OF_A_ROW - len(facts)) // 3))):
        asked, is_told = rng.choice(facts), True
        if rng.random() < TRAINED_MISSING_SHARE:
            asked, is_told = draw_missing(rng, facts, shapes), False
        question = word_question(rng, asked, held_out=False)
        messages.append(("assistant", last.answer))
        last = make(rng, asked, is_told, question)
        messages += last.messages
    return replace(last, messages=tuple(messages), learns_history=True)


def draw_missing(rng: random.Random, facts: list[Fact], shapes: list[dict[str, Any]]) -> Fact:
    """A fact that the notes do not tell, often of a name of which they tell something else."""
    told = {fact.key for fact in facts}
    while True:
        missing = draw_fact(rng, rng.choice(shapes), held_out=False)
        if rng.random() < NEAR_MISS_SHARE:
            known = rng.choice(facts)
            siblings = [shape for shape in content()["fact"] if shape["names"] == known.shape["names"]]
            missing = replace(known, shape=rng.choice(siblings))
        if missing.key not in told:
            return missing


def draw_of_length(rng: random.Random, facts: int, depth: float, held_out: bool = True) -> Dialogue:
    """Notes of exactly `facts` facts without chatter, the question last; the asked one at `depth`, 0 first, 1 last.

    A fact takes about 14 tokens: 40 facts make some 610, 130 make 1,860 and at most 2,000.
    """
    shapes: list[dict[str, Any]] = content()["fact"]
    asked = draw_fact(rng, rng.choice(shapes), held_out=held_out)
    notes = draw_others(rng, asked, facts - 1, shapes, held_out)
    notes.insert(round(depth * (facts - 1)), asked)
    sentences = [fact.say(rng.choice(fact.shape["facts"])) for fact in notes]
    layout = rng.choice(content()["layouts"]["after"])
    return make(rng, asked, True, lay_out(rng, layout, sentences, notes, word_question(rng, asked, held_out)))


def has_words(text: str, words: str) -> bool:
    """Whether the words stand in the text as a whole, neither part of a longer word nor of a longer number."""
    return re.search(rf"(?<![\w.]){re.escape(words)}(?!\w|\.\d)", text, re.IGNORECASE) is not None


def numbers_in(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)*", text)


def is_right(dialogue: Dialogue, text: str) -> bool:
    """Name and value are there and no other number; or name and "do not say" where the notes do not tell."""
    name, _, value = dialogue.expected.partition("|")
    if not has_words(text, name):
        return False
    if not value:
        return NOT_TOLD in text and not numbers_in(text)
    return NOT_TOLD not in text and has_words(text, value) and numbers_in(text) == numbers_in(value)
