"""The days between two dates of one year, month by month."""

from __future__ import annotations

import random

from columns import add_columns, subtract_columns
from dialogue import Dialogue, load_content
from selection import THINKING_SHARE, are_held_out, part_of

MONTHS = (
    ("January", 31),
    ("February", 28),
    ("March", 31),
    ("April", 30),
    ("May", 31),
    ("June", 30),
    ("July", 31),
    ("August", 31),
    ("September", 30),
    ("October", 31),
    ("November", 30),
    ("December", 31),
)
# How often the second date lies 0, 1, 2 ... 11 months later: long spans make long thoughts.
SPAN_WEIGHTS = (14, 22, 20, 14, 9, 6, 4, 3, 3, 2, 2, 1)

Date = tuple[int, int]
"""Month 0..11, day 1..31."""


def thought_of(first: Date, last: Date) -> str:
    """Days left in the first month, plus whole months, plus the days of the last one."""
    (month, day), (last_month, last_day) = first, last
    text = f"The user wants the days from {plain(first)} to {plain(last)}.\n"
    if month == last_month:
        return f"{text}{MONTHS[month][0]} {subtract_columns(last_day, day)}"
    name, length = MONTHS[month]
    text += f"{name} {subtract_columns(length, day)}"
    total = length - day
    for name, length in MONTHS[month + 1 : last_month]:
        text += f"{name} {add_columns(total, length)}"
        total += length
    return f"{text}{MONTHS[last_month][0]} {add_columns(total, last_day)}"


def days_between(first: Date, last: Date) -> int:
    months = sum(length for _, length in MONTHS[first[0] : last[0]])
    return months - first[1] + last[1]


def plain(date: Date) -> str:
    return f"{date[1]} {MONTHS[date[0]][0]}"


def ordinal(number: int) -> str:
    ending = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def written(date: Date, style: str) -> str:
    """A date as people write it; `style` is one of `plain`, `month first`, `ordinal`, `short`."""
    month, day = MONTHS[date[0]][0], date[1]
    if style == "plain":
        return f"{day} {month}"
    if style == "month first":
        return f"{month} {day}"
    if style == "ordinal":
        return f"the {ordinal(day)} of {month}"
    return f"{day} {month[:3]}"


def draw_dates(rng: random.Random, difficulty: float) -> tuple[Date, Date]:
    most = 1 if difficulty < 0.3 else 3 if difficulty < 0.5 else 6 if difficulty < 0.75 else 11
    span = rng.choices(range(most + 1), SPAN_WEIGHTS[: most + 1])[0]
    month = rng.randint(0, 11 - span)
    while True:
        first = (month, rng.randint(1, MONTHS[month][1]))
        last = (month + span, rng.randint(1, MONTHS[month + span][1]))
        if first < last:
            return first, last


class Dates:
    """Questions for days; held out are pairs of dates and whole wordings."""

    def __init__(self) -> None:
        content = load_content("problems")["days"]
        self.wordings: list[str] = content["wordings"]
        self.remarks: list[str] = content["remarks"]

    def draw(self, rng: random.Random, *, held_out: bool, difficulty: float = 1.0) -> Dialogue:
        wording = rng.choice(part_of(self.wordings, held_out=held_out))
        while True:
            first, last = draw_dates(rng, difficulty)
            if are_held_out("days", (*first, *last)) == held_out:
                break
        style = rng.choices(("plain", "month first", "ordinal", "short"), (6, 2, 1, 1))[0]
        question = wording.format(first=written(first, style), last=written(last, style))
        if rng.random() < 0.25 and question[-1] in "?.":
            question += f" {rng.choice(self.remarks)}"
        question = question.lower().rstrip("?.") if rng.random() < 0.15 else question[0].upper() + question[1:]
        days = days_between(first, last)
        are = "there is 1 day" if days == 1 else f"there are {days} days"
        return Dialogue(
            kind="days",
            messages=(("user", question),),
            thinking=rng.random() < THINKING_SHARE,
            thought=thought_of(first, last),
            answer=f"Between {plain(first)} and {plain(last)} {are}.",
            expected=str(days),
        )
