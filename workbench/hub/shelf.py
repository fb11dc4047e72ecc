"""Looks into the places, describes what lies there, and tells each content once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from workbench.errors import ModelFileError, WorkbenchError
from workbench.hub.descriptions import DescriptionCache
from workbench.hub.gguf import ModelFile, split_name
from workbench.hub.grouping import joined, stem
from workbench.hub.patience import NoAnswer, Patience
from workbench.hub.places import Beat, FoundFile, Place, find_files

# Of one content in several places, that of the first origin is told: the Hub's cache knows most about it.
_FIRST_TOLD = ("hub_cache", "own", "folder", "registered", "lm_studio", "ollama", "demo")
_TOLD_BY_TOOL = ("hub_cache", "lm_studio", "ollama")


class Shelf:
    """What lies in places. Blocks while disks answer, and no longer than `patience` for one that does not."""

    def __init__(self, descriptions: DescriptionCache, patience: Patience) -> None:
        self._descriptions = descriptions
        self._patience = patience

    def look(self, places: Iterable[Place], problems: list[str]) -> tuple[list[ModelFile], list[Place]]:
        """The models of all places, those that cannot be used too; and the places that could be looked into."""
        by_path: dict[Path, ModelFile] = {}
        answered = []
        for place in places:
            files = self._ask(place, problems)
            if files is None:
                continue
            if place.only is not None or os.path.isdir(place.root):
                answered.append(place)
            for file in files:
                known = by_path.get(file.path)
                # A folder of the settings may hold that of a tool, which knows more about the same file.
                if known is None or (known.origin not in _TOLD_BY_TOOL and file.origin in _TOLD_BY_TOOL):
                    by_path[file.path] = file
        return list(by_path.values()), answered

    def _ask(self, place: Place, problems: list[str]) -> list[ModelFile] | None:
        found_problems: list[str] = []

        def work(beat: Beat) -> list[ModelFile]:
            described = []
            for found in find_files(place, found_problems, beat):
                beat()
                described.append(self.describe(found))
            return [file for file in described if is_model(file)]

        try:
            files = self._patience.ask(str(place.root), work)
        except NoAnswer as error:
            problems.append(error.message)
            return None
        problems.extend(found_problems)
        return files

    def describe(self, found: FoundFile) -> ModelFile:
        """The description of a file or a whole split; one that cannot be used carries its problem."""
        first = found.parts[0]
        try:
            _require_storable(first)
            if found.problem is not None:
                raise ModelFileError(found.problem)
            _require_parts(found.parts)
            file = joined([self._descriptions.of(part) for part in found.parts])
        except WorkbenchError as error:
            base, tag = split_name(stem(first))
            size = sum(os.path.getsize(part) for part in found.parts if os.path.isfile(part))
            name = found.label or base or first.stem
            file = ModelFile(first, name, "", tag, None, size, parts=found.parts, problem=error.message)
        return replace(
            file,
            origin=found.place.origin,
            is_read_only=found.place.is_read_only,
            repo_id=found.repo_id,
            revision=found.revision,
            label=found.label,
            aliases=found.aliases,
            license=file.license or found.license,
        )


def is_model(file: ModelFile) -> bool:
    """Projectors and adapters are GGUF files too, and nothing to run."""
    return file.kind == "model" and file.architecture != "clip"


def each_content_once(files: Iterable[ModelFile], hash_of: Callable[[ModelFile], str | None]) -> list[ModelFile]:
    """Files that are links to one another, or copies with a known hash, as one; `also_at` tells the others."""
    told: dict[object, int] = {}
    once: list[ModelFile] = []
    for file in sorted(files, key=lambda file: _FIRST_TOLD.index(file.origin)):
        keys = [key for key in (_identity(file), hash_of(file) if file.problem is None else None) if key is not None]
        index = next((told[key] for key in keys if key in told), None)
        if index is None:
            index = len(once)
            once.append(file)
        else:
            once[index] = replace(once[index], also_at=(*once[index].also_at, file.path))
        told.update(dict.fromkeys(keys, index))
    return once


def _identity(file: ModelFile) -> tuple[tuple[int, int], ...] | None:
    try:
        statuses = [part.stat() for part in file.parts]
    except OSError:
        return None
    return tuple((status.st_dev, status.st_ino) for status in statuses)


def _require_parts(parts: tuple[Path, ...]) -> None:
    missing = next((part for part in parts if not os.path.isfile(part)), None)
    if missing is None:
        return
    if len(parts) > 1 and not os.path.lexists(missing):
        raise ModelFileError(f"The part {missing.name} is missing beside {parts[0].name}.")
    if os.path.islink(missing):
        raise ModelFileError(f"{missing.name} is a link to {os.readlink(missing)}, where no file is.")
    raise ModelFileError(f"{missing.name} is no file that can be read.")


def _require_storable(path: Path) -> None:
    # llama.cpp, JSON and SQLite take paths as UTF-8; other bytes arrive here as lone surrogates.
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "replace").decode()
        raise ModelFileError(
            f"The path {shown} has bytes that are not UTF-8. Rename the file or its folder."
        ) from error
