"""The wheel, unpacked away from the sources: profiles, glossary, icons and the demo model come along, and it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents in a folder of their own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return site


def run_elsewhere(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`workbench` from the unpacked wheel. PYTHONPATH goes before the checkout's editable install."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "workbench.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_wheel_runs_the_demo_model_without_the_sources(unpacked: Path, tmp_path: Path) -> None:
    done = run_elsewhere(unpacked, tmp_path, "run", "What is TTFT?", "--max-tokens", "8", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "finished"
    assert answer["model"]["path"].startswith(str(unpacked))


def test_wheel_brings_profiles_catalogue_glossary_and_icons(unpacked: Path, tmp_path: Path) -> None:
    listed = run_elsewhere(unpacked, tmp_path, "profiles", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "thoughtful" in listed.stdout
    offered = run_elsewhere(unpacked, tmp_path, "models", "catalog", "--json")
    assert offered.returncode == 0, offered.stderr
    known = tomllib.loads((ROOT / "profiles" / "catalog.toml").read_text(encoding="utf-8"))
    assert json.loads(offered.stdout)["date"] == str(known["date"])
    assert len(json.loads(offered.stdout)["models"]) == len(known["model"])
    explained = run_elsewhere(unpacked, tmp_path, "glossary", "--json")
    assert explained.returncode == 0, explained.stderr
    terms = tomllib.loads((ROOT / "assets" / "glossary.toml").read_text(encoding="utf-8"))["topic"]
    assert {topic["id"] for topic in json.loads(explained.stdout)} == {topic["id"] for topic in terms}
    ours = {path.name for path in (ROOT / "assets" / "icons").glob("*.svg")}
    assert {path.name for path in (unpacked / "workbench/_resources/assets/icons").glob("*.svg")} == ours
