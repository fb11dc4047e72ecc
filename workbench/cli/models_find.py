"""`workbench models search | catalog | show`: what there is on the Hub, in the catalogue and on this machine."""

from __future__ import annotations

import sys
from enum import StrEnum
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options
from workbench.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.core import Workbench
    from workbench.errors import HubOffline
    from workbench.hub.catalog import CatalogEntry
    from workbench.hub.repository import RepoSummary, SearchQuery


class Sort(StrEnum):
    """`workbench.hub.repository.SortBy`, written out so that `--help` need not import the core."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    RECENT = "recent"


Words = Annotated[
    list[str] | None, typer.Argument(metavar="TEXT", help="Words of the name; or a repository's id or address.")
]
Author = Annotated[str | None, typer.Option("--author", metavar="NAME", help="Only repositories of this author.")]
SortOption = Annotated[Sort, typer.Option("--sort", help="What comes first.")]
License = Annotated[str | None, typer.Option("--license", metavar="NAME", help="Only this licence, as apache-2.0.")]
MinSize = Annotated[str | None, typer.Option("--min-size", metavar="N", help="At least so many parameters: 500M.")]
MaxSize = Annotated[str | None, typer.Option("--max-size", metavar="N", help="At most so many parameters: 4B.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many repositories.")]
Check = Annotated[bool, typer.Option("--check", help="Compare with the Hub. Exit code 1 when something differs.")]
Name = Annotated[str, typer.Argument(metavar="REPO|MODEL", help="A repository's id or address, or a model on disk.")]
Revision = Annotated[str | None, typer.Option("--revision", metavar="NAME", help="A branch, tag or commit.")]


def search(
    words: Words = None,
    author: Author = None,
    sort: SortOption = Sort.DOWNLOADS,
    license: License = None,
    min_size: MinSize = None,
    max_size: MaxSize = None,
    limit: Limit = 20,
    json: options.Json = False,
) -> None:
    """Search the Hub for GGUF models. Without network: what the catalogue and this machine have."""
    from workbench.cli import models_session
    from workbench.cli.models_card import show_repository
    from workbench.cli.models_text import read_parameters
    from workbench.errors import HubOffline
    from workbench.hub.repository import SearchQuery
    from workbench.hub.search import repo_id_of

    smallest, largest = read_parameters(min_size, "--min-size"), read_parameters(max_size, "--max-size")
    text = " ".join(words or ())
    query = SearchQuery(text, author, sort.value, license, smallest, largest)
    with models_session.opened() as workbench:
        try:
            if repo_id_of(text) is not None:
                show_repository(workbench, text, None, json=json)
                return
            found = list(islice(chain.from_iterable(workbench.models.search(query)), limit))
        except HubOffline as error:
            raise typer.Exit(_without_network(workbench, query, error, json=json)) from None
    if json:
        from workbench.cli.json_output import print_json
        from workbench.cli.models_json import summary_object

        repositories = [summary_object(item) for item in found]
        print_json({"repositories": repositories, "catalog": None, "on_disk": None, "error": None})
        return
    _print_found(found, limit)


def _print_found(found: Sequence[RepoSummary], limit: int) -> None:
    from workbench.cli.models_text import SEARCH_HEADERS, SEARCH_RIGHT, search_cells
    from workbench.cli.terminal import print_table

    if not found:
        typer.echo("The Hub has no GGUF model like that. Try fewer words, or: workbench models catalog", err=True)
        return
    print_table(list(SEARCH_HEADERS), [search_cells(item) for item in found], SEARCH_RIGHT)
    if len(found) == limit:
        typer.echo(f"The first {limit}; --limit shows more.", err=True)
    typer.echo(f"Its files: workbench models show {found[0].repo_id}", err=True)


def _without_network(workbench: Workbench, query: SearchQuery, error: HubOffline, *, json: bool) -> ExitCode:
    """What can be said without the Hub: entries of the catalogue and models on disk with these words."""
    from workbench.cli.models_text import has_words

    listed = [item for item in workbench.models.catalog().entries if has_words(query.text, item.name, item.repo_id)]
    here = [entry for entry in workbench.library.list() if has_words(query.text, entry.name, entry.repo_id or "")]
    if json:
        from workbench.cli.json_output import error_object, model_object, print_json
        from workbench.cli.models_json import catalog_entry_object

        print_json({
            "repositories": [],
            "catalog": [catalog_entry_object(item) for item in listed],
            "on_disk": [model_object(entry) for entry in here],
            "error": error_object(error),
        })  # fmt: skip
        return ExitCode.OFFLINE
    from workbench.cli.terminal import print_table

    typer.echo(error.message, err=True)
    typer.echo("From the catalogue that comes with the program:" if listed else "The catalogue has none.", err=True)
    _print_catalog(listed)
    typer.echo("On this machine:" if here else "On this machine there is none.", err=True)
    if here:
        print_table(["model", "quantizations"], [[entry.name, ", ".join(entry.choices)] for entry in here])
    return ExitCode.OFFLINE


def catalog(check: Check = False, json: options.Json = False) -> None:
    """List small open models worth a try; works without network."""
    from workbench.cli import models_session

    with models_session.opened() as workbench:
        found = workbench.models.catalog()
        findings = workbench.models.check_catalog() if check else ()
    code = ExitCode.FAILED if findings else ExitCode.FINISHED
    if json:
        from workbench.cli.json_output import print_json
        from workbench.cli.models_json import catalog_object

        print_json(catalog_object(found, findings, is_checked=check))
        raise typer.Exit(code)
    _print_catalog(found.entries)
    typer.echo(f"As of {found.date}. Fetch one: workbench models pull {found.entries[0].repo_id}", err=True)
    for finding in findings:
        typer.echo(f"{finding.repo_id}: {finding.sentence}", err=True)
    if check and not findings:
        typer.echo("The Hub says the same.", err=True)
    raise typer.Exit(code)


def _print_catalog(entries: Sequence[CatalogEntry]) -> None:
    from workbench.cli.models_text import CATALOG_HEADERS, CATALOG_RIGHT, catalog_cells, catalog_lines
    from workbench.cli.terminal import is_live, print_table

    if is_live(sys.stdout):
        for line in (line for entry in entries for line in catalog_lines(entry)):
            typer.echo(line)
    elif entries:
        print_table(list(CATALOG_HEADERS), [catalog_cells(item) for item in entries], CATALOG_RIGHT)


def show(name: Name, revision: Revision = None, json: options.Json = False) -> None:
    """Show a repository's quantizations, or all that is known of a model on disk (REPO:QUANT, a name or a path)."""
    from workbench.cli import models_session
    from workbench.cli.models_card import show_model, show_repository
    from workbench.cli.models_choice import local_model, wanted
    from workbench.errors import HubOffline
    from workbench.hub.search import repo_id_of

    with models_session.opened() as workbench:
        text, label = wanted(name, None)
        if repo_id_of(text) is None:
            show_model(workbench, workbench.library.resolve(text, label), json=json)
            return
        here = local_model(workbench, text, label) if label is not None and revision is None else None
        if here is not None:
            show_model(workbench, here, json=json)
            return
        try:
            show_repository(workbench, text, revision, json=json)
        except HubOffline as error:
            ref = local_model(workbench, text, label)
            if ref is None:
                raise
            typer.echo(error.message, err=True)
            show_model(workbench, ref, json=json)
