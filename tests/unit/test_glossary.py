"""The glossary as it ships, and one that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import UserError, WorldError
from workbench.glossary import Glossary
from workbench.paths import resources

SOUND = """[[topic]]
id = "kv"
names = ["the KV cache", "KV cache", "the key-value cache"]
about = "the KV cache"
asks = ["what is kept?"]
short = "The KV cache holds keys and values."
long = "The **KV cache** stores *keys* and values."
"""


@pytest.fixture(scope="module")
def shipped() -> Glossary:
    return Glossary(resources().glossary)


def test_every_term_has_its_texts_once(shipped: Glossary) -> None:
    topics = shipped.topics
    assert len(topics) >= 80
    assert len({topic.id for topic in topics}) == len(topics)
    assert len({topic.title.casefold() for topic in topics}) == len(topics)
    for topic in topics:
        assert topic.short.endswith("."), topic.id
        assert "*" not in topic.short + topic.explanation, topic.id
        assert len(topic.short) < len(topic.explanation), topic.id


def test_every_name_of_a_term_finds_it(shipped: Glossary) -> None:
    for topic in shipped.topics:
        for name in (topic.id, topic.title, *topic.names, *topic.other_names):
            assert shipped.find(name.upper()) is topic, name


def test_an_unknown_term_is_a_sentence_with_what_is_near(shipped: Glossary) -> None:
    for term, near in (("TTF", "TTFT"), ("quantizaton", "Quantization"), ("haystack", "Needle test")):
        with pytest.raises(UserError, match=near) as raised:
            shipped.find(term)
        assert raised.value.code == "term_unknown"
    for nothing in ("", "  ", "?"):
        with pytest.raises(UserError, match="lists all terms"):
            shipped.find(nothing)
    with pytest.raises(UserError, match="lists all terms") as raised:
        shipped.find("zzz" * 1000)
    assert len(raised.value.message) < 200


def test_all_terms_can_be_had_by_alphabet(shipped: Glossary) -> None:
    titles = [topic.title for topic in shipped.alphabetical]
    assert titles == sorted(titles, key=str.casefold)
    assert titles.index("KV cache") < titles.index("llama.cpp") < titles.index("LoRA")
    assert set(shipped.alphabetical) == set(shipped.topics)


def test_search_wants_every_word_and_puts_names_first(shipped: Glossary) -> None:
    assert shipped.search("") == shipped.topics
    found = shipped.search("CACHE")
    named = [any("cache" in name.casefold() for name in topic.names) for topic in found]
    assert named == sorted(named, reverse=True)
    assert True in named
    assert False in named
    both = shipped.search("memory bandwidth")
    assert both[0].id == "bandwidth"
    assert all("memory" in text and "bandwidth" in text for text in map(_everything, both))
    assert shipped.search("no such word anywhere") == ()


def _everything(topic: object) -> str:
    return repr(topic).casefold()


def test_texts_are_read_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "glossary.toml").write_text(SOUND, encoding="utf-8")
    (topic,) = Glossary(tmp_path / "glossary.toml").topics
    assert (topic.title, topic.other_names) == ("KV cache", ("key-value cache",))
    assert topic.explanation == "The KV cache stores keys and values."


@pytest.mark.parametrize(
    "content",
    [
        None, "", "no toml [", "[[topic]]\nid = 'kv'\n", SOUND.replace('"The KV cache holds keys and values."', '" "'),
        SOUND.replace('["the KV cache", "KV cache", "the key-value cache"]', "[]"), "topic = 3", "\udcff",
    ],
)  # fmt: skip
def test_a_missing_or_damaged_glossary_is_a_sentence(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "glossary.toml"
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(WorldError, match="Install") as raised:
        Glossary(file).topic("kv")
    assert raised.value.code == "installation_incomplete"


def test_a_term_that_the_file_lacks_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "glossary.toml").write_text(SOUND, encoding="utf-8")
    with pytest.raises(WorldError, match="Install"):
        Glossary(tmp_path / "glossary.toml").topic("ttft")
