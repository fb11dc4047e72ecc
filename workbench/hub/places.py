"""Where models lie on this machine, and which files each place holds: folders, the Hub's cache, LM Studio, Ollama."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.hub.gguf import Origin
from workbench.hub.grouping import parts_of

Beat = Callable[[], None]
REPO_PREFIX = "models--"
_LARGEST_SETTINGS_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to look into. `is_expected`: a person named it, so that it is told when it is not there.

    `only` are the first parts of the models that are meant, where a person added single files of the folder.
    """

    origin: Origin
    root: Path
    is_read_only: bool = False
    is_expected: bool = False
    only: tuple[Path, ...] | None = None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A model file, with all parts that its name promises. Nothing of it has been read.

    `sha256` is what the place says that the content has; `problem` why it cannot be used, as far as the place tells.
    """

    parts: tuple[Path, ...]
    place: Place
    repo_id: str | None = None
    revision: str | None = None
    label: str | None = None
    aliases: tuple[str, ...] = ()
    license: str | None = None
    sha256: str | None = None
    problem: str | None = None


def other_places(environ: Mapping[str, str] | None = None, home: Path | None = None) -> tuple[Place, ...]:
    """Folders in which other programs keep GGUF files; those that are not there are no matter.

    The Hub's cache is shared with us; what LM Studio and Ollama keep is never changed.
    """
    environ = os.environ if environ is None else environ
    home = Path.home() if home is None else home
    studio = [Place("lm_studio", folder, is_read_only=True) for folder in _lm_studio_folders(home)]
    ollama = [Place("ollama", folder, is_read_only=True) for folder in _ollama_folders(environ, home)]
    return (Place("hub_cache", hub_cache_folder(environ, home)), *studio, *ollama)


def hub_cache_folder(environ: Mapping[str, str], home: Path) -> Path:
    """What huggingface_hub takes (its constants.py), without importing it."""
    base = environ.get("XDG_CACHE_HOME") or str(home / ".cache")
    hugging_face = environ.get("HF_HOME") or os.path.join(base, "huggingface")
    folder = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(hugging_face, "hub")
    return Path(os.path.abspath(os.path.expandvars(os.path.expanduser(folder))))


def find_files(place: Place, problems: list[str], beat: Beat) -> list[FoundFile]:
    """What the place holds, in a stable order. Calls `beat` whenever the disk has answered."""
    if place.only is not None:
        return [FoundFile(parts_of(path), place) for path in place.only if os.path.lexists(path)]
    if not os.path.isdir(place.root):
        if place.is_expected:
            problems.append(
                f"The folder {_shown(place.root)} is not there. Connect its drive, or take it out of the settings."
            )
        return []
    beat()
    if place.origin == "hub_cache":
        return list(_hub_files(place, problems, beat))
    if place.origin == "ollama":
        from workbench.hub.ollama import ollama_files  # only where Ollama is

        return ollama_files(place, problems, beat)
    if place.origin == "lm_studio":
        return [_with_repository(found) for found in folder_files(place, problems, beat)]
    return folder_files(place, problems, beat)


def folder_files(place: Place, problems: list[str], beat: Beat, depth: int | None = None) -> list[FoundFile]:
    """All models below the place, sorted. Links to folders are not followed, so no loop can catch it.

    `depth` 0 leaves out the folders below.
    """
    found: dict[Path, FoundFile] = {}
    for path in _gguf_paths(place.root, problems, beat, depth):
        parts = parts_of(path)
        found.setdefault(parts[0], FoundFile(parts, place))
    return [found[first] for first in sorted(found)]


def repository_place(path: Path) -> Place | None:
    """The Hub cache that `path` lies in as a file of a snapshot; None: it lies elsewhere."""
    names = path.parts
    for index in range(len(names) - 3, 0, -1):
        if names[index] == "snapshots" and names[index - 1].startswith(REPO_PREFIX):
            return Place("hub_cache", Path(*names[: index - 1]))
    return None


def blob_of(path: Path) -> Path | None:
    """The file of `blobs` that a file of a snapshot stands for; None where links cannot be made.

    One step only: the blob may be a link itself, into a store that the whole cache shares.
    """
    try:
        target = os.readlink(path)
    except OSError:
        return None
    blob = Path(os.path.abspath(os.path.join(path.parent, target)))
    return blob if blob.parent.name == "blobs" else None


def content_hash(path: Path) -> str | None:
    """The SHA-256 that the Hub's cache or Ollama gives this file by the name of its blob."""
    name = path.name.removeprefix("sha256-")
    if path.parent.name != "blobs":
        blob = blob_of(path)
        name = blob.name if blob is not None else ""
    is_hash = len(name) == 64 and all(letter in "0123456789abcdef" for letter in name)
    return name if is_hash else None


