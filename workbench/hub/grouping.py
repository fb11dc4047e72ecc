"""Which model files belong together: as parts of one file, or as quantizations of one model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from workbench.hub.gguf import ModelFile, Origin, split_name

DEMO_MAKEABLE = ("Q8_0", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
_SPLIT = re.compile(r"^(?P<base>.+)-(?P<part>\d{5})-of-(?P<count>\d{5})$", re.IGNORECASE)
MAX_PARTS = 1_000  # the largest models known come in some fifty
_NAMELESS = frozenset({"", "model", "ggml-model", "gguf", "ggml"})


class _Key(NamedTuple):
    base: str
    architecture: str
    parameters: int | None
    repo_id: str | None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model in its quantizations, the most precise first. `makeable` are those not made so far. A model that comes
    with the program has a `short_name`.
    """

    name: str
    files: tuple[ModelFile, ...]
    makeable: tuple[str, ...] = ()
    demo: bool = False
    short_name: str | None = None

    @property
    def quantizations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(file.quantization for file in self.files if file.quantization))

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be used, made or makeable, in an order that does not change when one is made."""
        usable = dict.fromkeys(file.quantization for file in self.files if file.problem is None and file.quantization)
        if not self.makeable:
            return tuple(usable)
        return tuple(sorted((*usable, *self.makeable), key=_precision))

    @property
    def is_usable(self) -> bool:
        return bool(self.makeable) or any(file.problem is None for file in self.files)

    @property
    def origins(self) -> tuple[Origin, ...]:
        return tuple(dict.fromkeys(file.origin for file in self.files))

    @property
    def repo_id(self) -> str | None:
        """The Hub repository of its files; None: none of them tells one."""
        return next((file.repo_id for file in self.files if file.repo_id), None)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def problem(self) -> str | None:
        return next((file.problem for file in self.files if file.problem), None)


def parts_of(path: Path) -> tuple[Path, ...]:
    """All parts of the split that the file is one of, by its name; the file alone when it is none."""
    match = _SPLIT.match(path.stem)
    if match is None or not 1 <= int(match["part"]) <= int(match["count"]) <= MAX_PARTS:
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
        written_ns=max((part.written_ns or 0 for part in parts), default=0) or None,
    )


def group(files: Iterable[ModelFile]) -> list[ModelEntry]:
    """Files of the same base name, architecture and size are quantizations of one model; so are those of one base
    name in one repository, whatever their size (some quantizations keep the output matrix twice).

    A file that cannot be read stays with the model whose name it has, or stands alone. Among files of equal
    precision those that come first stay first.
    """
    groups: dict[_Key, list[ModelFile]] = {}
    for file in sorted(files, key=lambda file: (file.problem is not None, file.repo_id is None)):
        groups.setdefault(_key_among(groups, file), []).append(file)
    named = [(_entry_name(members), members) for members in groups.values()]
    taken = Counter(name.casefold() for name, _ in named)
    entries = []
    for name, members in named:
        if taken[name.casefold()] > 1:  # another model of this name: repository or folder tells them apart
            name = f"{name} ({members[0].repo_id or members[0].path.parent.name})"
        members.sort(key=lambda file: (-(file.bits_per_weight or 0), file.repo_id is None, _shown_path(file)))
        entries.append(ModelEntry(name, tuple(members)))
    return sorted(entries, key=lambda entry: entry.name.casefold())


def _key_among(groups: Mapping[_Key, list[ModelFile]], file: ModelFile) -> _Key:
    """The group that the file joins, or begins."""
    base = _base_name(file).casefold()
    namesakes = [key for key in groups if key.base == base]
    if file.problem is not None:
        at_home = [key for key in namesakes if key.repo_id == file.repo_id]
        if at_home or (namesakes and file.repo_id is None):
            return (at_home or namesakes)[0]
    if file.repo_id is not None:
        return _Key(base, file.architecture, None, file.repo_id)
    # A file without a repository is a quantization of the one repository that has this very model.
    same = [key for key in namesakes if any(_is_same_model(file, member) for member in groups[key])]
    return same[0] if len(same) == 1 else _Key(base, file.architecture, file.parameters, None)


def _is_same_model(file: ModelFile, other: ModelFile) -> bool:
    return (file.architecture, file.parameters) == (other.architecture, other.parameters)


def _entry_name(members: Sequence[ModelFile]) -> str:
    labels = [file.label for file in members if file.label is not None]
    if len(labels) == len(members):
        return min(labels, key=lambda label: (len(label), label))
    return _base_name(next(file for file in members if file.label is None))


def _shown_path(file: ModelFile) -> str:
    # Revisions of a repository come in the order of their age, which their names do not tell.
    return "" if file.repo_id is not None else str(file.path)


def _base_name(file: ModelFile) -> str:
    if file.label is not None:
        return file.label.rpartition(":")[0]
    base = split_name(stem(file.path))[0].rstrip("-._ ")
    return base if base.casefold() not in _NAMELESS else file.name


def _precision(quantization: str) -> int:
    order = ("F16", *DEMO_MAKEABLE)
    return order.index(quantization) if quantization in order else len(order)
