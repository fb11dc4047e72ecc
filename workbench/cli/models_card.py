"""All that is known of one repository, or of one model on disk, on a screen or as JSON."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from workbench.cli.json_output import print_json
from workbench.cli.models_choice import made_file
from workbench.cli.models_json import model_card_object, repository_object
from workbench.cli.models_memory import CHECK_HEADERS, CHECK_RIGHT, check_lines, check_rows
from workbench.cli.models_shelf import FILE_HEADERS, FILE_RIGHT, FILE_SPARE, fact_rows, file_cells, lineage_sentence
from workbench.cli.models_table import print_narrowed
from workbench.cli.models_text import QUANTIZATION_HEADERS, QUANTIZATION_RIGHT, quantization_cells, repository_lines
from workbench.cli.terminal import print_rows, print_table
from workbench.core import Workbench
from workbench.errors import HistoryError
from workbench.hub.lineage import lineage_of
from workbench.hub.repository import Repository
from workbench.runs.spec import ModelRef
from workbench.units import bytes_text


def show_repository(workbench: Workbench, text: str, revision: str | None, *, json: bool) -> None:
    """Asks the Hub. Raises HubError."""
    repository = workbench.models.repository(text, revision)
    here = labels_on_disk(workbench, repository)
    if json:
        print_json(repository_object(repository, here))
        return
    for line in repository_lines(repository):
        typer.echo(line, err=True)
    rows = [quantization_cells(item, here) for item in repository.quantizations]
    print_table(list(QUANTIZATION_HEADERS), rows, QUANTIZATION_RIGHT)
    for file in repository.projectors:
        typer.echo(f"Projector: {file.name}, {bytes_text(file.size_bytes)}", err=True)
    marked = next((item for item in repository.quantizations if item.is_recommended), None)
    if marked is None:
        return
    typer.echo(f"{marked.label}: {marked.reason}", err=True)
    name = shlex.quote(f"{repository.summary.repo_id}:{marked.label}")
    hint = (
        f"Run it: workbench run --model {name}" if marked.label in here else f"Fetch it: workbench models pull {name}"
    )
    typer.echo(hint, err=True)


def labels_on_disk(workbench: Workbench, repository: Repository) -> set[str]:
    """The labels of quantizations whose first file is here, by the name that the repository gives it."""
    repo_id = repository.summary.repo_id
    files = [file for entry in workbench.library.list() for file in entry.files if file.repo_id == repo_id]
    names = {file.path.name for file in files if file.problem is None}
    return {item.label for item in repository.quantizations if Path(item.files[0].name).name in names}


def show_model(workbench: Workbench, ref: ModelRef, *, json: bool) -> None:
    """A model on disk: its header, what it was made from, how predictions came out. Raises ModelNotFound."""
    path = made_file(ref)
    entry = workbench.library.entry_of(path)
    file = next((item for item in entry.files if path in item.parts), None) if entry else None
    file = file or workbench.library.describe(path)
    files = entry.files if entry else (file,)
    lineage = lineage_of(path)
    sha256 = workbench.library.sha256(ref)
    unreadable: list[HistoryError] = []
    checks = workbench.models.memory_checks(path, sha256, unreadable.append)
    if unreadable:
        count = f"{len(unreadable)} such checks are" if len(unreadable) > 1 else "It is"
        typer.echo(f"{unreadable[0].message} {count} left out.", err=True)
    if json:
        print_json(model_card_object(ref.name, file, files, lineage, checks))
        return
    print_rows(fact_rows(ref.name, file), sys.stdout)
    typer.echo()
    print_narrowed(FILE_HEADERS, [file_cells(item) for item in files], FILE_RIGHT, FILE_SPARE)
    if lineage is not None:
        typer.echo(f"\n{lineage_sentence(lineage)}")
    if checks:
        typer.echo()
        for line in check_lines(checks):
            typer.echo(line)
        print_table(list(CHECK_HEADERS), check_rows(checks), CHECK_RIGHT)
