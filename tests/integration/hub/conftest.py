"""A Hub on this machine and a client that knows no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backends.fail import Keyring as NoKeyring

from tests.fakes.hub_server import HubServer
from tests.fakes.keyring_store import clear_surroundings, keyring_in_use
from workbench.hub.client import HubClient


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    clear_surroundings(monkeypatch, tmp_path / "hf")
    with keyring_in_use(NoKeyring()), HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def client(hub: HubServer) -> HubClient:
    return HubClient(use_xet=False)


@pytest.fixture
def cache(hub: HubServer, tmp_path: Path) -> Path:
    """Where the client keeps files during the test."""
    return tmp_path / "hf" / "hub"