def _hub_files(place: Place, problems: list[str], beat: Beat) -> Iterator[FoundFile]:
    for repository in _folders_in(place.root, problems):
        beat()
        if not repository.name.startswith(REPO_PREFIX):
            continue
        repo_id = repository.name.removeprefix(REPO_PREFIX).replace("--", "/")
        yield from _repository_files(place, repository, repo_id, problems, beat)


def _repository_files(
    place: Place, repository: Path, repo_id: str, problems: list[str], beat: Beat
) -> Iterator[FoundFile]:
    """Files of the revision that `main` means first; the same content in an older revision is not told twice."""
    seen: set[tuple[str, str]] = set()
    for snapshot in _snapshots(repository, problems):
        for path in sorted(_gguf_paths(snapshot, problems, beat)):
            parts = parts_of(path)
            if path != parts[0] and os.path.lexists(parts[0]):
                continue  # its first part stands for all
            content = (str(parts[0].relative_to(snapshot)), os.path.realpath(path))
            if content in seen:
                continue
            seen.add(content)
            sha256 = content_hash(path) if len(parts) == 1 else None
            problem = _gone_from_cache(path, parts)
            yield FoundFile(parts, place, repo_id, snapshot.name, sha256=sha256, problem=problem)


def _gone_from_cache(path: Path, parts: tuple[Path, ...]) -> str | None:
    if len(parts) == 1 and not os.path.exists(path):
        return f"The content of {_shown(path.name)} is gone from the Hugging Face cache. Download it again."
    return None


def _snapshots(repository: Path, problems: list[str]) -> list[Path]:
    folders = _folders_in(repository / "snapshots", problems)
    current = _line_of(repository / "refs" / "main")
    return sorted(folders, key=lambda folder: (folder.name != current, -_written_ns(folder), folder.name))


def _with_repository(found: FoundFile) -> FoundFile:
    """LM Studio keeps the Hub's names as folders: publisher/repository/file."""
    from dataclasses import replace

    names = found.parts[0].relative_to(found.place.root).parts
    return replace(found, repo_id="/".join(names[:2])) if len(names) >= 3 else found


def _gguf_paths(root: Path, problems: list[str], beat: Beat, depth: int | None = None) -> Iterator[Path]:
    def note(error: OSError) -> None:
        problems.append(f"The folder {_shown(error.filename)} cannot be read: {error.strerror}.")

    for folder, below, names in os.walk(os.path.abspath(root), onerror=note):
        beat()
        if depth == 0:
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in names:
            if name.lower().endswith(".gguf") and "mmproj" not in name.lower() and not name.startswith("."):
                yield Path(folder) / name


def _folders_in(folder: Path, problems: list[str]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"The folder {_shown(folder)} cannot be read: {error.strerror or error}.")
        return []


def _line_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(200).decode("utf-8", "replace").strip()
    except OSError:
        return None  # no such reference: the snapshots are taken by their age


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _lm_studio_folders(home: Path) -> list[Path]:
    pointed = _line_of(home / ".lmstudio-home-pointer")
    homes = [*([Path(pointed)] if pointed else []), home / ".lmstudio", home / ".cache" / "lm-studio"]
    folders = [folder for own in homes for folder in (own / "models", _chosen_downloads(own)) if folder is not None]
    return list(dict.fromkeys(folders))


def _chosen_downloads(studio_home: Path) -> Path | None:
    """The folder that a person chose in LM Studio. None: none, or its settings file has another shape."""
    import json

    try:
        with (studio_home / "settings.json").open("rb") as file:
            settings = json.loads(file.read(_LARGEST_SETTINGS_BYTES))
        folder = settings.get("downloadsFolder")
        return Path(folder) if isinstance(folder, str) and os.path.isabs(folder) else None
    except (OSError, ValueError, RecursionError, AttributeError):
        return None


def _ollama_folders(environ: Mapping[str, str], home: Path) -> Iterable[Path]:
    named = environ.get("OLLAMA_MODELS")
    standard = (home / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models"))
    return dict.fromkeys([*([Path(named).expanduser()] if named else []), *standard])


def _shown(path: object) -> str:
    """For a sentence: bytes of a name that are no UTF-8 as question marks."""
    return str(path).encode("utf-8", "replace").decode()
