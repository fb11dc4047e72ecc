"""Names: enough of them, each in one list, and the held-out ones nowhere else in what is taught."""

from __future__ import annotations

import random
import re
from collections import Counter

import names
import pytest
from dialogue import CONTENT, UNSEEN, is_held_out, load_content
from names import (
    INVENTED,
    ONE_IN,
    any_noun,
    any_word,
    draw_name,
    everything_held_out,
    invent,
    know_pieces,
    plain_words,
    pool,
    split_list,
)

LISTS = [kind for kind in load_content("names") if kind not in INVENTED]


def test_lists_are_long_enough_and_share_no_name() -> None:
    lists = load_content("names")
    assert len(lists["places"]) >= 150
    assert len(lists["people"]) >= 150
    assert len(lists["things"]) >= 80
    counts = Counter(name.lower() for kind in LISTS for name in lists[kind])
    assert [name for name, count in counts.items() if count > 1] == []


def test_each_list_is_split_into_two_sides() -> None:
    for kind in LISTS:
        held_out, trained = pool(kind, True), pool(kind, False)
        assert len(held_out) >= 5, kind
        assert sorted((*held_out, *trained)) == sorted(load_content("names")[kind])


def test_proper_names_held_out_stand_in_no_other_content_file() -> None:
    kinds = ("places", "people", "things", "programs", "projects", "models")
    held_out = "|".join(re.escape(name) for kind in kinds for name in pool(kind, True))
    for path in CONTENT.glob("*.toml"):
        if path.stem not in ("names", UNSEEN):
            found = re.findall(rf"\b(?:{held_out})\b", path.read_text(encoding="utf-8"))
            assert not found, f"{path.name}: put other names there or into names.toml for {sorted(set(found))}"


def test_invented_names_keep_to_their_side() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        name = invent(rng, False)
        assert not is_held_out(name, ONE_IN)
        assert name.lower() not in everything_held_out()
        assert is_held_out(invent(rng, True), ONE_IN)


def test_blends_bring_parts_of_words_into_training_alone() -> None:
    endings = {word[-4:] for word in plain_words()}
    shares = []
    for held_out in (False, True):
        rng = random.Random(3)
        shares.append(sum(invent(rng, held_out)[-4:].lower() in endings for _ in range(3000)) / 3000)
    assert shares[0] > shares[1] + 0.03


def test_every_piece_of_a_known_vocabulary_comes_into_trained_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_pieces", [])
    monkeypatch.setattr(names, "_spaced", [])
    know_pieces(["aster", "uch", "Bri", "\u0120to", "12", "x"])
    rng = random.Random(4)
    trained, held_out = ({invent(rng, side).lower() for _ in range(3000)} for side in (False, True))
    for piece in ("aster", "uch", "bri"):
        assert sum(piece in name for name in trained) > 100, piece
    assert not any("aster" in name or "uch" in name for name in held_out)


def test_some_trained_words_begin_with_a_word_that_has_a_token_with_its_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_pieces", [])
    monkeypatch.setattr(names, "_spaced", [])
    know_pieces(["cher", "\u0120paychose", "\u0120The", "\u0120("])
    rng = random.Random(7)
    drawn = [any_word(rng) for _ in range(2000)]
    assert 0.2 < sum(word == "paychosecher" for word in drawn) / 2000 < 0.3
    assert all(word == word.lower() for word in drawn)


def test_a_noun_that_stands_for_another_is_never_a_hidden_one() -> None:
    rng = random.Random(5)
    nouns = [any_noun(rng, frozenset()) for _ in range(2000)]
    often = Counter(word for singular, _ in nouns for word in singular.split()).most_common(1)[0][0]
    assert all(plural == f"{singular}s" for singular, plural in nouns)
    assert 0.2 < sum(" " in singular for singular, _ in nouns) / len(nouns) < 0.5
    assert all(often not in any_noun(rng, frozenset([often]))[0].split() for _ in range(2000))


def test_trained_shops_have_one_word_or_two() -> None:
    rng = random.Random(6)
    listed = pool("shops", False)
    others = [name for name in (draw_name(rng, "shops", False) for _ in range(1000)) if name not in listed]
    assert {len(name.split()) for name in others} == {1, 2}


def test_drawn_names_come_from_the_wanted_side() -> None:
    rng = random.Random(2)
    assert {draw_name(rng, "shops", True) for _ in range(300)} == set(pool("shops", True))


def test_split_list_holds_out_every_sixth() -> None:
    assert split_list(list("abcdefghijklm"), True) == ["f", "l"]
    assert split_list(list("abcdefghijklm"), False) == list("abcdeghijkm")
