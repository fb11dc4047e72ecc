"""The tray of the Models page: downloads as their queue tells them, and quantizations that are being made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from ui.bridge import Bridge
from ui.figures import TrayItem
from ui.state import models_words as words
from ui.tasks import Tasks
from workbench import units
from workbench.errors import WorkbenchError
from workbench.hub.repository import RepoQuantization, Repository
from workbench.hub.transfers import UNDER_WAY, DownloadView

if TYPE_CHECKING:
    from workbench.models import Models

BRIDGE_MS = 150  # figures that change more often cannot be read
TIMES = {1: "once", 2: "twice"}
ACCESS_DENIED, DISK_FULL = "hub_access_denied", "storage_full"


@dataclass
class Making:
    """A quantization that is being made. `share` None: not known yet."""

    id: str
    title: str
    share: float | None = None
    state: str = "running"
    problem: str = ""
    path: Path | None = None
    is_cancelled: threading.Event = field(default_factory=threading.Event)


class ModelsDownloads(QObject):
    """Downloads go on whatever page is shown. `busy_changed` is for the rail, `finished` carries a new file's path."""

    changed = Signal()
    busy_changed = Signal(bool)
    finished = Signal(object)
    failed = Signal(object)

    def __init__(self, models: Models, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models, self._tasks = models, tasks
        self._views: tuple[DownloadView, ...] = ()
        self._makings: dict[str, Making] = {}
        self._done: set[str] = set()
        self._is_busy = False
        self._bridge = Bridge(self, BRIDGE_MS)
        self._bridge.drained.connect(self._on_drained)
        self._stop_listening = models.downloads.listen(self._bridge.post)
        self._views = tuple(models.downloads.views())
        self._done = {view.id for view in self._views if view.state == "finished"}

    def close(self) -> None:
        """No more news; the downloads themselves are the queue's."""
        for making in self._makings.values():
            making.is_cancelled.set()
        self._stop_listening()
        self._bridge.close()

    @property
    def items(self) -> tuple[TrayItem, ...]:
        makings = [_making_item(making) for making in self._makings.values()]
        return (*makings, *(download_item(view) for view in self._views))

    @property
    def is_busy(self) -> bool:
        return any(view.state in UNDER_WAY for view in self._views) or any(
            making.state == "running" for making in self._makings.values()
        )

    def view_of(self, repo_id: str, label: str) -> DownloadView | None:
        """The newest download of this quantization."""
        found = [v for v in self._views if (v.order.repo_id, v.order.label) == (repo_id, label)]
        return found[-1] if found else None

    def view(self, download_id: str) -> DownloadView | None:
        return next((view for view in self._views if view.id == download_id), None)

    def path_of(self, item_id: str) -> Path | None:
        """The file that a finished piece of work brought."""
        if item_id in self._makings:
            return self._makings[item_id].path
        view = self.view(item_id)
        return view.path if view is not None else None

    # --- what a person does ------------------------------------------------------------------------------

    def pull(self, repository: Repository, quantization: RepoQuantization) -> None:
        self._do(lambda: self._models.pull(repository, quantization))

    def pause(self, item_id: str) -> None:
        self._do(lambda: self._models.downloads.pause(item_id))

    def resume(self, item_id: str) -> None:
        self._do(lambda: self._models.downloads.resume(item_id))

    def again(self, item_id: str) -> None:
        """Orders anew what was cancelled."""
        view = self.view(item_id)
        if view is not None:
            self._do(lambda: self._models.downloads.add(view.order))

    def cancel(self, item_id: str) -> None:
        if item_id in self._makings:
            self._makings[item_id].is_cancelled.set()
            self._makings[item_id].state = "cancelling"
            self.changed.emit()
        else:
            self._do(lambda: self._models.downloads.cancel(item_id))

    def forget(self, item_id: str) -> None:
        if self._makings.pop(item_id, None) is None:
            self._do(lambda: self._models.downloads.forget(item_id))
        self._refresh()

    def clear(self) -> None:
        """Forgets all that is over; files stay."""
        for item in self.items:
            if item.is_over:
                self.forget(item.id)

    def make(self, title: str, work: Callable[[Callable[[float | None], None], threading.Event], Path]) -> None:
        """Runs `work(on_progress, cancel)` in the background as a row of the tray."""
        making = Making(f"make-{len(self._makings)}-{title}", title)
        self._makings[making.id] = making

        def progress(share: float | None) -> None:
            self._bridge.post((making.id, share))

        self._tasks.run(
            lambda: work(progress, making.is_cancelled),
            lambda path: self._on_made(making, path),
            lambda error: self._on_make_failed(making, error),
        )
        self._refresh()

    def _do(self, work: Callable[[], object]) -> None:
        self._tasks.run(work, lambda _: self._refresh(), self._on_failed)

    def _on_failed(self, error: WorkbenchError) -> None:
        self.failed.emit(error)
        self._refresh()

    # --- news --------------------------------------------------------------------------------------------

    def _on_drained(self, news: list[Any]) -> None:
        for piece in news:
            if isinstance(piece, tuple) and piece and piece[0] in self._makings:
                self._makings[piece[0]].share = piece[1]
        self._refresh()

    def _refresh(self) -> None:
        self._views = tuple(self._models.downloads.views())
        done = {view.id: view for view in self._views if view.state == "finished"}
        fresh, self._done = done.keys() - self._done, set(done)
        self.changed.emit()
        for download_id in fresh:
            self.finished.emit(done[download_id].path)
        if self.is_busy != self._is_busy:
            self._is_busy = self.is_busy
            self.busy_changed.emit(self._is_busy)

    def _on_made(self, making: Making, path: Path) -> None:
        making.state, making.path = "finished", path
        self._refresh()
        self.finished.emit(path)

    def _on_make_failed(self, making: Making, error: WorkbenchError) -> None:
        if making.is_cancelled.is_set():
            making.state = "cancelled"
        else:
            making.state, making.problem = "failed", error.message
        self._refresh()


def download_item(view: DownloadView) -> TrayItem:
    """A download as the tray shows it."""
    order = view.order
    title = f"{order.label}  {words.title_of(order.repo_id.split('/')[-1])}"
    item = TrayItem(view.id, title, "", view.fraction, tip=f"{order.repo_id} at {order.revision[:12]}")
    if view.state == "finished":
        return replace(
            item, detail=f"{units.bytes_text(order.size_bytes)}, SHA-256 verified", tone="good", is_over=True,
            actions=(("use", "Use"), ("folder", "Show in folder")),
        )  # fmt: skip
    if view.state == "cancelled":
        return replace(item, detail="cancelled", is_over=True, actions=(("again", "Download again"),))
    if view.state == "failed":
        detail = f"stopped at {_done_of(view)}" if view.done_bytes else "not started"
        return replace(item, detail=detail, problem=view.error or "The download failed.",
                       actions=(*_remedies(view.error_code), ("forget", "Remove")))  # fmt: skip
    first = ("resume", "Resume") if view.state == "paused" else ("pause", "Pause")
    return replace(
        item, detail=_progress_text(view), tone="warn" if view.note else "dim", actions=(first, ("cancel", "Cancel"))
    )


def _progress_text(view: DownloadView) -> str:
    if view.state == "queued":
        return f"waits for its turn, {units.bytes_text(view.order.size_bytes)}"
    if view.state == "verifying":
        return f"checking the SHA-256 of {units.bytes_text(view.order.size_bytes)}"
    said = [_done_of(view)]
    if view.state == "paused":
        said.insert(0, "paused")
    elif view.note:
        said.append(view.note)
    else:
        if view.bytes_per_s is not None:
            said.append(f"{units.bytes_text(view.bytes_per_s)}/s")
        if view.remaining_s is not None:
            said.append(f"{units.ms_text(max(1.0, view.remaining_s) * 1000).replace('.0 s', ' s')} left")
    if view.resumed:
        said.append(f"resumed {TIMES.get(view.resumed, f'{view.resumed} times')}")
    return ", ".join(said)


def _done_of(view: DownloadView) -> str:
    """499 of 805 MB; both units where they differ."""
    done, done_unit = units.bytes_parts(view.done_bytes)
    total, unit = units.bytes_parts(view.order.size_bytes)
    first = done if done_unit == unit or view.done_bytes == 0 else f"{done} {done_unit}"
    return f"{first} of {total} {unit}"


def _remedies(code: str | None) -> tuple[tuple[str, str], ...]:
    if code == ACCESS_DENIED:
        return ("page", "Open page"), ("token", "Set token…"), ("retry", "Try again")
    if code == DISK_FULL:
        return ("space", "Open folder"), ("retry", "Try again")
    return (("retry", "Try again"),)


def _making_item(making: Making) -> TrayItem:
    item = TrayItem(making.id, making.title, "", making.share)
    if making.state == "finished":
        return replace(item, detail="made", tone="good", is_over=True,
                       actions=(("use", "Use"), ("folder", "Show in folder")))  # fmt: skip
    if making.state == "cancelled":
        return replace(item, detail="cancelled, nothing was kept", is_over=True)
    if making.state == "failed":
        return replace(item, detail="not made", problem=making.problem, actions=(("forget", "Remove"),))
    if making.state == "cancelling":
        return replace(item, detail="cancelling")
    share = "starting" if making.share is None else f"{making.share * 100:.0f} % done"
    return replace(item, detail=share, actions=(("cancel", "Cancel"),))
