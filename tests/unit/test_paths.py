from __future__ import annotations

import errno
import os
import sys
import tempfile
from pathlib import Path

import pytest

from workbench import paths as module
from workbench.errors import StorageFull, UserError, WorldError
from workbench.paths import Paths, free_name, resources, write_atomically

ROOT = Path(__file__).parents[2]


def test_one_variable_moves_all_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "h"))
    paths = Paths.standard()
    assert paths == Paths(tmp_path / "h" / "data", tmp_path / "h" / "cache", tmp_path / "h" / "logs")
    assert paths.history_file == tmp_path / "h" / "data" / "history.sqlite3"
    assert paths.settings_file.parent == paths.models.parent == paths.user_profiles.parent == paths.data
    assert paths.derived_models.parent == paths.cache


def test_without_the_variable_folders_are_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_HOME")
    paths = Paths.standard()
    assert len({paths.data, paths.cache, paths.logs}) == 3
    assert all("inference-workbench" in str(path) for path in (paths.data, paths.cache, paths.logs))


def test_a_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_HOME", "here")
    assert Paths.standard().data == tmp_path / "here" / "data"


def test_create_makes_all_folders_and_leaves_no_files(tmp_path: Path) -> None:
    paths = Paths.below(tmp_path).create()
    assert Paths.below(tmp_path).create() == paths
    assert all(path.is_dir() for path in (paths.models, paths.user_profiles, paths.derived_models, paths.logs))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(UserError, match="WORKBENCH_HOME") as caught:
        Paths.below(tmp_path).create()
    assert str(tmp_path / "data") in str(caught.value)


def test_a_full_disk_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(dir: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(StorageFull):
        Paths.below(tmp_path).create()


def test_resources_of_a_checkout() -> None:
    found = resources()
    assert (found.profiles, found.assets) == (ROOT / "profiles", ROOT / "assets")


def installed(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretends that the package lies in `root`/workbench."""
    (root / "workbench").mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(root / "workbench" / "paths.py"))
    return root / "workbench"


def test_resources_of_an_installed_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = installed(tmp_path / "site-packages", monkeypatch)
    for folder in ("profiles", "assets"):
        (package / "_resources" / folder).mkdir(parents=True)
        (package.parent / folder).mkdir()  # a stranger's
    assert resources().profiles == package / "_resources" / "profiles"


def test_resources_of_a_frozen_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path / "elsewhere", monkeypatch)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path / "bundle"), raising=False)
    for folder in ("profiles", "assets"):
        (tmp_path / "bundle" / folder).mkdir(parents=True)
    assert resources().assets == tmp_path / "bundle" / "assets"


def test_missing_resources_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = installed(tmp_path / "site-packages", monkeypatch)
    for folder in ("profiles", "assets"):
        (package.parent / folder).mkdir()
    with pytest.raises(WorldError) as caught:
        resources()
    assert caught.value.code == "installation_incomplete"


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old ü")

    def broken(source: object, target: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="broken"):
        write_atomically(path, "new")
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir() if p.is_file()] == [("file", "old ü")]


def test_free_names_count_up(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    assert free_name(path, "broken").name == "settings.json.broken-1"
    free_name(path, "broken").touch()
    assert free_name(path, "broken").name == "settings.json.broken-2"
