"""Compares what is there with what was there before: files that are gone, and files that have changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from workbench.hub.gguf import ModelFile
from workbench.hub.index import KnownFile, LibraryIndex
from workbench.hub.places import Place
from workbench.units import bytes_text

# What LM Studio and Ollama remove is theirs to remove; of these the library tells when they vanish.
_MISSED = ("own", "folder", "registered", "hub_cache")


class Memory:
    """The index of the library, as a list of files sees it."""

    def __init__(self, index: LibraryIndex) -> None:
        self._index = index

    def compare(
        self, files: Sequence[ModelFile], answered: Iterable[Place], hash_of: Callable[[ModelFile], str | None]
    ) -> list[ModelFile]:
        """The files, with a warning where they changed, and those that are gone with that as their problem.

        What was not known is remembered. Only files of places that were looked into can be missed.
        """
        known = self._index.known()
        roots = {str(place.root) for place in answered}
        changes = {str(file.path): _remembered(file, known, roots, hash_of) for file in files if file.problem is None}
        compared = [_compared(file, known.get(str(file.path)), hash_of) for file in files]
        present = {str(file.path) for file in files}
        for path, before in known.items():
            if path in present or before.root not in roots:
                continue
            # One that is there and not listed is no model any more, or the same content as a newer revision.
            if before.origin not in _MISSED or os.path.lexists(path) or _is_at_other_revision(before, files):
                changes[path] = None
            else:
                compared.append(_gone(before))
        self._index.update({path: change for path, change in changes.items() if change != known.get(path)})
        return compared

    def accept(self, file: ModelFile, sha256: str | None = None) -> None:
        """Remembers the file as it is, where it is remembered at all."""
        before = self._index.known().get(str(file.path))
        if before is not None:
            self._index.update({str(file.path): known_as(file, before.root, sha256, before)})

    def known(self, file: ModelFile) -> KnownFile | None:
        return self._index.known().get(str(file.path))

    def forget(self, path: Path) -> None:
        self._index.update({str(path): None})


def known_as(file: ModelFile, root: str, sha256: str | None = None, before: KnownFile | None = None) -> KnownFile:
    """The file as it is to be remembered; one that was registered stays so."""
    return KnownFile(
        parts=tuple(str(part) for part in file.parts),
        origin=before.origin if before is not None else file.origin,
        root=root,
        size_bytes=file.size_bytes,
        written_ns=file.written_ns or 0,
        name=file.label or file.name,
        quantization=file.quantization,
        repo_id=file.repo_id,
        sha256=sha256,
    )


def _remembered(
    file: ModelFile, known: Mapping[str, KnownFile], roots: set[str], hash_of: Callable[[ModelFile], str | None]
) -> KnownFile | None:
    before = known.get(str(file.path))
    if before is None:
        return known_as(file, _root_of(file.path, roots), hash_of(file))
    if _is_changed(file, before, hash_of):
        return before  # until somebody accepts the change
    return known_as(file, before.root, hash_of(file) or before.sha256, before)


def _compared(
    file: ModelFile, before: KnownFile | None, hash_of: Callable[[ModelFile], str | None]
) -> ModelFile:  # fmt: skip
    if before is None or file.problem is not None or not _is_changed(file, before, hash_of):
        return file
    if file.size_bytes != before.size_bytes:
        what = f"had {bytes_text(before.size_bytes)} and has {bytes_text(file.size_bytes)}"
    else:
        written = datetime.fromtimestamp((file.written_ns or 0) / 1e9).astimezone()
        what = f"was written again on {written:%Y-%m-%d at %H:%M}"
    sentence = f"{file.path.name} has changed since it was first seen: it {what}. Verify it, or accept the change."
    return replace(file, warning=sentence)


def _is_changed(file: ModelFile, before: KnownFile, hash_of: Callable[[ModelFile], str | None]) -> bool:
    if (file.size_bytes, file.written_ns or 0) == (before.size_bytes, before.written_ns):
        return False
    return before.sha256 is None or hash_of(file) != before.sha256


def _gone(before: KnownFile) -> ModelFile:
    return ModelFile(
        path=before.path,
        name=before.name,
        architecture="",
        quantization=before.quantization,
        parameters=None,
        size_bytes=before.size_bytes,
        parts=tuple(Path(part) for part in before.parts),
        origin=before.origin,
        repo_id=before.repo_id,
        problem=f"{before.path.name} is gone from {before.path.parent}. Put it back, or remove it from the list.",
    )


def _is_at_other_revision(before: KnownFile, files: Sequence[ModelFile]) -> bool:
    if before.origin != "hub_cache":
        return False
    return any(file.repo_id == before.repo_id and file.path.name == before.path.name for file in files)


def _root_of(path: Path, roots: set[str]) -> str:
    """The innermost place that holds the file."""
    holding = [root for root in roots if path.is_relative_to(root)]
    return max(holding, key=len, default=str(path.parent))
