"""Reads a model file whole and says whether it is what it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.errors import WorkbenchError
from workbench.hub.gguf import GgufHeader, ModelFile, describe, read_header
from workbench.hub.hashing import hash_parts
from workbench.hub.index import KnownFile
from workbench.hub.places import content_hash
from workbench.units import bytes_text

CheckName = Literal["parts", "header", "size", "content"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `passed` None: there was nothing to compare with."""

    name: CheckName
    passed: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Verification:
    """`sha256` counts all parts as one file; None: the content was not read, because something else is wrong."""

    path: Path
    checks: tuple[Check, ...]
    sha256: str | None = None

    @property
    def is_sound(self) -> bool:
        """Nothing is wrong; what could not be compared does not count."""
        return all(check.passed is not False for check in self.checks)

    @property
    def is_proven(self) -> bool:
        """The content is what the Hub, Ollama or an earlier look said."""
        return self.is_sound and any(check.name == "content" and check.passed for check in self.checks)


def verify(
    file: ModelFile,
    known: KnownFile | None = None,
    known_sha256: str | None = None,
    progress: Callable[[float | None], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Verification:
    """Blocks: about 2 s for each GB. `known` is how the file was remembered, `known_sha256` a hash computed before.

    `progress` is told fractions. Raises HashCancelled; whatever else is wrong becomes a failed check.
    """
    parts = _check_parts(file)
    if parts.passed is False:
        return Verification(file.path, (parts,))
    checks = [parts, _check_header(file)]
    if known is not None:
        checks.append(_check_size(file, known))
    try:
        before = _stamps(file)
        size_bytes = sum(size for size, _ in before)
        done = [0]

        def on_read(count: int) -> None:
            done[0] += count
            if progress is not None and size_bytes:
                progress(min(done[0] / size_bytes, 1.0))

        sha256, own = hash_parts(file.parts, cancel, on_read)
        is_same = _stamps(file) == before
    except OSError as error:
        checks.append(Check("content", False, f"{file.path.name} cannot be read: {error.strerror or error}."))
        return Verification(file.path, tuple(checks))
    except WorkbenchError as error:
        if error.code == "hash_cancelled":
            raise
        checks.append(Check("content", False, error.message))
        return Verification(file.path, tuple(checks))
    if not is_same:
        sentence = f"{file.path.name} was changed while it was read. Verify it again when nothing writes it."
        return Verification(file.path, (*checks, Check("content", False, sentence)))
    checks.append(_check_content(file, sha256, own, known_sha256 or (known.sha256 if known else None)))
    return Verification(file.path, tuple(checks), sha256)


def _stamps(file: ModelFile) -> list[tuple[int, int]]:
    statuses = [part.stat() for part in file.parts]
    return [(status.st_size, status.st_mtime_ns) for status in statuses]


def _check_parts(file: ModelFile) -> Check:
    missing = [part.name for part in file.parts if not part.is_file()]
    if missing:
        return Check("parts", False, f"Missing: {', '.join(missing)}. Download or copy the model again.")
    count = len(file.parts)
    return Check("parts", True, "The file is there." if count == 1 else f"All {count} parts are there.")


def _check_header(file: ModelFile) -> Check:
    try:
        describe(file.parts[0])
        headers = [read_header(part) for part in file.parts]
    except WorkbenchError as error:
        return Check("header", False, error.message)
    wrong = next((name for name in map(_split_fault, file.parts, headers, range(len(headers))) if name), None)
    if wrong is not None:
        return Check("header", False, wrong)
    tensors = sum(header.tensor_count for header in headers)
    promised = headers[0].integer("split.tensors.count")
    if promised is not None and promised != tensors:
        return Check("header", False, f"The parts should have {promised:,} tensors and have {tensors:,}.")
    return Check("header", True, f"The header is sound, and its {tensors:,} tensors lie within the file.")


def _split_fault(part: Path, header: GgufHeader, number: int) -> str | None:
    found = header.integer("split.no")
    if found is not None and found != number:
        return f"{part.name} is part {found + 1} by its content: the parts have been mixed up."
    return None


def _check_size(file: ModelFile, known: KnownFile) -> Check:
    size_bytes = sum(part.stat().st_size for part in file.parts)
    if size_bytes == known.size_bytes:
        return Check("size", True, f"Its size is {bytes_text(size_bytes)}, as when it was first seen.")
    was, has = bytes_text(known.size_bytes), bytes_text(size_bytes)
    return Check("size", False, f"It had {was} ({known.size_bytes:,} bytes) and has {has} ({size_bytes:,} bytes).")


def _check_content(file: ModelFile, sha256: str, own: tuple[str, ...], known_sha256: str | None) -> Check:
    expected = [content_hash(part) for part in file.parts]
    source = {"hub_cache": "the Hugging Face Hub", "ollama": "Ollama"}.get(file.origin, "its place")
    for part, found, told in zip(file.parts, own, expected, strict=True):
        if told is not None and told != found:
            return Check(
                "content",
                False,
                f"The content of {part.name} is damaged: its SHA-256 is {found}, and {source} says {told}. "
                "Delete it and download it again.",
            )
    if all(expected):
        return Check("content", True, f"The SHA-256 is the one that {source} gives: {sha256}.")
    if known_sha256 is None:
        return Check("content", None, f"The SHA-256 is {sha256}. There is nothing to compare it with.")
    if known_sha256 == sha256:
        return Check("content", True, f"The SHA-256 is the one of before: {sha256}.")
    return Check("content", False, f"The content has changed: its SHA-256 was {known_sha256} and is {sha256}.")
