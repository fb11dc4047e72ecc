"""Days between dates, compared with the calendar of 2025."""

from __future__ import annotations

import random
import re
from datetime import date

from dates import Dates, days_between, ordinal

from tests.unit.demo_model.thought_lines import MONTH_LENGTHS, read_thought

MONTHS = list(MONTH_LENGTHS)


def date_of(day: str, month: str) -> date:
    return date(2025, MONTHS.index(month) + 1, int(day))


def test_days_agree_with_the_calendar() -> None:
    dates, rng = Dates(), random.Random(1)
    for _ in range(3000):
        dialogue = dates.draw(rng, held_out=rng.random() < 0.3)
        first, last = (date_of(*found) for found in re.findall(r"(\d+) ([A-Z][a-z]+)", dialogue.answer)[:2])
        assert (last - first).days == int(dialogue.expected) > 0, dialogue


def test_each_line_names_its_month_and_length() -> None:
    dates, rng = Dates(), random.Random(2)
    for _ in range(2000):
        dialogue = dates.draw(rng, held_out=False)
        (first_day, first), (_, last) = re.findall(r"(\d+) ([A-Z][a-z]+)", dialogue.thought.splitlines()[0])
        _, days, months = read_thought(dialogue.thought)
        assert months == MONTHS[MONTHS.index(first) : MONTHS.index(last) + 1]
        assert days == int(dialogue.expected)
        if first != last:
            assert f"\n{first} {MONTH_LENGTHS[first]}-{int(first_day):02d}:\n" in dialogue.thought
        for month in months[1:-1]:
            assert re.search(rf"\n{month} \d+\+0?{MONTH_LENGTHS[month]}:\n", dialogue.thought), dialogue.thought


def test_the_question_holds_both_dates() -> None:
    dates, rng = Dates(), random.Random(3)
    for _ in range(1000):
        dialogue = dates.draw(rng, held_out=False)
        question = dialogue.messages[-1][1].lower()
        for day, month in re.findall(r"(\d+) ([A-Z][a-z]+)", dialogue.thought.splitlines()[0]):
            assert re.search(rf"\b{day}(st|nd|rd|th)?\b", question), dialogue
            assert month[:3].lower() in question, dialogue


def test_pairs_of_dates_and_wordings_are_held_out() -> None:
    dates, rng = Dates(), random.Random(4)

    def drawn(held_out: bool) -> tuple[set[str], set[str]]:
        dialogues = [dates.draw(rng, held_out=held_out) for _ in range(3000)]
        months = "|".join(f"{m}|{m[:3]}" for m in MONTHS)
        plain = [re.split(r"\.? (?:It is not|Both|The year|\()", d.messages[-1][1])[0] for d in dialogues]
        wordings = {re.sub(rf"(?i)\b({months}|the|of)\b|\d+(st|nd|rd|th)?|\W", "", q).lower() for q in plain}
        return {d.thought.splitlines()[0] for d in dialogues}, wordings

    (dates_in, wordings_in), (dates_out, wordings_out) = drawn(False), drawn(True)
    assert not dates_in & dates_out
    assert not wordings_in & wordings_out


def test_the_issues_example() -> None:
    assert days_between((2, 3), (4, 17)) == 75


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 31)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "31st"]
    )
