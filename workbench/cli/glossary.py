"""`workbench glossary`: the terms of this program and of its field, each in a sentence and in a paragraph."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import options

if TYPE_CHECKING:
    from workbench.glossary import Topic

Term = Annotated[list[str] | None, typer.Argument(metavar="[TERM]...", help="A term, as TTFT; else all of them.")]


def glossary(term: Term = None, json: options.Json = False) -> None:
    """Explain a term, or list all terms."""
    from workbench.glossary import Glossary
    from workbench.paths import resources

    known = Glossary(resources().glossary)
    topic = known.find(" ".join(term)) if term else None
    if json:
        from workbench.cli.json_output import print_json

        print_json(_plain(topic) if topic else [_plain(each) for each in known.alphabetical])
    elif topic:
        _print_topic(topic)
    else:
        from workbench.cli.terminal import print_table

        rows = [[topic.title, topic.short] for topic in known.alphabetical]
        print_table(["term", "in a sentence"], rows, wrapped=frozenset({1}))
        typer.echo("One of them at length: workbench glossary TERM", err=True)


def _print_topic(topic: Topic) -> None:
    from rich.text import Text

    from workbench.cli.terminal import console_on

    console = console_on(sys.stdout)
    console.print(Text(topic.title, style="bold"))
    if topic.other_names:
        console.print(Text(f"Also: {', '.join(topic.other_names)}", style="dim"))
    is_whole = not console.is_terminal  # lines of a pipe belong to who reads it
    for text in (topic.short, topic.explanation):
        console.print()
        console.print(Text(text), soft_wrap=is_whole)


def _plain(topic: Topic) -> dict[str, Any]:
    return {
        "id": topic.id,
        "title": topic.title,
        "names": list(topic.names),
        "short": topic.short,
        "long": topic.explanation,
    }
