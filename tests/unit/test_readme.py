"""The documents against the program: help texts, commands and paths that they show are the real ones."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(path for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")] if path.is_file())
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TOP_LEVEL = (
    "workbench/", "ui/", "profiles/", "assets/", "tests/", "packaging/", "docs/", ".ci/", "pyproject.toml",
    "README.md", "CHANGELOG.md", "LICENSE",
)  # fmt: skip
NAMED = re.compile(r"(?<![\w./~$-])(" + "|".join(map(re.escape, TOP_LEVEL)) + r")([\w./*-]*[\w*/])?")


def blocks(text: str) -> list[str]:
    return FENCE.findall(text)


def help_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Blocks of the form "$ workbench ... --help", then what it prints."""
    for block in blocks(text):
        first, _, rest = block.partition("\n")
        if first.startswith("$ workbench") and first.rstrip().endswith(("--help", "-h")):
            yield first.removeprefix("$ ").strip(), rest


def commands(text: str, program: str) -> Iterator[list[str]]:
    """The arguments of every line of a block that starts `program`."""
    for block in blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ")
            if line == program or line.startswith(program + " "):
                words = shlex.split(line, comments=True)
                cut = next((at for at, word in enumerate(words) if word in ("|", ">", "2>", "&&", ";")), len(words))
                yield words[len(program.split()) : cut]


def named_paths(text: str) -> Iterator[str]:
    """What looks like a path of this repository, in text and code alike."""
    for match in NAMED.finditer(text):
        yield match[0]


def real_help(command: str) -> str:
    environment = {**os.environ, "COLUMNS": "80"}
    words = [sys.executable, "-m", "workbench.cli", *shlex.split(command)[1:]]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment, check=True).stdout


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_help_texts_are_what_the_program_prints(document: Path) -> None:
    for command, shown in help_blocks(document.read_text(encoding="utf-8")):
        assert shown.strip() == real_help(command).strip(), f"{name_of(document)}: the text of `{command}` is old"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_workbench_commands_are_understood(document: Path) -> None:
    for arguments in commands(document.read_text(encoding="utf-8"), "workbench"):
        check_arguments(arguments)


def check_arguments(arguments: list[str]) -> None:
    """Parses as the program would, down to the last command, and runs nothing."""
    import typer.main

    from workbench.cli.app import app

    command, parent, name, rest = typer.main.get_command(app), None, "workbench", arguments
    while True:
        if {"--help", "-h", "--version"} & set(rest[:1]):
            return
        context = command.make_context(name, list(rest), parent=parent)
        # A group keeps the words that are not its own; their first is the next command.
        left = [*getattr(context, "_protected_args", getattr(context, "protected_args", [])), *context.args]
        below = getattr(command, "get_command", None)
        if below is None or not left:
            return
        name, rest, parent = left[0], left[1:], context
        command = below(context, name)
        assert command is not None, f"workbench {' '.join(arguments)}: there is no command {name!r}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_commands_of_the_set_up_script_are_understood(document: Path) -> None:
    script = set_up_script()
    for arguments in commands(document.read_text(encoding="utf-8"), "python3 packaging/dev.py"):
        options, _ = script.parse(arguments)
        assert options.command in ("run", "check")


def set_up_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev_script", ROOT / "packaging" / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_paths_that_are_named_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    missing = [path for path in named_paths(text) if not exists(ROOT, path)]
    missing += [
        link
        for link in LINK.findall(text)
        if not link.startswith(("http:", "https:", "mailto:")) and not exists(document.parent, link)
    ]
    assert not missing, f"{name_of(document)} names what is not there: {', '.join(sorted(set(missing)))}"


def exists(folder: Path, path: str) -> bool:
    if "*" in path:
        return any(folder.glob(path))
    return (folder / path).exists()


def test_the_readers_of_this_test_find_what_they_look_for() -> None:
    text = (
        '```\n$ workbench run --help\nUsage\n```\n```sh\nworkbench run "a b" --json  # x\n```\nSee `ui/app.py`, docs/x.'
    )
    assert list(help_blocks(text)) == [("workbench run --help", "Usage\n")]
    assert list(commands(text, "workbench"))[-1] == ["run", "a b", "--json"]
    assert list(named_paths(text)) == ["ui/app.py", "docs/x"]
    with pytest.raises(AssertionError, match="nonsense"):
        check_arguments(["nonsense"])
    with pytest.raises(Exception, match="no-such-option"):
        check_arguments(["run", "--no-such-option"])
    check_arguments(["history", "export", "--format", "csv"])
