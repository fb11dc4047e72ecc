"""Where a file of the Hub lies in the cache that the tools of Hugging Face share, and how it gets there whole."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import HubError
from workbench.hub.stopping import Stop

_RESERVED = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)}
)
_WINDOWS_REFUSES = frozenset('<>"|?*')
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO_ID = re.compile(r"([A-Za-z0-9_][\w.-]{0,95}/)?[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_ETAG = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_LEFT_BEHIND_AFTER_S = 60
_LOOKS_EVERY_S = 0.25


def is_commit(revision: str) -> bool:
    return _COMMIT.fullmatch(revision) is not None


def name_parts(name: str) -> tuple[str, ...]:
    """The folders and the name of a file, safe below any folder on any system. Raises HubError for all others."""
    parts = tuple(name.split("/"))
    for part in parts:
        why = _unsafe(part)
        if why is not None:
            raise HubError(
                f"The Hub names a file {name[:200]!r}, and {why}: it is refused, as it could land outside its folder "
                "or not be opened on every system. Tell the author of the repository.",
                code="hub_file_name_unsafe",
            )
    return parts


def _unsafe(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"{part!r} in it leads elsewhere" if part else "it has an empty part or begins at the root"
    if "\\" in part or ":" in part:
        return "backslashes and colons lead to other folders or drives on Windows"
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in part):
        return "it has control characters"
    if part.split(".")[0].rstrip(" ").casefold() in _RESERVED:
        return f"{part!r} is a device on Windows"
    if part[-1] in ". ":
        return "Windows drops dots and spaces at the end of names"
    if len(part.encode()) > 255:
        return "it is too long for a file system"
    if sys.platform == "win32" and _WINDOWS_REFUSES.intersection(part):
        return "Windows does not allow some of its signs"
    return None


@dataclass(frozen=True)
class RepoFolder:
    """The folder of a repository within the cache."""

    cache: Path
    repo_id: str

    def __post_init__(self) -> None:
        if not _REPO_ID.fullmatch(self.repo_id) or ".." in self.repo_id or "--" in self.repo_id:
            raise HubError(f"{self.repo_id[:200]!r} is no repository id; one looks like author/name.",
                           code="hub_repository_unknown")  # fmt: skip

    @property
    def name(self) -> str:
        return "models--" + self.repo_id.replace("/", "--")

    @property
    def path(self) -> Path:
        return self.cache / self.name

    def pointer(self, commit: str, name: str) -> Path:
        """Where programs look for the file of that commit. Raises HubError for unsafe names."""
        if not is_commit(commit):
            raise HubError(f"The Hub names a commit {commit[:80]!r}, which is none. Check HF_ENDPOINT.",
                           code="hub_not_a_hub")  # fmt: skip
        return self.path.joinpath("snapshots", commit, *name_parts(name))

    def found(self, commit: str, name: str, size_bytes: int, sha256: str | None) -> Path | None:
        """The file when it is there with this size and, where the cache tells, this hash in its blob's name."""
        pointer = self.pointer(commit, name)
        try:
            if pointer.stat().st_size != size_bytes:
                return None
            is_other = sha256 is not None and pointer.is_symlink() and Path(os.readlink(pointer)).name != sha256
        except OSError:
            return None
        return None if is_other else pointer

    def record_revision(self, revision: str, commit: str) -> None:
        """Notes which commit a branch or tag stands for, as the cache does. Raises OSError."""
        if revision == commit or self.is_recorded(revision, commit):
            return
        path = self._ref(revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(commit, encoding="utf-8")
        os.replace(temporary, path)

    def is_recorded(self, revision: str, commit: str) -> bool:
        path = self._ref(revision)
        return path.is_file() and path.read_text(encoding="utf-8") == commit

    def _ref(self, revision: str) -> Path:
        return self.path.joinpath("refs", *name_parts(revision))


@dataclass(frozen=True)
class Blob:
    """A content in the cache; `name` is the ETag under which the Hub keeps it."""

    folder: RepoFolder
    name: str

    def __post_init__(self) -> None:
        if not _ETAG.fullmatch(self.name):
            raise HubError(f"The Hub names a content {self.name[:80]!r}, which is no hash. Check HF_ENDPOINT.",
                           code="hub_not_a_hub")  # fmt: skip

    @property
    def path(self) -> Path:
        return self.folder.path / "blobs" / self.name

    @property
    def partial(self) -> Path:
        return self.path.with_name(f"{self.name}.incomplete")

    @property
    def lock_file(self) -> Path:
        return self.folder.cache / ".locks" / self.folder.name / f"{self.name}.lock"

    def is_whole(self, size_bytes: int) -> bool:
        try:
            return self.path.stat().st_size == size_bytes
        except OSError:
            return False

    @contextmanager
    def locked(self, stop: Stop, waiting: Iterator[None] | None = None) -> Iterator[None]:
        """Holds the lock that all tools take who write this content; `waiting` is advanced while another has it."""
        from filelock import Timeout
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

        self.lock_file.parent.mkdir(parents=True, exist_ok=True)
        while True:
            stop.check()
            lock = WeakFileLock(self.lock_file, timeout=_LOOKS_EVERY_S)
            try:
                lock.__enter__()
            except Timeout:
                if waiting is not None:
                    next(waiting, None)
                continue
            break
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    def drop_partial(self) -> None:
        """Removes what has arrived, unless somebody is writing it at this moment. Raises OSError."""
        from filelock import Timeout
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

        if not self.partial.exists():
            return
        try:
            with WeakFileLock(self.lock_file, timeout=_LOOKS_EVERY_S):
                self.partial.unlink(missing_ok=True)
        except Timeout:
            return  # it is theirs

    def adopt_left_behind(self, size_bytes: int) -> None:
        """Takes over the longest part that a killed `hf download` left of this content; the lock is to be held.

        Each run of it writes a file of its own name and finds none again. A file written to a moment ago is left
        alone: on file systems without working locks its writer may live.
        """
        have = self.partial.stat().st_size if self.partial.exists() else 0
        os.utime(self.lock_file)
        now = self.lock_file.stat().st_mtime  # by the clock of the file system, which a server may keep
        parts = []
        for path in self.path.parent.glob(f"{self.name}.*.incomplete"):
            status = path.stat()
            if now - status.st_mtime > _LEFT_BEHIND_AFTER_S and have < status.st_size <= size_bytes:
                parts.append((status.st_size, path))
        if parts:
            os.replace(max(parts)[1], self.partial)

    def link(self, pointer: Path, *, is_new: bool = False) -> None:
        """Lets `pointer` name this content: by a relative link, else moved (a new one) or copied. Raises OSError."""
        from huggingface_hub import constants

        pointer.parent.mkdir(parents=True, exist_ok=True)
        if pointer.is_symlink() or pointer.exists():
            pointer.unlink()
        if not constants.HF_HUB_DISABLE_SYMLINKS:
            try:
                os.symlink(os.path.relpath(self.path, pointer.parent), pointer)
                return
            except OSError:  # Windows without the right to make links, some network drives
                pointer.unlink(missing_ok=True)
        if is_new:
            os.replace(self.path, pointer)
        else:
            shutil.copyfile(self.path, pointer)
