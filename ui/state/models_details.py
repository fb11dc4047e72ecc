"""The facts in the details drawer of the Models page: metadata of a file, and predictions against measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from ui.state import models_words as words
from ui.state.models_fit import PURPOSES
from ui.state.models_library import ORIGINS
from ui.state.models_rows import Variant
from ui.tasks import Tasks
from workbench import units
from workbench.errors import WorkbenchError
from workbench.history.memory_errors import ErrorSpan, load_errors, span
from workbench.history.model_figures import MemoryCheck
from workbench.hub.card import ModelCard
from workbench.hub.gguf import GgufHeader, ModelFile, SkippedArray, read_header
from workbench.hub.lineage import Lineage, lineage_of
from workbench.hub.repository import Repository

if TYPE_CHECKING:
    from workbench.models import Models

Section = tuple[str, tuple[tuple[str, ...], ...]]
SHOWN_LOADS = 12
UNREAD = "What could not be read"
_THINKING = {
    "none": "none in the template", "always_on": "thinks before every answer", "enable_thinking": "enable_thinking",
    "thinking": "thinking", "reasoning_effort": "reasoning_effort",
}  # fmt: skip
# The header's keys behind the architecture's name, and how a person calls them.
_COUNTS = (
    ("block_count", "Layers"),
    ("attention.head_count", "Attention heads"),
    ("attention.head_count_kv", "Key and value heads"),
    ("embedding_length", "Width"),
    ("feed_forward_length", "Feed-forward width"),
    ("expert_count", "Experts"),
    ("expert_used_count", "Experts for a token"),
    ("attention.sliding_window", "Sliding window, tokens"),
)


@dataclass(frozen=True)
class _Read:
    header: GgufHeader | None
    lineage: Lineage | None
    sha256: str | None
    checks: tuple[MemoryCheck, ...]


class ModelsDetails(QObject):
    """Shows at once what is known, and again when the file has been read; answers about another file are dropped."""

    changed = Signal()

    def __init__(self, models: Models, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models, self._tasks = models, tasks
        self._question = 0
        self._shown: object = None
        self.title = ""
        self.sections: tuple[Section, ...] = ()

    def show_file(self, file: ModelFile, title: str) -> None:
        if self._shown == file:
            return
        self._begin(file, title, _file_sections(file, None))
        self._ask(file)

    def renew(self) -> None:
        """Reads the shown file anew: it may have been loaded or verified meanwhile."""
        if isinstance(self._shown, ModelFile):
            self._question += 1
            self._ask(self._shown)

    def _ask(self, file: ModelFile) -> None:
        question = self._question
        self._tasks.run(
            lambda: self._read(file),
            lambda found: self._on_read(question, file, found),
            lambda error: self._on_failed(question, error),
        )

    def show_variant(self, variant: Variant, repository: Repository) -> None:
        """A quantization that is not on this machine: what the Hub says of it."""
        if variant.file is not None:
            self.show_file(variant.file, f"{repository.summary.name}, {variant.label}")
        elif self._shown != (repository.summary.repo_id, variant):
            sections = _remote_sections(variant, repository)
            self._begin((repository.summary.repo_id, variant), f"{repository.summary.name}, {variant.label}", sections)

    def clear(self) -> None:
        self._begin(None, "", ())

    def _begin(self, shown: object, title: str, sections: tuple[Section, ...]) -> None:
        self._question += 1
        self._shown, self.title, self.sections = shown, title, sections
        self.changed.emit()

    def _read(self, file: ModelFile) -> _Read:
        header = None if file.problem else read_header(file.path)
        sha256 = self._models.library.sha256_of(file)
        checks = () if file.problem else self._models.memory_checks(file.path, sha256)
        return _Read(header, lineage_of(file.path), sha256, checks)

    def _on_read(self, question: int, file: ModelFile, found: _Read) -> None:
        if question == self._question:
            self.sections = _file_sections(file, found)
            self.changed.emit()

    def _on_failed(self, question: int, error: WorkbenchError) -> None:
        if question == self._question:
            kept = (section for section in self.sections if section[0] != UNREAD)
            self.sections = (*kept, (UNREAD, ((error.message,),)))
            self.changed.emit()


def _file_sections(file: ModelFile, found: _Read | None) -> tuple[Section, ...]:
    model = [
        ("Architecture", file.architecture),
        ("Parameters", _parameters(file.parameters)),
        ("Quantization", file.quantization or units.UNKNOWN),
        ("Bits per weight", f"{file.bits_per_weight:.2f}" if file.bits_per_weight else units.UNKNOWN),
        ("Context trained", f"{units.count_text(file.context_trained)} tokens"),
        ("Thinking", _THINKING.get(file.thinking or "", "no chat template")),
        ("Templates", ", ".join(file.chat_templates) or "none"),
        ("Licence", words.license_text(file.license) or "not named"),
    ]
    if found is not None and found.header is not None:
        model[4:4] = _header_facts(found.header, file.architecture)
    place = [
        ("File", file.path.name), ("Folder", str(file.path.parent)),
        ("Size", f"{units.bytes_text(file.size_bytes)} ({units.mebibytes_text(file.size_bytes)})"),
        ("From", ORIGINS.get(file.origin, file.origin)),
    ]  # fmt: skip
    if len(file.parts) > 1:
        place.append(("Parts", f"{len(file.parts)}"))
    if file.repo_id:
        place.append(("Repository", file.repo_id))
    if file.revision:
        place.append(("Commit", file.revision))
    place.append(("SHA-256", (found.sha256 if found else None) or "not computed; Verify reads the file"))
    sections: list[Section] = [("Model", tuple(model)), *_card_sections(file), ("File", tuple(place))]
    if file.problem or file.warning:
        sections.insert(0, ("Trouble", (("", file.problem or file.warning or ""),)))
    if found is not None and found.lineage is not None:
        sections.append(("Made here", _lineage_facts(found.lineage)))
    return (*sections, *_check_sections(found.checks if found is not None else ()))


def _card_sections(file: ModelFile) -> list[Section]:
    """What the makers say of the model, as far as they do."""
    card = file.card or ModelCard()
    facts = ((("Author", file.author),) if file.author else ()) + card.facts
    sections: list[Section] = [("Model card", ((file.description,),))] if file.description else []
    if facts:
        sections.append(("" if sections else "Model card", facts))
    if card.data:
        sections.append(("Trained from", ((card.data,),)))
    if card.figures:
        of = ", of the file that this one was made from" if file.is_derived else ""
        sections.append((f"Measured by its makers{of}", card.figures))
    return sections


def _header_facts(header: GgufHeader, architecture: str) -> list[tuple[str, str]]:
    facts = []
    for key, word in _COUNTS:
        value = header.metadata.get(f"{architecture}.{key}")
        if isinstance(value, int) and not isinstance(value, bool):
            facts.append((word, f"{value:,}"))
        elif isinstance(value, list) and value and all(isinstance(item, int) for item in value):
            low, high = min(value), max(value)
            facts.append((word, f"{low:,}" if low == high else f"{low:,} to {high:,}, by layer"))
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, SkippedArray | list):
        count = tokens.length if isinstance(tokens, SkippedArray) else len(tokens)
        facts.append(("Vocabulary", f"{count:,} tokens"))
    facts.append(("Tensors", f"{header.tensor_count:,}"))
    return facts


def _lineage_facts(lineage: Lineage) -> tuple[tuple[str, str], ...]:
    facts = [
        ("From", Path(lineage.source).name), ("Its SHA-256", lineage.source_sha256),
        ("With", lineage.engine_build), ("On", lineage.made_at[:10]),
    ]  # fmt: skip
    if lineage.matrix:
        facts.append(("Importance matrix", lineage.matrix))
    facts += [("Note", note) for note in lineage.notes]
    return tuple(facts)


def _check_sections(checks: Sequence[MemoryCheck]) -> tuple[Section, ...]:
    """The newest load item by item, and the errors of all of them."""
    if not checks:
        return (("Predicted against measured", (("Known after the first load on this machine.",),)),)
    newest = checks[0]
    rows = [("", "predicted", "measured", "error, %")]
    for part in newest.parts:
        predicted, measured = units.bytes_text(part.predicted_bytes), units.bytes_text(part.measured_bytes)
        error = part.predicted_bytes / part.measured_bytes - 1 if part.measured_bytes else None
        rows.append((PURPOSES.get(part.purpose, part.purpose), predicted, measured, words.signed_percent(error)))
    return (
        ("Predicted against measured, newest load", tuple(rows)),
        (_history_heading(len(checks)), ((_summary(checks),),)),
        ("", _history_rows(checks[:SHOWN_LOADS])),
    )


def _history_heading(count: int) -> str:
    if count > SHOWN_LOADS:
        return f"Errors in %, newest {SHOWN_LOADS} of {count} loads"
    return f"Errors in %, all {count} loads" if count > 1 else "Errors in %, 1 load"


def _history_rows(checks: Sequence[MemoryCheck]) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = [("loaded\ncontext, KV", "weights", "KV", "compute", "in all")]
    for check in checks:
        found = load_errors(check)
        when = f"{words.day_text(check.checked_at)}\n{check.context_length:,}, {check.kv_type}"
        errors = (found.weights, found.kv, found.compute, found.total)
        rows.append((when, *map(words.signed_percent, errors)))
    return tuple(rows)


def _summary(checks: Sequence[MemoryCheck]) -> str:
    """Medians and largest errors; what is resident in all is only measured where a context was filled."""
    errors = [load_errors(check) for check in checks]
    said = []
    if (reserved := span([found.reserved for found in errors])) is not None:
        said.append(f"What llama.cpp reserved: {_span_text(reserved)}.")
    if (total := span([found.total for found in errors])) is not None:
        said.append(f"In all, with a filled context: {_span_text(total)}.")
    if said:
        said.append("A plus means: more was predicted than measured.")
    return " ".join(said)


def _span_text(found: ErrorSpan) -> str:
    if found.loads == 1:
        return f"{found.worst * 100:.1f} % off in 1 load"
    return f"median {found.median * 100:.1f} %, worst {found.worst * 100:.1f} % off over {found.loads} loads"


def _remote_sections(variant: Variant, repository: Repository) -> tuple[Section, ...]:
    summary = repository.summary
    model = [
        ("Architecture", summary.architecture or units.UNKNOWN),
        ("Parameters", _parameters(summary.parameters)),
        ("Quantization", variant.quantization or units.UNKNOWN),
        ("Bits per weight", f"{variant.bits_per_weight:.2f}" if variant.bits_per_weight else units.UNKNOWN),
        ("Context trained", f"{units.count_text(summary.context_trained)} tokens"),
        ("Licence", words.license_text(summary.license) or "not named"),
    ]
    hub = [
        ("Repository", summary.repo_id), ("Commit", repository.revision),
        ("Downloads", units.count_text(summary.downloads)), ("Likes", units.count_text(summary.likes)),
        ("Changed", words.age_text(summary.updated_at) or units.UNKNOWN),
    ]  # fmt: skip
    sections: list[Section] = [("Model", tuple(model)), ("On the Hub", tuple(hub))]
    for file in variant.remote.files if variant.remote is not None else ():
        facts = [("Size", units.bytes_text(file.size_bytes)), ("SHA-256", file.sha256 or "not told by the Hub")]
        sections.append((file.name, tuple(facts)))
    if repository.projectors or repository.others:
        rest = [(file.name, units.bytes_text(file.size_bytes)) for file in (*repository.projectors, *repository.others)]
        sections.append(("Other files, not downloaded", tuple(rest[:30])))
    return tuple(sections)


def _parameters(count: int | None) -> str:
    return f"{words.parameters_text(count)} ({count:,})" if count is not None else units.UNKNOWN
