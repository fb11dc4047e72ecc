"""What a run looks like in a terminal: text as it comes, a live line below it, a table at its end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workbench.cli.figures import Row, live_line
from workbench.cli.progress import RunProgress
from workbench.core import Workbench
from workbench.runs import events
from workbench.runs.record import RunRecord

if TYPE_CHECKING:
    from workbench.cli.checkup import Finding

THINKING_STYLE = "dim"
REDRAW_S = 0.1
# A model may write escape sequences; in a terminal they would move the cursor, or worse.
_CONTROL = {code: None for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if code not in (0x09, 0x0A)}


def printable(text: str) -> str:
    """Text without control characters, lines and tabs kept."""
    return text.translate(_CONTROL)


def console_on(file: TextIO) -> Console:
    return Console(file=file, highlight=False, markup=False, emoji=False)


def is_live(file: TextIO) -> bool:
    """Whether a line can be redrawn there."""
    console = console_on(file)
    return console.is_terminal and not console.is_dumb_terminal


class PipedText:
    """The answer alone, for a pipe or a file, and nothing that belongs to a person's screen."""

    def __init__(self, out: TextIO, *, is_streaming: bool) -> None:
        self._out = out
        self._is_streaming = is_streaming
        self._written = ""

    def add(self, text: str, *, is_thinking: bool) -> None:
        if self._is_streaming and text and not is_thinking:
            self._written += text
            self._out.write(text)
            self._out.flush()

    def end(self, record: RunRecord) -> None:
        """What was not streamed (a vote shows only its winner), and a line end."""
        if not self._written:
            self._out.write(record.text)
        if record.text and not record.text.endswith("\n"):
            self._out.write("\n")
        self._out.flush()


class ScreenText:
    """Text that grows row by row: whole rows are printed, the last one is `tail` and belongs to the live part."""

    def __init__(self, console: Console, *, is_streaming: bool) -> None:
        self._console = console
        self._is_streaming = is_streaming
        self._pending = ""
        self._style = ""
        self._has_answer = False

    @property
    def tail(self) -> Text:
        return Text(self._pending, style=self._style)

    def add(self, text: str, *, is_thinking: bool) -> None:
        if not self._is_streaming or not text:
            return
        style = THINKING_STYLE if is_thinking else ""
        if style != self._style and (self._pending or self._style):
            self._print_tail()
            self._console.print()
        self._style = style
        self._has_answer = self._has_answer or not is_thinking
        self._pending += printable(text)

    def flush(self) -> None:
        """Prints the rows that no further token can change."""
        width = self._console.width
        if "\n" not in self._pending and cell_len(self._pending) < width:
            return
        rows = Text(self._pending, style=self._style).wrap(self._console, width)
        if self._pending.endswith("\n"):
            rows.append(Text())
        # The live part is drawn again below what is printed: it must not show these rows any more.
        self._pending = rows[-1].plain
        self._console.print(Text("\n").join(rows[:-1]), soft_wrap=True)

    def end(self, record: RunRecord) -> None:
        self._print_tail()
        if not self._has_answer and record.text:
            self._console.print(Text(printable(record.text)))

    def _print_tail(self) -> None:
        self.flush()
        tail, self._pending = self.tail, ""
        if tail.plain:
            self._console.print(tail, soft_wrap=True)


class RunView:
    """Shows one run: streams its text and, where a terminal is, keeps the live line below it."""

    def __init__(self, workbench: Workbench, *, is_streaming: bool = True) -> None:
        self._workbench = workbench
        self._progress = RunProgress()
        on_screen = is_live(sys.stdout)
        self._screen = console_on(sys.stdout if on_screen else sys.stderr)
        self._text: PipedText | ScreenText
        if on_screen:
            self._text = ScreenText(self._screen, is_streaming=is_streaming)
        else:
            self._text = PipedText(sys.stdout, is_streaming=is_streaming)
        self._line = ""
        self._drawn_at = 0.0
        self._live: Live | None = None
        if is_live(self._screen.file):  # type: ignore[arg-type]
            self._live = Live(
                get_renderable=self._live_part,
                console=self._screen,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def show(self, new: list[events.RunEvent]) -> None:
        for event in new:
            self._progress.take(event)
            if isinstance(event, events.TokensReceived) and self._progress.is_visible(event.pass_index):
                self._add(event)
            elif isinstance(event, events.TERMINAL):
                self.close()
                self._text.end(event.record)
                return
        self._draw()

    def note_cancel(self) -> None:
        self._progress.is_cancelling = True

    def close(self) -> None:
        """Takes the live line away; what was printed stays."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def _add(self, event: events.TokensReceived) -> None:
        run, was_thinking = "", event.is_thinking[0] if event.is_thinking else False
        for text, is_thinking in zip(event.texts, event.is_thinking, strict=True):
            if is_thinking != was_thinking:
                self._text.add(run, is_thinking=was_thinking)
                run, was_thinking = "", is_thinking
            run += text
        self._text.add(run, is_thinking=was_thinking)

    def _draw(self) -> None:
        if self._live is None or time.perf_counter() - self._drawn_at < REDRAW_S:
            return
        self._drawn_at = time.perf_counter()
        self._line = live_line(self._workbench, self._progress)
        if isinstance(self._text, ScreenText):
            self._text.flush()
        self._live.refresh()

    def _live_part(self) -> RenderableType:
        line = Text(self._line, style="cyan", no_wrap=True, overflow="ellipsis")
        if isinstance(self._text, ScreenText) and self._text.tail.plain:
            return Group(self._text.tail, line)
        return line


def print_rows(rows: list[Row], file: TextIO) -> None:
    """The closing table: measure, value, remark."""
    console = console_on(file)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for row in rows:
        style = {"good": "green", "bad": "yellow"}.get(row.verdict, "")
        table.add_row(row.name, row.value, Text(row.remark, style=style))
    console.print()
    console.print(table)


def print_notices(notices: list[str], file: TextIO) -> None:
    """Things that must not be missed: what was cut, what was warned of."""
    console = console_on(file)
    for notice in notices:
        console.print(Text(f"! {printable(notice)}", style="bold yellow"), soft_wrap=True)


def print_table(
    headers: list[str],
    rows: list[list[str]],
    right: frozenset[int] = frozenset(),
    wrapped: frozenset[int] = frozenset(),
) -> None:
    """A list of things on standard output; whole cells in a pipe. On a screen that is too narrow cells are cut, and
    those of the columns `wrapped` go on in further lines.
    """
    console = console_on(sys.stdout)
    if not console.is_terminal:
        for row in (headers, *rows):
            print("\t".join(printable(cell).replace("\t", " ").replace("\n", " ") for cell in row))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, header in enumerate(headers):
        is_cut = index not in wrapped
        table.add_column(
            header,
            justify="right" if index in right else "left",
            no_wrap=is_cut,
            overflow="ellipsis" if is_cut else "fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(cell).replace("\n", " ")) for cell in row))
    console.print(table)


def print_findings(findings: list[Finding]) -> None:
    """One line for each, by area; problems with what to do below them."""
    console = console_on(sys.stdout)
    marks = {"fine": ("ok", "green"), "note": ("note", "cyan"), "problem": ("WRONG", "bold red")}
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            console.print(Text(f"{area}", style="bold"))
        word, style = marks[finding.state]
        console.print(Text.assemble("  ", (f"{word:<6}", style), printable(finding.text)), soft_wrap=True)
        if finding.remedy:
            console.print(Text(f"         {finding.remedy}", style="yellow"), soft_wrap=True)
