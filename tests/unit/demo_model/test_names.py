"""Names: enough of them, each in one list, and the held-out ones nowhere else in what is taught."""

from __future__ import annotations

import random
import re
from collections import Counter

from dialogue import CONTENT, is_held_out, load_content
from names import INVENTED, ONE_IN, draw_name, everything_held_out, invent, plain_words, pool, split_list

LISTS = [kind for kind in load_content("names") if kind not in INVENTED]


def test_lists_are_long_enough_and_share_no_name() -> None:
    names = load_content("names")
    assert len(names["places"]) >= 150
    assert len(names["people"]) >= 150
    assert len(names["things"]) >= 80
    counts = Counter(name.lower() for kind in LISTS for name in names[kind])
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
        if path.stem != "names":
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
        shares.append(sum(invent(rng, held_out)[-4:].lower() in endings for _ in range(1000)) / 1000)
    assert shares[0] > shares[1] + 0.15


def test_drawn_names_come_from_the_wanted_side() -> None:
    rng = random.Random(2)
    assert {draw_name(rng, "shops", True) for _ in range(300)} == set(pool("shops", True))


def test_split_list_holds_out_every_sixth() -> None:
    assert split_list(list("abcdefghijklm"), True) == ["f", "l"]
    assert split_list(list("abcdefghijklm"), False) == list("abcdeghijkm")
