"""Word problems of one and two steps from `content/problems.toml`: a story, a question, the expression behind them."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import composed
from columns import Operation, results_of, thought_of
from dialogue import Dialogue, capitalized, load_content
from names import any_noun, invent
from selection import THINKING_SHARE, are_held_out, draw_number, most_digits, part_of

# Two-step problems are the aim; the single steps keep a small share of training.
ONE_STEP_SHARE = 0.2
# Of the stories in training, how many are put together from clauses where the theme allows it.
COMPOSED_SHARE = 0.6
# In training, how often any words stand for the owners and for what they have: the nouns are copied, not known.
OTHER_NOUN_SHARE = 0.5


@dataclass(frozen=True)
class Shape:
    """What happens with the numbers a, b, c: `steps` such as `a+b @-c`, @ being the result so far."""

    name: str
    steps: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Story:
    theme: dict[str, Any]
    shape: Shape
    text: str


def operations_of(shape: Shape, numbers: dict[str, int]) -> list[Operation]:
    return [(numbers.get(left), sign, numbers.get(right)) for left, sign, right in shape.steps]


def draw_numbers(rng: random.Random, shape: Shape, digits: int) -> dict[str, int]:
    """Numbers of at least 2; factors and divisors are digits. Not every draw has a written form."""
    steps = " ".join(shape.steps)
    letters = [letter for letter in "abc" if letter in steps]
    small = {step[2] for step in shape.steps if step[1] in "*/"}
    return {n: rng.randint(2, 9) if n in small else draw_number(rng, digits, least=2) for n in letters}


class WordProblems:
    """Held out are numbers, stories, questions, whoever has the things and the things themselves."""

    def __init__(self) -> None:
        content = load_content("problems")
        self.people = {name: pronoun for pronoun in ("she", "he") for name in content["people"][pronoun]}
        self.questions: dict[str, list[str]] = content["questions"]
        self.shapes = {
            name: Shape(name, tuple(shape["steps"].split()), tuple(shape["questions"]), shape["answer"])
            for name, shape in content["shapes"].items()
        }
        self.themes: list[dict[str, Any]] = content["themes"]
        self.common_stories: dict[str, list[str]] = content["stories"]
        self.stories = {held_out: self._stories(held_out) for held_out in (False, True)}
        hidden: list[str] = []
        for theme in self.themes:
            hidden += part_of(self._owners(theme), held_out=True)
            hidden += [noun for item in part_of(theme["items"], held_out=True) for noun in item]
        self.hidden = frozenset(word for text in hidden for word in text.lower().split())

    def _owners(self, theme: dict[str, Any]) -> list[str]:
        return list(self.people) if theme["who"] == "people" else theme["who"]

    def _stories(self, held_out: bool) -> dict[str, list[Story]]:
        """The stories that may occur, by shape: each shape is drawn equally often."""
        groups: dict[str, list[Story]] = {name: [] for name in self.shapes}
        for theme in self.themes:
            for name, shape in self.shapes.items():
                common = part_of(self.common_stories.get(name, []), held_out=held_out) if theme["common"] else []
                own = part_of(theme.get("stories", {}).get(name, []), held_out=held_out)
                groups[name] += [Story(theme, shape, text) for text in [*common, *own]]
        return groups

    def draw_story(self, rng: random.Random, *, held_out: bool, difficulty: float) -> Story:
        groups = list(self.stories[held_out].values())
        one_step = difficulty < 0.5 or (not held_out and rng.random() < ONE_STEP_SHARE)
        fitting = [group for group in groups if (len(group[0].shape.steps) == 1) == one_step]
        story = rng.choice(rng.choice(fitting))
        is_composable = story.theme["who"] == "people" if story.shape.name == "spend" else story.theme["common"]
        if held_out or not is_composable or rng.random() >= COMPOSED_SHARE:
            return story
        return replace(story, text=self.compose(rng, story.shape.name))

    def compose(self, rng: random.Random, shape: str) -> str:
        """A story from clauses that is none of the held-out ones."""
        hidden = {story.text.lower() for story in self.stories[True][shape]}
        while (text := composed.story(rng, shape)).lower() in hidden:
            pass
        return text

    def words(self, rng: random.Random, story: Story, held_out: bool) -> dict[str, str]:
        """Everything but the numbers that is filled into a story."""
        theme = story.theme
        who, other = rng.sample(part_of(self._owners(theme), held_out=held_out), 2)
        item = rng.choice(part_of(theme["items"], held_out=held_out))
        if not held_out and rng.random() < OTHER_NOUN_SHARE:
            item = list(any_noun(rng, self.hidden))
        if not held_out and rng.random() < OTHER_NOUN_SHARE:
            who, other = self.other_owners(rng, theme)
        box, sharer = (rng.choice([n for n in theme[key] if n != item]) for key in ("containers", "sharers"))
        they = self.people.get(who) or (rng.choice(("she", "he")) if theme["who"] == "people" else "it")
        return {
            "who": who,
            "Who": capitalized(who),
            "other": other,
            "Other": capitalized(other),
            "they": they,
            "They": capitalized(they),
            "item": item[0],
            "items": item[1],
            "box": box[0],
            "boxes": box[1],
            "sharer": sharer[0],
            "sharers": sharer[1],
            "gets": rng.choice(theme["gets"]),
            "loses": rng.choice(theme["loses"]),
        }

    def other_owners(self, rng: random.Random, theme: dict[str, Any]) -> tuple[str, str]:
        """Two that are on no list: invented persons, or the and any noun."""
        while True:
            if theme["who"] == "people":
                first, second = invent(rng, held_out=False), invent(rng, held_out=False)
            else:
                first, second = (f"the {any_noun(rng, self.hidden)[0]}" for _ in range(2))
            if first != second:
                return first, second

    def draw(self, rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
        story = self.draw_story(rng, held_out=held_out, difficulty=difficulty)
        shape, words = story.shape, self.words(rng, story, held_out)
        while True:
            numbers = draw_numbers(rng, shape, most_digits(difficulty))
            results = results_of(operations_of(shape, numbers))
            if not results or min(results) < 1:
                continue
            if are_held_out(shape.name, tuple(numbers.values())) == held_out:
                break
        questions = [q for key in shape.questions for q in part_of(self.questions[key], held_out=held_out)]
        question = rng.choice(questions) if held_out else composed.asked(rng, rng.choice(questions))
        text = f"{story.text} {question}".format(**words, **numbers)
        noun = words["item"] if results[-1] == 1 else words["items"]
        answer = shape.answer.format(**words, result=f"{results[-1]} {noun}", more=f"{results[-1]} more {noun}")
        return Dialogue(
            kind="problem",
            messages=(("user", text.lower() if rng.random() < 0.06 else text),),
            thinking=rng.random() < THINKING_SHARE,
            thought=thought_of(operations_of(shape, numbers)),
            answer=answer,
            expected=str(results[-1]),
        )
