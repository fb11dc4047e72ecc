"""The queue of downloads: several at once, the rest waiting, and all of them there again after a crash."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from workbench.errors import Bug, HubError, UserError, WorkbenchError
from workbench.hub.backoff import TransferPolicy
from workbench.hub.cached_file import RepoFolder, name_parts
from workbench.hub.client import HubClient, cache_dir
from workbench.hub.disk_space import RESERVE_BYTES, check_room
from workbench.hub.download_job import Job
from workbench.hub.download_list import DownloadList
from workbench.hub.stopping import Stop, Stopped
from workbench.hub.transfers import UNDER_WAY, DownloadOrder, DownloadView

Listener = Callable[[DownloadView], None]
_TICK_S = 0.1
_LEAVE_WITHIN_S = 2.0
_log = logging.getLogger(__name__)


class DownloadQueue:
    """Any thread may call. Downloads that an earlier program left come back as "paused".

    Nothing runs before the first `add` or `resume`. Listeners are called in the queue's threads or the caller's:
    at each change of state, and while bytes arrive up to ten times a second; they are to return at once.
    """

    def __init__(
        self, client: HubClient, state_file: Path, parallel: int = 2, policy: TransferPolicy | None = None,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:  # fmt: skip
        self._parallel = parallel
        self._client = client
        self._policy = policy or TransferPolicy()
        self._reserve_bytes = reserve_bytes
        self._changed = threading.Condition(threading.RLock())
        self._listeners: list[Listener] = []
        self._ticker: threading.Thread | None = None
        self._is_closed = False
        self._list = DownloadList(state_file)
        self._jobs = {kept.id: Job.restored(kept, self._tell) for kept in self._list.take()}

    @property
    def parallel(self) -> int:
        """How many run at once; fewer than before lets those that run go on."""
        return self._parallel

    @parallel.setter
    def parallel(self, count: int) -> None:
        self._parallel = count
        self._fill()

    def add(self, order: DownloadOrder, check_content: bool = False) -> str:
        """The id of the download, of the present one where the same files are asked for again. Returns at once.

        Files that are in the cache count as done; with `check_content` they are hashed first. Raises HubError for
        names that would leave the folder, StorageFull and WorldError when the list cannot be written.
        """
        self._check(order)
        with self._changed:
            same = next((job for job in self._jobs.values() if job.order == order and job.state != "finished"), None)
            job = same or Job(secrets.token_hex(4), order, self._tell)
            job.check_content = check_content
            for old in [job for job in self._jobs.values() if job.order == order and job.state == "finished"]:
                del self._jobs[old.id]
            self._jobs[job.id] = job
            try:
                self._save()
            except WorkbenchError:
                if same is None:
                    del self._jobs[job.id]
                raise
            if same is not None and same.state not in UNDER_WAY:
                same.state, same.error = "queued", None
        self._tell(job)
        self._fill()
        return job.id

    def pause(self, id: str) -> None:
        """Keeps what has arrived. Does nothing for one that is not under way."""
        with self._changed:
            job = self._job(id)
            if job.state not in UNDER_WAY:
                return
            job.state = "paused"
        self._leave(job)

    def resume(self, id: str) -> None:
        """Goes on with a paused or failed one, as soon as one of the running ones is over."""
        with self._changed:
            job = self._job(id)
            if job.state not in ("paused", "failed"):
                return
            job.state, job.error = "queued", None
            self._save_or_log()
        self._tell(job)
        self._fill()

    def cancel(self, id: str) -> None:
        """Throws away what has arrived of files that are not whole; whole ones stay in the cache."""
        with self._changed:
            job = self._job(id)
            if job.state in ("finished", "cancelled"):
                return
            job.state = "cancelled"
            is_idle = job.thread is None
        self._leave(job)
        if is_idle:
            self._drop_partials(job)

    def forget(self, id: str) -> None:
        """Takes one that is not under way out of the list; nothing on disk changes."""
        with self._changed:
            if self._job(id).state in UNDER_WAY:
                raise UserError("This download is under way. Pause or cancel it first.", code="download_under_way")
            del self._jobs[id]
            self._save()

    def views(self) -> tuple[DownloadView, ...]:
        """In the order in which they were added."""
        with self._changed:
            return tuple(job.view() for job in self._jobs.values())

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Returns what ends it."""
        with self._changed:
            self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def wait(self, id: str, timeout_s: float | None = None) -> DownloadView:
        """Blocks until the download is no longer under way, or the time is over; the view of that moment."""
        with self._changed:
            job = self._job(id)
            self._changed.wait_for(lambda: job.state not in UNDER_WAY, timeout_s)
            return job.view()

    def close(self) -> None:
        """Pauses what runs, so that the next program can go on with it. Returns within some 2 s."""
        with self._changed:
            self._is_closed = True
            under_way = [job for job in self._jobs.values() if job.state in UNDER_WAY]
            for job in under_way:
                job.state = "paused"
            threads = [job.thread for job in self._jobs.values() if job.thread is not None]
        for job in under_way:
            job.stop.ask()
            self._tell(job)
        deadline = time.monotonic() + _LEAVE_WITHIN_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            self._save_or_log(is_leaving=True)

    def _check(self, order: DownloadOrder) -> None:
        if self._is_closed:
            raise Bug("The queue of downloads is closed.")
        if not order.files:
            raise HubError(f"{order.repo_id} {order.label} has no files to download.", code="hub_file_unknown")
        RepoFolder(cache_dir(), order.repo_id)
        for file in order.files:
            name_parts(file.name)

    def _job(self, id: str) -> Job:
        if id not in self._jobs:
            raise UserError(f"There is no download {id}.", code="download_unknown")
        return self._jobs[id]

    def _leave(self, job: Job) -> None:
        with self._changed:
            self._save_or_log()
        job.stop.ask()
        self._tell(job)
        self._fill()

    def _fill(self) -> None:
        """Starts what waits, as far as there is room; one that is still leaving starts when it has left."""
        with self._changed:
            for job in self._jobs.values():
                busy = sum(other.thread is not None for other in self._jobs.values())
                if self._is_closed or busy >= self._parallel:
                    return
                if job.state != "queued" or job.thread is not None:
                    continue
                job.state, job.stop = "running", Stop()
                job.thread = threading.Thread(target=self._work, args=(job,), name="download", daemon=True)
                job.thread.start()
                if self._ticker is None:
                    self._ticker = threading.Thread(target=self._tick, name="download-progress", daemon=True)
                    self._ticker.start()

    def _work(self, job: Job) -> None:
        stop = job.stop
        self._tell(job)
        try:
            check_room(job.order, self._promised_bytes(job), self._reserve_bytes)
            path = job.run(self._client, self._policy)
        except Stopped:
            pass
        except WorkbenchError as error:
            self._end(job, stop, error)
        except Exception as error:  # noqa: BLE001 - the queue goes on; the log has the trace
            _log.exception("The download of %s failed.", job.order.repo_id)
            self._end(job, stop, Bug(f"The download failed by a fault of this program ({type(error).__name__})."))
        else:
            with self._changed:
                job.state, job.path = "finished", path
        with self._changed:
            is_cancelled = job.state == "cancelled"
        if is_cancelled:
            self._drop_partials(job)
        with self._changed:
            job.thread, job.note = None, None
            self._save_or_log(is_leaving=self._is_closed)
        self._tell(job)
        self._fill()

    def _end(self, job: Job, stop: Stop, error: WorkbenchError) -> None:
        with self._changed:
            if not stop.is_asked:
                job.state, job.error = "failed", error

    def _promised_bytes(self, job: Job) -> int:
        with self._changed:
            others = [other for other in self._jobs.values() if other is not job and other.thread is not None]
            return sum(other.order.size_bytes - other.done_bytes for other in others)

    def _drop_partials(self, job: Job) -> None:
        try:
            job.drop_partials()
        except OSError as error:
            _log.warning("What has arrived of %s cannot be removed: %s", job.order.repo_id, error)

    def _tick(self) -> None:
        while True:
            time.sleep(_TICK_S)
            with self._changed:
                running = [job for job in self._jobs.values() if job.thread is not None]
                if not running:
                    self._ticker = None
                    return
            for job in running:
                if job.state in UNDER_WAY and job.is_worth_telling():
                    self._tell(job)

    def _tell(self, job: Job) -> None:
        with self._changed:
            self._changed.notify_all()
            view = job.view()
            listeners = list(self._listeners)
        for listener in listeners:
            try:
                listener(view)
            except Exception:  # noqa: BLE001 - whoever watches cannot end what is watched
                _log.exception("A listener of the downloads failed.")

    def _save(self, *, is_leaving: bool = False) -> None:
        lines = [line for job in self._jobs.values() if (line := job.kept()) is not None]
        self._list.write(lines, is_leaving=is_leaving)

    def _save_or_log(self, *, is_leaving: bool = False) -> None:
        """For changes that stand whether or not they can be noted."""
        try:
            self._save(is_leaving=is_leaving)
        except WorkbenchError as error:
            _log.warning("%s", error.message)
