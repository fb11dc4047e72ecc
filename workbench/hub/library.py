"""The models on this machine: the demo model, the models folder and the folders a user named."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from workbench.errors import ModelFileError, ModelNotFound, StorageFull, WorkbenchError
from workbench.hub.gguf import ModelFile, describe, split_name
from workbench.hub.grouping import DEMO_MAKEABLE, ModelEntry, group, joined, model_files, parts_of, stem
from workbench.hub.hashing import HashCache, KnownHash, RememberHash
from workbench.hub.lock import file_lock
from workbench.paths import DISK_FULL, Paths, Resources
from workbench.runs.spec import ModelRef

__all__ = ["ModelEntry", "ModelLibrary"]

DEMO_FILE = "demo-F16.gguf"
_SHOWN_LENGTH = 300
# Taken when nobody says which: the usual compromise first, then the next better, then smaller ones.
_PREFERRED = ("Q4_K_M", "Q5_K_M", "Q4_K_S", "Q6_K", "Q8_0", "IQ4_XS", "Q4_0", "Q3_K_M", "F16", "BF16")

Progress = Callable[[float | None], None]
# source, target, type name as llama.cpp has it, progress from 0 to 1
Quantize = Callable[[Path, Path, str, Progress | None], None]


Entries: TypeAlias = list[ModelEntry]  # inside the class below, `list` is the method
Names: TypeAlias = list[str]


class ModelLibrary:
    """Finds models by name or path. Any thread may call; nothing is read before it is asked for.

    `known_hash` and `remember_hash` reach the cache of hashes that outlives the program.
    """

    def __init__(
        self,
        paths: Paths,
        resources: Resources,
        folders: Sequence[str | Path] = (),
        known_hash: KnownHash | None = None,
        remember_hash: RememberHash | None = None,
    ) -> None:
        self._paths = paths
        self._demo_source = Path(os.path.abspath(resources.assets / "models" / DEMO_FILE))
        self._folders = tuple(Path(folder).expanduser() for folder in folders)
        self._hashes = HashCache(known_hash, remember_hash)
        self._described: dict[tuple[str, int, int], ModelFile] = {}
        self._problems: tuple[str, ...] = ()
        self._lock = threading.RLock()

    def set_folders(self, folders: Sequence[str | Path]) -> None:
        """What the settings name beside the program's own models folder."""
        with self._lock:
            self._folders = tuple(Path(folder).expanduser() for folder in folders)

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences about folders that the last `list` could not read."""
        return self._problems

    def list(self) -> Entries:
        """The demo model first, then the others by name; files that cannot be used carry their problem."""
        with self._lock:
            problems: list[str] = []
            found = [self._describe_parts(parts) for parts in model_files(self._own_folders(), problems)]
            models = [file for file in found if file.kind == "model" and file.architecture != "clip"]
            self._problems = tuple(problems)
            demo = self._demo_entry()
            return [*([demo] if demo else []), *group(models)]

    def resolve(self, model: str | None = None, quantization: str | None = None) -> ModelRef:
        """The file that a name or a path means; None is the demo model. The file of a makeable quantization
        need not exist: `ensure` makes it. Raises ModelNotFound, ModelFileError.
        """
        with self._lock:
            wanted = quantization.upper() if quantization else None
            if model is not None and (path := _as_path(model)) is not None:
                return self._resolve_path(path, wanted)
            entry, tag = self._entry_named(model)
            return self._choose(entry, wanted or tag)

    def siblings(self, ref: ModelRef) -> Names:
        """Quantizations of the same model, made or makeable, the most precise first."""
        entry = self._entry_of(Path(ref.path))
        if entry is None:
            return [ref.quantization] if ref.quantization else []
        return list(entry.choices)

    def ensure(self, ref: ModelRef, quantize: Quantize, progress: Progress | None = None) -> None:
        """Makes the file of `ref` when it is missing and can be made; blocks. Two processes make it once.

        Raises ModelNotFound when it cannot be made, ModelFileError, StorageFull, and what `quantize` raises.
        """
        target = Path(ref.path)
        derived = self._derived_paths()
        if target not in derived.values():
            if target.is_file():
                return
            raise ModelNotFound(f"The model file {target} is gone. Choose another one, or put it back.")
        if self._is_sound(target):
            return
        name = next(name for name, path in derived.items() if path == target)
        try:
            with file_lock(target.with_suffix(".lock")):
                if not self._is_sound(target):
                    _make(self._demo_source, target, name, quantize, progress)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise StorageFull(f"The disk of {target.parent} is full: {name} could not be made.") from error
            raise ModelFileError(f"{target} could not be written: {error.strerror or error}.") from error

    def trained_context(self, ref: ModelRef) -> int | None:
        """Tokens of context the model was trained with; for a file still to be made, those of its source."""
        path = Path(ref.path)
        # What is made from the demo model has its context, and may be missing or damaged before `ensure`.
        is_derived = path in self._derived_paths().values()
        source = self._demo_source if is_derived else path if os.path.isfile(path) else None
        return self._described_file(source).context_trained if source is not None else None

    def sha256(self, ref: ModelRef) -> str | None:
        """The hash of the file when it is known, without reading it. Parts of a split count as one file."""
        try:
            return self._hashes.look_up(parts_of(Path(ref.path)))
        except ModelNotFound:
            return None

    def compute_sha256(self, ref: ModelRef, cancel: Callable[[], bool] | None = None) -> str:
        """Like `sha256`, but reads the file when needed. Raises HashCancelled, ModelNotFound."""
        return self._hashes.compute(parts_of(Path(ref.path)), cancel)

    def _own_folders(self) -> Names:
        # The program's own folder may not have been made; one that the user named is missed.
        own = (self._paths.models,) if self._paths.models.is_dir() else ()
        return [str(folder) for folder in dict.fromkeys((*own, *self._folders))]

    def _describe_parts(self, parts: tuple[Path, ...]) -> ModelFile:
        """The description of a file or a whole split; a broken one carries its problem."""
        first = parts[0]
        try:
            _require_storable(first)
            missing = next((part for part in parts if not part.is_file()), None)
            if missing is not None:
                raise ModelFileError(f"The part {missing.name} is missing beside {first.name}.")
            return joined([self._described_file(part) for part in parts])
        except WorkbenchError as error:
            base, tag = split_name(stem(first))
            size = sum(part.stat().st_size for part in parts if part.is_file())
            return ModelFile(first, base or first.stem, "", tag, None, size, parts=parts, problem=error.message)

    def _described_file(self, path: Path) -> ModelFile:
        try:
            status = path.stat()
        except OSError as error:
            raise ModelNotFound(f"{path} cannot be read: {error.strerror or error}.") from error
        key = str(path), status.st_size, status.st_mtime_ns
        if key not in self._described:
            self._described[key] = describe(path)
        return self._described[key]

    def _demo_entry(self) -> ModelEntry | None:
        if not self._demo_source.is_file():
            return None
        source = self._described_file(self._demo_source)
        made, makeable = [], []
        for name, path in self._derived_paths().items():
            file = self._describe_parts((path,))
            if file.problem is None:
                made.append(replace(file, name=source.name, quantization=name, demo=True))
            else:
                makeable.append(name)
        return ModelEntry(source.name, (replace(source, demo=True), *made), tuple(makeable), demo=True)

    def _derived_paths(self) -> dict[str, Path]:
        """Where each makeable quantization is or will be; empty without a demo model."""
        if not self._demo_source.is_file():
            return {}
        # An updated demo model has another hash and so never meets quantizations of the old one.
        digest = self._hashes.compute([self._demo_source])
        folder = Path(os.path.abspath(self._paths.derived_models)) / f"demo-{digest[:12]}"
        return {name: folder / f"demo-{name}.gguf" for name in DEMO_MAKEABLE}

    def _is_sound(self, path: Path) -> bool:
        return path.is_file() and self._describe_parts((path,)).problem is None

    def _entry_named(self, model: str | None) -> tuple[ModelEntry, str | None]:
        """The entry, and the quantization when the name was that of a file."""
        if model is None or model.casefold() == "demo":
            demo = self._demo_entry()
            if demo is None:
                raise ModelNotFound("The demo model is missing. Install inference-workbench again, or choose a model.")
            return demo, None
        entries = self.list()
        wanted = model.casefold().removesuffix(".gguf")
        exact = [(entry, None) for entry in entries if entry.name.casefold() == wanted]
        by_file = [
            (entry, file.quantization)
            for entry in entries
            for file in entry.files
            if stem(file.path).casefold() == wanted
        ]
        starts = [(entry, None) for entry in entries if entry.name.casefold().startswith(wanted)]
        for found in (exact, by_file, starts):
            if len(found) == 1 or (found and found is not starts):
                return found[0]
        raise _not_found(model, [entry.name for entry, _ in starts], [entry.name for entry in entries])

    def _entry_of(self, path: Path) -> ModelEntry | None:
        """The entry with this file (or the one that it will be); from the library, else from its own folder."""
        with self._lock:
            demo = self._demo_entry()
            if demo is not None and (path == self._demo_source or path in self._derived_paths().values()):
                return demo
            problems: list[str] = []
            nearby = [parts for parts in model_files([str(path.parent)], problems, depth=0) if parts]
            entries = group([self._describe_parts(parts) for parts in nearby])
            return next((entry for entry in entries if any(path in file.parts for file in entry.files)), None)

    def _resolve_path(self, path: Path, quantization: str | None) -> ModelRef:
        entry = self._entry_of(path)
        # `Path.is_file` raises for a name that is longer than the system allows; `os.path.isfile` says no.
        if entry is None and not os.path.isfile(path):
            shown = _shortened(str(path))
            raise ModelNotFound(f"There is no model file {shown}. Check the path, or choose a model by its name.")
        made_here = {target: name for name, target in self._derived_paths().items()}
        quantization = quantization or made_here.get(path)
        if entry is not None and quantization is not None:
            return self._choose(entry, quantization)
        described = self._described_file(path)
        if quantization is not None and described.quantization != quantization:
            raise ModelNotFound(f"{path.name} is {described.quantization}; there is no {quantization} beside it.")
        file = next((f for f in entry.files if path in f.parts), described) if entry else described
        if file.problem is not None:
            raise ModelFileError(file.problem)
        return self._ref(entry.name if entry else file.name, file)

    def _choose(self, entry: ModelEntry, quantization: str | None) -> ModelRef:
        usable = [file for file in entry.files if file.problem is None]
        if quantization is None:
            if not usable:
                raise ModelFileError(entry.problem or f"{entry.name} has no file that can be used.")
            return self._ref(entry.name, usable[0] if entry.demo else _preferred(usable))
        match = next((file for file in entry.files if file.quantization == quantization), None)
        if match is not None and match.problem is not None:
            raise ModelFileError(match.problem)
        if match is not None:
            return self._ref(entry.name, match)
        if quantization in entry.makeable:
            target = self._derived_paths()[quantization]
            return ModelRef(path=str(target), name=entry.name, quantization=quantization)
        known = ", ".join(entry.choices) or "none"
        raise ModelNotFound(f"{entry.name} has no quantization {quantization}; there are: {known}.")

    def _ref(self, name: str, file: ModelFile) -> ModelRef:
        path = file.path.absolute()
        ref = ModelRef(path=str(path), name=name, quantization=file.quantization)
        return replace(ref, sha256=self.sha256(ref))


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


def _preferred(files: Sequence[ModelFile]) -> ModelFile:
    ranks = {name: rank for rank, name in enumerate(_PREFERRED)}
    return min(files, key=lambda file: ranks.get(file.quantization or "", len(ranks)))


def _as_path(model: str) -> Path | None:
    """A path when it looks like one; a bare name is looked up in the library first."""
    path = os.path.expanduser(model)
    if os.path.isabs(path) or os.sep in model or "/" in model or os.path.isfile(path):
        return Path(os.path.abspath(path))
    return None


def _not_found(model: str, starts: Names, names: Names) -> ModelNotFound:
    if len(starts) > 1:
        named = f"Several models begin with {_shortened(model)!r}: {', '.join(starts)}."
        return ModelNotFound(f"{named} Give more of the name.")
    import difflib  # 6 ms, needed for this sentence only

    folded = {name.casefold(): name for name in names}
    near = [folded[name] for name in difflib.get_close_matches(model.casefold(), folded, n=3, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(names) or 'none'}."
    return ModelNotFound(f"There is no model {_shortened(model)!r}. {hint} A path to a .gguf file works too.")


def _shortened(text: str) -> str:
    """For a sentence: a name of thousands of characters is nobody's model."""
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _require_storable(path: Path) -> None:
    # llama.cpp, JSON and SQLite take paths as UTF-8; other bytes arrive here as lone surrogates.
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "replace").decode()
        raise ModelFileError(
            f"The path {shown} has bytes that are not UTF-8. Rename the file or its folder."
        ) from error
