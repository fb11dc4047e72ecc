"""Models for the tests of the real program, and a Hub that has some."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import hub_repos
from tests.e2e.program import run
from tests.fakes.hub_server import HubServer
from tests.fakes.keyring_store import clear_surroundings
from tests.fakes.tiny_models import write_chain


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Says "abc abc abc ..." until it is stopped."""
    return write_chain(tmp_path_factory.mktemp("models") / "endless.gguf", [b"a", b"b", b"c", b" ", b"a"])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """With the repositories of `hub_repos`; programs that are started find it, and no keyring."""
    clear_surroundings(monkeypatch, tmp_path / "hugging-face")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with HubServer() as server:
        hub_repos.fill(server)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture(scope="session")
def measured_machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `workbench models fit` found out about this machine's speed; measuring takes seconds, so it is done once."""
    home = tmp_path_factory.mktemp("measured")
    assert run("models", "fit", "demo", WORKBENCH_HOME=str(home)).returncode == 0
    return home / "cache" / "machine_speed.json"


@pytest.fixture
def known_speed(measured_machine: Path, workbench_home: Path) -> None:
    """The home of this test begins with it."""
    cache = workbench_home / "cache"
    cache.mkdir()
    shutil.copy(measured_machine, cache)
