"""Sums and differences of two to five numbers, with the products and quotients that longer exercises are built of."""

from __future__ import annotations

import random
from collections.abc import Sequence

from columns import chain, results_of, thought_of
from dialogue import Dialogue
from selection import THINKING_SHARE, are_held_out, draw_number, most_digits

ANY_QUESTIONS = (
    "what is {spaced}?",
    "What is {spaced}?",
    "{spaced}",
    "{spaced}",
    "{spaced} = ?",
    "{spaced} =",
    "{tight}",
    "{tight}",
    "{tight}=",
    "{tight}=?",
    "what's {tight}?",
    "What's {spaced}?",
    "how much is {spaced}?",
    "How much is {spaced}?",
    "How much is {tight}?",
    "calculate {spaced}",
    "Calculate {spaced}.",
    "Calculate {tight}.",
    "compute {spaced}",
    "Compute {spaced}.",
    "please work out {spaced}",
    "Please work out {spaced}.",
    "Tell me {spaced}.",
    "hi, what is {spaced}?",
    "Can you work out {spaced} for me?",
    "What do I get for {spaced}?",
    "What does {spaced} come to?",
    "What is the result of {spaced}?",
    "solve {tight}",
    "what is {spoken}?",
    "What is {spoken}?",
    "How much is {spoken}?",
    "{spoken}",
)
ADDITION_QUESTIONS = (
    "can you add {words}?",
    "Can you add {words}?",
    "add {words}",
    "Add {words}.",
    "add up {words}",
    "Add up {words}, please.",
    "sum of {words}",
    "the sum of {words}?",
    "what is the sum of {words}?",
    "What is the sum of {words}?",
    "Give me the sum of {words}.",
    "total of {words}?",
    "What is the total of {words}?",
    "What do {words} make together?",
    "what do {words} add up to?",
    "I have {words}. How much is that together?",
    "Sum up {words}.",
    "How much are {words} together?",
)
SUBTRACTION_QUESTIONS = (
    "subtract {b} from {a}",
    "Subtract {b} from {a}.",
    "take {b} away from {a}",
    "Take {b} from {a}.",
    "the difference of {a} and {b}?",
    "What is the difference between {a} and {b}?",
    "What is left of {a} when I take away {b}?",
    "What is left when I take {b} away from {a}?",
    "What remains of {a} after {b} is taken away?",
    "How much more is {a} than {b}?",
)
MIXED_QUESTIONS = (
    "Start with {first}, {told}. What is the result?",
    "Start with {first}, {told}. What is left?",
    "start with {first}, {told}",
    "I start with {first}, {told}. How much is that?",
    "Take {first}, {told}.",
    "What is left if I start with {first}, {told}?",
)
# Products and quotients with one digit: of their many facts a word problem shows few.
PIECES_SHARE = 0.45
SPOKEN = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
TOLD = {"+": "add", "-": "take away"}


def join_words(numbers: Sequence[int]) -> str:
    texts = [str(n) for n in numbers]
    return ", ".join(texts[:-1]) + " and " + texts[-1]


def joined(numbers: Sequence[int], signs: Sequence[str], *, spoken: bool = False) -> str:
    """Numbers and signs with spaces: `348 + 275 - 33`, or `348 plus 275 minus 33`."""
    tail = "".join(f" {SPOKEN[sign] if spoken else sign} {n}" for sign, n in zip(signs, numbers[1:], strict=True))
    return f"{numbers[0]}{tail}"


def question_of(numbers: Sequence[int], signs: Sequence[str], rng: random.Random) -> str:
    """A way to ask; half of them by a formula, else in words that fit the signs."""
    special: Sequence[str] = ()
    told = ""
    if set(signs) == {"+"}:
        special = ADDITION_QUESTIONS
    elif tuple(signs) == ("-",):
        special = SUBTRACTION_QUESTIONS
    elif set(signs) <= set(TOLD):
        special = MIXED_QUESTIONS
        parts = [f"{TOLD[sign]} {n}" for sign, n in zip(signs, numbers[1:], strict=True)]
        told = ", ".join(parts[:-1]) + f" and {parts[-1]}"
    spaced = joined(numbers, signs)
    return rng.choice(special if special and rng.random() < 0.45 else ANY_QUESTIONS).format(
        spaced=spaced,
        tight=spaced.replace(" ", ""),
        spoken=joined(numbers, signs, spoken=True),
        words=join_words(numbers),
        told=told,
        first=numbers[0],
        a=numbers[0],
        b=numbers[1],
    )


def held_out_key(numbers: Sequence[int], signs: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """Kind and numbers of an exercise; the order of addends does not matter."""
    if set(signs) == {"+"}:
        return "+", tuple(sorted(numbers))
    return "".join(signs), tuple(numbers)


def draw_signs(rng: random.Random, difficulty: float, *, is_long: bool = False) -> tuple[str, ...]:
    """Signs between two to five numbers; a long exercise has three at least."""
    most = 2 if difficulty < 0.3 else 3 if difficulty < 0.5 else 4 if difficulty < 0.75 else 5
    least = 3 if is_long else 2
    count = rng.choices(range(least, max(most, least) + 1), (5, 5, 4, 4)[least - 2 : max(most, least) - 1])[0]
    if count == 2:
        return ("+",) if rng.random() < 0.55 else ("-",)
    if rng.random() < 0.5:
        return ("+",) * (count - 1)
    return tuple(rng.choice("+-") for _ in range(count - 1))


def draw_piece(rng: random.Random, difficulty: float) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """A product or a quotient with one digit."""
    digit = rng.randint(2, 9)
    number = draw_number(rng, 1 if difficulty < 0.15 else most_digits(difficulty))
    return ((number * digit, digit), ("/",)) if rng.random() < 0.5 else ((number, digit), ("*",))


def draw(rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
    """A held-out exercise is a sum or difference of three to five numbers; what is shorter is for training alone."""
    pieces = 0.0 if held_out else PIECES_SHARE
    while True:
        if rng.random() < pieces:
            numbers, signs = draw_piece(rng, difficulty)
        else:
            signs = draw_signs(rng, difficulty, is_long=held_out)
            numbers = tuple(draw_number(rng, most_digits(difficulty)) for _ in range(len(signs) + 1))
            if signs == ("-",):
                numbers = tuple(sorted(numbers, reverse=True))
        operations = chain(numbers, signs)
        results = results_of(operations)
        if results is None or are_held_out(*held_out_key(numbers, signs)) != held_out:
            continue
        return Dialogue(
            kind="sum",
            messages=(("user", question_of(numbers, signs, rng)),),
            thinking=rng.random() < THINKING_SHARE,
            thought=thought_of(operations),
            answer=f"{joined(numbers, signs)} = {results[-1]}.",
            expected=str(results[-1]),
        )
