"""Downloads in a terminal: a bar for each on a screen, a line now and then in a pipe, and Ctrl-C understood."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from workbench.cli.exit_codes import ExitCode, for_error_code
from workbench.cli.models_session import TOKEN_HINT
from workbench.cli.models_text import things
from workbench.cli.session import interrupts_counted
from workbench.cli.terminal import console_on, is_live, printable
from workbench.hub.transfers import UNDER_WAY, DownloadView
from workbench.units import bytes_text, ms_text

if TYPE_CHECKING:
    from workbench.hub.download import DownloadQueue

LOOK_S = 0.2
LINE_S = 5.0


class Display(Protocol):
    """Shows downloads as they go on; `close` takes away what is redrawn."""

    def show(self, views: Sequence[DownloadView]) -> None: ...

    def close(self) -> None: ...


def follow(queue: DownloadQueue, ids: Sequence[str], display: Display) -> tuple[DownloadView, ...]:
    """Waits until none of them is under way; Ctrl-C pauses them, so that what arrived is kept."""
    wake = threading.Event()
    try:
        with interrupts_counted(wake.set) as interrupts:
            while True:
                views = chosen(queue.views(), ids)
                display.show(views)
                waiting = [view for view in views if view.state in UNDER_WAY]
                if not waiting:
                    return views
                if interrupts:
                    for view in waiting:
                        queue.pause(view.id)
                wake.wait(LOOK_S)
                wake.clear()
    finally:
        display.close()


def chosen(views: Sequence[DownloadView], ids: Sequence[str]) -> tuple[DownloadView, ...]:
    """Those with these ids, in the order of the ids."""
    by_id = {view.id: view for view in views}
    return tuple(by_id[id] for id in dict.fromkeys(ids))


def title(view: DownloadView) -> str:
    return f"{view.order.repo_id}:{view.order.label}"


def amounts(view: DownloadView) -> str:
    """312 MB of 491 MB  4.2 MB/s  0:42 left"""
    words = [f"{bytes_text(view.done_bytes)} of {bytes_text(view.order.size_bytes)}"]
    if view.state == "verifying":
        words.append("comparing the content with the Hub's hash")
    elif view.note:
        words.append(view.note)
    elif view.state == "running" and view.bytes_per_s:
        words.append(f"{bytes_text(view.bytes_per_s)}/s")
        if view.remaining_s is not None:
            words.append(f"{ms_text(view.remaining_s * 1000)} left")
    elif view.state != "running":
        words.append(view.state)
    return printable("  ".join(words))


def resumption(view: DownloadView) -> str:
    """Said once for each download that did not begin at its first byte, or was cut."""
    return printable(f"{title(view)} goes on at {bytes_text(view.done_bytes)} of {bytes_text(view.order.size_bytes)}.")


class Bars:
    """One bar for each download, redrawn in place."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amounts]}", markup=False),
        )
        self._progress = Progress(*columns, console=console_on(sys.stderr), transient=True, auto_refresh=False)
        self._tasks: dict[str, TaskID] = {}
        self._resumed: set[str] = set()
        self._progress.start()

    def show(self, views: Sequence[DownloadView]) -> None:
        for view in views:
            if view.resumed and view.id not in self._resumed:
                self._resumed.add(view.id)
                self._progress.console.print(Text(resumption(view)), soft_wrap=True)
            size = view.order.size_bytes
            if view.id not in self._tasks:
                self._tasks[view.id] = self._progress.add_task(printable(title(view)), total=size, amounts="")
            self._progress.update(self._tasks[view.id], completed=view.done_bytes, amounts=amounts(view))
        self._progress.refresh()

    def close(self) -> None:
        self._progress.stop()


class Lines:
    """A line for each download at its changes of state, for each pause, and every few seconds while bytes come."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[tuple[str, str | None], float]] = {}
        self._resumed: set[str] = set()

    def show(self, views: Sequence[DownloadView]) -> None:
        for view in views:
            if view.resumed and view.id not in self._resumed:
                self._resumed.add(view.id)
                print(resumption(view), file=sys.stderr, flush=True)
            (state, note), said_at = self._said.get(view.id, (("", None), 0.0))
            at = time.monotonic()
            is_same = (view.state, view.note) == (state, note) or (view.state == state and view.note is None)
            # A pause is said once, with its length; it would not be true five seconds later.
            if view.state not in UNDER_WAY or (is_same and (view.note is not None or at - said_at < LINE_S)):
                continue
            self._said[view.id] = (view.state, view.note), at
            share = "" if view.fraction is None else f"{view.fraction:.0%}  "
            print(f"{title(view)}  {share}{amounts(view)}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to take away."""


def display() -> Bars | Lines:
    """What standard error can show."""
    return Bars() if is_live(sys.stderr) else Lines()


def ending(view: DownloadView) -> list[str]:
    """How it ended, and which command goes on."""
    name, again = title(view), f"It goes on with: workbench models pull {shlex.quote(title(view))}"
    if view.state == "finished":
        breaks = f" It went on {things(view.resumed, 'time')} after a break." if view.resumed else ""
        is_compared = all(file.sha256 for file in view.order.files)
        how = "its content compared" if is_compared else "its size compared, as the Hub names no hash of it"
        return [f"{name} is here, {bytes_text(view.order.size_bytes)}, {how}.{breaks}"]
    kept = f"{bytes_text(view.done_bytes)} of {bytes_text(view.order.size_bytes)} are kept."
    if view.state == "failed":
        hint = f" {TOKEN_HINT}" if for_error_code(view.error_code or "") == ExitCode.ACCESS else ""
        return [printable(f"{name}: {view.error}{hint}"), *([f"{kept} {again}"] if view.done_bytes else [])]
    return [f"{name} was stopped. {kept}", again]
