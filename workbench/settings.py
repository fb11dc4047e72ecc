"""The choices of this user that outlive the program: typed, versioned, kept in one JSON file."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workbench.errors import SettingsError, SpecError, StorageFull
from workbench.paths import DISK_FULL, free_name, write_atomically
from workbench.runs.spec import from_plain

Theme = Literal["system", "light", "dark"]
Migration = Callable[[dict[str, Any]], dict[str, Any]]

VERSION = 1
# MIGRATIONS[n] turns a file of version n into one of version n + 1.
MIGRATIONS: Mapping[int, Migration] = {}


@dataclass(frozen=True, slots=True)
class Settings:
    """`threads` None: as many as physical cores. `electricity_usd_per_kwh` None: no electricity estimate.

    `api_price` is "auto" or "provider/model", `gpu_price` "auto" or the name of a machine profile.
    `default_model` None is the demo model; `default_mode` and `default_surface` name profiles.
    `window_geometry` is what Qt saved, as Base64. `memory_check` False loads without asking for room first.
    `hub_xet` False downloads over plain HTTP even where the Hub offers its chunk storage.
    """

    version: int = VERSION
    theme: Theme = "system"
    threads: int | None = None
    electricity_usd_per_kwh: float | None = 0.30
    api_price: str = "auto"
    gpu_price: str = "auto"
    default_model: str | None = None
    default_mode: str = "fast"
    default_surface: str = "chat"
    models_folders: tuple[str, ...] = ()
    presenter: bool = False
    banner_dismissed: bool = False
    window_geometry: str | None = None
    memory_check: bool = True
    hub_xet: bool = True
    downloads_at_once: int = 2

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= 1024:
            raise SettingsError(f"threads is {self.threads}; it must be from 1 to 1,024, or empty for automatic.")
        if not 1 <= self.downloads_at_once <= 8:
            raise SettingsError(f"downloads_at_once is {self.downloads_at_once}; it must be from 1 to 8.")
        price = self.electricity_usd_per_kwh
        if price is not None and not 0 <= price <= 100:
            raise SettingsError(f"The electricity price is {price}; it must be from 0 to 100 $ per kWh.")
        if self.api_price != "auto" and "/" not in self.api_price:
            raise SettingsError(f"api_price is {self.api_price!r}; it must be auto or provider/model.")


class SettingsStore:
    """The settings of one file. All methods may be called from any thread.

    `problems` are sentences about what was found at the start: a broken file is kept aside and the
    defaults are used; a file of a newer program is left untouched and nothing can be saved.
    """

    def __init__(self, path: Path, migrations: Mapping[int, Migration] = MIGRATIONS) -> None:
        self._path = path
        self._migrations = migrations
        self._lock = threading.Lock()
        self._problems: list[str] = []
        self._is_newer = False
        self._stamp: tuple[int, int] | None = None
        self._current = self._load()

    @property
    def current(self) -> Settings:
        return self._current

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._problems)

    def update(self, **changes: Any) -> Settings:
        """Saves the changed values and returns the new settings; nothing changes when it raises.

        What another running window saved meanwhile is kept. Raises SettingsError, StorageFull.
        """
        with self._lock:
            if self._is_newer:
                raise SettingsError(self._newer_sentence())
            base = self._current if self._stamp == _stamp(self._path) else self._load()
            plain = dataclasses.asdict(base) | changes
            settings = _parse(plain)
            self._save(settings)
            self._current = settings
            return settings

    def _load(self) -> Settings:
        try:
            text = self._path.read_text(encoding="utf-8")
            self._stamp = _stamp(self._path)
            data = json.loads(text)
            if not isinstance(data, dict):
                raise SettingsError("it is not a JSON object")
            version = data.get("version", VERSION)
            if isinstance(version, int) and version > VERSION:
                self._is_newer = True
                self._problems.append(self._newer_sentence())
                return Settings()
            return self._migrated(data, version)
        except FileNotFoundError:
            return Settings()
        except OSError as error:
            raise SettingsError(f"The settings file {self._path} cannot be read: {error.strerror or error}.") from error
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, SettingsError) as error:
            return self._set_aside(error)

    def _migrated(self, data: dict[str, Any], version: object) -> Settings:
        if version == VERSION:
            return _parse(data)
        if not isinstance(version, int) or isinstance(version, bool):
            raise SettingsError(f"its version is {version!r}")
        old = data
        for number in range(version, VERSION):
            if number not in self._migrations:
                raise SettingsError(f"its version {version} is unknown")
            data = {**self._migrations[number](data), "version": number + 1}
        settings = _parse(data)
        shutil.copyfile(self._path, free_name(self._path, f"version-{old['version']}"))
        self._save(settings)
        return settings

    def _set_aside(self, error: Exception) -> Settings:
        aside = free_name(self._path, "broken")
        os.replace(self._path, aside)
        self._stamp = None
        self._problems.append(
            f"The settings file could not be read ({str(error).rstrip('.')}). "
            f"It was kept as {aside}; the program uses its defaults."
        )
        return Settings()

    def _save(self, settings: Settings) -> None:
        content = json.dumps(dataclasses.asdict(settings), indent=2, ensure_ascii=False) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, content)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise StorageFull("The settings could not be saved: the disk is full.") from error
            raise SettingsError(
                f"The settings could not be saved to {self._path}: {error.strerror or error}."
            ) from error
        self._stamp = _stamp(self._path)

    def _newer_sentence(self) -> str:
        return (
            f"The settings file {self._path} was written by a newer version of this program. "
            "It is left as it is, and changes cannot be saved. Update the program to use it."
        )


def _parse(plain: Mapping[str, Any]) -> Settings:
    try:
        settings: Settings = from_plain(Settings, dict(plain))
    except SpecError as error:
        raise SettingsError(str(error)) from error
    return settings


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino
