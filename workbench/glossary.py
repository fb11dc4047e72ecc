"""The terms of the field, each with its one definition, from `assets/glossary.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.errors import UserError, WorldError

_ARTICLES = ("the ", "a ", "an ")
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Topic:
    """`names` are how people say it, the usual one first; `about` completes "The user asks about". `short` is one
    sentence of plain text, `long` a paragraph of Markdown.
    """

    id: str
    names: tuple[str, ...]
    about: str
    short: str
    long: str

    @property
    def title(self) -> str:
        """The usual name as a heading: without an article, and with a capital where the spelling allows one."""
        name = _bare(self.names[0])
        return name[0].upper() + name[1:] if name.split()[0].replace("-", "").isalpha() else name

    @property
    def other_names(self) -> tuple[str, ...]:
        """Without articles and without what only repeats the title."""
        told = {self.title.casefold()}
        found = {bare.casefold(): bare for name in self.names if (bare := _bare(name)).casefold() not in told}
        return tuple(found.values())

    @property
    def explanation(self) -> str:
        """`long` without the marks of Markdown."""
        return self.long.replace("*", "")


class Glossary:
    """Reads its file with the first question and keeps it. Every question raises WorldError (code
    "installation_incomplete") when the file is missing or damaged.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @cached_property
    def topics(self) -> tuple[Topic, ...]:
        """In the order of the file, which begins with the figures of a run."""
        try:
            with self._file.open("rb") as file:
                return tuple(_topic(table) for table in tomllib.load(file)["topic"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise _incomplete(f"{self._file} cannot be used: {error}") from error

    @cached_property
    def alphabetical(self) -> tuple[Topic, ...]:
        """By title, whatever its case: the order in which people look a term up."""
        return tuple(sorted(self.topics, key=lambda topic: topic.title.casefold()))

    def topic(self, topic_id: str) -> Topic:
        if topic_id not in self._by_id:
            raise _incomplete(f"{self._file} has no topic {topic_id!r}")
        return self._by_id[topic_id]

    def find(self, term: str) -> Topic:
        """The topic with this id or name, whatever its case. Raises UserError (code "term_unknown") with near names."""
        wanted = _folded(term)
        if wanted in self._by_name:
            return self._by_name[wanted]
        import difflib  # 6 ms, needed for this sentence only

        close = difflib.get_close_matches(wanted, self._by_name, n=2 * _NEAREST, cutoff=0.5)
        told = self.search(term) if wanted else ()
        near = [self._by_name[name].title for name in close] + [topic.title for topic in told]
        names = list(dict.fromkeys(near))[:_NEAREST]
        hint = f"Did you mean {' or '.join(names)}?" if names else "`workbench glossary` lists all terms."
        raise UserError(f"The glossary has no term {_shortened(term)!r}. {hint}", code="term_unknown")

    def search(self, text: str) -> tuple[Topic, ...]:
        """Topics in which every word of `text` occurs: first where names have them all, then the rest."""
        words = text.casefold().split()
        names = {topic: " ".join((topic.id, *topic.names)) for topic in self.topics}
        named = [topic for topic in self.topics if _has_all(words, names[topic])]
        told = [topic for topic in self.topics if _has_all(words, f"{names[topic]} {topic.short} {topic.long}")]
        return tuple(dict.fromkeys((*named, *told)))

    @cached_property
    def _by_id(self) -> dict[str, Topic]:
        return {topic.id: topic for topic in self.topics}

    @cached_property
    def _by_name(self) -> dict[str, Topic]:
        """By id and folded name; what several topics are called belongs to the first."""
        found = {topic.id: topic for topic in self.topics}
        for topic in self.topics:
            for name in topic.names:
                found.setdefault(_folded(name), topic)
        return found


def _topic(table: dict[str, Any]) -> Topic:
    names = tuple(str(name) for name in table["names"] if str(name).strip())
    topic = Topic(str(table["id"]), names, str(table["about"]), str(table["short"]).strip(), str(table["long"]).strip())
    if not (topic.id and names and topic.short and topic.long):
        raise ValueError(f"the topic {topic.id!r} has an empty text")
    return topic


def _bare(name: str) -> str:
    return next((name[len(word) :] for word in _ARTICLES if name.startswith(word)), name)


def _folded(term: str) -> str:
    return _bare(" ".join(term.casefold().split()))


def _has_all(words: list[str], text: str) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _shortened(term: str) -> str:
    return term if len(term) <= 80 else f"{term[:80]}…"


def _incomplete(detail: str) -> WorldError:
    return WorldError(
        "The program's glossary is missing or damaged. Install inference-workbench again.",
        code="installation_incomplete",
        detail=detail,
    )
