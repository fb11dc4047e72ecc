"""`workbench profiles`: the modes, surfaces and machines that are there, and what is wrong with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import options
from workbench.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from workbench.profiles import MachineProfile, ModeProfile, ProfileStore, SurfaceProfile

    AnyProfile = ModeProfile | SurfaceProfile | MachineProfile

app = typer.Typer(
    name="profiles", help="List, show and check modes, surfaces and machines.", rich_markup_mode=None,
    no_args_is_help=True,
)  # fmt: skip
KINDS = ("modes", "surfaces", "machines")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a mode, surface or machine.")]
Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[PATH]...", help="Profile files or folders; else all that are there.")
]


@app.command("list")
def list_profiles(json: options.Json = False) -> None:
    """List all profiles; your own are marked."""
    from workbench.cli import session

    with session.opened() as workbench:
        found = _all(workbench.profiles)
        folder = workbench.paths.user_profiles
    if json:
        from workbench.cli.json_output import print_json

        print_json([{"kind": kind, **_plain(profile)} for kind, profile in found])
        return
    from workbench.cli.terminal import print_table

    rows = [[kind, item.name, "" if item.builtin else "your own", _about(item)] for kind, item in found]
    print_table(["kind", "name", "", "about"], rows)
    typer.echo(f"Your own profiles go to {folder} (modes, surfaces, machines).", err=True)


@app.command()
def show(name: Name) -> None:
    """Print the file of a profile."""
    from workbench.cli import session

    with session.opened() as workbench:
        found = [item for _, item in _all(workbench.profiles) if item.name == name]
    if not found:
        raise options.UsageProblem(f"There is no profile {name!r}. List them with: workbench profiles list")
    for item in found:
        if item.path is not None:
            typer.echo(f"# {item.path}")
            typer.echo(options.read_text(item.path))


@app.command()
def check(paths: Files = None, json: options.Json = False) -> None:
    """Check profiles and name every problem; exit code 7 when there is one."""
    from workbench.cli import session

    with session.opened() as workbench:
        files = _files(paths) if paths else None
        problems = workbench.profiles.check(files)
        count = len(files) if files is not None else len(_all(workbench.profiles))
    if json:
        from workbench.cli.json_output import print_json

        print_json([{"path": str(problem.path), "message": problem.message} for problem in problems])
    else:
        for problem in problems:
            typer.echo(problem.message)
        if not problems:
            typer.echo(f"{count} profiles, no problem.")
    raise typer.Exit(ExitCode.PROFILE if problems else ExitCode.FINISHED)


def _all(store: ProfileStore) -> list[tuple[str, AnyProfile]]:
    return [
        *(("mode", item) for item in store.modes()),
        *(("surface", item) for item in store.surfaces()),
        *(("machine", item) for item in store.machines()),
    ]


def _about(profile: AnyProfile) -> str:
    summary = getattr(profile, "summary", None)
    return str(summary) if summary else profile.title


def _plain(profile: AnyProfile) -> dict[str, Any]:
    return {**dataclasses.asdict(profile), "path": str(profile.path) if profile.path else None}


def _files(paths: list[Path]) -> list[Path]:
    """Files as given; for a folder, the profiles below it, which are in folders of their kind."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(path.rglob("*.toml"))
            found += [file for file in below if file.absolute().parent.name in KINDS] or below
        else:
            found.append(path)
    return found
