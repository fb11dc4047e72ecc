"""What a fake Hub repository holds: contents from memory, disk or a seed, and the commits that name them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

BLOCK_BYTES = 1024 * 1024
LFS_ENDINGS = (".gguf", ".bin", ".safetensors", ".pt", ".dat")


class Content(Protocol):
    """Bytes that can be read anywhere without holding them all."""

    size: int

    def read(self, start: int, count: int) -> bytes: ...


class HeldContent:
    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self._content = content

    def read(self, start: int, count: int) -> bytes:
        return self._content[start : start + count]


class DiskContent:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size

    def read(self, start: int, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(count)


@cache
def _pattern(seed: int) -> bytes:
    return random.Random(seed).randbytes(BLOCK_BYTES)


@dataclass(frozen=True)
class SeededContent:
    """`size` bytes that follow from `seed`; no two blocks are alike, none is held."""

    size: int
    seed: int = 1

    def read(self, start: int, count: int) -> bytes:
        end = min(start + count, self.size)
        parts = []
        while start < end:
            number, at = divmod(start, BLOCK_BYTES)
            part = self._block(number)[at : at + end - start]
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        turn = number * 7919 % BLOCK_BYTES
        pattern = _pattern(self.seed)
        return number.to_bytes(8, "big") + (pattern[turn:] + pattern[:turn])[8:]


def content_of(source: bytes | Path | Content) -> Content:
    if isinstance(source, bytes):
        return HeldContent(source)
    return DiskContent(source) if isinstance(source, Path) else source


def blocks(content: Content, start: int, count: int, block_bytes: int = 256 * 1024) -> Iterator[bytes]:
    end = start + count
    while start < end:
        yield content.read(start, min(block_bytes, end - start))
        start += block_bytes


@dataclass
class HubFile:
    """One version of a file; `is_lfs` False: the Hub names it by its Git blob hash and sends it itself."""

    content: Content
    is_lfs: bool
    is_xet: bool = False
    wrong_sha256: str | None = None  # what the Hub says where that is to differ from the content

    @cached_property
    def true_sha256(self) -> str:
        digest = hashlib.sha256()
        for block in blocks(self.content, 0, self.content.size, BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()

    @property
    def sha256(self) -> str:
        return self.wrong_sha256 or self.true_sha256

    @cached_property
    def git_oid(self) -> str:
        """What Git calls the file; for LFS files, the pointer that Git holds in their place."""
        if self.is_lfs:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
            return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer.encode()).hexdigest()
        digest = hashlib.sha1(b"blob %d\0" % self.size)
        for block in blocks(self.content, 0, self.size, BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.git_oid

    @property
    def xet_hash(self) -> str:
        return hashlib.sha256(b"xet" + self.sha256.encode()).hexdigest()

    def sibling(self, name: str) -> dict[str, Any]:
        lfs = {"sha256": self.sha256, "size": self.size, "pointerSize": 134}
        entry: dict[str, Any] = {"rfilename": name, "size": self.size, "blobId": self.git_oid}
        return entry | ({"lfs": lfs} if self.is_lfs else {})

    def tree_entry(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "oid": self.git_oid, "size": self.size, "path": name}
        if self.is_lfs:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return entry | ({"xetHash": self.xet_hash} if self.is_xet else {})


@dataclass
class HubRepo:
    """`commits` holds every version; `head` is what `main` names. Fields are those of the Hub's own answers."""

    repo_id: str
    gated: str | bool = False
    private: bool = False
    license: str | None = None
    downloads: int = 0
    likes: int = 0
    last_modified: str = "2026-01-02T03:04:05.000Z"
    tags: tuple[str, ...] = ()
    gguf: dict[str, Any] | None = None
    members: tuple[str, ...] = ()  # tokens that may read it though it is gated or private
    commits: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    head: str = ""

    def commit(self, files: Mapping[str, HubFile]) -> str:
        """Makes `files` what `main` names; earlier commits stay readable."""
        names = "\n".join([self.repo_id, str(len(self.commits)), *files])
        self.head = hashlib.sha1(names.encode()).hexdigest()
        self.commits[self.head] = dict(files)
        return self.head

    def files(self, revision: str) -> tuple[str, dict[str, HubFile]] | None:
        """Full commit hash and files of a branch, commit or beginning of a commit."""
        if revision == "main":
            return self.head, self.commits[self.head]
        found = [commit for commit in self.commits if len(revision) >= 7 and commit.startswith(revision)]
        return (found[0], self.commits[found[0]]) if len(found) == 1 else None

    @property
    def all_tags(self) -> list[str]:
        licensed = [f"license:{self.license}"] if self.license else []
        return ["gguf", *self.tags, *licensed, "endpoints_compatible", "region:us"]

    def facts(self, commit: str) -> dict[str, Any]:
        """Everything that the Hub can say about the repository, by its names for it."""
        card = {"license": self.license, "tags": list(self.tags)} if self.license else {"tags": list(self.tags)}
        return {
            "_id": hashlib.md5(self.repo_id.encode()).hexdigest()[:24],
            "id": self.repo_id,
            "modelId": self.repo_id,
            "author": self.repo_id.split("/")[0],
            "sha": commit,
            "lastModified": self.last_modified,
            "createdAt": "2025-01-02T03:04:05.000Z",
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "downloads": self.downloads,
            "likes": self.likes,
            "trendingScore": self.likes,
            "library_name": "gguf",
            "pipeline_tag": "text-generation",
            "tags": self.all_tags,
            "cardData": card,
            "config": {},
            "gguf": self.gguf,
            "siblings": [{"rfilename": name} for name in self.commits[commit]],
            "spaces": [],
            "usedStorage": sum(file.size for file in self.commits[commit].values()),
        }
