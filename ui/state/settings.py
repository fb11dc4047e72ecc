"""The settings page's state: reads and saves settings at once, and has the price choices loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from ui.state.settings_hardware import SettingsHardware
from ui.state.settings_hub import SettingsHub
from ui.tasks import Tasks
from workbench import units
from workbench.core import Workbench
from workbench.economics.prices import ApiModel
from workbench.errors import WorkbenchError
from workbench.glossary import Glossary
from workbench.settings import Settings

AUTOMATIC = "auto"
OF_DOWNLOADS = ("hub_xet", "downloads_at_once")


@dataclass(frozen=True)
class Choice:
    """One entry of a list: what is stored, what is shown, and a line about it."""

    key: str
    text: str
    detail: str = ""
    icon: str = ""


class SettingsState(QObject):
    """`failed` carries the field and the sentence; the setting is then what it was."""

    changed = Signal()
    failed = Signal(str, str)
    prices_loaded = Signal()

    def __init__(self, workbench: Workbench, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workbench, self._tasks = workbench, tasks
        self.hub = SettingsHub(workbench, tasks, self)
        self.hardware = SettingsHardware(workbench.read_hardware, tasks, self)

    @property
    def current(self) -> Settings:
        return self._workbench.settings.current

    @property
    def glossary(self) -> Glossary:
        return self._workbench.glossary

    @property
    def problems(self) -> tuple[str, ...]:
        return self._workbench.settings.problems

    def set(self, field: str, value: Any) -> bool:
        """Saves one field. False: not saved, and `failed` said why."""
        if getattr(self.current, field) == value:
            return True
        try:
            self._workbench.settings.update(**{field: value})
        except WorkbenchError as error:
            self.failed.emit(field, error.message)
            return False
        if field == "models_folders":
            self._workbench.library.set_folders([Path(folder) for folder in value])
        elif field in OF_DOWNLOADS:
            self._workbench.models.apply_settings()
        self.changed.emit()
        return True

    def set_electricity(self, text: str) -> bool:
        """Takes what was typed: dollars per kWh; empty means no estimate."""
        plain = text.strip().removeprefix("$").replace(",", ".").strip()
        if not plain:
            return self.set("electricity_usd_per_kwh", None)
        try:
            value = float(plain)
        except ValueError:
            self.failed.emit("electricity_usd_per_kwh", f"{text.strip()!r} is not a number. Type a price such as 0.30.")
            return False
        return self.set("electricity_usd_per_kwh", value)

    def add_folder(self, folder: str) -> bool:
        folders = self.current.models_folders
        if folder in folders or Path(folder) == self._workbench.paths.models:
            self.failed.emit("models_folders", f"{folder} is already in the list.")
            return False
        return self.set("models_folders", (*folders, folder))

    def remove_folder(self, folder: str) -> bool:
        """Takes the folder from the list; its files stay."""
        return self.set("models_folders", tuple(item for item in self.current.models_folders if item != folder))

    def modes(self) -> list[Choice]:
        return [Choice(mode.name, mode.title, mode.summary, mode.icon) for mode in self._workbench.profiles.modes()]

    def surfaces(self) -> list[Choice]:
        return [Choice(item.name, item.title, item.summary) for item in self._workbench.profiles.surfaces()]

    def machines(self) -> list[Choice]:
        """Rented GPUs; the first is the automatic choice."""
        found = [
            Choice(item.name, f"{item.title}, {units.usd_text(item.usd_per_hour, estimate=False)} per hour",
                   f"{item.provider}, price of {item.price_date}")
            for item in self._workbench.profiles.machines()
        ]  # fmt: skip
        default = self._workbench.profiles.rented_gpu(None)
        return [Choice(AUTOMATIC, f"Automatic: {default.title}" if default else "Automatic"), *found]

    def api_models(self) -> list[Choice]:
        """Hundreds of models once the prices are loaded; the first is the automatic choice."""
        found = [Choice(item.key, item.label, _price_line(item)) for item in self._workbench.prices.choices()]
        return [Choice(AUTOMATIC, "Automatic, by the model's size"), *found]

    def load_prices(self) -> None:
        """Reads the price tables in the background; `prices_loaded` comes when they are there."""
        if self._workbench.prices.loaded:
            self.prices_loaded.emit()
            return
        self._tasks.run(self._workbench.prices.load, lambda _: self.prices_loaded.emit(), self._on_prices_failed)

    def folders(self) -> list[tuple[str, str, Path]]:
        """Name, what is in it, and the path."""
        paths = self._workbench.paths
        return [
            ("Models", "GGUF files put here appear in the list of models", paths.models),
            ("Profiles", "your own modes, surfaces and machines", paths.user_profiles),
            ("Data", "history and settings", paths.data),
            ("Cache", "quantizations that can be made again", paths.cache),
            ("Logs", "what llama.cpp and the window reported", paths.logs),
        ]

    def profile_problems(self) -> list[str]:
        return [problem.message for problem in self._workbench.profiles.problems()]

    def _on_prices_failed(self, error: WorkbenchError) -> None:
        self.failed.emit("api_price", error.message)


def _price_line(item: ApiModel) -> str:
    def price(usd: float) -> str:
        return units.usd_text(usd, estimate=False)

    return (
        f"{price(item.input_usd_per_mtok)} in, {price(item.output_usd_per_mtok)} out per million tokens, "
        f"prices of {item.price_date}"
    )
