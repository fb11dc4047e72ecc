"""`workbench models add | verify | rm`: what is done with models that are here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options
from workbench.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.errors import WorkbenchError
    from workbench.hub.deletion import Deletion
    from workbench.hub.gguf import ModelFile
    from workbench.hub.importing import How
    from workbench.hub.verification import Verification

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="GGUF files, or folders with them.")]
Copy = Annotated[bool, typer.Option("--copy", help="Copy into the models folder.")]
Move = Annotated[bool, typer.Option("--move", help="Move into the models folder.")]
Link = Annotated[bool, typer.Option("--link", help="Put a link to it into the models folder.")]
Models = Annotated[list[str] | None, typer.Argument(metavar="MODEL[:QUANT]", help="Models; else all of them.")]
Names = Annotated[list[str], typer.Argument(metavar="MODEL[:QUANT]", help="Models; with :QUANT only that file.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")]
Discard = Annotated[bool, typer.Option("--discard", help="Remove them for good instead; their space is free then.")]


def add(paths: Paths, copy: Copy = False, move: Move = False, link: Link = False, json: options.Json = False) -> None:
    """Take GGUF files or folders into the library. Without an option they stay where they are."""
    from workbench.cli import models_session
    from workbench.cli.models_progress import watched

    if copy + move + link > 1:
        raise options.UsageProblem("Give one of --copy, --move and --link.")
    how: How = "copy" if copy else "move" if move else "link" if link else "register"
    additions = []
    with models_session.opened() as workbench:
        for path in paths:
            with watched(f"Adding {path.name}") as (report, cancel):
                addition = workbench.models.add_file(path, how=how, progress=report, cancel=cancel.is_set)
            additions.append(addition)
            for sentence in addition.sentences:
                typer.echo(sentence, err=True)
    if json:
        from workbench.cli.json_output import file_object, print_json

        print_json({
            "added": [file_object(file) for addition in additions for file in addition.files],
            "sentences": [sentence for addition in additions for sentence in addition.sentences],
        })  # fmt: skip


def verify(models: Models = None, json: options.Json = False) -> None:
    """Read models whole and compare them with what they should be. Exit code 3 when one is damaged."""
    from workbench.cli import models_session
    from workbench.cli.models_choice import files_named
    from workbench.cli.models_progress import watched

    found = []
    with models_session.opened() as workbench:
        entries = workbench.library.list()
        files = [file for entry in entries for file in entry.files]
        if models:
            files = [file for text in models for file in files_named(workbench, text)[1]]
        for file in files:
            with watched(f"Reading {file.path.name}") as (report, cancel):
                result = workbench.models.verify(file, progress=report, cancel=cancel.is_set)
            found.append(result)
            if not json:
                _print_verification(result)
    if json:
        from workbench.cli.json_output import print_json
        from workbench.cli.models_json import verification_object

        print_json([verification_object(result) for result in found])
    raise typer.Exit(ExitCode.FINISHED if all(result.is_sound for result in found) else ExitCode.MODEL)


def _print_verification(result: Verification) -> None:
    word = "proven" if result.is_proven else "sound" if result.is_sound else "DAMAGED"
    typer.echo(f"{word:<8} {result.path}")
    for check in result.checks:
        if check.passed is not True or check.name == "content":
            typer.echo(f"         {check.sentence}")


def remove(models: Names, yes: Yes = False, json: options.Json = False) -> None:
    """Delete models from the disk for good. The window can undo; this command cannot."""
    from workbench.cli import models_session
    from workbench.cli.models_choice import files_named

    with models_session.opened() as workbench:
        files = [file for text in models for file in files_named(workbench, text)[1]]
        files = list({file.path: file for file in files}.values())
        if not yes and not _is_wanted(files):
            raise typer.Exit(ExitCode.CANCELLED)
        deletion = workbench.models.delete(files)
        freed = deletion.empty()
    for note in deletion.notes:
        typer.echo(note, err=True)
    if json:
        from workbench.cli.json_output import print_json

        print_json({"deleted": list(deletion.names), "reclaimed_bytes": freed, "notes": list(deletion.notes)})
        return
    from workbench.units import bytes_text

    typer.echo(f"Deleted {', '.join(deletion.names)}: {bytes_text(freed)} are free again.", err=True)


def undelete(discard: Discard = False, json: options.Json = False) -> None:
    """Bring back what lies in the trash since a program that had deleted it ended abruptly."""
    from workbench.cli import models_session
    from workbench.cli.exit_codes import for_error
    from workbench.cli.json_output import error_object, print_json

    with models_session.opened() as workbench:
        ended = [(item, _discard(item) if discard else _undo(item)) for item in workbench.library.trash.leftovers()]
    errors = [error for _, error in ended if error is not None]
    done = [deletion for deletion, error in ended if error is None]
    names = [name for deletion in done for name in deletion.names]
    if json:
        print_json({
            "restored": [] if discard else names,
            "discarded": names if discard else [],
            "reclaimed_bytes": sum(deletion.reclaimed_bytes for deletion in done) if discard else 0,
            "errors": [error_object(error) for error in errors],
        })  # fmt: skip
    else:
        if not ended:
            typer.echo("Nothing is left in the trash.", err=True)
        _print_undeleted(done, is_discarded=discard)
        for error in errors:
            typer.echo(error.message, err=True)
    raise typer.Exit(for_error(errors[0]) if errors else ExitCode.FINISHED)


def _undo(deletion: Deletion) -> WorkbenchError | None:
    """What hinders one does not keep the others in the trash."""
    from workbench.errors import WorkbenchError

    try:
        deletion.undo()
    except WorkbenchError as error:
        return error
    return None


def _discard(deletion: Deletion) -> WorkbenchError | None:
    from workbench.errors import WorldError

    deletion.empty()
    if not deletion.is_pending:
        return None
    return WorldError(
        f"{', '.join(deletion.names)} could not be removed and stays in the trash; the newest log says why. Mend that "
        "and try again, or bring it back with `workbench models undelete`."
    )


def _print_undeleted(done: Sequence[Deletion], *, is_discarded: bool) -> None:
    from workbench.units import bytes_text

    if is_discarded and done:
        names = ", ".join(name for deletion in done for name in deletion.names)
        freed = sum(deletion.reclaimed_bytes for deletion in done)
        typer.echo(f"Removed {names} for good: {bytes_text(freed)} are free again.", err=True)
        return
    for deletion in done:
        where = f"in {deletion.places[0]}" if deletion.places else "in the list"
        typer.echo(f"{', '.join(deletion.names)} is back {where}.", err=True)


def _is_wanted(files: Sequence[ModelFile]) -> bool:
    from workbench.units import bytes_text

    if not sys.stdin.isatty():
        raise options.UsageProblem("Nobody can be asked here: add --yes to delete.")
    for file in files:
        typer.echo(f"{bytes_text(file.size_bytes):>9}  {file.path}", err=True)
    which = "this file" if len(files) == 1 else f"these {len(files)} files"
    return typer.confirm(f"Delete {which} for good?", err=True)
