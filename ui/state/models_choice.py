"""The model at the right of the Models page: its quantizations, what each takes of memory, how fast it will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from ui.figures import CurveLine, FitFigures
from ui.state import models_fit
from ui.state import models_words as words
from ui.state.models_answers import Fit, ModelsAnswers, Question, urgent
from ui.state.models_downloads import ModelsDownloads
from ui.state.models_rows import (
    QuantizationRow,
    Variant,
    first_choice,
    row_of,
    sibling_speed,
    variants_of_entry,
    variants_of_repository,
)
from ui.tasks import Tasks
from workbench import units
from workbench.errors import HubAccessDenied, HubOffline, WorkbenchError
from workbench.history.model_figures import CheckedPart
from workbench.hub.grouping import ModelEntry
from workbench.hub.memory import MemoryEstimate
from workbench.hub.repository import Repository
from workbench.hub.speed import SpeedEstimate
from workbench.runs.spec import EngineOptions

if TYPE_CHECKING:
    from workbench.models import Models

KV_TYPES = (("f16", "f16"), ("q8_0", "q8_0, half"), ("q4_0", "q4_0, quarter"))
USUAL_CONTEXT, LARGEST_CONTEXT = 8192, 131_072
SERIES = ("series-0", "series-1", "series-2", "series-3", "series-5", "series-6", "series-7")


@dataclass(frozen=True)
class ChoiceHead:
    """What stands above the table. `status` is "none", "loading", "ready" or "failed"."""

    status: str = "none"
    title: str = ""
    repo_id: str | None = None
    pills: tuple[tuple[str, str], ...] = ()
    why: str = ""
    basis: str = ""
    problem: str = ""
    problem_code: str = ""


class ModelsChoice(QObject):
    """The row that is looked at is asked about first, the others after it; until llama.cpp has answered for a row, it
    shows estimates from a sibling, and says so.
    """

    head_changed = Signal()
    rows_changed = Signal()
    curve_changed = Signal()

    def __init__(self, models: Models, downloads: ModelsDownloads, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models, self._downloads, self._tasks = models, downloads, tasks
        self._entries: Sequence[ModelEntry] = ()
        self._measured: Mapping[str, float] = {}
        self._head = ChoiceHead()
        self._repository: Repository | None = None
        self._entry: ModelEntry | None = None
        self._variants: list[Variant] = []
        self._current = ""
        self._context, self._kv_type = USUAL_CONTEXT, "f16"
        self._wanted_context = USUAL_CONTEXT  # what a person asked for, where a model reaches that far
        self._question = 0
        self._answers = ModelsAnswers(models, tasks, self)
        self._answers.changed.connect(self._on_answers_changed)
        downloads.changed.connect(self._on_downloads_changed)

    # --- what is shown -----------------------------------------------------------------------------------

    @property
    def head(self) -> ChoiceHead:
        return self._head

    @property
    def context_length(self) -> int:
        return self._context

    @property
    def kv_type(self) -> str:
        return self._kv_type

    @property
    def free_bytes(self) -> int | None:
        return self._answers.free_bytes

    @property
    def current(self) -> Variant | None:
        return self.variant(self._current)

    @property
    def repository(self) -> Repository | None:
        return self._repository

    def variant(self, key: str) -> Variant | None:
        return next((variant for variant in self._variants if variant.key == key), None)

    def contexts(self) -> tuple[int, ...]:
        """Powers of two up to what the model was trained for."""
        top = min(self._trained() or LARGEST_CONTEXT // 4, LARGEST_CONTEXT)
        steps = {top}
        length = 2048 if top > 8192 else 512
        while length < top:
            steps.add(length)
            length *= 2
        return tuple(sorted(steps))

    def rows(self) -> tuple[QuantizationRow, ...]:
        rows = [self._row(variant) for variant in self._variants]
        scale = self._scale(max((row.fit.reserved_bytes for row in rows), default=0))
        return tuple(replace(row, fit=replace(row.fit, scale_bytes=scale)) for row in rows)

    def _scale(self, largest: int) -> int | None:
        """All bars have one scale: up to what is free where that is near, else up to the largest need."""
        free = self._answers.free_bytes
        if free is not None and free < 2.5 * largest:
            return max(free, largest)
        return round(1.1 * largest) or None

    def curve(self) -> tuple[CurveLine, ...]:
        """One line per quantization, resident bytes; those without a curve of their own are moved copies."""
        curves, kv_type = self._answers.curves, self._kv_type
        known = next((v for v in [self.current, *self._variants] if v and (v.key, kv_type) in curves), None)
        if known is None:
            return ()
        lines = []
        for number, variant in enumerate(self._variants):
            points = curves.get((variant.key, kv_type))
            is_exact = points is not None and self._answers.is_exact(variant.key)
            if points is None and variant.size_bytes is not None and known.size_bytes is not None:
                points = models_fit.moved(curves[(known.key, kv_type)], variant.size_bytes - known.size_bytes)
            if points:
                shown = tuple((point.context_length, point.resident_bytes) for point in points)
                role = SERIES[number % len(SERIES)]
                lines.append(CurveLine(variant.label, shown, role, is_exact, variant.key == self._current))
        return tuple(lines)

    def curve_basis(self) -> str:
        """What the curve of the current row stands on, in a few words."""
        fit = self._exact_fit(self.current) if self.current else None
        if fit is None:
            return ""
        is_exact = fit.estimate.basis == "engine"
        word = "exact, planned by llama.cpp" if is_exact else "estimated from the header"
        lines = self.curve()
        if any(line.is_current and line.is_exact != is_exact for line in lines):
            return f"{self._current}: bar {word}; dotted lines estimated"
        others = {line.is_exact for line in lines if not line.is_current}
        if others == {is_exact}:
            word += "; so are the other lines"
        elif others:
            word += "; dotted lines estimated from it" if is_exact else "; dotted lines estimated"
        return f"{self._current}: {word}"

    def curve_problem(self) -> str:
        """Why there is no curve; empty while it is on its way."""
        return self._answers.failure(self._current, "fit") or self._answers.failure(self._current, "curve")

    # --- what a person does ------------------------------------------------------------------------------

    def set_entries(self, entries: Sequence[ModelEntry], measured_tps: Mapping[str, float] | None = None) -> None:
        """What is on disk, and by path how fast it was; a download that has arrived can be used."""
        self._entries, self._measured = entries, measured_tps or {}
        if self._repository is not None:
            before = {variant.key: variant.source for variant in self._variants}
            self._variants = variants_of_repository(self._repository, entries)
            self._answers.drop(v.key for v in self._variants if before.get(v.key) != v.source)
            self.rows_changed.emit()
            self._ask()
        elif self._entry is not None:
            name, current = self._entry.name, self._current
            again = next((entry for entry in entries if entry.name == name), None)
            if again is None:
                self._begin(ChoiceHead())
            elif again != self._entry:
                self.show_entry(name)
                self.look_at(current)
            else:
                self.rows_changed.emit()

    def show_repository(
        self, repo_id: str, why: str = "", pills: Sequence[tuple[str, str]] = (), title: str = ""
    ) -> None:
        self._begin(ChoiceHead("loading", title or words.title_of(repo_id.split("/")[-1]), repo_id, tuple(pills), why))
        question = self._question
        self._tasks.run(
            lambda: self._models.repository(repo_id),
            lambda found: self._on_repository(question, found),
            lambda error: self._on_repository_failed(question, repo_id, error),
        )

    def show_entry(self, name: str, note: str = "") -> None:
        """A model on this machine by its name in the library; an unknown name is ignored."""
        entry = next((entry for entry in self._entries if entry.name == name), None)
        if entry is None:
            return
        file = entry.files[0]
        pills = [("on this machine", "good"), *_file_pills(file.license, file.thinking, file.context_trained)]
        self._begin(ChoiceHead("ready", entry.name, entry.repo_id, tuple(pills), file.description or "", note))
        self._entry = entry
        self._show_variants(variants_of_entry(entry))

    def retry(self) -> None:
        if self._head.repo_id is not None:
            self.show_repository(self._head.repo_id, self._head.why, self._head.pills, self._head.title)

    def set_context(self, context_length: int) -> None:
        if context_length != self._context:
            self._context = self._wanted_context = context_length
            self._show_options()

    def set_kv_type(self, kv_type: str) -> None:
        if kv_type != self._kv_type:
            self._kv_type = kv_type
            self._show_options()

    def look_at(self, key: str) -> None:
        """The row that is selected is asked about first, and its line stands out in the chart."""
        if key != self._current and self.variant(key) is not None:
            self._current = key
            self.curve_changed.emit()
            self._ask()

    def renew_checks(self) -> None:
        """Reads anew how well memory was foretold: a model may have been loaded meanwhile."""
        self._answers.renew_checks()

    def act(self, key: str) -> None:
        """Download, pause or resume: what the row offers, except its use."""
        variant = self.variant(key)
        if variant is None or variant.remote is None or self._repository is None:
            return
        view = self._downloads.view_of(self._repository.summary.repo_id, variant.label)
        action = row_of(variant, FitFigures(), None, None, view).action[0]
        if action == "pull":
            self._downloads.pull(self._repository, variant.remote)
        elif view is not None and action == "pause":
            self._downloads.pause(view.id)
        elif view is not None and action == "resume":
            self._downloads.resume(view.id)

    # --- a model arrives ---------------------------------------------------------------------------------

    def _begin(self, head: ChoiceHead) -> None:
        self._question += 1
        self._head = head
        self._repository = self._entry = None
        self._variants, self._current = [], ""
        self._answers.forget()
        self.head_changed.emit()
        self.rows_changed.emit()
        self.curve_changed.emit()

    def _on_repository(self, question: int, found: Repository) -> None:
        if question != self._question:
            return
        self._repository = found
        summary = found.summary
        known = [pill for pill in self._head.pills if pill[1] == "thinking"]
        pills = [*_file_pills(summary.license, None, summary.context_trained), *known]
        if summary.is_gated:
            pills.append(("gated", "warn"))
        self._head = replace(self._head, status="ready", repo_id=summary.repo_id,
                             pills=tuple(pills))  # fmt: skip
        self._show_variants(variants_of_repository(found, self._entries))

    def _on_repository_failed(self, question: int, repo_id: str, error: WorkbenchError) -> None:
        if question != self._question:
            return
        here = next((entry for entry in self._entries if entry.repo_id == repo_id), None)
        if here is not None and isinstance(error, HubOffline):
            self.show_entry(here.name, "Offline: what is on this machine")
            return
        code = "denied" if isinstance(error, HubAccessDenied) else "failed"
        self._head = replace(self._head, status="failed", problem=error.message, problem_code=code)
        self.head_changed.emit()

    def _show_variants(self, variants: list[Variant]) -> None:
        self._variants = variants
        first = first_choice(variants)
        self._current = first.key if first is not None else ""
        lengths = self.contexts()
        self._context = max((length for length in lengths if length <= self._wanted_context), default=lengths[0])
        self.head_changed.emit()
        self.rows_changed.emit()
        self.curve_changed.emit()
        self._ask()

    def _show_options(self) -> None:
        self.head_changed.emit()
        self.rows_changed.emit()
        self.curve_changed.emit()
        self._ask()

    def _trained(self) -> int | None:
        if self._repository is not None:
            return self._repository.summary.context_trained or next(
                (v.file.context_trained for v in self._variants if v.file is not None), None
            )
        return next((v.file.context_trained for v in self._variants if v.file is not None), None)

    def _on_downloads_changed(self) -> None:
        if self._repository is not None:
            self.rows_changed.emit()

    # --- a row -------------------------------------------------------------------------------------------

    def _row(self, variant: Variant) -> QuantizationRow:
        view = None
        if self._repository is not None and variant.remote is not None:
            view = self._downloads.view_of(self._repository.summary.repo_id, variant.label)
        measured = self._measured.get(variant.model or "")
        row = row_of(variant, self._fit(variant), self._speed(variant), measured, view)
        checks = self._answers.checks.get(variant.key, ())
        share = _total_error(checks)
        if share is None:
            return row
        return replace(row, error=words.error_text(share), error_share=share, error_tip=_error_tip(checks))

    def _fit(self, variant: Variant) -> FitFigures:
        exact = self._exact_fit(variant)
        if exact is not None:
            return models_fit.fit_figures(exact.estimate, exact.verdict, self._answers.free_bytes)
        problem = self._answers.failure(variant.key, "fit")
        if problem:
            return FitFigures(text=problem, short=problem, tip=problem)
        relative = self._relative(variant)
        if relative is None or variant.size_bytes is None:
            said = "asking llama.cpp" if variant.source is not None else ""
            return FitFigures(text=said, short=said)
        known, estimate = relative
        guess = models_fit.sibling(
            estimate, variant.size_bytes - (known.size_bytes or variant.size_bytes), self._context, self._kv_type,
            known.label,
        )  # fmt: skip
        return models_fit.fit_figures(guess, None, self._answers.free_bytes)

    def _exact_fit(self, variant: Variant) -> Fit | None:
        return self._answers.fits.get((variant.key, self._context, self._kv_type))

    def _relative(self, variant: Variant) -> tuple[Variant, MemoryEstimate] | None:
        """The nearest known estimate: the row's own with other options, else a sibling's, the same options first."""

        def distance(key: tuple[str, int, str]) -> tuple[bool, bool, bool, int]:
            return key[0] != variant.key, key[2] != self._kv_type, key[1] != self._context, abs(key[1] - self._context)

        for key in sorted(self._answers.fits, key=distance):
            known = self.variant(key[0])
            if known is not None:
                return known, self._answers.fits[key].estimate
        return None

    def _speed(self, variant: Variant) -> SpeedEstimate | None:
        speeds = self._answers.speeds
        if variant.key in speeds:
            return speeds[variant.key]
        for key in [self._current, *speeds]:
            known, speed = self.variant(key), speeds.get(key)
            if known is not None and speed is not None:
                return sibling_speed(speed, known, variant)
        return None

    def _ask(self) -> None:
        options = EngineOptions(context_length=self._context, kv_type_k=self._kv_type, kv_type_v=self._kv_type)
        rows = urgent(self._variants, self._current)
        self._answers.ask(Question(rows, self._current, options, self.contexts()))

    def _on_answers_changed(self) -> None:
        self.rows_changed.emit()
        self.curve_changed.emit()


def _file_pills(license_key: str | None, thinking: str | None, context: int | None) -> list[tuple[str, str]]:
    pills = [(words.license_text(license_key), "dim")] if license_key else []
    if thinking == "always_on":
        pills.append(("always thinks", "thinking"))
    elif thinking not in (None, "none"):
        pills.append((f"thinking: {thinking}", "thinking"))
    if context:
        pills.append((f"context {context:,}", "dim"))
    return pills


def _total_error(checks: Sequence[CheckedPart]) -> float | None:
    """Of the newest load: of all that was resident where that was measured, else of all that was reserved."""
    total = [check for check in checks if check.purpose == "total resident"] or list(checks)
    predicted, measured = sum(c.predicted_bytes for c in total), sum(c.measured_bytes for c in total)
    return predicted / measured - 1 if measured else None


def _error_tip(checks: Sequence[CheckedPart]) -> str:
    lines = ["Predicted against measured in the last load:"]
    for check in checks:
        predicted, measured = units.bytes_text(check.predicted_bytes), units.bytes_text(check.measured_bytes)
        lines.append(f"{models_fit.PURPOSES.get(check.purpose, check.purpose)}: {predicted} against {measured}")
    return "\n".join(lines)
