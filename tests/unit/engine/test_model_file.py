from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.fakes import tiny_models
from workbench.engine.file_types import file_type_name
from workbench.engine.model_file import check_model_file, fingerprint, is_markup
from workbench.errors import ModelFileError, ModelNotFound


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write_llama(tmp_path_factory.mktemp("model") / "tiny.gguf")


def changed(tiny: Path, tmp_path: Path, at: int, data: bytes) -> str:
    whole = bytearray(tiny.read_bytes())
    whole[at : at + len(data)] = data
    path = tmp_path / "changed.gguf"
    path.write_bytes(whole)
    return str(path)


def test_the_header_of_a_good_file(tiny: Path) -> None:
    header = check_model_file(str(tiny))
    assert header.architecture == "llama"
    assert header.values["general.name"] == "Tiny"
    assert header.number("block_count") == 2
    assert header.number("attention.head_count_kv") == 2
    assert header.number("no.such.key") is None
    assert header.markup_texts == ("<think>", "</think>")
    assert header.control_texts == ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    assert header.size_bytes == tiny.stat().st_size
    assert header.files == (tiny,)


@pytest.mark.parametrize("text", ["<think>", "</think>", "<|tool|>", "<｜User｜>", "[THINK]", "[/INST]", "◁think▷"])
def test_tags_are_markup(text: str) -> None:
    assert is_markup(text)


@pytest.mark.parametrize("text", ["    ", "\n\n", "😀", "<table>", "</li>", "->", "<=>", "[0]", "<a", "word", "<<>>"])
def test_ordinary_user_defined_tokens_are_not(text: str) -> None:
    assert not is_markup(text)


def test_a_replaced_file_has_another_fingerprint(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(tiny.read_bytes())
    before = check_model_file(str(path)).fingerprint
    assert fingerprint([path]) == before
    path.write_bytes(tiny.read_bytes() + b"\0")
    assert fingerprint([path]) != before
    path.unlink()
    assert fingerprint([path]) == ()


@pytest.mark.parametrize(
    ("at", "data", "words"),
    [
        (0, b"GGML", "does not begin with the letters GGUF"),
        (4, struct.pack("<I", 1), "GGUF version 1"),
        (4, struct.pack(">I", 3), "GGUF version"),
        (8, struct.pack("<Q", 2**40), "tensors"),
        (16, struct.pack("<Q", 2**40), "metadata entries"),
        (24, struct.pack("<Q", 2**62), "a name of"),
        (24 + 8 + len("general.architecture"), struct.pack("<I", 77), "unknown type 77"),
    ],
)
def test_what_is_wrong_is_named(tiny: Path, tmp_path: Path, at: int, data: bytes, words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        check_model_file(changed(tiny, tmp_path, at, data))


def test_every_truncation_is_noticed(tiny: Path, tmp_path: Path) -> None:
    data = tiny.read_bytes()
    path = tmp_path / "short.gguf"
    for length in [0, 3, 10, 23, 24, *range(25, len(data), len(data) // 60), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            check_model_file(str(path))


def test_parts_of_a_split_model(tiny: Path, tmp_path: Path) -> None:
    first = tmp_path / "m-00001-of-00003.gguf"
    first.write_bytes(tiny.read_bytes())
    with pytest.raises(ModelNotFound, match="m-00002-of-00003"):
        check_model_file(str(first))
    for number in (2, 3):
        (tmp_path / f"m-0000{number}-of-00003.gguf").write_bytes(tiny.read_bytes())
    header = check_model_file(str(first))
    assert header.size_bytes == 3 * tiny.stat().st_size
    with pytest.raises(ModelFileError, match="open part 00001"):
        check_model_file(str(tmp_path / "m-00002-of-00003.gguf"))


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        check_model_file(str(tmp_path))


@pytest.mark.parametrize(("number", "name"), [(1, "F16"), (15, "Q4_K_M"), (1024 + 7, "Q8_0"), (999, None), (-1, None)])
def test_names_of_file_types(number: int, name: str | None) -> None:
    assert file_type_name(number) == name
