"""Model files below folders: which belong together as parts of one file or as quantizations of one model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.hub.gguf import ModelFile, split_name

DEMO_MAKEABLE = ("Q8_0", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
_SPLIT = re.compile(r"^(?P<base>.+)-(?P<part>\d{5})-of-(?P<count>\d{5})$", re.IGNORECASE)
_NAMELESS = frozenset({"", "model", "ggml-model", "gguf", "ggml"})


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model in its quantizations, the most precise first. `makeable` are those not made so far."""

    name: str
    files: tuple[ModelFile, ...]
    makeable: tuple[str, ...] = ()
    demo: bool = False

    @property
    def quantizations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(file.quantization for file in self.files if file.quantization))

    @property
    def choices(self) -> tuple[str, ...]:
        """Made and makeable, in an order that does not change when one is made."""
        if not self.makeable:
            return self.quantizations
        return tuple(sorted((*self.quantizations, *self.makeable), key=_precision))

    @property
    def problem(self) -> str | None:
        return next((file.problem for file in self.files if file.problem), None)


def model_files(folders: Iterable[str], problems: list[str], depth: int | None = None) -> list[tuple[Path, ...]]:
    """All models below the folders as tuples of their parts, each once, sorted. `depth` 0: no folders below."""
    found: dict[Path, tuple[Path, ...]] = {}

    def note(error: OSError) -> None:
        problems.append(f"The folder {error.filename} cannot be read: {error.strerror}.")

    for folder in folders:
        for root, below, names in os.walk(os.path.abspath(folder), onerror=note):
            if depth == 0:
                below.clear()
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in names:
                if name.lower().endswith(".gguf") and "mmproj" not in name.lower() and not name.startswith("."):
                    parts = parts_of(Path(root) / name)
                    found.setdefault(parts[0], parts)
    return [found[first] for first in sorted(found)]


def parts_of(path: Path) -> tuple[Path, ...]:
    match = _SPLIT.match(path.stem)
    if match is None:
        return (path,)
    count = int(match["count"])
    return tuple(
        path.with_name(f"{match['base']}-{part:05d}-of-{count:05d}{path.suffix}") for part in range(1, count + 1)
    )


def stem(path: Path) -> str:
    match = _SPLIT.match(path.stem)
    return match["base"] if match else path.stem


def joined(parts: Sequence[ModelFile]) -> ModelFile:
    if len(parts) == 1:
        return parts[0]
    parameters = sum(part.parameters or 0 for part in parts)
    bits = sum((part.bits_per_weight or 0) * (part.parameters or 0) for part in parts)
    return replace(
        parts[0],
        parameters=parameters or None,
        size_bytes=sum(part.size_bytes for part in parts),
        bits_per_weight=bits / parameters if parameters else None,
        parts=tuple(part.path for part in parts),
    )


def group(files: Iterable[ModelFile]) -> list[ModelEntry]:
    """Files of the same base name, architecture and size are quantizations of one model.

    A file that cannot be read stays with the model whose name it has, or stands alone.
    """
    groups: dict[tuple[str, str, int | None], list[ModelFile]] = {}
    for file in sorted(files, key=lambda file: file.problem is not None):
        base = _base_name(file).casefold()
        namesakes = [key for key in groups if key[0] == base]
        own = (base, file.architecture, file.parameters)
        groups.setdefault(namesakes[0] if file.problem and namesakes else own, []).append(file)
    named = [(_base_name(members[0]), members) for members in groups.values()]
    taken = [name.casefold() for name, _ in named]
    entries = []
    for name, members in named:
        if taken.count(name.casefold()) > 1:  # another model of this name: the folder tells them apart
            name = f"{name} ({members[0].path.parent.name})"
        members.sort(key=lambda file: (-(file.bits_per_weight or 0), str(file.path)))
        entries.append(ModelEntry(name, tuple(members)))
    return sorted(entries, key=lambda entry: entry.name.casefold())


def _base_name(file: ModelFile) -> str:
    base = split_name(stem(file.path))[0].rstrip("-._ ")
    return base if base.casefold() not in _NAMELESS else file.name


def _precision(quantization: str) -> int:
    order = ("F16", *DEMO_MAKEABLE)
    return order.index(quantization) if quantization in order else len(order)
