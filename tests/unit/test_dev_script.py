"""The script that sets up: what it says on machines that lack something, and that it installs once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.test_readme import set_up_script


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script in a checkout of its own."""
    module = set_up_script()
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["llama-cpp-python>=1"]\n', encoding="utf-8")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "BIN", tmp_path / ".venv" / "bin")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "stamp.json")
    return module


@pytest.fixture
def calls(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What pip and the tools are called with; nothing is run."""
    seen: list[tuple[str, ...]] = []

    def call(program: Path, *arguments: str, environment: dict[str, str] | None = None) -> int:
        seen.append((program.name, *arguments))
        return 0

    def make_venv() -> None:
        dev.BIN.mkdir(parents=True, exist_ok=True)
        (dev.BIN / "workbench").touch()

    monkeypatch.setattr(dev, "call", call)
    monkeypatch.setattr(dev, "make_venv", make_venv)
    monkeypatch.setattr(dev, "explain_compiling", lambda: None)
    return seen


def test_an_old_python_is_a_sentence(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev.sys, "version_info", (3, 10, 2))
    with pytest.raises(dev.Trouble, match=r"too old: the workbench needs 3\.11"):
        dev.check_python()


def test_it_installs_once_until_pyproject_changes(dev: ModuleType, calls: list[tuple[str, ...]]) -> None:
    dev.install("", None)
    dev.install("", None)
    assert len(calls) == 1
    dev.install("test", None)
    assert calls[-1][-1].endswith("[test]")
    dev.install("", None)
    assert len(calls) == 2, "what was installed for testing serves for running"
    with (dev.ROOT / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    dev.install("", None)
    assert len(calls) == 3
    assert calls[-1][-1].endswith("[test]"), "the environment keeps its test tools"


def test_a_failed_installation_is_tried_again(
    dev: ModuleType, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "pip", lambda *arguments: 1)
    with pytest.raises(dev.Trouble, match="installation failed"):
        dev.install("", None)
    assert dev.read_stamp() == {}


def test_a_wheel_is_taken_from_the_index_of_its_project(dev: ModuleType, calls: list[tuple[str, ...]]) -> None:
    dev.install("", "cu124")
    assert any(argument.endswith("/whl/cu124") for argument in calls[0])
    assert "--only-binary" in calls[0]
    assert calls[0][-1] == "llama-cpp-python>=1"
    dev.install("", None)
    assert len(calls) == 2, "a later call without --wheels keeps what is there"
    assert json.loads(dev.STAMP.read_text(encoding="utf-8"))["wheels"] == "cu124"


def test_without_a_compiler_it_says_what_to_install(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "")

    monkeypatch.setattr(dev.subprocess, "run", failing)
    monkeypatch.setattr(dev.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(dev.Trouble, match=r"no C\+\+ compiler.*--wheels cpu, --wheels cu124"):
        dev.explain_compiling()


def test_every_check_runs_and_one_failure_is_the_end_result(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def call(program: Path, *arguments: str) -> int:
        ran.append(program.name)
        return 1 if program.name == "mypy" else 0

    monkeypatch.setattr(dev, "call", call)
    assert dev.run_checks([]) == 1
    assert ran == ["ruff", "ruff", "mypy", "lint-imports", "pytest"]
    out = capsys.readouterr().out
    assert out.strip().endswith("Failed: mypy")
    for name in ("ruff check", "ruff format", "mypy", "lint-imports", "pytest"):
        assert f"== {name}" in out
