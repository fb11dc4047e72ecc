"""Hundreds of damaged models through the real loader: each ends in a load or in a sentence, never in a hang."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.engine.asking import Asker
from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.errors import EngineCrashed, ModelFileError, OutOfMemory, WorkbenchError

EACH = 45
HEADER_BYTES = 24


@pytest.fixture(scope="module")
def patient() -> Iterator[Asker]:
    """An engine of its own: it will be killed by some of these files."""
    engine = LocalEngine(load_timeout_s=20)
    yield Asker(engine)
    engine.close()


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def truncate_in_header(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(12_000) :]


def flip_in_header(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(HEADER_BYTES)] ^= 1 << rng.randrange(8)


def flip_in_metadata(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(HEADER_BYTES, 16_000)] ^= 1 << rng.randrange(8)


def flip_in_first_keys(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(HEADER_BYTES, 900)] = rng.randrange(256)


def change_a_length(data: bytearray, rng: random.Random) -> None:
    """Writes an absurd number over eight bytes, as a broken length or count would be."""
    value = rng.choice([0, 1, 2**16, 2**31 - 1, 2**32, 2**40, 2**62, 2**63, 2**64 - 1])
    at = rng.randrange(4, 16_000)
    data[at : at + 8] = struct.pack("<Q", value)


def change_a_size(data: bytearray, rng: random.Random) -> None:
    """Changes a 32-bit number of the model's shape: layers, heads, width ..."""
    keys = [b"block_count", b"head_count", b"embedding_length", b"head_count_kv", b"feed_forward_length",
            b"vocab_size", b"context_length", b"dimension_count", b"rms_epsilon", b"freq_base", b"file_type",
            b"eos_token_id", b"bos_token_id", b"padding_token_id"]  # fmt: skip
    key = rng.choice(keys)
    at = data.find(key) + len(key) + 4
    data[at : at + 4] = struct.pack("<I", rng.choice([0, 1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**32 - 1]))


def change_a_tensor(data: bytearray, rng: random.Random) -> None:
    """Changes something in the list of tensors: a name, a shape, a type or a place."""
    start = data.find(b"token_embd.weight")
    end = data.find(b"blk.1.ffn_down.weight") + 60
    for _ in range(rng.randrange(1, 3)):
        data[rng.randrange(start, end)] = rng.randrange(256)


def shuffle_bytes(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(0, 16_000)
    data[start : start + 64] = rng.randbytes(64)


def only_noise(data: bytearray, rng: random.Random) -> None:
    keep = rng.choice([0, 4, 8, 24])
    data[keep:] = rng.randbytes(rng.randrange(0, 5000))


WAYS: list[Callable[[bytearray, random.Random], None]] = [
    truncate, truncate_in_header, flip_in_header, flip_in_metadata, flip_in_first_keys, change_a_length, change_a_size,
    change_a_tensor, shuffle_bytes, only_noise,
]  # fmt: skip


def load_error(asker: Asker, path: Path) -> WorkbenchError | None:
    try:
        asker.load(path, context_length=64)
    except WorkbenchError as error:
        return error
    return None


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_damaged_models_end_in_a_sentence(
    patient: Asker, models: Path, tmp_path: Path, way: Callable[[bytearray, random.Random], None]
) -> None:
    original = (models / "tiny.gguf").read_bytes()
    rng = random.Random(way.__name__)
    path = tmp_path / "damaged.gguf"
    outcomes: Counter[str] = Counter()
    for number in range(EACH):
        data = bytearray(original)
        way(data, rng)
        path.write_bytes(data)
        error = load_error(patient, path)
        if error is not None:
            assert isinstance(error, ModelFileError | OutOfMemory | EngineCrashed), (number, repr(error))
            assert error.message.endswith("."), error.message
            assert len(error.message) < 600
            outcomes[error.code] += 1
        else:
            end = patient.ask(raw="Hi", max_tokens=3).end
            assert isinstance(end, api.RequestFinished | api.RequestFailed)
            outcomes["loaded" if isinstance(end, api.RequestFinished) else f"failed: {end.code}"] += 1
    assert sum(outcomes.values()) == EACH


def test_after_all_that_a_good_model_loads(patient: Asker, models: Path) -> None:
    patient.load(models / "says.gguf")
    assert patient.ask().text == "One café is open 😀 now."
