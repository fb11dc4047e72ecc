from __future__ import annotations

import dataclasses
import errno
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from workbench import settings as module
from workbench.errors import SettingsError, StorageFull
from workbench.settings import Settings, SettingsStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "settings.json"


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_first_start_has_defaults_and_writes_nothing(path: Path) -> None:
    store = SettingsStore(path)
    assert store.current == Settings()
    assert store.problems == ()
    assert not path.exists()


def test_changes_are_kept_for_the_next_start(path: Path) -> None:
    changed = SettingsStore(path).update(theme="dark", threads=3, models_folders=("/a", "/ü"), presenter=True)
    assert SettingsStore(path).current == changed
    assert changed == Settings(theme="dark", threads=3, models_folders=("/a", "/ü"), presenter=True)
    assert [file.name for file in path.parent.iterdir()] == ["settings.json"]


def test_a_window_keeps_what_another_one_saved(path: Path) -> None:
    first, second = SettingsStore(path), SettingsStore(path)
    first.update(theme="dark")
    second.update(threads=2)
    assert SettingsStore(path).current == Settings(theme="dark", threads=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"theme": "pink"},
        {"threads": 0},
        {"threads": "4"},
        {"electricity_usd_per_kwh": -0.1},
        {"electricity_usd_per_kwh": float("nan")},
        {"api_price": "groq"},
        {"unknown": 1},
        {"models_folders": "/one"},
    ],
)
def test_wrong_values_are_refused_and_change_nothing(path: Path, changes: dict[str, Any]) -> None:
    store = SettingsStore(path)
    store.update(threads=2)
    before = path.read_bytes()
    with pytest.raises(SettingsError):
        store.update(**changes)
    assert store.current == Settings(threads=2)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '"text"', '{"theme": "pink"}', '{"colour": "red"}', '{"version": "1"}', '{"version": -3}',
     '{"threads": 1e400}', "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"), "[" * 100_000],
)  # fmt: skip
def test_broken_files_are_kept_aside_and_defaults_used(path: Path, content: str) -> None:
    written(path, content)
    store = SettingsStore(path)
    assert store.current == Settings()
    (problem,) = store.problems
    aside = path.with_name("settings.json.broken-1")
    assert str(aside) in problem
    assert aside.read_text(encoding="utf-8") == content
    store.update(theme="light")
    assert SettingsStore(path).problems == ()


def test_bytes_that_are_no_text_are_kept_aside(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\x00")
    assert len(SettingsStore(path).problems) == 1


def test_settings_of_a_newer_program_are_left_alone(path: Path) -> None:
    content = json.dumps({"version": 99, "theme": "holographic"})
    written(path, content)
    store = SettingsStore(path)
    assert store.current == Settings()
    assert "newer version" in store.problems[0]
    with pytest.raises(SettingsError, match="newer version"):
        store.update(theme="dark")
    assert path.read_text() == content


def test_older_settings_are_migrated_step_by_step_with_a_backup(path: Path) -> None:
    old = json.dumps({"version": -1, "colour": "dark"})
    written(path, old)
    steps = {
        -1: lambda data: {"farbe": data["colour"]},
        0: lambda data: {"theme": data["farbe"]},
    }
    store = SettingsStore(path, steps)
    assert store.current == Settings(theme="dark")
    assert store.problems == ()
    assert path.with_name("settings.json.version--1-1").read_text() == old
    assert SettingsStore(path).current == Settings(theme="dark")


def test_full_disk_is_told_and_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SettingsStore(path)
    store.update(threads=2)

    def full(path: Path, content: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(StorageFull):
        store.update(threads=3)
    assert store.current.threads == 2


def test_folder_in_the_place_of_the_file_is_a_sentence(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(SettingsError, match="cannot be read"):
        SettingsStore(path)


def test_updates_from_many_threads_are_all_kept(path: Path) -> None:
    store = SettingsStore(path)
    names = [field.name for field in dataclasses.fields(Settings) if field.type == "bool"]
    names_and_values: list[dict[str, Any]] = [{name: not getattr(Settings(), name)} for name in names]
    names_and_values += [{"theme": "dark"}, {"threads": 5}, {"default_model": "m"}]
    threads = [threading.Thread(target=store.update, kwargs=change) for change in names_and_values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = dataclasses.replace(Settings(), **{k: v for change in names_and_values for k, v in change.items()})
    assert store.current == SettingsStore(path).current == expected
