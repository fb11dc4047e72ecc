"""One file on its way from the Hub into the shared cache: whole and verified, or not there at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from workbench.errors import DownloadBroken, WorkbenchError
from workbench.hub import xet_source
from workbench.hub.backoff import Backoff, TransferPolicy
from workbench.hub.cached_file import Blob, RepoFolder, is_commit, name_parts
from workbench.hub.client import HubClient, cache_dir
from workbench.hub.hashing import HashCancelled, hash_file
from workbench.hub.http_source import Body, Changed, HttpSource, RemoteFile, Unusable
from workbench.hub.partial import Partial, new_digest, storage_error
from workbench.hub.repository import RepoFile
from workbench.hub.stopping import Stop, Stopped

Answer = TypeVar("Answer")
_BRANCH_WITHIN_S = 5.0
_log = logging.getLogger(__name__)


class Watcher(Protocol):
    """What a transfer tells while it runs, in its own thread; each call is to return at once."""

    def began(self, have_bytes: int) -> None:
        """So much was there before this attempt: it says nothing about speed."""

    def moved(self, have_bytes: int) -> None:
        """After each piece that arrives, some 64 KB or less."""

    def resumed(self) -> None:
        """It goes on after a break."""

    def noted(self, note: str | None) -> None:
        """What it waits for; None: for nothing any more."""

    def verifying(self) -> None:
        """All bytes are there."""


class Transfer:
    """Fetches one file; made for one use. Another process at the same file is waited for, and then it is there.

    `stop` ends it within a moment and keeps what has arrived; `check_content` hashes a file that is already there.
    """

    def __init__(
        self, client: HubClient, repo_id: str, revision: str, file: RepoFile, watcher: Watcher, stop: Stop,
        policy: TransferPolicy | None = None, check_content: bool = False,
    ) -> None:  # fmt: skip
        self._client, self._repo_id, self._revision, self._file = client, repo_id, revision, file
        self._watcher, self._stop = watcher, stop
        self._policy = policy or TransferPolicy()
        self._check_content = check_content
        self._backoff = Backoff(client, repo_id, self._policy, stop, watcher.noted)
        self._use_xet = True
        self.blob: Blob | None = None

    def run(self) -> Path:
        """Where programs find the file. Blocks; raises WorkbenchError, and Stopped when asked to stop."""
        name_parts(self._file.name)
        folder = RepoFolder(cache_dir(), self._repo_id)
        found = self._found(folder)
        if found is not None:
            return found
        try:
            return self._fetched(folder)
        except (WorkbenchError, Stopped):
            raise
        except OSError as error:
            raise storage_error(error, folder.path) from error
        except ValueError as error:  # an id or a revision that the client library does not take
            raise self._client.translate(error, self._repo_id) from error

    def _found(self, folder: RepoFolder) -> Path | None:
        if not is_commit(self._revision):
            return None
        found = folder.found(self._revision, self._file.name, self._file.size_bytes, self._file.sha256)
        if found is None or not self._is_right(found):
            return None
        self._watcher.began(self._file.size_bytes)
        return found

    def _is_right(self, path: Path) -> bool:
        if not self._check_content or self._file.sha256 is None:
            return True
        self._watcher.verifying()
        try:
            return hash_file(path, lambda: self._stop.is_asked) == self._file.sha256
        except HashCancelled:
            raise Stopped from None

    def _fetched(self, folder: RepoFolder) -> Path:
        source = HttpSource(self._client, self._repo_id, self._revision, self._file.name, self._policy.stall_s)
        remote = self._patiently(source.look)
        self._compare(remote)
        blob = self.blob = Blob(folder, self._file.sha256 or remote.etag)
        pointer = folder.pointer(remote.commit, self._file.name)
        with blob.locked(self._stop, self._waiting()):
            is_new = not (blob.is_whole(remote.size_bytes) and self._is_right(blob.path))
            if is_new:
                if remote.xet is None:  # of chunks, what is left behind need not be a beginning
                    blob.adopt_left_behind(remote.size_bytes)
                self._download(blob, remote, source)
            else:
                self._watcher.began(remote.size_bytes)
            if is_new or folder.found(remote.commit, self._file.name, remote.size_bytes, blob.name) is None:
                blob.link(pointer, is_new=is_new)
        self._name_branch(folder, remote.commit)
        return pointer

    def _compare(self, remote: RemoteFile) -> None:
        """What was ordered against what the Hub has by that name at this moment."""
        expected = self._file.sha256
        is_other = expected is not None and len(remote.etag) == len(expected) and remote.etag != expected
        if is_other or remote.size_bytes != self._file.size_bytes:
            raise self._changed()

    def _changed(self) -> DownloadBroken:
        return DownloadBroken(
            f"{self._file.name} of {self._repo_id} has changed on the Hub since it was looked up. "
            "Look at the repository again and download what it has.",
            code="hub_file_changed",
        )

    def _waiting(self) -> Iterator[None]:
        self._watcher.noted("another program is at this file: waiting for it")
        while True:
            yield

    def _download(self, blob: Blob, remote: RemoteFile, source: HttpSource) -> None:
        digest = new_digest(blob.name, remote.size_bytes)
        try:
            with Partial(blob.partial, digest) as partial:
                self._twice(partial, remote, source, blob.name)
        except DownloadBroken:
            blob.partial.unlink(missing_ok=True)
            self._watcher.began(0)  # or it would say that all of it is kept
            raise
        blob.partial.replace(blob.path)

    def _twice(self, partial: Partial, remote: RemoteFile, source: HttpSource, name: str) -> None:
        if partial.size_bytes > remote.size_bytes:
            partial.start_over()
        problem = self._filled(partial, remote, source, name)
        if problem is not None:
            partial.start_over()
            self._watcher.noted(f"{problem}: once more from the start")
            self._use_xet = False
            problem = self._filled(partial, remote, source, name)
        if problem is not None:
            raise self._broken(problem)

    def _filled(self, partial: Partial, remote: RemoteFile, source: HttpSource, name: str) -> str | None:
        """Fetches what is missing and verifies all of it; what is wrong with it, or None."""
        if partial.size_bytes:
            self._watcher.resumed()
        self._watcher.began(partial.size_bytes)
        try:
            while partial.size_bytes < remote.size_bytes:
                self._attempt(partial, remote, source)
        except Changed:
            if self._patiently(source.look).etag != remote.etag:
                raise self._changed() from None
            return "the server gave another content than it named"
        self._watcher.verifying()
        partial.to_disk()
        found = partial.hexdigest(self._stop)
        return None if found in (None, name) else f"the hash of the content is {found[:12]}… instead of {name[:12]}…"

    def _attempt(self, partial: Partial, remote: RemoteFile, source: HttpSource) -> None:
        before = partial.size_bytes
        try:
            with self._opened(partial.size_bytes, remote, source) as body:
                self._pour(body, partial, remote.size_bytes)
            self._stop.check()
            if partial.size_bytes == before:
                raise Unusable("it ends before the first byte that is missing")
        except xet_source.XetFailed as failure:
            self._stop.check()
            self._use_xet = False
            self._watcher.noted(f"the Xet storage failed ({failure}): going on over HTTP")
        except (WorkbenchError, Stopped, Changed):
            raise
        except Exception as error:  # noqa: BLE001 - pause raises the sentence for whatever does not pass
            self._backoff.pause(error)
        if before < partial.size_bytes < remote.size_bytes:
            self._watcher.resumed()

    def _opened(self, start: int, remote: RemoteFile, source: HttpSource) -> AbstractContextManager[Body]:
        if self._use_xet and xet_source.is_offered(self._client, remote):
            return xet_source.opened(self._client, remote, start, self._stop, self._policy.stall_s)
        return source.opened(start, remote, self._stop)

    def _pour(self, body: Body, partial: Partial, size_bytes: int) -> None:
        # A server that ignores the range sends again what is here: kept, in case this line breaks as well.
        known = partial.size_bytes - body.start
        for piece in body.pieces:
            self._stop.check()
            if known:
                piece, known = piece[known:], max(0, known - len(piece))
            if not piece:
                continue
            if partial.size_bytes + len(piece) > size_bytes:
                raise Changed
            partial.append(piece)
            self._backoff.moved()
            self._watcher.moved(partial.size_bytes)

    def _patiently(self, question: Callable[[], Answer]) -> Answer:
        while True:
            self._stop.check()
            try:
                return question()
            except (WorkbenchError, Stopped):
                raise
            except Exception as error:  # noqa: BLE001 - pause raises the sentence for whatever does not pass
                self._backoff.pause(error)

    def _broken(self, problem: str) -> DownloadBroken:
        return DownloadBroken(
            f"{self._file.name} arrived wrong twice: {problem}. Nothing of it is kept. A proxy, a mirror or bad memory "
            "can do that: try another network, or later."
        )

    def _name_branch(self, folder: RepoFolder, commit: str) -> None:
        """Lets tools that ask for a branch find the file: the one asked for, or main where it is at this commit."""
        if not is_commit(self._revision):
            return folder.record_revision(self._revision, commit)
        limit_s = min(_BRANCH_WITHIN_S, self._policy.stall_s)
        main = HttpSource(self._client, self._repo_id, "main", self._file.name, limit_s)
        try:
            if not folder.is_recorded("main", commit) and main.look().commit == commit:
                folder.record_revision("main", commit)
        except Exception as error:  # noqa: BLE001 - the file is there; it only cannot be found by the branch's name
            _log.info("main of %s was not looked up: %s", self._repo_id, type(error).__name__)
