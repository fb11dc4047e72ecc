"""Model cards in headers, as the gguf package writes them: sound ones, and what a stranger could put there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from workbench.cli.json_output import file_object
from workbench.cli.models_shelf import fact_rows
from workbench.hub.card import LONGEST_TEXT, ModelCard, read_card
from workbench.hub.descriptions import DescriptionCache
from workbench.hub.gguf import ModelFile, describe

FIGURES = [["sums, thinking", "91 %"], ["sums, at once", 0.375], ["topics", 101]]
SOUND = ModelCard(
    "2026-11-21", 5_512_192, 52_000_000, "Dialogues from a seeded script.",
    (("sums, thinking", "91 %"), ("sums, at once", "0.375"), ("topics", "101")),
)  # fmt: skip


def write(path: Path, **keys: object) -> ModelFile:
    """A file with these keys of a card; text and whole numbers as such, everything else as the package takes it."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Carded")
    writer.add_description("To learn with.")
    writer.add_author("The authors")
    writer.add_license("mit")
    writer.add_context_length(512)
    for key, value in keys.items():
        name = f"workbench.card.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint64(name, value) if value >= 0 else writer.add_int64(name, value)
        elif isinstance(value, float):
            writer.add_float64(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_string(name, str(value))
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return describe(path)


def write_sound(path: Path) -> ModelFile:
    return write(
        path, date="2026-11-21", parameters=5_512_192, trained_tokens=52_000_000,
        data="Dialogues from a seeded script.", figures=json.dumps(FIGURES),
    )  # fmt: skip


def test_a_card_is_read_from_the_header(tmp_path: Path) -> None:
    file = write_sound(tmp_path / "carded-F16.gguf")
    assert file.card == SOUND
    assert (file.description, file.author, file.license) == ("To learn with.", "The authors", "mit")


def test_a_file_without_the_keys_has_no_card(tmp_path: Path) -> None:
    file = write(tmp_path / "plain-F16.gguf")
    assert file.card is None
    assert file.description == "To learn with."


def test_a_card_outlives_the_program(tmp_path: Path) -> None:
    cached = DescriptionCache(tmp_path / "headers.json")
    path = tmp_path / "carded-F16.gguf"
    write_sound(path)
    first = cached.of(path)
    cached.save()
    later = DescriptionCache(tmp_path / "headers.json")
    assert later.of(path) == first
    assert later.of(path).card == SOUND
    before = (tmp_path / "headers.json").stat().st_ino
    later.save()  # a file that had to be described anew would be written anew, under another number
    assert (tmp_path / "headers.json").stat().st_ino == before


@pytest.mark.parametrize(
    "figures",
    [
        "no JSON", "[" * 100_000, "{}", "3", "null", '"text"', "[3, null, {}, [], [1], [1, 2, 3]]", "[[1, 2]]",
        '[["", "x"], ["x", ""], ["x", null], ["x", true], ["x", [1]], ["x", NaN], ["x", Infinity], ["x", 1e999]]',
        '[["x", 1' + "0" * 400 + "]]", "9" * 5_000, " " * 20_001, 7, [1, 2], 1.5, True,
    ],
    ids=range(16),
)  # fmt: skip
def test_figures_of_another_form_are_left_out(tmp_path: Path, figures: object) -> None:
    file = write(tmp_path / "odd-F16.gguf", figures=figures, date="2026-11-21")
    assert file.card == ModelCard(date="2026-11-21")


def test_values_of_another_type_are_left_out(tmp_path: Path) -> None:
    odd = {"date": 20261121, "parameters": "many", "trained_tokens": -5, "data": ["a", "b"]}
    assert write(tmp_path / "odd-F16.gguf", **odd).card is None
    odd = {"date": True, "parameters": 2**64 - 1, "trained_tokens": 0, "data": " \n\t "}
    assert write(tmp_path / "odder-F16.gguf", **odd).card is None


def test_long_and_unprintable_texts_are_cut_and_made_plain(tmp_path: Path) -> None:
    hostile = "\x1b[2Jgone\u202egnp.exe\u200b \x00\n<b>bold</b>" + " word" * 200_000
    rows = [[f"figure {number} " + "y" * 500, "\x1b]0;title\x07" + "z" * 500] for number in range(18)]
    file = write(tmp_path / "odd-F16.gguf", date=hostile, data=hostile, figures=json.dumps(rows))
    card = file.card
    assert card is not None
    assert card.data is not None
    assert card.data.startswith("[2Jgone gnp.exe <b>bold</b> word word")
    assert len(card.data) == LONGEST_TEXT
    assert len(card.figures) == 18
    texts = [card.date or "", card.data, *(text for pair in card.figures for text in pair)]
    assert all(text.isprintable() for text in texts)
    assert max(len(text) for text in texts if text is not card.data) <= 60


def test_so_many_figures_are_shown_and_no_more() -> None:
    rows = json.dumps([[f"f{number}", number] for number in range(1_000)])
    card = read_card({"workbench.card.figures": rows})
    assert card is not None
    assert len(card.figures) == 40
    assert card.figures[0] == ("f0", "0")


def test_the_command_line_tells_the_card_and_whose_figures_these_are(tmp_path: Path) -> None:
    file = write_sound(tmp_path / "carded-F16.gguf")
    rows = {row.name: (row.value, row.remark) for row in fact_rows("Carded", file)}
    assert rows["About"] == ("", "To learn with.")
    assert rows["Trained on"] == ("", "52,000,000 tokens")
    assert rows["Trained from"] == ("", "Dialogues from a seeded script.")
    assert rows["sums, thinking"] == ("91 %", "by its makers")
    made = replace(file, origin="demo", is_read_only=False)
    assert "the file it was made from" in next(row.remark for row in fact_rows("Carded", made) if row.name == "topics")
    told = file_object(file)
    assert told["card"]["trained_tokens"] == 52_000_000
    assert told["card"]["figures"][0] == {"name": "sums, thinking", "value": "91 %"}
    assert file_object(write(tmp_path / "plain-F16.gguf"))["card"] is None
