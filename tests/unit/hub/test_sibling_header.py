"""A header from a file's own bytes and the vocabulary of another: byte for byte the file's, or none."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fakes import gguf_files
from tests.fakes.gguf_files import Value
from workbench.hub.gguf import read_header
from workbench.hub.sibling_header import compose

TOKENS = [f"token {number:06}" for number in range(20_000)]
Shapes = dict[str, tuple[int, ...]]
SHAPES: Shapes = {"token_embd.weight": (256, 40), "output_norm.weight": (256,), "blk.0.attn_q.weight": (256, 256)}
F16, Q8_0, Q4_K = 1, 8, 12
_BYTES = {F16: (1, 2), Q8_0: (32, 34), Q4_K: (256, 144)}


def gguf(
    kind: int,
    *,
    file_type: int = 1,
    tokens: list[str] = TOKENS,
    shapes: Shapes = SHAPES,
    front: dict[str, Value] | None = None,
    behind: dict[str, Value] | None = None,
    gap: int = 0,
) -> bytes:
    """A whole file; the tensors after the first are moved by `gap` bytes."""
    metadata: dict[str, Value] = {"general.architecture": "llama", "general.name": "Tiny", **(front or {})}
    metadata |= {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [1] * len(tokens)}
    metadata |= {"tokenizer.chat_template": "x" * 900, **(behind or {"general.file_type": file_type})}
    elements, size = _BYTES[kind]
    tensors, end = {}, 0
    for name, shape in shapes.items():
        count = 1
        for length in shape:
            count *= length
        tensors[name] = (shape, kind, end)
        end += -(-count // elements * size // 32) * 32 + gap
    head = gguf_files.header(metadata, tensors)
    return head + bytes(-len(head) % 32) + b"\1" * (end - gap)


@dataclass
class Remote:
    content: bytes
    asked: list[tuple[int, int]] = field(default_factory=list)

    def read(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(self.content)
        self.asked.append((start, end))
        return self.content[start:end]

    @property
    def read_bytes(self) -> int:
        return sum(end - start for start, end in self.asked)


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "known.gguf"
    path.write_bytes(gguf(F16))
    return path


def composed(known: Path, content: bytes, tmp_path: Path) -> bytes | None:
    """What comes out; where something does, it is the file's header to the last byte."""
    remote = Remote(content)
    found = compose(known, len(content), remote.read)
    if found is not None:
        whole = tmp_path / "whole.gguf"
        whole.write_bytes(content)
        assert found == content[: read_header(whole).data_offset]
        assert remote.read_bytes < 16 * 1024
        assert len(remote.asked) == 2
    return found


@pytest.mark.parametrize(
    "content",
    [
        gguf(Q8_0, file_type=7),
        gguf(Q4_K, file_type=15),
        gguf(Q4_K, behind={"general.file_type": 15, "quantize.imatrix.file": "a.dat", "quantize.imatrix.chunks": 99}),
        gguf(Q8_0, front={"general.file_type": 7}, behind={"general.quantization_version": 2}),
        gguf(Q8_0, shapes=dict(reversed(SHAPES.items()))),
    ],
    ids=["Q8_0", "Q4_K", "more values behind", "other values in front", "other tensor order"],
)
def test_the_header_is_the_files_own_to_the_last_byte(known: Path, tmp_path: Path, content: bytes) -> None:
    assert composed(known, content, tmp_path) is not None


def swapped(content: bytes, old: str, new: str) -> bytes:
    assert content.count(old.encode()) == 1
    return content.replace(old.encode(), new.encode())


WRONG: dict[str, Callable[[], bytes]] = {
    "other first token": lambda: swapped(gguf(Q8_0), TOKENS[0], "other 000000"),
    "longer token in the middle": lambda: gguf(Q8_0, tokens=[*TOKENS[:9000], "longer " * 9, *TOKENS[9001:]]),
    "one token more": lambda: gguf(Q8_0, tokens=[*TOKENS, "one"]),
    "shorter vocabulary": lambda: gguf(Q8_0, tokens=TOKENS[:2000]),
    "other token types at the end": lambda: gguf(Q8_0).replace(
        struct.pack("<4i", 1, 1, 1, 1) + gguf_files.text("tokenizer.chat_template"),
        struct.pack("<4i", 1, 1, 1, 3) + gguf_files.text("tokenizer.chat_template"),
    ),
    "other shapes": lambda: gguf(Q8_0, shapes={**SHAPES, "token_embd.weight": (256, 41)}),
    "another tensor": lambda: gguf(Q8_0, shapes={**SHAPES, "blk.1.attn_q.weight": (256, 256)}),
    "other name": lambda: swapped(gguf(Q8_0), "blk.0.attn_q.weight", "blk.0.attn_k.weight"),
    "another architecture": lambda: swapped(gguf(Q8_0), "llama", "qwen3"),
    "gaps between tensors": lambda: gguf(Q8_0, gap=32),
    "unaligned": lambda: gguf(Q8_0, gap=8),
    "bytes behind the tensors": lambda: gguf(Q8_0) + bytes(64),
    "cut by a tensor": lambda: gguf(Q8_0)[:-70_000],
    "cut in the vocabulary": lambda: gguf(Q8_0)[:100_000],
    "cut in front of the vocabulary": lambda: gguf(Q8_0)[:40],
    "many values more": lambda: gguf(Q8_0, behind={"general.file_type": 7, "general.description": "x" * 9000}),
    "no model": lambda: b"<html>" * 100_000,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_prove_is_none(known: Path, tmp_path: Path, name: str) -> None:
    assert composed(known, WRONG[name](), tmp_path) is None


def test_a_vocabulary_that_is_not_worth_it_is_not_asked_for(tmp_path: Path) -> None:
    known = tmp_path / "known.gguf"
    known.write_bytes(gguf(F16, tokens=TOKENS[:2000]))
    remote = Remote(gguf(Q8_0, tokens=TOKENS[:2000]))
    assert compose(known, len(remote.content), remote.read) is None
    assert not remote.asked


def test_values_between_parts_of_the_vocabulary_are_not_taken_from_another_file(tmp_path: Path) -> None:
    known, remote = tmp_path / "known.gguf", Remote(gguf(Q8_0, behind={"llama.context_length": 9, "a.b": [1] * 2000}))
    known.write_bytes(gguf(F16, behind={"llama.context_length": 7, "a.b": [1] * 2000}))
    assert compose(known, len(remote.content), remote.read) is None
    assert not remote.asked


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_sibling_that_is_gone_or_damaged_helps_nothing(tmp_path: Path, content: bytes | None) -> None:
    known, remote = tmp_path / "known.gguf", Remote(gguf(Q8_0))
    if content is not None:
        known.write_bytes(content)
    assert compose(known, len(remote.content), remote.read) is None
