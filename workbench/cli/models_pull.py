"""`workbench models pull`: fetches quantizations from the Hub, however often the line breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options
from workbench.cli.exit_codes import ExitCode, for_error_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.core import Workbench
    from workbench.hub.repository import RepoQuantization, Repository
    from workbench.hub.transfers import DownloadView

Repos = Annotated[list[str], typer.Argument(metavar="REPO[:QUANT]", help="Repositories by id or address.")]
Quant = Annotated[
    str | None, typer.Option("--quant", "-q", metavar="NAME", help="The quantization; else the recommended one.")
]
Revision = Annotated[str | None, typer.Option("--revision", metavar="NAME", help="A branch, tag or commit.")]
NoXet = Annotated[bool, typer.Option("--no-xet", help="Plain HTTP, also where the Hub offers its chunk storage.")]


@dataclass(frozen=True, slots=True)
class Pick:
    """One thing to fetch."""

    repository: Repository
    quantization: RepoQuantization

    @property
    def name(self) -> str:
        return f"{self.repository.summary.repo_id}:{self.quantization.label}"


def pull(
    repositories: Repos,
    quant: Quant = None,
    revision: Revision = None,
    no_xet: NoXet = False,
    json: options.Json = False,
) -> None:
    """Download models. Ctrl-C keeps what arrived; the same command goes on from there."""
    from workbench.cli import models_session
    from workbench.cli.models_transfer import display, follow

    with models_session.opened() as workbench:
        if no_xet:
            workbench.models.client.use_xet = False
        picks = [_pick(workbench, text, quant, revision) for text in repositories]
        for pick in picks:
            _print_fit(workbench, pick)
        ids = [workbench.models.pull(pick.repository, pick.quantization) for pick in picks]
        views = follow(workbench.models.downloads, ids, display())
    _print_endings(views)
    if json:
        from workbench.cli.json_output import print_json
        from workbench.cli.models_json import download_object

        print_json({"downloads": [download_object(view) for view in views]})
    else:
        for view in views:
            if view.path is not None:
                typer.echo(str(view.path))
    raise typer.Exit(code_of(views))


def _pick(workbench: Workbench, text: str, quant: str | None, revision: str | None) -> Pick:
    from workbench.cli.models_choice import choice_sentence, choose, wanted

    name, label = wanted(text, quant)
    repository = workbench.models.repository(name, revision)
    chosen = choose(repository, label)
    typer.echo(choice_sentence(repository, chosen, label), err=True)
    return Pick(repository, chosen)


def _print_fit(workbench: Workbench, pick: Pick) -> None:
    """Whether it will fit, as a note: neither the answer nor the lack of one hinders a download."""
    from workbench.cli.models_choice import remote_files
    from workbench.cli.models_fit import engine_options
    from workbench.errors import HubAccessDenied, WorkbenchError

    source = remote_files(pick.repository, pick.quantization)
    engine = engine_options(pick.repository.summary.context_trained)
    try:
        verdict = workbench.models.verdict(workbench.models.estimate(source, engine), source, engine)
    except HubAccessDenied:
        return  # the download says it
    except WorkbenchError as error:
        typer.echo(f"Whether it fits cannot be told before it is here: {error.message}", err=True)
    else:
        typer.echo(verdict.sentence, err=True)


def _print_endings(views: Sequence[DownloadView]) -> None:
    from workbench.cli.models_transfer import ending

    for view in views:
        for line in ending(view):
            typer.echo(line, err=True)


def code_of(views: Sequence[DownloadView]) -> ExitCode:
    """That of the first which failed; cancelled when one was stopped."""
    failed = [view for view in views if view.state == "failed"]
    if failed:
        return for_error_code(failed[0].error_code or "hub_error")
    return ExitCode.FINISHED if all(view.state == "finished" for view in views) else ExitCode.CANCELLED
