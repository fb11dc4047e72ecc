"""Fixtures for all tests: a home of their own, no network, no window on a screen, a workbench on scripts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.scripted_engine import ScriptedEngine
from workbench.core import Workbench

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(autouse=True)
def workbench_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test gets its own data, cache and log folders, and finds no model of the person who runs it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("WORKBENCH_HOME", str(home))
    for name, folder in {"HOME": "user", "HF_HOME": "user/huggingface", "OLLAMA_MODELS": "user/ollama"}.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(tmp_path / folder))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections leave this machine in no test; loopback and local sockets are allowed."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0] if isinstance(address, tuple) else ""
            if host not in ("127.0.0.1", "::1", "localhost"):
                raise AssertionError(f"a test reached for the network: {host}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def engine() -> ScriptedEngine:
    """Set `engine.scripts` before the first run."""
    return ScriptedEngine()


@pytest.fixture
def real_engine() -> None:
    """Whoever asks for it has llama.cpp in the workbench instead of scripts."""


@pytest.fixture
def workbench(request: pytest.FixtureRequest, engine: ScriptedEngine, workbench_home: Path) -> Iterator[Workbench]:
    """A workbench in the test's own home, on the scripted engine unless `real_engine` is asked for too."""
    is_real = "real_engine" in request.fixturenames
    opened = Workbench.open(make_engine=None if is_real else lambda paths, settings: engine)
    yield opened
    opened.close()
