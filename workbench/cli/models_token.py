"""`workbench models token`: the key to gated and private repositories, kept in the system's keyring."""

from __future__ import annotations

import sys

import typer

from workbench.cli import exit_codes, options

app = typer.Typer(
    name="token", help="Keep or forget the token of the Hub.", rich_markup_mode=None, no_args_is_help=True
)
PLACES = {
    "environment": "The token comes from the environment variable HF_TOKEN.",
    "keyring": "The token comes from the system keyring.",
    "login": "The token comes from `hf auth login`.",
}


@app.command("set", epilog=exit_codes.epilog())
def set_token() -> None:
    """Keep a token in the system keyring. It is asked for without echo, or read from standard input."""
    from workbench.hub.tokens import save_token, token_source

    token = _read_token()
    if not token:
        raise options.UsageProblem("There is no token. Make one at https://huggingface.co/settings/tokens.")
    save_token(token)
    typer.echo("The token is in the system keyring.", err=True)
    if token_source() == "environment":
        typer.echo("HF_TOKEN is set too, and is used before it.", err=True)


@app.command(epilog=exit_codes.epilog())
def forget() -> None:
    """Take the token out of the system keyring."""
    from workbench.hub.tokens import forget_token, token_source

    was_there = forget_token()
    typer.echo("The token is gone from the system keyring." if was_there else "The keyring has no token.", err=True)
    source = token_source()
    if source is not None:
        typer.echo(PLACES[source], err=True)


@app.command(epilog=exit_codes.epilog())
def status(json: options.Json = False) -> None:
    """Say where the token comes from; never the token."""
    from workbench.hub.tokens import token_source

    source = token_source()
    if json:
        from workbench.cli.json_output import print_json

        print_json({"source": source})
        return
    typer.echo(PLACES[source] if source else "There is no token; public repositories need none.")


def _read_token() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    import getpass

    return getpass.getpass("Token (it is not shown): ", stream=sys.stderr).strip()
