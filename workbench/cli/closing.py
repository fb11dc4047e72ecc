"""The end of a run in a terminal: what happened, what was cut, and the table of figures."""

from __future__ import annotations

from typing import TextIO

from workbench.cli.figures import closing_rows, notices, turn_line
from workbench.cli.terminal import THINKING_STYLE, console_on, print_notices, print_rows, printable
from workbench.core import Workbench
from workbench.errors import ProfileError
from workbench.metrics.slo import BudgetVerdict, judge
from workbench.run_job import NOT_KEPT
from workbench.runs.record import RunRecord

DETAIL_LINES = 5


def print_closing(workbench: Workbench, record: RunRecord, file: TextIO) -> None:
    """Everything below the answer."""
    print_ending(record, file)
    print_notices(notices(record), file)
    if record.passes:
        print_rows(closing_rows(record, verdicts(workbench, record)), file)
        console_on(file).print(f"run {record.id}", style="dim")


def print_turn(record: RunRecord, file: TextIO) -> None:
    """What belongs below an answer of a chat: how it ended, what was cut, one line of figures."""
    print_ending(record, file)
    print_notices(notices(record), file)
    if record.passes:
        console_on(file).print(turn_line(record), style="dim", soft_wrap=True)


def print_ending(record: RunRecord, file: TextIO) -> None:
    """Why a run did not finish, in a sentence; nothing when it did."""
    console = console_on(file)
    if record.error is not None:
        console.print(printable(record.error.message), style="red", soft_wrap=True)
        for line in (record.error.detail or "").splitlines()[-DETAIL_LINES:]:
            console.print(printable(line), style="dim", soft_wrap=True)
    elif record.status == "cancelled":
        killed = " The engine had to be ended for it." if record.cancelled_by == "killed" else ""
        kept = "" if NOT_KEPT in (record.note or "") else "; the text so far is in the history"
        console.print(f"Cancelled{kept}.{killed}", style="yellow")


def print_record(record: RunRecord, file: TextIO) -> None:
    """What was asked and answered."""
    console = console_on(file)
    spec = record.spec
    mode = f", {spec.mode.name}" if spec.mode else ""
    console.print(f"{record.id}  {record.status}  {record.started_at}", soft_wrap=True)
    console.print(f"{spec.model.name} {spec.model.quantization or ''}{mode}", style="dim", soft_wrap=True)
    for message in spec.messages:
        console.print(f"\n{message.role}", style="bold")
        console.print(printable(message.full_content), soft_wrap=True)
    if record.thinking:
        console.print("\nthinking", style="bold")
        console.print(printable(record.thinking), style=THINKING_STYLE, soft_wrap=True)
    console.print("\nassistant", style="bold")
    console.print(printable(record.text), soft_wrap=True)


def verdicts(workbench: Workbench, record: RunRecord) -> tuple[BudgetVerdict, ...]:
    """Judged by the surface of the run; nothing when its profile is gone."""
    surface = record.spec.surface
    if surface is None:
        return ()
    try:
        return judge(record.metrics, workbench.profiles.surface(surface.name))
    except ProfileError:
        return ()
