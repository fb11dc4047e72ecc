"""What is on this machine: listed, added, verified, deleted with undo; everything off the main thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from ui.state import models_words as words
from ui.tasks import Tasks
from workbench import units
from workbench.errors import WorkbenchError
from workbench.history.model_figures import ModelUse
from workbench.hub.deletion import Deletion
from workbench.hub.gguf import ModelFile
from workbench.hub.grouping import ModelEntry

if TYPE_CHECKING:
    from workbench.models import Models

ORIGINS = {
    "demo": "ships with the program", "own": "models folder", "folder": "own folder", "registered": "added by path",
    "hub_cache": "Hugging Face cache", "lm_studio": "LM Studio", "ollama": "Ollama",
}  # fmt: skip
SHOWN_NAMES, LONGEST_NAME = 3, 48


@dataclass(frozen=True)
class LibraryRow:
    """A file, or all parts of a split one. `trouble` says why it cannot be used, or what should be known of it."""

    key: str
    name: str
    file: ModelFile
    is_usable: bool
    can_delete: bool
    trouble: str = ""
    last_used: str | None = None
    tps: float | None = None

    @property
    def origin(self) -> str:
        return ORIGINS.get(self.file.origin, self.file.origin)

    @property
    def parameters_text(self) -> str:
        return words.parameters_text(self.file.parameters) or units.UNKNOWN


@dataclass(frozen=True, slots=True)
class DiscardQuestion:
    """`deletions` are what goes when a person says yes, the rest are the words to ask with."""

    deletions: tuple[Deletion, ...]
    title: str
    names: str
    consequence: str


class ModelsLibrary(QObject):
    """`said` carries (tone, sentence, key of an action or "", its word)."""

    changed = Signal()
    said = Signal(str, str, str, str)

    def __init__(self, models: Models, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models, self._tasks = models, tasks
        self._entries: tuple[ModelEntry, ...] = ()
        self._use: dict[str, ModelUse] = {}
        self._deletions: list[Deletion] = []
        self._leftovers: tuple[Deletion, ...] = ()
        self._question = 0
        self._verifying: set[str] = set()
        self.is_loaded = False

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        return self._entries

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._models.library.problems) if self.is_loaded else ()

    def rows(self) -> tuple[LibraryRow, ...]:
        return tuple(self._row(entry, file) for entry in self._entries for file in entry.files)

    def row(self, key: str) -> LibraryRow | None:
        return next((row for row in self.rows() if row.key == key), None)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for entry in self._entries for file in entry.files)

    @property
    def count(self) -> int:
        return sum(len(entry.files) for entry in self._entries)

    @property
    def leftover_names(self) -> tuple[str, ...]:
        return tuple(name for deletion in self._leftovers for name in deletion.names)

    @property
    def leftover_text(self) -> str:
        """What a program that ended abruptly left in the trash; empty when there is nothing."""
        names = self.leftover_names
        if not names:
            return ""
        size = units.bytes_text(sum(deletion.reclaimed_bytes for deletion in self._leftovers))
        models = _deleted_models(len(names))
        return f"{models} from an earlier session can be restored: {_listed(names)}, {size}."

    def is_verifying(self, key: str) -> bool:
        return key in self._verifying

    def load(self) -> None:
        """Reads the folders anew; `changed` comes when the answer differs, and after the first one."""
        self._question += 1
        question = self._question

        def work() -> tuple[tuple[ModelEntry, ...], dict[str, ModelUse], tuple[Deletion, ...]]:
            entries = tuple(self._models.library.list())
            return entries, self._use_of(entries), self._models.library.trash.leftovers()

        self._tasks.run(work, lambda found: self._on_loaded(question, *found), self._on_failed)

    def add(self, paths: Sequence[Path]) -> None:
        """Files and folders, from a drop or a dialog; nothing is copied."""

        def work() -> list[tuple[Path, Any]]:
            results: list[tuple[Path, Any]] = []
            for path in paths:
                try:
                    results.append((path, self._models.add_file(path)))
                except WorkbenchError as error:
                    results.append((path, error))
            return results

        self._tasks.run(work, self._on_added, self._on_failed)

    def verify(self, key: str) -> None:
        row = self.row(key)
        if row is None or key in self._verifying:
            return
        self._verifying.add(key)
        self.said.emit("info", f"Reading all of {row.file.path.name} ({units.bytes_text(row.file.size_bytes)}) to check"
                       " its content.", "", "")  # fmt: skip
        self.changed.emit()
        self._tasks.run(
            lambda: self._models.verify(row.file),
            lambda found: self._on_verified(key, found),
            lambda error: self._on_verify_failed(key, error),
        )

    def delete(self, keys: Sequence[str]) -> None:
        files = [row.file for key in keys if (row := self.row(key)) is not None and row.can_delete]
        if files:
            self._tasks.run(lambda: self._models.delete(files), self._on_deleted, self._on_failed)

    def undo_delete(self) -> None:
        if self._deletions:
            deletion = self._deletions.pop()
            self._tasks.run(lambda: self._models.undo_delete(deletion), self._on_restored, self._on_failed)

    def restore_leftovers(self) -> None:
        """Puts back what an earlier session deleted; what hinders one file does not keep the others in the trash."""
        left, self._leftovers = self._leftovers, ()
        self.changed.emit()

        def work() -> tuple[int, list[str]]:
            count, problems = 0, []
            for deletion in left:
                try:
                    deletion.undo()
                    count += len(deletion.names)
                except WorkbenchError as error:
                    problems.append(error.message)
            return count, problems

        self._tasks.run(work, lambda found: self._on_leftovers_restored(*found), self._on_failed)

    def discard_question(self) -> DiscardQuestion:
        """What a person is to confirm before `discard_leftovers`."""
        left, names = self._leftovers, self.leftover_names
        count = sum(deletion.file_count for deletion in left)
        size = units.bytes_text(sum(deletion.reclaimed_bytes for deletion in left))
        goes = f"{count:,} {'file goes' if count == 1 else 'files go'} and {size} of disk space become free."
        if not count:
            goes = "Only links or entries of the list go; no disk space becomes free."
        return DiscardQuestion(
            left,
            f"Remove {_deleted_models(len(names))} for good?",
            _listed(names),
            f"{goes} This cannot be undone.",
        )

    def discard_leftovers(self, question: DiscardQuestion) -> None:
        """Removes for good what the question named, and nothing that came to the trash since."""
        asked = question.deletions
        self._leftovers = tuple(deletion for deletion in self._leftovers if deletion not in asked)
        self.changed.emit()
        self._tasks.run(
            lambda: sum(deletion.empty() for deletion in asked),
            lambda freed: self._on_leftovers_discarded(asked, freed),
            self._on_failed,
        )

    def _use_of(self, entries: Sequence[ModelEntry]) -> dict[str, ModelUse]:
        """By path; a file that was moved since is found by its content."""
        known = self._models.model_use()
        found = {}
        for file in (file for entry in entries for file in entry.files):
            use = known.get(str(file.path)) or known.get(self._models.library.sha256_of(file) or "")
            if use is not None:
                found[str(file.path)] = use
        return found

    # --- answers -----------------------------------------------------------------------------------------

    def _row(self, entry: ModelEntry, file: ModelFile) -> LibraryRow:
        key = str(file.path)
        use = self._use.get(key)
        return LibraryRow(
            key=key,
            name=entry.name,
            file=file,
            is_usable=file.problem is None,
            can_delete=not file.is_read_only and file.origin != "demo",
            trouble=file.problem or file.warning or "",
            last_used=use.last_used_at if use else None,
            tps=use.decode_tps if use else None,
        )

    def _on_loaded(
        self, question: int, entries: tuple[ModelEntry, ...], use: dict[str, ModelUse], left: tuple[Deletion, ...]
    ) -> None:
        if question != self._question:
            return
        is_new = (entries, use, left) != (self._entries, self._use, self._leftovers) or not self.is_loaded
        self._entries, self._use, self._leftovers, self.is_loaded = entries, use, left, True
        if is_new:
            self.changed.emit()

    def _on_added(self, results: list[tuple[Path, Any]]) -> None:
        sentences: list[str] = []
        failed = 0
        for _, result in results:
            if isinstance(result, WorkbenchError):
                failed += 1
                sentences.append(result.message)
            else:
                sentences += result.sentences
        tone = "good" if not failed else "bad" if failed == len(results) else "warn"
        shown = " ".join(sentences[:3]) + (f" And {len(sentences) - 3} more." if len(sentences) > 3 else "")
        self.said.emit(tone, shown, "", "")
        self.load()

    def _on_verified(self, key: str, found: Any) -> None:
        self._verifying.discard(key)
        wrong = [check.sentence for check in found.checks if check.passed is False]
        if wrong:
            self.said.emit("bad", " ".join(wrong), "", "")
        else:
            self.said.emit("good", " ".join(check.sentence for check in found.checks), "", "")
        self.changed.emit()

    def _on_verify_failed(self, key: str, error: WorkbenchError) -> None:
        self._verifying.discard(key)
        self.changed.emit()
        self._on_failed(error)

    def _on_deleted(self, deletion: Deletion) -> None:
        self._deletions.append(deletion)
        size = deletion.reclaimed_bytes
        # What was added by its path is only taken from the list.
        done = f"Deleted {units.bytes_text(size)}." if size else "Taken from the list; the file itself stays."
        self.said.emit("good", " ".join([done, *deletion.notes]), "undo", "Undo")
        self.load()

    def _on_restored(self, _: object) -> None:
        self.said.emit("good", "Everything is back where it was.", "", "")
        self.load()

    def _on_leftovers_restored(self, count: int, problems: Sequence[str]) -> None:
        said = [f"{count} {'model is' if count == 1 else 'models are'} back."] if count else []
        self.said.emit("bad" if problems else "good", " ".join([*said, *problems]), "", "")
        self.load()

    def _on_leftovers_discarded(self, left: Sequence[Deletion], freed: int) -> None:
        if freed < sum(deletion.reclaimed_bytes for deletion in left):
            said = f"{units.bytes_text(freed)} are free again; the rest could not be removed and stays in the trash."
            self.said.emit("warn", said, "", "")
            self.load()
        else:
            self.said.emit("good", f"Removed for good: {units.bytes_text(freed)} are free again.", "", "")

    def _on_failed(self, error: WorkbenchError) -> None:
        self.said.emit("bad", error.message, "", "")


def _listed(names: Sequence[str]) -> str:
    """The first names, cut in their middle, and how many more there are."""
    shown, more = [words.shortened(name, LONGEST_NAME) for name in names[:SHOWN_NAMES]], len(names) - SHOWN_NAMES
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _deleted_models(count: int) -> str:
    return f"{count:,} deleted model{'' if count == 1 else 's'}"
