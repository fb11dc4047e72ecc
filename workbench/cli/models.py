"""`workbench models`: the models on this machine."""

from __future__ import annotations

import typer

from workbench.cli import options

app = typer.Typer(name="models", help="The models on this machine.", rich_markup_mode=None, no_args_is_help=True)


# A second command keeps the first one's name: Typer runs a lone command without it.
@app.callback()
def root() -> None:
    """The models on this machine."""


@app.command("list")
def list_models(json: options.Json = False) -> None:
    """List models with their quantizations; those in brackets are made on first use."""
    from workbench.cli import session

    with session.opened() as workbench:
        entries = workbench.library.list()
        problems = workbench.library.problems
        folder = workbench.paths.models
    if json:
        from workbench.cli.json_output import model_object, print_json

        print_json([model_object(entry) for entry in entries])
        return
    from workbench.cli.terminal import print_table
    from workbench.units import bytes_text, count_text

    rows = []
    for entry in entries:
        for file in entry.files:
            sizes = [bytes_text(file.size_bytes), count_text(file.parameters)]
            rows.append([entry.name, file.quantization or "", *sizes, file.problem or str(file.path)])
        rows += [[entry.name, f"({name})", "", "", "made on first use"] for name in entry.makeable]
    print_table(["model", "quantization", "size", "parameters", "file"], rows, frozenset({2, 3}))
    for problem in problems:
        typer.echo(problem, err=True)
    typer.echo(f"GGUF files in {folder} are found by their names; a path works everywhere.", err=True)
