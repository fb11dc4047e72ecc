"""Reads a worked thought line by line and tells what in it is false."""

from __future__ import annotations

import re

MONTH_LENGTHS = {
    "January": 31,
    "February": 28,
    "March": 31,
    "April": 30,
    "May": 31,
    "June": 30,
    "July": 31,
    "August": 31,
    "September": 30,
    "October": 31,
    "November": 30,
    "December": 31,
}
HEADER = re.compile(r"(?:(?P<month>[A-Z][a-z]+) )?(?P<a>\d+)(?P<sign>[-+*/])(?P<b>\d+):")
COLUMN = {
    "+": re.compile(r"(\d)\+(\d)\+(\d)=(\d)(\d)"),
    "-": re.compile(r"(\d)(\d)-(\d)-(\d)=(\d)"),
    "*": re.compile(r"(\d)\*(\d)\+(\d)=(\d)(\d)"),
    "/": re.compile(r"(\d)(\d)/(\d)=(\d)r(\d)"),
}


def read_columns(sign: str, a: str, b: str, lines: list[str]) -> int:
    """The result that the columns give, each checked against the header's digits and the column before."""
    digits, carry = [], 0
    upper = a if sign == "/" else a[::-1]
    lower = b * len(a) if sign in "*/" else b[::-1]
    assert len(lower) == len(upper) == len(lines), (a, sign, b)
    for x, y, line in zip(upper, lower, lines, strict=True):
        match = COLUMN[sign].fullmatch(line)
        assert match, line
        found = [int(n) for n in match.groups()]
        if sign == "+":
            assert found[:3] == [int(x), int(y), carry], line
            assert found[0] + found[1] + found[2] == 10 * found[3] + found[4], line
            carry, digit = found[3], found[4]
        elif sign == "-":
            assert found[1:4] == [int(x), int(y), carry], line
            assert 10 * found[0] + found[1] - found[2] - found[3] == found[4], line
            carry, digit = found[0], found[4]
        elif sign == "*":
            assert found[:3] == [int(x), int(y), carry], line
            assert found[0] * found[1] + found[2] == 10 * found[3] + found[4], line
            carry, digit = found[3], found[4]
        else:
            assert found[:3] == [carry, int(x), int(y)], line
            assert 10 * found[0] + found[1] == found[2] * found[3] + found[4], line
            assert found[4] < found[2], line
            carry, digit = found[4], found[3]
        digits.append(str(digit))
    if sign in "-/":
        assert carry == 0, (a, sign, b)
    elif carry:
        digits.append(str(carry))
    return int("".join(digits if sign == "/" else digits[::-1]))


def read_thought(thought: str) -> tuple[str, int, list[str]]:
    """The first line, the result and the months named; every line in between has been checked."""
    assert thought.endswith("\n")
    first, *lines = thought.splitlines()
    result, months, known = 0, [], set(re.findall(r"\d+", first))
    while lines:
        header = HEADER.fullmatch(lines.pop(0))
        assert header, thought
        month, a, sign, b = header.group("month", "a", "sign", "b")
        assert {str(int(a)), str(int(b))} <= known | {str(n) for n in MONTH_LENGTHS.values() if month}, thought
        steps = [lines.pop(0) for _ in a]
        result = read_columns(sign, a, b, steps)
        assert lines.pop(0) == str(result), thought
        known.add(str(result))
        months += [month] if month else []
    return first, result, months
