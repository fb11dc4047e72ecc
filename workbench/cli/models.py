"""`workbench models`: the commands about models, and the list of those on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from workbench.cli import (
    exit_codes,
    models_find,
    models_fit,
    models_keep,
    models_make,
    models_pull,
    models_token,
    options,
)

if TYPE_CHECKING:
    from workbench.core import Workbench
    from workbench.history.model_figures import ModelUse
    from workbench.hub.gguf import ModelFile

app = typer.Typer(
    name="models",
    help="Find, judge, fetch, keep and make models.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
HEADERS = ("model", "quantization", "size", "parameters", "from", "repository", "last used", "speed", "file")
RIGHT = frozenset({2, 3, 7})
SPARE = (8, 5, 3, 4)


def list_models(json: options.Json = False) -> None:
    """List the models on this machine; those in brackets are made on first use."""
    from workbench.cli import models_session

    with models_session.opened() as workbench:
        entries = workbench.library.list()
        problems = workbench.library.problems
        left = workbench.library.trash.leftovers()
        folder = workbench.paths.models
        uses = uses_of(workbench, [file for entry in entries for file in entry.files])
    if json:
        from workbench.cli.json_output import model_object, print_json

        print_json([model_object(entry, uses) for entry in entries])
        return
    from workbench.cli.models_shelf import leftover_sentence, library_rows
    from workbench.cli.models_table import print_narrowed

    print_narrowed(HEADERS, library_rows(entries, uses), RIGHT, SPARE)
    for problem in problems:
        typer.echo(problem, err=True)
    if left:
        typer.echo(leftover_sentence(left), err=True)
    if any(entry.makeable for entry in entries):
        typer.echo("Quantizations in brackets are made on first use.", err=True)
    typer.echo(f"GGUF files in {folder} are found by their names; a path works everywhere.", err=True)


def uses_of(workbench: Workbench, files: Iterable[ModelFile]) -> dict[Path, ModelUse | None]:
    """What the history knows of each file: by its path, else by its content, for one that was moved."""
    known = workbench.models.model_use()
    return {
        file.path: known.get(str(file.path)) or known.get(workbench.library.sha256_of(file) or "") for file in files
    }


def _register() -> None:
    commands = (
        ("search", models_find.search),
        ("catalog", models_find.catalog),
        ("show", models_find.show),
        ("fit", models_fit.fit),
        ("pull", models_pull.pull),
        ("list", list_models),
        ("add", models_keep.add),
        ("verify", models_keep.verify),
        ("rm", models_keep.remove),
        ("undelete", models_keep.undelete),
        ("quantize", models_make.quantize),
    )
    for name, command in commands:
        app.command(name, epilog=exit_codes.epilog())(command)
    app.add_typer(models_token.app)


_register()
