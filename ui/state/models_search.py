"""What the Models page lists: the starter catalogue and what is on disk, or the Hub's answers page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QObject, QTimer, Signal

from ui.state import models_words as words
from ui.tasks import Tasks
from workbench.errors import HubOffline, WorkbenchError
from workbench.hub.grouping import ModelEntry
from workbench.hub.repository import RepoSummary, SearchQuery, SortBy

if TYPE_CHECKING:
    from workbench.hub.catalog import Catalog, CatalogEntry
    from workbench.models import Models

Status = Literal["shelf", "loading", "ready", "opened", "empty", "offline", "failed"]
SLOW_MS = 400
LOCAL = "local:"
BILLION = 1_000_000_000
# key, words, fewest and most parameters
SIZES: tuple[tuple[str, str, int | None, int | None], ...] = (
    ("", "Any size", None, None),
    ("tiny", "Up to 1 B parameters", None, BILLION),
    ("small", "1 B to 4 B", BILLION, 4 * BILLION),
    ("middle", "4 B to 9 B", 4 * BILLION, 9 * BILLION),
    ("large", "9 B to 15 B", 9 * BILLION, 15 * BILLION),
    ("huge", "More than 15 B", 15 * BILLION, None),
)
LICENSES = ("apache-2.0", "mit", "llama3.2", "gemma", "cc-by-nc-4.0")
SORTS: tuple[tuple[SortBy, str], ...] = (
    ("downloads", "Downloads"),
    ("likes", "Likes"),
    ("recent", "Newest"),
)


@dataclass(frozen=True)
class ResultItem:
    """One line of the list. `repo_id` None: only on this machine; `entry` None: not on this machine."""

    key: str
    title: str
    author: str
    facts: str
    pills: tuple[tuple[str, str], ...] = ()
    why: str = ""
    repo_id: str | None = None
    entry: str | None = None


@dataclass(frozen=True)
class Filters:
    author: str = ""
    license: str = ""
    size: str = ""
    sort: SortBy = "downloads"


class ModelsSearch(QObject):
    """Answers to an older question are dropped. `picked` carries a repository id that was typed or pasted."""

    items_reset = Signal(list)
    items_added = Signal(list)
    status_changed = Signal()
    picked = Signal(str)

    def __init__(self, models: Models, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models, self._tasks = models, tasks
        self._text = ""
        self._filters = Filters()
        self._entries: Sequence[ModelEntry] = ()
        self._catalog: Catalog | None = None
        self._pages: Iterator[tuple[RepoSummary, ...]] | None = None
        self._question = 0
        self._found = 0
        self._is_fetching = self._is_complete = False
        self._status: Status = "loading"
        self._problem = ""
        self._slow = QTimer(self)
        self._slow.setSingleShot(True)
        self._slow.setInterval(SLOW_MS)
        self._slow.timeout.connect(self.status_changed)

    @property
    def status(self) -> Status:
        return self._status

    @property
    def filters(self) -> Filters:
        return self._filters

    @property
    def is_asking(self) -> bool:
        """Whether the Hub is asked, and not only the shelf shown."""
        return bool(self._text) or self._filters != Filters()

    @property
    def is_slow(self) -> bool:
        """The Hub has been asked for longer than a person waits without wondering."""
        return self._is_fetching and not self._slow.isActive()

    @property
    def has_more(self) -> bool:
        return self._pages is not None and not self._is_complete

    @property
    def text(self) -> str:
        """One line about what is listed."""
        if self._status == "loading":
            return "Asking the Hub" if self.is_asking and self.is_slow else ""
        if self._status == "shelf":
            return "Starter catalogue and this machine"
        if self._status == "empty":
            return ""
        if self._status == "opened":
            return "Opened by its address"
        if self._status in ("offline", "failed"):
            return "Without the Hub"
        return f"{self._found} from the Hub, more below" if self.has_more else f"{self._found} from the Hub"

    @property
    def problem(self) -> str:
        """Why the Hub's answer is missing; empty when nothing is."""
        return self._problem

    def load_catalog(self) -> None:
        self._tasks.run(self._models.catalog, self._on_catalog, self._on_catalog_failed)

    def set_entries(self, entries: Sequence[ModelEntry]) -> None:
        """What is on disk: it stands on the shelf, and marks answers of the Hub as here."""
        if tuple(entries) != tuple(self._entries):
            self._entries = tuple(entries)
            if self._status in ("shelf", "offline", "failed") or not self.is_asking:
                self._show_shelf()

    def search(self, text: str) -> None:
        """An id or address of a repository goes straight there; anything else asks the Hub."""
        from workbench.hub.search import repo_id_of  # with the first search

        self._text = text.strip()
        repo_id = repo_id_of(self._text) if self._text else None
        if repo_id is None:
            self._ask()
            return
        self._forget()
        self._status = "opened"
        self.items_reset.emit([self._of_repo_id(repo_id)])
        self.status_changed.emit()
        self.picked.emit(repo_id)

    def set_filters(self, filters: Filters) -> None:
        if filters != self._filters:
            self._filters = filters
            self._ask()

    def again(self) -> None:
        self._ask()

    def load_more(self) -> None:
        if self.has_more and not self._is_fetching:
            self._fetch()

    # --- asking ------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._question += 1
        self._is_fetching = False
        self._pages, self._is_complete, self._found = None, False, 0
        self._problem = ""
        self._slow.stop()

    def _ask(self) -> None:
        self._forget()
        if not self.is_asking:
            self._show_shelf()
            return
        self._pages = self._models.search(self._query())
        self._status = "loading"
        self._fetch()
        self.status_changed.emit()

    def _query(self) -> SearchQuery:
        filters = self._filters
        fewest, most = next((low, high) for key, _, low, high in SIZES if key == filters.size)
        return SearchQuery(self._text, filters.author or None, filters.sort, filters.license or None, fewest, most)

    def _fetch(self) -> None:
        pages, question = self._pages, self._question
        if pages is None:
            return
        self._is_fetching = True
        self._slow.start()
        self._tasks.run(
            lambda: next(pages, None),
            lambda page: self._on_page(question, page),
            lambda error: self._on_page_failed(question, error),
        )

    def _on_page(self, question: int, page: tuple[RepoSummary, ...] | None) -> None:
        if question != self._question:
            return
        self._is_fetching = False
        self._slow.stop()
        is_first = self._status == "loading"
        self._is_complete = page is None
        items = [self._of_summary(summary) for summary in page or ()]
        self._found += len(items)
        self._status = "ready" if self._found else "empty"
        if is_first:
            self.items_reset.emit(items)
        elif items:
            self.items_added.emit(items)
        self.status_changed.emit()

    def _on_page_failed(self, question: int, error: WorkbenchError) -> None:
        if question != self._question:
            return
        self._is_fetching, self._is_complete = False, True
        self._slow.stop()
        self._problem = error.message
        if self._found == 0:
            self._status = "offline" if isinstance(error, HubOffline) else "failed"
            self._show_shelf()
        self.status_changed.emit()

    # --- the shelf ---------------------------------------------------------------------------------------

    def _on_catalog(self, catalog: Catalog) -> None:
        self._catalog = catalog
        if self._status in ("shelf", "offline", "failed") or not self.is_asking:
            self._show_shelf()

    def _on_catalog_failed(self, error: WorkbenchError) -> None:
        self._problem = error.message
        self.status_changed.emit()

    def _show_shelf(self) -> None:
        """What can be named without the network; with a search text, what of it has the text."""
        listed = {entry.repo_id for entry in (self._catalog.entries if self._catalog else ())}
        items = [self._of_entry(entry) for entry in self._entries if entry.repo_id not in listed or not entry.repo_id]
        items += [self._of_catalog(entry) for entry in (self._catalog.entries if self._catalog else ())]
        if self._text:
            wanted = self._text.casefold().split()
            items = [item for item in items if all(word in _searched(item) for word in wanted)]
        if self._status not in ("offline", "failed") or not self.is_asking:
            self._status = "shelf"
        self.items_reset.emit(items)
        self.status_changed.emit()

    def _entry_of(self, repo_id: str) -> ModelEntry | None:
        folded = repo_id.casefold()
        return next((entry for entry in self._entries if (entry.repo_id or "").casefold() == folded), None)

    def _of_repo_id(self, repo_id: str) -> ResultItem:
        known = self._catalog.entry(repo_id) if self._catalog is not None else None
        if known is not None:
            return self._of_catalog(known)
        author, _, name = repo_id.partition("/")
        here = self._entry_of(repo_id)
        pills = (("here", "good"),) if here else ()
        return ResultItem(repo_id, words.title_of(name), author, "", pills, repo_id=repo_id,
                          entry=here.name if here else None)  # fmt: skip

    def _of_entry(self, entry: ModelEntry) -> ResultItem:
        file = entry.files[0] if entry.files else None
        facts = [words.parameters_text(file.parameters), file.architecture] if file else []
        pills: list[tuple[str, str]] = [("here", "good")]
        if entry.problem and all(item.problem for item in entry.files):
            pills = [("cannot be used", "bad")]
        elif file is not None and file.thinking not in (None, "none"):
            pills.append(("thinks", "thinking"))
        author = "ships with the program" if entry.demo else entry.repo_id or "on this machine"
        return ResultItem(
            key=LOCAL + entry.name, title=entry.name, author=author, facts=_joined(facts), pills=tuple(pills),
            why=(file.description or "") if file else "", repo_id=entry.repo_id, entry=entry.name,
        )  # fmt: skip

    def _of_catalog(self, entry: CatalogEntry) -> ResultItem:
        here = self._entry_of(entry.repo_id)
        pills = [("here", "good")] if here else []
        if entry.is_gated and not here:
            pills.append(("gated", "warn"))
        if entry.thinking not in (None, "none"):
            pills.append(("thinks", "thinking"))
        if entry.kind not in ("instruct", "thinking"):
            pills.append((entry.kind, "accent"))
        facts = [words.parameters_text(entry.parameters), words.license_text(entry.license)]
        return ResultItem(
            key=entry.repo_id, title=entry.name, author=entry.repo_id.split("/")[0], facts=_joined(facts),
            pills=tuple(pills), why=entry.why, repo_id=entry.repo_id, entry=here.name if here else None,
        )  # fmt: skip

    def _of_summary(self, summary: RepoSummary) -> ResultItem:
        here = self._entry_of(summary.repo_id)
        known = self._catalog.entry(summary.repo_id) if self._catalog is not None else None
        pills = [("here", "good")] if here else []
        if summary.is_gated and not here:
            pills.append(("gated", "warn"))
        if summary.is_private:
            pills.append(("private", "warn"))
        if known is not None and known.thinking not in (None, "none"):
            pills.append(("thinks", "thinking"))
        if {"feature-extraction", "sentence-similarity"} & set(summary.tags):
            pills.append(("embedding", "accent"))
        elif "code" in summary.tags:
            pills.append(("code", "accent"))
        return ResultItem(
            key=summary.repo_id, title=words.title_of(summary.name), author=summary.author,
            facts=self._summary_facts(summary), pills=tuple(pills), why=known.why if known else "",
            repo_id=summary.repo_id, entry=here.name if here else None,
        )  # fmt: skip

    def _summary_facts(self, summary: RepoSummary) -> str:
        """Size, and the figure that the list is sorted by."""
        by = {
            "downloads": _counted(summary.downloads, "downloads"),
            "likes": _counted(summary.likes, "likes"),
            "recent": words.age_text(summary.updated_at),
        }[self._filters.sort]
        return _joined([words.parameters_text(summary.parameters), by])


def _counted(count: int | None, word: str) -> str:
    return f"{words.large_count_text(count)} {word}" if count is not None else ""


def _searched(item: ResultItem) -> str:
    return f"{item.title} {item.author} {item.repo_id or ''}".casefold()


def _joined(facts: Sequence[str]) -> str:
    return ", ".join(fact for fact in facts if fact)
