"""The models on this machine: the demo models, what lies in known places, and what was registered by its path."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from workbench.errors import ModelFileError, ModelNotFound
from workbench.hub.deletion import Trash
from workbench.hub.demo_model import DEMO_NAMES, DemoFamily, Progress, Quantize
from workbench.hub.descriptions import DescriptionCache
from workbench.hub.gguf import ModelFile
from workbench.hub.grouping import ModelEntry, group, parts_of
from workbench.hub.hashing import HashCache, KnownHash, RememberHash
from workbench.hub.index import LibraryIndex
from workbench.hub.names import as_path, find_entry, preferred, shortened
from workbench.hub.patience import Patience
from workbench.hub.places import FoundFile, Place, content_hash, find_files, folder_files, repository_place
from workbench.hub.remembering import Memory
from workbench.hub.shelf import Shelf, each_content_once, is_model
from workbench.hub.verification import Verification, verify
from workbench.paths import Paths, Resources
from workbench.runs.spec import ModelRef

__all__ = ["ModelEntry", "ModelLibrary", "Progress", "Quantize"]

Entries: TypeAlias = list[ModelEntry]  # inside the class below, `list` is the method
Names: TypeAlias = list[str]


class ModelLibrary:
    """Finds models by name or path. Any thread may call; nothing is read before it is asked for.

    `known_hash` and `remember_hash` reach the cache of hashes that outlives the program. `find_places` tells where
    other programs keep models (`places.other_places`); it is asked for each list.
    """

    def __init__(
        self,
        paths: Paths,
        resources: Resources,
        folders: Sequence[str | Path] = (),
        known_hash: KnownHash | None = None,
        remember_hash: RememberHash | None = None,
        find_places: Callable[[], Sequence[Place]] = tuple,
        patience: Patience | None = None,
    ) -> None:
        self._paths = paths
        self._find_places = find_places
        self._folders = tuple(Path(folder).expanduser() for folder in folders)
        self.hashes = HashCache(known_hash, remember_hash)
        self.index = LibraryIndex(paths.data / "library.json")
        self._descriptions = DescriptionCache(paths.cache / "model-headers.json")
        self._shelf = Shelf(self._descriptions, patience or Patience())
        self._memory = Memory(self.index)
        self.trash = Trash(paths.data / "trash", self.index)
        self._demos = DemoFamily(resources.assets, paths.derived_models, self.hashes, self._descriptions)
        self._problems: tuple[str, ...] = ()
        self._lock = threading.RLock()

    def set_folders(self, folders: Sequence[str | Path]) -> None:
        """What the settings name beside the program's own models folder."""
        with self._lock:
            self._folders = tuple(Path(folder).expanduser() for folder in folders)

    @property
    def models_folder(self) -> Path:
        return self._paths.models

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences about what the last `list` could not read."""
        return self._problems

    def list(self) -> Entries:
        """The demo models first, then the others by name; files that cannot be used carry their problem."""
        with self._lock:
            problems: Names = []
            files, answered = self._shelf.look(self._places(), problems)
            files = self._memory.compare(files, answered, self.sha256_of)
            models = each_content_once(files, self.sha256_of)
            self._problems = tuple(dict.fromkeys((*problems, *self.index.problems)))
            demos = self._demos.entries()
            self._descriptions.save()
            return [*demos, *group(models)]

    def resolve(self, model: str | None = None, quantization: str | None = None) -> ModelRef:
        """The file that a name, a repository, `name:quantization` or a path means; None is the main demo model.

        The file of a makeable quantization need not exist: `ensure` makes it. Raises ModelNotFound, ModelFileError.
        """
        with self._lock:
            wanted = quantization.upper() if quantization else None
            if model is not None and (path := as_path(model)) is not None:
                return self._resolve_path(path, wanted)
            entry, tag = self._entry_named(model)
            return self._choose(entry, wanted or tag)

    def siblings(self, ref: ModelRef) -> Names:
        """Quantizations of the same model, made or makeable, the most precise first."""
        entry = self.entry_of(Path(ref.path))
        if entry is None:
            return [ref.quantization] if ref.quantization else []
        return list(entry.choices)

    def ensure(self, ref: ModelRef, quantize: Quantize, progress: Progress | None = None) -> None:
        """Makes the file of `ref` when it is missing and can be made; blocks. Two processes make it once.

        Raises ModelNotFound when it cannot be made, ModelFileError, StorageFull, and what `quantize` raises.
        """
        target = Path(ref.path)
        if self._demos.source_of(target) is not None or not target.is_file():
            self._demos.ensure(target, quantize, progress)

    def trained_context(self, ref: ModelRef) -> int | None:
        """Tokens of context the model was trained with; for a file still to be made, those of its source."""
        path = Path(ref.path)
        # What is made from a demo model has its context, and may be missing or damaged before `ensure`.
        source = self._demos.source_of(path) or (path if os.path.isfile(path) else None)
        return self._descriptions.of(source).context_trained if source is not None else None

    def sha256(self, ref: ModelRef) -> str | None:
        """The hash of the file when it is known, without reading it. Parts of a split count as one file."""
        try:
            return self.hashes.look_up(parts_of(Path(ref.path)))
        except ModelNotFound:
            return None

    def sha256_of(self, file: ModelFile) -> str | None:
        """The hash that the place promises by the name of the content (Hub cache, Ollama), else one computed before."""
        told = content_hash(file.path) if len(file.parts) == 1 else None
        if told is not None:
            return told
        try:
            return self.hashes.look_up(file.parts)
        except ModelNotFound:
            return None

    def compute_sha256(self, ref: ModelRef, cancel: Callable[[], bool] | None = None) -> str:
        """Like `sha256`, but reads the file when needed. Raises HashCancelled, ModelNotFound."""
        return self.hashes.compute(parts_of(Path(ref.path)), cancel)

    def entry_of(self, path: Path) -> ModelEntry | None:
        """The entry with this file (or the one that it will be): from the library where a known place holds it,
        else from its own folder.
        """
        with self._lock:
            if (demo := self._demos.entry_of(path)) is not None:
                return demo
            if self._is_known_place(path):
                entries = self.list()
                found = next((entry for entry in entries if _has(entry, path)), None)
                if found is not None:
                    return found
            return next((entry for entry in self._nearby(path) if _has(entry, path)), None)

    def describe(self, path: Path) -> ModelFile:
        """The model in this file and its parts, wherever it lies; one that cannot be used carries its problem."""
        return self._shelf.describe(FoundFile(parts_of(path), Place("folder", path.parent)))

    def verify(
        self, file: ModelFile, progress: Progress | None = None, cancel: Callable[[], bool] | None = None
    ) -> Verification:
        """Reads the file whole and compares it with everything that is known of it; blocks, about 2 s for each GB.

        A sound file is remembered as it is. Raises HashCancelled.
        """
        try:
            computed = self.hashes.look_up(file.parts)
        except ModelNotFound:
            computed = None
        result = verify(file, self._memory.known(file), computed, progress, cancel)
        if result.is_sound and result.sha256 is not None:
            self.hashes.store(file.parts, result.sha256)
            self._memory.accept(file, result.sha256)
        return result

    def accept(self, file: ModelFile) -> None:
        """Takes a changed file as it is: the warning about the change is not repeated."""
        self._memory.accept(file, self.sha256_of(file))

    def forget(self, file: ModelFile) -> None:
        """No longer tells of a file that is gone, or was registered; nothing on the disk is touched."""
        self._memory.forget(file.path)

    def _places(self) -> tuple[Place, ...]:
        # The program's own folder may not have been made; one that the user named is missed.
        folders = dict.fromkeys(Path(os.path.abspath(folder)) for folder in self._folders)
        named = [Place("folder", folder, is_expected=True) for folder in folders if folder != self._paths.models]
        return (Place("own", self._paths.models), *named, *self._registered(), *self._find_places())

    def _registered(self) -> Iterator[Place]:
        """One place for each folder with files that were added by their path."""
        folders: dict[Path, Names] = {}
        for known in self.index.known().values():
            if known.origin == "registered":
                folders.setdefault(known.path.parent, []).append(known.parts[0])
        for folder, files in folders.items():
            yield Place("registered", folder, only=tuple(Path(file) for file in sorted(files)))

    def _is_known_place(self, path: Path) -> bool:
        return any(
            path.is_relative_to(place.root) if place.only is None else parts_of(path)[0] in place.only
            for place in self._places()
        )

    def _nearby(self, path: Path) -> Entries:
        """What lies in the folder of the path, or in its repository of a Hub cache."""
        problems: Names = []
        cache = repository_place(path)
        if cache is not None:
            found = [file for file in find_files(cache, problems, _no_beat) if _is_beside(file, path)]
        else:
            found = folder_files(Place("folder", path.parent), problems, _no_beat, depth=0)
        return group(file for file in map(self._shelf.describe, found) if is_model(file))

    def _entry_named(self, model: str | None) -> tuple[ModelEntry, str | None]:
        """The entry, and the quantization when the name was that of a file."""
        name = DEMO_NAMES[0] if model is None else model
        demo = self._demos.entry_named(name) if name.casefold() in DEMO_NAMES else None
        if demo is not None:
            return demo, None
        if name.casefold() == DEMO_NAMES[0]:
            raise ModelNotFound("The demo model is missing. Install inference-workbench again, or choose a model.")
        return find_entry(self.list(), name)

    def _resolve_path(self, path: Path, quantization: str | None) -> ModelRef:
        entry = self.entry_of(path)
        # `Path.is_file` raises for a name that is longer than the system allows; `os.path.isfile` says no.
        if entry is None and not os.path.isfile(path):
            shown = shortened(str(path))
            raise ModelNotFound(f"There is no model file {shown}. Check the path, or choose a model by its name.")
        quantization = quantization or self._demos.quantization_of(path)
        if entry is not None and quantization is not None:
            return self._choose(entry, quantization, path)
        file = next((f for f in entry.files if _is_at(f, path)), None) if entry else None
        file = file or self.describe(path)
        if file.problem is not None:
            raise ModelFileError(file.problem)
        if quantization is not None and file.quantization != quantization:
            raise ModelNotFound(f"{path.name} is {file.quantization}; there is no {quantization} beside it.")
        return self._ref(entry.name if entry else file.name, file)

    def _choose(self, entry: ModelEntry, quantization: str | None, path: Path | None = None) -> ModelRef:
        """The file of this quantization; of several, the one at `path`, else one that can be used."""
        usable = [file for file in entry.files if file.problem is None]
        if quantization is None:
            if not usable:
                raise ModelFileError(entry.problem or f"{entry.name} has no file that can be used.")
            return self._ref(entry.name, usable[0] if entry.demo else preferred(usable))
        matching = [file for file in entry.files if file.quantization == quantization]
        matching.sort(key=lambda file: (path is None or not _is_at(file, path), file.problem is not None))
        if matching and matching[0].problem is not None:
            raise ModelFileError(matching[0].problem)
        if matching:
            return self._ref(entry.name, matching[0])
        if quantization in entry.makeable:
            target = self._demos.target(entry, quantization)
            return ModelRef(path=str(target), name=entry.name, quantization=quantization)
        known = ", ".join(entry.choices) or "none"
        raise ModelNotFound(f"{entry.name} has no quantization {quantization}; there are: {known}.")

    def _ref(self, name: str, file: ModelFile) -> ModelRef:
        # Only a hash that was computed here says what runs: the name of a blob is what somebody promised.
        ref = ModelRef(path=str(file.path.absolute()), name=name, quantization=file.quantization)
        return replace(ref, sha256=self.sha256(ref))


def _is_at(file: ModelFile, path: Path) -> bool:
    return path in file.parts or path in file.also_at


def _has(entry: ModelEntry, path: Path) -> bool:
    return any(_is_at(file, path) for file in entry.files)


def _is_beside(found: FoundFile, path: Path) -> bool:
    """Whether both are of one repository of the cache."""
    snapshot = found.parts[0].relative_to(found.place.root).parts[0]
    return path.relative_to(found.place.root).parts[0] == snapshot


def _no_beat() -> None:
    """Who asks for one file waits for its disk."""
