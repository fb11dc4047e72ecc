"""What every exercise of the corpus is: a dialogue, its content files, and the rule of what is held out."""

from __future__ import annotations

import random
import tomllib
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CONTENT = Path(__file__).parent / "content"
UNSEEN = "unseen"


@dataclass(frozen=True)
class Dialogue:
    """One exercise for the model: `messages` (role, content) end with the user; then comes what it should write."""

    kind: str
    messages: tuple[tuple[str, str], ...]
    thinking: bool
    thought: str
    answer: str
    # What a grader compares with: a number, a topic's id, a label, a JSON object.
    expected: str = ""
    # Whether training learns the answers among `messages` too.
    learns_history: bool = False

    @property
    def completion(self) -> str:
        """The text after the generation prompt, without the end-of-turn mark."""
        return f"<think>\n{self.thought}</think>\n\n{self.answer}" if self.thinking else self.answer


def load_content(name: str) -> dict[str, Any]:
    """One file of `content/`, by its stem."""
    with (CONTENT / f"{name}.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def load_unseen(kind: str) -> dict[str, list[str]]:
    """Of `content/unseen.toml`: the wordings of one kind that training never sees, by schema or kind of fact."""
    found: dict[str, list[str]] = load_content(UNSEEN)[kind]
    return found


def is_held_out(key: str, one_in: int = 10) -> bool:
    """Whether what this key names never occurs in training; by hash, so that it never changes."""
    return zlib.crc32(key.lower().encode()) % one_in == 0


def is_phrase_held_out(subject: str, phrase: str) -> bool:
    """One in ten pairs of subject and phrasing never occurs in training."""
    return is_held_out(f"{subject}|{phrase}")


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
