"""The texts the demo model learns and the program shows: complete, short enough, and no question with two answers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
GLOSSARY = ROOT / "assets" / "glossary.toml"
CONTENT = ROOT / "packaging" / "demo_model" / "content"

FIELDS = {"id", "names", "about", "asks", "short", "long"}
# Issue 4 names these; each must be a name that one asks for.
REQUIRED = (
    "TTFT", "TPS", "ITL", "prefill", "decode", "KV cache", "quantization", "context length", "the prefix cache",
    "semantic caching", "routing", "fallback", "speculative decoding", "batching", "queue depth", "p95",
    "latency budget", "unit economics", "cost per query", "training and inference", "break-even", "a guardrail",
)  # fmt: skip


def load(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return tomllib.load(file)


TOPICS: list[dict[str, Any]] = load(GLOSSARY)["topic"]
PHRASES: dict[str, list[str]] = load(CONTENT / "phrases.toml")
STORIES: list[dict[str, Any]] = load(CONTENT / "stories.toml")["story"]
TALKS: list[dict[str, Any]] = load(CONTENT / "smalltalk.toml")["talk"]
UNKNOWNS: list[dict[str, Any]] = load(CONTENT / "unknown.toml")["unknown"]


def as_typed(text: str) -> str:
    """What is left of a question when case, marks and spaces do not count."""
    return re.sub(r"\W+", " ", text.lower()).strip() or text


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\"?\s+(?=[A-Z*\"])", text.strip())


def questions() -> Iterator[tuple[str, str]]:
    """(question as typed, what is answered) of everything a user can ask about, trained or held out."""
    for topic in TOPICS:
        for manner in ("plain", "brief", "detailed"):
            for carrier in PHRASES[manner]:
                for name in topic["names"]:
                    answer = "short" if manner == "brief" else "long"
                    yield as_typed(carrier.format(x=name)), f"{topic['id']}, {answer}"
        for ask in topic["asks"]:
            yield as_typed(ask), f"{topic['id']}, long"
    for told in (*STORIES, *TALKS):
        for ask in told["asks"]:
            yield as_typed(ask), str(told["id"])
    for unknown in UNKNOWNS:
        for ask in unknown["asks"]:
            for fill in unknown["fill"]:
                yield as_typed(ask.format(x=fill)), "not known"


def test_there_are_enough_topics_and_few_enough_for_a_tiny_model() -> None:
    assert 86 <= len(TOPICS) <= 105
    assert sum(topic.get("is_easy", False) for topic in TOPICS) == 30


def test_the_terms_of_the_field_are_all_there() -> None:
    names = {name for topic in TOPICS for name in topic["names"]}
    assert set(REQUIRED) <= names


def test_every_id_and_every_name_belongs_to_one_topic() -> None:
    ids = [topic["id"] for topic in TOPICS] + [told["id"] for told in (*STORIES, *TALKS, *UNKNOWNS)]
    names = [as_typed(name) for topic in TOPICS for name in topic["names"]]
    assert len(ids) == len(set(ids))
    assert len(names) == len(set(names))


def test_topic_has_its_fields_and_enough_phrasings() -> None:
    for topic in TOPICS:
        assert set(topic) - {"is_easy"} == FIELDS, topic["id"]
        assert topic.get("is_easy", True) is True, topic["id"]
        assert len(topic["names"]) >= 3, topic["id"]
        assert len({as_typed(ask) for ask in topic["asks"]}) >= 6, topic["id"]


def test_short_is_one_sentence_of_a_tooltip() -> None:
    for topic in TOPICS:
        assert len(topic["short"].split()) <= 30, topic["id"]
        assert len(sentences(topic["short"])) == 1, topic["id"]
        assert topic["short"].endswith("."), topic["id"]
        assert "*" not in topic["short"], topic["id"]


def test_long_is_a_paragraph_that_begins_with_the_bold_term() -> None:
    for topic in TOPICS:
        assert re.match(r"\*\*[^*]+\*\*", topic["long"]), topic["id"]
        assert 40 <= len(topic["long"].split()) <= 75, topic["id"]
        assert 2 <= len(sentences(topic["long"])) <= 4, topic["id"]
        assert topic["long"] == topic["long"].strip(), topic["id"]
        assert "\n" not in topic["long"], topic["id"]


def test_long_says_more_than_short() -> None:
    for topic in TOPICS:
        told = set(as_typed(topic["short"]).split())
        assert len(set(as_typed(topic["long"]).split()) - told) >= 20, topic["id"]


def test_definitions_do_not_speak_as_the_model_since_the_program_shows_them_too() -> None:
    for topic in TOPICS:
        assert not re.search(r"\b(I|me|my|mine)\b", topic["short"] + topic["long"]), topic["id"]


def test_no_question_has_two_answers() -> None:
    answers: dict[str, str] = {}
    for question, answer in questions():
        assert answers.setdefault(question, answer) == answer, f"{question!r}: {answers[question]} or {answer}"


def test_carriers_take_one_name_and_are_enough_for_every_manner() -> None:
    assert len(PHRASES["plain"]) >= 30
    assert len(PHRASES["brief"]) >= 18
    assert len(PHRASES["detailed"]) >= 12
    assert all(carrier.count("{x}") == 1 for kind in ("plain", "brief", "detailed") for carrier in PHRASES[kind])
    assert not any("{" in phrase for kind in ("follow_brief", "follow_detailed") for phrase in PHRASES[kind])
    assert not set(map(as_typed, PHRASES["follow_brief"])) & set(map(as_typed, PHRASES["follow_detailed"]))


def test_small_talk_and_stories_are_asked_in_many_ways() -> None:
    for talk in TALKS:
        assert len({as_typed(ask) for ask in talk["asks"]}) >= 18, talk["id"]
        assert len(sentences(talk["thought"])) <= 2, talk["id"]
    for story in STORIES:
        assert len({as_typed(ask) for ask in story["asks"]}) >= 12, story["id"]


def test_what_is_beyond_the_model_is_a_class_and_not_a_list() -> None:
    for unknown in UNKNOWNS:
        assert len(set(unknown["fill"])) == len(unknown["fill"]) >= 25, unknown["id"]
        assert all(ask.count("{x}") == 1 for ask in unknown["asks"]), "without a fill nothing of a question is held out"
        assert re.search(r"\b(do not know|cannot)\b", unknown["answer"]), unknown["id"]
        assert len(sentences(unknown["thought"])) <= 2, unknown["id"]


def test_nothing_beyond_the_model_is_a_term_that_it_explains() -> None:
    names = {as_typed(name) for topic in TOPICS for name in topic["names"]}
    assert not names & {as_typed(fill) for unknown in UNKNOWNS for fill in unknown["fill"]}


@pytest.mark.parametrize("name", ["phrases", "stories", "smalltalk", "unknown", "glossary"])
def test_text_keeps_to_plain_punctuation(name: str) -> None:
    path = GLOSSARY if name == "glossary" else CONTENT / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    assert text.isascii()
    assert not re.search(r"[^\S\n]$|\t|[.!?]  +[A-Z]", text, re.MULTILINE)


def likeness(text: str, other: str) -> float:
    return SequenceMatcher(None, as_typed(text), as_typed(other)).ratio()


def test_wordings_kept_for_the_evaluation_are_whole_and_unlike_what_is_trained() -> None:
    unseen = load(CONTENT / "unseen.toml")
    kinds = {
        "extract": {s["id"]: (s["patterns"], s["fields"]) for s in load(CONTENT / "extraction.toml")["schema"]},
        "lookup": {f["id"]: (f["asks"], ["x"]) for f in load(CONTENT / "lookup.toml")["fact"]},
    }
    assert sum(map(len, unseen["extract"].values())) >= 60
    assert sum(map(len, unseen["lookup"].values())) >= 120
    for kind, trained in kinds.items():
        assert unseen[kind].keys() == trained.keys()
        for name, (wordings, slots) in trained.items():
            for text in unseen[kind][name]:
                assert all(text.count(f"{{{slot}}}") == 1 for slot in slots), text
                assert text.count("{") == len(slots) + text.count("{thing}"), text
                assert as_typed(text) not in map(as_typed, wordings), text
                like = max(wordings, key=lambda wording: likeness(text, wording))
                assert kind == "lookup" or likeness(text, like) <= 0.88, (text, like)


def test_free_exercises_in_arithmetic_are_of_every_kind_and_hold_their_numbers() -> None:
    exercises = load(CONTENT / "unseen.toml")["arithmetic"]
    assert {item["kind"] for item in exercises} == {"problem", "days", "price", "sum"}
    assert len({as_typed(item["ask"]) for item in exercises}) == len(exercises)
    for item in exercises:
        assert isinstance(item["answer"], int), item
        assert re.search(r"\d", item["ask"]), item
        assert item["ask"][-1] == "?" or item["kind"] != "problem", item
