from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from workbench.errors import ModelNotFound
from workbench.hub.hashing import HashCache, HashCancelled, hash_file, hash_files


def test_hash_is_sha256_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(9_000_000)
    (tmp_path / "m").write_bytes(content)
    assert hash_file(tmp_path / "m") == hashlib.sha256(content).hexdigest()


def test_parts_hash_like_one_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    assert hash_files([tmp_path / "a", tmp_path / "b"]) == hashlib.sha256(b"a" * 10 + b"b" * 10).hexdigest()


def test_cancel_stops_between_pieces(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(bytes(20_000_000))
    answers = iter([False, True])
    with pytest.raises(HashCancelled):
        hash_file(tmp_path / "m", lambda: next(answers))


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        hash_file(tmp_path / "absent")


def test_cache_reads_a_file_once_and_again_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"one")
    kept: dict[tuple[str, int, int], str] = {}

    def remember(name: str, size: int, mtime_ns: int, sha256: str) -> None:
        kept[name, size, mtime_ns] = sha256

    cache = HashCache(lambda *key: kept.get(key), remember)
    assert cache.look_up([path]) is None
    first = cache.compute([path])
    assert list(kept.values()) == [first]
    assert HashCache(lambda *key: kept.get(key)).look_up([path]) == first
    path.write_bytes(b"three")
    assert cache.look_up([path]) is None
    assert cache.compute([path]) == hashlib.sha256(b"three").hexdigest()
