"""`workbench history`: runs of the past, to list, read, take away and delete."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options
from workbench.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from workbench.errors import HistoryError
    from workbench.history.store import HistoryStore, RunSummary

app = typer.Typer(
    name="history", help="List, show, export and delete past runs.", rich_markup_mode=None, no_args_is_help=True
)


class ExportFormat(StrEnum):
    """`workbench.history.store.ExportFormat`, written out so that `--help` need not import the core."""

    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"


class Status(StrEnum):
    """`workbench.runs.record.RunStatus`, written out for the same reason."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


Limit = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many, the newest first.")]
Search = Annotated[str | None, typer.Option("--search", metavar="WORDS", help="Only runs with these words in them.")]
StatusOption = Annotated[Status | None, typer.Option("--status", help="Only runs that ended so.")]
RunId = Annotated[str, typer.Argument(metavar="ID", help='A run: its id, the beginning of it, or "last".')]
RunIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Runs; without one, all of them.")]
DeleteIds = Annotated[list[str], typer.Argument(metavar="ID...", help="The runs to delete.")]
Format = Annotated[ExportFormat, typer.Option("--format", help="jsonl has everything, csv the figures.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else standard output.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")]


@app.command("list")
def list_runs(
    limit: Limit = 100, search: Search = None, status: StatusOption = None, json: options.Json = False
) -> None:
    """List runs, the newest first."""
    from workbench.cli import session

    with session.opened() as workbench:
        summaries = workbench.history.list(limit, search=search, status=status.value if status else None)
        if json:
            raise typer.Exit(_print_list(workbench.history, summaries))
        total = workbench.history.count(search, status.value if status else None)
    from workbench.cli.figures import SUMMARY_HEADERS, SUMMARY_RIGHT, summary_cells
    from workbench.cli.terminal import print_table

    if not summaries:
        typer.echo('There is no run. Make one with: workbench run "What is TTFT?"', err=True)
        return
    print_table(list(SUMMARY_HEADERS), [summary_cells(item) for item in summaries], SUMMARY_RIGHT)
    if total > len(summaries):
        typer.echo(f"{len(summaries)} of {total} runs; --limit shows more.", err=True)


@app.command()
def show(run_id: RunId, json: options.Json = False) -> None:
    """Show one run: its messages, its answer and its figures."""
    from workbench.cli import session

    with session.opened() as workbench:
        record = workbench.history.get(workbench.history.find_id(run_id))
        if json:
            from workbench.cli.json_output import print_json, run_object

            print_json(run_object(record))
            return
        from workbench.cli.closing import print_closing, print_record

        print_record(record, sys.stdout)
        print_closing(workbench, record, sys.stdout)


@app.command()
def export(run_ids: RunIds = None, format: Format = ExportFormat.JSONL, output: Output = None) -> None:
    """Write runs as JSON Lines, CSV or Markdown."""
    from workbench.cli import session

    with session.opened() as workbench:
        ids = [workbench.history.find_id(item) for item in run_ids] if run_ids else None
        damaged: list[str] = []

        def note(run_id: str, error: HistoryError) -> None:
            damaged.append(run_id)
            typer.echo(f"{error.message} It is left out.", err=True)

        _write(workbench.history.export(ids, format.value, note), output)
    if damaged:
        raise typer.Exit(ExitCode.STORAGE)


def _print_list(history: HistoryStore, summaries: list[RunSummary]) -> ExitCode:
    """The whole runs; one that cannot be read has its figures and says why."""
    from workbench.cli.json_output import print_json, summary_object
    from workbench.errors import HistoryError

    found, code = [], ExitCode.FINISHED
    for item in summaries:
        try:
            found.append(summary_object(item, history.get(item.id)))
        except HistoryError as error:
            found.append(summary_object(item, None, error))
            code = ExitCode.STORAGE
            typer.echo(error.message, err=True)
    print_json(found)
    return code


def _write(lines: Iterable[str], target: Path | None) -> None:
    if target is None:
        for line in lines:
            sys.stdout.write(line)
        return
    try:
        with target.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except OSError as error:
        raise options.UsageProblem(f"{target} cannot be written: {error.strerror or error}.") from error
    typer.echo(f"Written to {target}.", err=True)


@app.command()
def delete(run_ids: DeleteIds, yes: Yes = False) -> None:
    """Delete runs for good."""
    from workbench.cli import session

    with session.opened() as workbench:
        ids = [workbench.history.find_id(item) for item in run_ids]
        if not yes:
            if not sys.stdin.isatty():
                raise options.UsageProblem("Nobody can be asked here: add --yes to delete.")
            if not typer.confirm(f"Delete {len(ids)} {'run' if len(ids) == 1 else 'runs'} for good?"):
                return
        count = workbench.history.delete(ids)
    typer.echo(f"{count} {'run' if count == 1 else 'runs'} deleted.", err=True)
