"""What has to go from the Hugging Face cache with a file, and what must stay because something else uses it.

The accounting is that of huggingface_hub (`HFCacheInfo.delete_files`): the file of the snapshot goes, its blob goes
when no other file of any revision is a link to it, and what the cache-wide store keeps goes with its last blob.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.hub.places import REPO_PREFIX, blob_of, repository_place

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheRemoval:
    """`entries` are files of snapshots, `blobs` those that nothing else uses. `users` are revisions that keep one."""

    repository: Path
    entries: tuple[Path, ...]
    blobs: tuple[Path, ...]
    users: tuple[str, ...]
    locks: tuple[Path, ...]


def plan_removal(parts: Iterable[Path], also_going: frozenset[Path] = frozenset()) -> CacheRemoval:
    """For files of one repository's snapshots; `also_going` are files that are removed along with them."""
    entries = tuple(part for part in parts if os.path.lexists(part))
    repository = repository_of(next(iter(parts)))
    going = also_going | set(entries)
    blobs = dict.fromkeys(blob for blob in map(blob_of, entries) if blob is not None)
    users: dict[Path, list[str]] = {blob: [] for blob in blobs}
    for entry in _snapshot_files(repository):
        blob = blob_of(entry)
        if blob in users and entry not in going:
            users[blob].append(entry.relative_to(repository / "snapshots").parts[0])
    free = tuple(blob for blob, revisions in users.items() if not revisions and os.path.lexists(blob))
    locks = repository.parent / ".locks" / repository.name
    return CacheRemoval(
        repository,
        entries,
        free,
        tuple(dict.fromkeys(revision for revisions in users.values() for revision in revisions)),
        tuple(locks / f"{blob.name}.lock" for blob in blobs),
    )


def all_locks(repository: Path) -> tuple[Path, ...]:
    """The locks of every file of the repository that was ever downloaded."""
    return tuple(sorted((repository.parent / ".locks" / repository.name).glob("*.lock")))


def repository_of(path: Path) -> Path:
    """The folder `models--author--name` that a file of a snapshot lies in. Raises ValueError for other paths."""
    cache = repository_place(path)
    if cache is None:
        raise ValueError(f"{path} lies in no snapshot")
    return cache.root / path.relative_to(cache.root).parts[0]


def shared_payload(blob: Path) -> Path | None:
    """What the blob is a link to in the cache-wide store, `blobs/<xx>/<hash>`; None: it is a file of its own."""
    try:
        target = Path(os.path.abspath(os.path.join(blob.parent, os.readlink(blob))))
    except OSError:
        return None
    store = blob.parent.parent.parent / "blobs"
    return target if target.parent.parent == store and blob.parent.parent.name.startswith(REPO_PREFIX) else None


def is_listed_user(payload: Path, blob: Path) -> bool:
    """Whether the store's own list of users names this blob."""
    return _relative(blob) in _listed_users(payload)


def other_users(payload: Path, going: frozenset[Path]) -> bool | None:
    """Whether blobs beside those that go are links to the payload; None: the store keeps no list, and so keeps it."""
    listed = _listed_users(payload)
    if not listed:
        return None
    cache = payload.parent.parent.parent
    return any(shared_payload(cache / name) == payload for name in listed if cache / name not in going)


def collect_payload(payload: Path) -> None:
    """Lets huggingface_hub remove the payload when nothing uses it any more; otherwise it stays."""
    cache = payload.parent.parent.parent
    try:
        # The library's own rules and lock; it has no public name for a sweep of one content.
        from huggingface_hub.utils._shared_blobs import sweep_shared_blob
    except ImportError:
        log.warning("%s was not removed: this huggingface_hub has no sweep of shared contents", payload)
        return
    sweep_shared_blob(payload, cache_dir=cache)


def _listed_users(payload: Path) -> list[str]:
    try:
        text = payload.with_name(f"{payload.name}.refs").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [line for line in text.splitlines() if line and ".." not in Path(line).parts and not os.path.isabs(line)]


def _relative(blob: Path) -> str:
    return blob.relative_to(blob.parent.parent.parent).as_posix()


def _snapshot_files(repository: Path) -> Iterable[Path]:
    for folder, _, names in os.walk(repository / "snapshots"):
        yield from (Path(folder) / name for name in names)
