"""Long work on one file in a terminal: a bar, or a line now and then, and Ctrl-C as a wish to stop."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn

from workbench.cli.session import interrupts_counted
from workbench.cli.terminal import console_on, is_live, printable
from workbench.errors import UserError, WorkbenchError

LINE_S = 5.0
DRAW_S = 0.1

Report = Callable[[float | None], None]


@contextmanager
def watched(title: str) -> Iterator[tuple[Report, threading.Event]]:
    """What to call with a share from 0 to 1 (None: nobody knows), and the event that Ctrl-C sets.

    Whatever the work fails with after Ctrl-C becomes an error with the code "cancelled": Ctrl-C reaches child
    processes too, and one that has only begun to start dies of it.
    """
    cancel = threading.Event()
    try:
        with interrupts_counted(cancel.set), _reporter(title) as report:
            yield report, cancel
    except WorkbenchError as error:
        if cancel.is_set():
            raise UserError(f"{title}: stopped.", code="cancelled") from error
        raise


@contextmanager
def _reporter(title: str) -> Iterator[Report]:
    if not is_live(sys.stderr):
        yield _lines(title)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%", markup=False),
    )
    with Progress(*columns, console=console_on(sys.stderr), transient=True, auto_refresh=False) as progress:
        yield _bar(progress, title)


def _bar(progress: Progress, title: str) -> Report:
    task = progress.add_task(printable(title), total=None)
    drawn_at = 0.0

    def report(share: float | None) -> None:
        nonlocal drawn_at
        if time.monotonic() - drawn_at < DRAW_S and share != 1:
            return
        drawn_at = time.monotonic()
        progress.update(task, total=None if share is None else 1.0, completed=share or 0.0)
        progress.refresh()

    return report


def _lines(title: str) -> Report:
    said_at = time.monotonic()

    def report(share: float | None) -> None:
        nonlocal said_at
        if time.monotonic() - said_at < LINE_S:
            return
        said_at = time.monotonic()
        words = "at work" if share is None else f"{share:.0%}"
        print(f"{printable(title)}  {words}", file=sys.stderr, flush=True)

    return report
