"""A download as its watchers see it: plain data, no network here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.hub.repository import RepoFile

DownloadState = Literal["queued", "running", "paused", "verifying", "finished", "failed", "cancelled"]
UNDER_WAY: frozenset[DownloadState] = frozenset({"queued", "running", "verifying"})


@dataclass(frozen=True, slots=True)
class DownloadOrder:
    """Which files of which commit. `label` is what a person calls it ("Q4_K_M")."""

    repo_id: str
    revision: str
    label: str
    files: tuple[RepoFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class DownloadView:
    """A download at one moment. Speed is that of the last seconds; None: not known yet.

    `note` says what it waits for ("the server is busy: again in 8 s"), `error_*` why it failed. `resumed` counts
    how often it went on after a break. `path` is the first file, once all are there and verified.
    """

    id: str
    order: DownloadOrder
    state: DownloadState
    done_bytes: int = 0
    bytes_per_s: float | None = None
    remaining_s: float | None = None
    resumed: int = 0
    note: str | None = None
    error_code: str | None = None
    error: str | None = None
    path: Path | None = None

    @property
    def fraction(self) -> float | None:
        return self.done_bytes / self.order.size_bytes if self.order.size_bytes else None
