"""Written arithmetic as the model's thoughts: one line per digit, each a copy of nearby digits plus one known fact."""

from __future__ import annotations

import re
from collections.abc import Sequence

Operation = tuple[int | None, str, int | None]
"""Left operand, sign (one of + - * /), right operand; None stands for the result of the operation before."""


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
    """The written subtraction, a >= b: upper digit with its borrowed ten - lower digit - earlier borrow = digit."""
    width = len(str(a))
    left, right = str(a), str(b).zfill(width)
    lines, borrow = [f"{left}-{right}:"], 0
    for x, y in zip(reversed(left), reversed(right), strict=True):
        taken = 1 if int(x) < int(y) + borrow else 0
        lines.append(f"{taken}{x}-{y}-{borrow}={10 * taken + int(x) - int(y) - borrow}")
        borrow = taken
    return "\n".join([*lines, f"{a - b}"]) + "\n"


def multiply_columns(a: int, digit: int) -> str:
    """The written product of a number and one digit: digit * factor + carry = two digits, least digit first."""
    lines, carry = [f"{a}*{digit}:"], 0
    for x in reversed(str(a)):
        product = int(x) * digit + carry
        lines.append(f"{x}*{digit}+{carry}={product:02d}")
        carry = product // 10
    return "\n".join([*lines, f"{a * digit}"]) + "\n"


def divide_columns(a: int, digit: int) -> str:
    """The long division by one digit, highest digit first: remainder and next digit / divisor = digit r remainder."""
    lines, rest = [f"{a}/{digit}:"], 0
    for x in str(a):
        quotient, left_over = divmod(10 * rest + int(x), digit)
        lines.append(f"{rest}{x}/{digit}={quotient}r{left_over}")
        rest = left_over
    if rest:
        raise ValueError(f"{a} is not divisible by {digit}")
    return "\n".join([*lines, f"{a // digit}"]) + "\n"


WRITTEN = {"+": add_columns, "-": subtract_columns, "*": multiply_columns, "/": divide_columns}


def result_of(a: int, sign: str, b: int) -> int | None:
    """None where the written form does not exist: a negative result, a long factor, a remainder."""
    if sign == "+":
        return a + b
    if sign == "-":
        return a - b if a >= b else None
    if not 1 <= b <= 9:
        return None
    if sign == "*":
        return a * b
    return a // b if a % b == 0 else None


def results_of(operations: Sequence[Operation]) -> list[int] | None:
    """The result after each operation; None as soon as one of them has no written form."""
    results: list[int] = []
    for a, sign, b in operations:
        last = results[-1] if results else 0
        result = result_of(last if a is None else a, sign, last if b is None else b)
        if result is None:
            return None
        results.append(result)
    return results


def expression_of(operations: Sequence[Operation]) -> str:
    """All operations as one expression without spaces, e.g. `(34+12)/6` or `100-12*4`."""
    text = ""
    for a, sign, b in operations:
        enclosed = f"({text})" if re.search(r"[+-]", text) and sign in "*/" else text
        text = f"{enclosed if a is None else a}{sign}{text if b is None else b}"
    return text


def thought_of(operations: Sequence[Operation]) -> str:
    """What is wanted, then each operation written out with the running result."""
    results = results_of(operations)
    if results is None:
        raise ValueError(f"no written form: {operations}")
    lines = [f"The user wants {expression_of(operations)}.\n"]
    for (a, sign, b), last in zip(operations, [0, *results], strict=False):
        lines.append(WRITTEN[sign](last if a is None else a, last if b is None else b))
    return "".join(lines)


def chain(numbers: Sequence[int], signs: Sequence[str]) -> list[Operation]:
    """Numbers joined from left to right by signs, of which there is one less."""
    first: Operation = (numbers[0], signs[0], numbers[1])
    return [first, *((None, sign, number) for sign, number in zip(signs[1:], numbers[2:], strict=True))]
