"""Sums and differences as exercises: question, worked thought, answer; numbers held out for the evaluation."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

ADDITION_QUESTIONS = (
    "what is {plus}?",
    "What is {plus}?",
    "{plus}",
    "{plus} = ?",
    "{plus} =",
    "how much is {plus}?",
    "How much is {plus}?",
    "calculate {plus}",
    "Calculate {plus}.",
    "compute {plus}",
    "please work out {plus}",
    "can you add {words}?",
    "add {words}",
    "Add {words}.",
    "add up {words}",
    "Add up {words}, please.",
    "sum of {words}",
    "what is the sum of {words}?",
    "What is the sum of {words}?",
    "Give me the sum of {words}.",
    "total of {words}?",
    "What do {words} make together?",
    "what do {words} add up to?",
    "I have {words}. How much is that together?",
    "{tight}",
    "{tight}=?",
    "what's {tight}?",
    "Tell me {plus}.",
    "Sum up {words}.",
    "hi, what is {plus}?",
)
SUBTRACTION_QUESTIONS = (
    "what is {a} - {b}?",
    "What is {a} - {b}?",
    "{a} - {b}",
    "{a}-{b}",
    "{a} - {b} = ?",
    "what is {a} minus {b}?",
    "How much is {a} minus {b}?",
    "subtract {b} from {a}",
    "Subtract {b} from {a}.",
    "take {b} away from {a}",
    "calculate {a} - {b}",
    "the difference of {a} and {b}?",
    "What is left of {a} when I take away {b}?",
)
ADDITION_THOUGHT = "The user wants the sum of {words}. I add column by column, from the right.\n"
SUBTRACTION_THOUGHT = "The user wants {a} - {b}. I subtract column by column, from the right.\n"


@dataclass(frozen=True)
class Exercise:
    question: str
    thought: str
    answer: str
    result: int


def is_held_out(numbers: tuple[int, ...], sign: str) -> bool:
    """One in twenty number tuples never occurs in training; the order of addends does not matter.

    Single-digit pairs are always trained: there are too few of them to spare any.
    """
    if len(numbers) == 2 and max(numbers) < 10:
        return False
    key = sign.join(str(n) for n in (sorted(numbers) if sign == "+" else numbers))
    return zlib.crc32(key.encode()) % 20 == 0


def join_words(numbers: tuple[int, ...]) -> str:
    texts = [str(n) for n in numbers]
    return ", ".join(texts[:-1]) + " and " + texts[-1]


def add_columns(a: int, b: int) -> str:
    """The written addition of two numbers, one true equation per column: digit + digit + carry = two digits."""
    width = max(len(str(a)), len(str(b)))
    left, right = str(a).zfill(width), str(b).zfill(width)
    lines, carry = [f"{left}+{right}:"], 0
    for x, y in zip(reversed(left), reversed(right), strict=True):
        total = int(x) + int(y) + carry
        lines.append(f"{x}+{y}+{carry}={total:02d}")
        carry = total // 10
    return "\n".join([*lines, f"{a + b}"]) + "\n"


def subtract_columns(a: int, b: int) -> str:
    """The written subtraction, a >= b: upper digit with its borrowed ten, lower digit, earlier borrow."""
    width = len(str(a))
    left, right = str(a), str(b).zfill(width)
    lines, borrow = [f"{left}-{right}:"], 0
    for x, y in zip(reversed(left), reversed(right), strict=True):
        taken = 1 if int(x) < int(y) + borrow else 0
        lines.append(f"{taken}{x}-{y}-{borrow}={10 * taken + int(x) - int(y) - borrow:02d}")
        borrow = taken
    return "\n".join([*lines, f"{a - b}"]) + "\n"


def addition(numbers: tuple[int, ...], question: str) -> Exercise:
    plus = " + ".join(str(n) for n in numbers)
    total, steps = numbers[0], ""
    for number in numbers[1:]:
        steps += add_columns(total, number)
        total += number
    return Exercise(
        question.format(plus=plus, words=join_words(numbers), tight=plus.replace(" ", "")),
        ADDITION_THOUGHT.format(words=join_words(numbers)) + steps,
        f"{plus} = {total}.",
        total,
    )


def subtraction(a: int, b: int, question: str) -> Exercise:
    return Exercise(
        question.format(a=a, b=b),
        SUBTRACTION_THOUGHT.format(a=a, b=b) + subtract_columns(a, b),
        f"{a} - {b} = {a - b}.",
        a - b,
    )


def draw_number(rng: random.Random, digits: int) -> int:
    length = rng.randint(1, digits)
    return rng.randint(10 ** (length - 1) if length > 1 else 0, 10**length - 1)


def draw_exercise(rng: random.Random, *, held_out: bool, difficulty: float = 1.0, subtract: float = 0.2) -> Exercise:
    """A random exercise; `difficulty` 0..1 limits how many numbers and digits occur (short ones first)."""
    most_digits = 3 if difficulty >= 0.5 else 2
    most_numbers = 4 if difficulty >= 0.75 else 3 if difficulty >= 0.35 else 2
    while True:
        if rng.random() < subtract:
            a, b = sorted((draw_number(rng, most_digits), draw_number(rng, most_digits)), reverse=True)
            if is_held_out((a, b), "-") == held_out:
                return subtraction(a, b, rng.choice(SUBTRACTION_QUESTIONS))
        else:
            numbers = tuple(draw_number(rng, most_digits) for _ in range(rng.randint(2, most_numbers)))
            if is_held_out(numbers, "+") == held_out:
                return addition(numbers, rng.choice(ADDITION_QUESTIONS))
