"""The demo models, which come with the program, and the quantizations that are made from them on first use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from workbench.errors import ModelFileError, ModelNotFound, StorageFull, WorkbenchError
from workbench.hub.descriptions import DescriptionCache
from workbench.hub.gguf import ModelFile, describe
from workbench.hub.grouping import DEMO_MAKEABLE, ModelEntry
from workbench.hub.hashing import HashCache
from workbench.hub.lock import file_lock
from workbench.paths import DISK_FULL

# The first one is meant where nobody names a model; a file that is not there is no model, and nothing else.
DEMO_NAMES = ("demo", "demo-small")
Progress = Callable[[float | None], None]
# source, target, type name as llama.cpp has it, progress from 0 to 1
Quantize: TypeAlias = Callable[[Path, Path, str, Progress | None], None]


class DemoModel:
    """`source` comes with the program and is never changed; what is made from it lies below `folder`. `short_name` is
    how it may be called besides its own name.
    """

    def __init__(
        self, short_name: str, source: Path, folder: Path, hashes: HashCache, descriptions: DescriptionCache
    ) -> None:
        self.short_name = short_name
        self.source = source
        self._folder = Path(os.path.abspath(folder))
        self._hashes = hashes
        self._descriptions = descriptions

    def derived(self) -> dict[str, Path]:
        """Where each makeable quantization is or will be; empty without a demo model."""
        if not self.source.is_file():
            return {}
        # An updated demo model has another hash and so never meets quantizations of the old one.
        digest = self._hashes.compute([self.source])
        folder = self._folder / f"{self.short_name}-{digest[:12]}"
        return {name: folder / f"{self.short_name}-{name}.gguf" for name in DEMO_MAKEABLE}

    def owns(self, path: Path) -> bool:
        return path == self.source or path in self.derived().values()

    def is_derived(self, path: Path) -> bool:
        return path in self.derived().values()

    def entry(self) -> ModelEntry | None:
        if not self.source.is_file():
            return None
        source = replace(self._descriptions.of(self.source), demo=True, origin="demo", is_read_only=True)
        made, makeable = [], []
        for name, path in self.derived().items():
            file = self._sound(path)
            if file is None:
                makeable.append(name)
            else:
                made.append(replace(file, name=source.name, quantization=name, demo=True, origin="demo"))
        return ModelEntry(source.name, (source, *made), tuple(makeable), demo=True, short_name=self.short_name)

    def ensure(self, target: Path, quantize: Quantize, progress: Progress | None = None) -> None:
        """Makes this quantization when it is missing; blocks. Two processes make it once.

        Raises ModelNotFound when `target` is none of them, ModelFileError, StorageFull, and what `quantize` raises.
        """
        name = next((name for name, path in self.derived().items() if path == target), None)
        if name is None:
            raise ModelNotFound(f"The model file {target} is gone. Choose another one, or put it back.")
        if self._sound(target) is not None:
            return
        try:
            with file_lock(target.with_suffix(".lock")):
                if self._sound(target) is None:
                    _make(self.source, target, name, quantize, progress)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise StorageFull(f"The disk of {target.parent} is full: {name} could not be made.") from error
            raise ModelFileError(f"{target} could not be written: {error.strerror or error}.") from error

    def _sound(self, path: Path) -> ModelFile | None:
        """What is there; None for a file that is missing or damaged, both of which are made again."""
        try:
            return self._descriptions.of(path)
        except WorkbenchError:
            return None


class DemoFamily:
    """All demo models that are there; each has the quantizations that are made from it."""

    def __init__(self, assets: Path, folder: Path, hashes: HashCache, descriptions: DescriptionCache) -> None:
        models = Path(os.path.abspath(assets / "models"))
        self._members = tuple(
            DemoModel(name, models / f"{name}-F16.gguf", folder, hashes, descriptions) for name in DEMO_NAMES
        )

    def entries(self) -> list[ModelEntry]:
        """The main one first. A name that an earlier one has is told apart by the short one."""
        entries: list[ModelEntry] = []
        for entry in filter(None, (member.entry() for member in self._members)):
            is_taken = any(entry.name.casefold() == other.name.casefold() for other in entries)
            entries.append(replace(entry, name=f"{entry.name} ({entry.short_name})") if is_taken else entry)
        return entries

    def entry_named(self, short_name: str) -> ModelEntry | None:
        return next((entry for entry in self.entries() if entry.short_name == short_name.casefold()), None)

    def entry_of(self, path: Path) -> ModelEntry | None:
        """The model with this file, or the one that it will be."""
        owner = next((member for member in self._members if member.owns(path)), None)
        return self.entry_named(owner.short_name) if owner is not None else None

    def quantization_of(self, path: Path) -> str | None:
        """What is or will be made there; None for any other file."""
        made = (name for member in self._members for name, target in member.derived().items() if target == path)
        return next(made, None)

    def source_of(self, path: Path) -> Path | None:
        """What the quantization at `path` is made from; None for any other file."""
        return next((member.source for member in self._members if member.is_derived(path)), None)

    def target(self, entry: ModelEntry, quantization: str) -> Path:
        """Where a makeable quantization of one of `entries` will be."""
        member = next(member for member in self._members if member.short_name == entry.short_name)
        return member.derived()[quantization]

    def ensure(self, target: Path, quantize: Quantize, progress: Progress | None = None) -> None:
        """As `DemoModel.ensure` of the model that the file belongs to; raises ModelNotFound when it is of none."""
        owner = next((member for member in self._members if member.is_derived(target)), self._members[0])
        owner.ensure(target, quantize, progress)


def _make(source: Path, target: Path, name: str, quantize: Quantize, progress: Progress | None) -> None:
    import tempfile

    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        quantize(source, Path(temporary), name, progress)
        describe(Path(temporary))
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
