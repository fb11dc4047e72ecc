"""`workbench models token`: what is kept, what is said, and that the token itself is never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.fakes.keyring_store import HeldKeyring, clear_surroundings, keyring_in_use
from workbench.cli import models_token
from workbench.cli.options import UsageProblem
from workbench.errors import UserError

TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldKeyring]:
    clear_surroundings(monkeypatch, tmp_path)
    held = HeldKeyring()
    with keyring_in_use(held):
        yield held


def test_a_token_from_standard_input_is_kept_and_not_shown(store: HeldKeyring) -> None:
    result = CliRunner().invoke(models_token.app, ["set"], input=f"  {TOKEN}\n")
    assert result.exit_code == 0, result.output
    assert list(store.held.values()) == [TOKEN]
    assert TOKEN not in result.output
    status = CliRunner().invoke(models_token.app, ["status", "--json"])
    assert json.loads(status.stdout) == {"source": "keyring"}
    assert CliRunner().invoke(models_token.app, ["status"]).stdout == "The token comes from the system keyring.\n"


def test_a_token_of_the_environment_is_said_to_come_first(store: HeldKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    result = CliRunner().invoke(models_token.app, ["set"], input=TOKEN)
    assert "HF_TOKEN is set too" in result.output
    forgotten = CliRunner().invoke(models_token.app, ["forget"])
    assert store.held == {}
    assert "HF_TOKEN" in forgotten.output


def test_forgetting_what_is_not_there_says_so(store: HeldKeyring) -> None:
    result = CliRunner().invoke(models_token.app, ["forget"])
    assert (result.exit_code, result.output) == (0, "The keyring has no token.\n")


@pytest.mark.parametrize(("text", "error"), [("\n", UsageProblem), ("two words\n", UserError), ("naïve\n", UserError)])
def test_what_is_no_token_is_not_kept(store: HeldKeyring, text: str, error: type[UserError]) -> None:
    result = CliRunner().invoke(models_token.app, ["set"], input=text)
    assert isinstance(result.exception, error)
    assert store.held == {}
