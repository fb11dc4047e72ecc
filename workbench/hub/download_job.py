"""One download of the queue: its files one after another, and what is known about it at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.hub.backoff import TransferPolicy
from workbench.hub.cached_file import Blob, RepoFolder
from workbench.hub.client import HubClient, cache_dir
from workbench.hub.disk_space import missing_bytes
from workbench.hub.download_list import Kept
from workbench.hub.progress import SpeedMeter
from workbench.hub.stopping import Stop
from workbench.hub.transfer import Transfer
from workbench.hub.transfers import UNDER_WAY, DownloadOrder, DownloadState, DownloadView

_TOLD_EVERY_S = 1.0


@dataclass(eq=False)
class Job:
    """State changes hand in hand with the queue's lock; progress is written by the job's own thread alone.

    It is the watcher of its transfers. `changed` is called when `view` has another state or note.
    """

    id: str
    order: DownloadOrder
    changed: Callable[[Job], None]
    check_content: bool = False
    state: DownloadState = "queued"
    error: WorkbenchError | None = None
    path: Path | None = None
    thread: threading.Thread | None = None
    stop: Stop = field(default_factory=Stop)
    done_bytes: int = 0
    resumed_count: int = 0
    note: str | None = None
    _meter: SpeedMeter = field(default_factory=SpeedMeter)
    _before_file_bytes: int = 0
    _told: tuple[int, float] = (-1, 0.0)
    _small_blobs: list[Blob] = field(default_factory=list)

    @classmethod
    def restored(cls, kept: Kept, changed: Callable[[Job], None]) -> Job:
        """As it was when the last program ended, with what is on disk."""
        job = cls(kept.id, kept.order, changed, state="paused")
        try:
            job.done_bytes = kept.order.size_bytes - missing_bytes(kept.order)
        except WorkbenchError as error:
            job.state, job.error = "failed", error
        if kept.error is not None:
            job.state = "failed"
            job.error = WorkbenchError(kept.error, code=kept.error_code)
        return job

    def kept(self) -> Kept | None:
        """Its line in the list of unfinished downloads; None: it needs none."""
        if self.state in ("finished", "cancelled"):
            return None
        code, text = (self.error.code, self.error.message) if self.error is not None else (None, None)
        return Kept(self.id, self.order, code, text)

    def run(self, client: HubClient, policy: TransferPolicy) -> Path:
        """Blocks until all files are there; the first one's path. Raises WorkbenchError and Stopped."""
        paths = []
        self._before_file_bytes = 0
        for file in self.order.files:
            transfer = Transfer(client, self.order.repo_id, self.order.revision, file, self, self.stop, policy,
                                self.check_content)  # fmt: skip
            try:
                paths.append(transfer.run())
            finally:
                if file.sha256 is None and transfer.blob is not None:
                    self._small_blobs.append(transfer.blob)
            self._before_file_bytes += file.size_bytes
            self.done_bytes = self._before_file_bytes
        return paths[0]

    def drop_partials(self) -> None:
        """Removes what has arrived of files that are not whole. Raises OSError."""
        folder = RepoFolder(cache_dir(), self.order.repo_id)
        named = [Blob(folder, file.sha256) for file in self.order.files if file.sha256 is not None]
        for blob in named + self._small_blobs:
            blob.drop_partial()

    def view(self) -> DownloadView:
        is_moving = self.state == "running"
        speed = self._meter.bytes_per_s() if is_moving else None
        left = self.order.size_bytes - self.done_bytes
        return DownloadView(
            self.id,
            self.order,
            self.state,
            done_bytes=self.done_bytes,
            bytes_per_s=speed,
            remaining_s=left / speed if speed else None,
            resumed=self.resumed_count,
            note=self.note if self.state in UNDER_WAY else None,
            error_code=self.error.code if self.error is not None else None,
            error=self.error.message if self.error is not None else None,
            path=self.path,
        )

    def is_worth_telling(self) -> bool:
        """Whether it moved since the last time, or a second went by: a speed that falls is news as well."""
        now = time.monotonic()
        if self.done_bytes == self._told[0] and now - self._told[1] < _TOLD_EVERY_S:
            return False
        self._told = (self.done_bytes, now)
        return True

    # What its transfers tell

    def began(self, have_bytes: int) -> None:
        self.done_bytes = self._before_file_bytes + have_bytes
        self._meter.begin(self.done_bytes)
        self._become("running")

    def moved(self, have_bytes: int) -> None:
        self.done_bytes = self._before_file_bytes + have_bytes
        self._meter.move(self.done_bytes)

    def resumed(self) -> None:
        self.resumed_count += 1

    def noted(self, note: str | None) -> None:
        if note != self.note:
            self.note = note
            self.changed(self)

    def verifying(self) -> None:
        self._become("verifying")

    def _become(self, state: DownloadState) -> None:
        """Between running and verifying only: whether it runs at all is decided by the queue."""
        if self.state != state and self.state in ("running", "verifying"):
            self.state = state
            self.changed(self)
