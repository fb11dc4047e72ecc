"""The Models page's state: puts its parts together, and does what concerns more than one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from ui.state.models_choice import ModelsChoice
from ui.state.models_details import ModelsDetails
from ui.state.models_downloads import ModelsDownloads
from ui.state.models_library import ModelsLibrary
from ui.state.models_making import ModelsMaking
from ui.state.models_search import ModelsSearch, ResultItem
from ui.tasks import Tasks
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.models import Models


class ModelsState(QObject):
    """`said` carries (tone, sentence, key of an action or "", its word)."""

    said = Signal(str, str, str, str)
    token_saved = Signal()
    token_refused = Signal(str)

    def __init__(self, models: Models, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models, self._tasks = models, tasks
        self.downloads = ModelsDownloads(models, tasks, self)
        self.library = ModelsLibrary(models, tasks, self)
        self.search = ModelsSearch(models, tasks, self)
        self.choice = ModelsChoice(models, self.downloads, tasks, self)
        self.details = ModelsDetails(models, tasks, self)
        self.library.changed.connect(self._on_library_changed)
        self.library.said.connect(self.said)
        self.downloads.finished.connect(lambda _: self.library.load())
        self.downloads.failed.connect(lambda error: self.said.emit("bad", error.message, "", ""))
        self.search.picked.connect(lambda repo_id: self.choice.show_repository(repo_id))

    def start(self) -> None:
        """Reads the catalogue and the folders; called whenever the page is shown."""
        self.search.load_catalog()
        self.library.load()
        self.choice.renew_checks()
        self.details.renew()

    def close(self) -> None:
        self.downloads.close()

    def choose(self, item: ResultItem) -> None:
        """Shows what was selected in the list."""
        if item.repo_id is not None and not item.key.startswith("local:"):
            self.choice.show_repository(item.repo_id, item.why, item.pills, item.title)
        elif item.entry is not None:
            self.choice.show_entry(item.entry)

    def show_details(self) -> None:
        """Fills the drawer with what is selected at the right."""
        choice = self.choice
        if choice.current is None:
            self.details.clear()
        elif choice.repository is not None:
            self.details.show_variant(choice.current, choice.repository)
        elif choice.current.file is not None:
            self.details.show_file(choice.current.file, f"{choice.head.title}, {choice.current.label}")

    def show_details_of(self, key: str) -> None:
        row = self.library.row(key)
        if row is not None:
            self.details.show_file(row.file, f"{row.name}, {row.file.quantization or 'unknown type'}")

    def making_of(self, key: str) -> ModelsMaking | None:
        row = self.library.row(key)
        return ModelsMaking(self._models, self.downloads, self._tasks, row.file) if row is not None else None

    def address_of(self, repo_id: str) -> str:
        """Where the repository's page is: on the Hub, or on its mirror."""
        return f"{self._models.endpoint}/{repo_id}"

    def download_folder(self) -> Path:
        """Where downloads go: the cache that other programs share."""
        from workbench.hub.client import cache_dir

        return Path(cache_dir())

    def save_token(self, token: str) -> None:
        """Into the system's keyring; nothing here keeps it."""
        from workbench.hub.tokens import save_token

        self._tasks.run(lambda: save_token(token), lambda _: self._on_token_saved(), self._on_token_refused)

    def _on_token_saved(self) -> None:
        self.token_saved.emit()
        self.said.emit("good", "The token is kept in the system's keyring.", "", "")

    def _on_token_refused(self, error: WorkbenchError) -> None:
        self.token_refused.emit(error.message)

    def _on_library_changed(self) -> None:
        self.search.set_entries(self.library.entries)
        measured = {row.key: row.tps for row in self.library.rows() if row.tps is not None}
        self.choice.set_entries(self.library.entries, measured)
