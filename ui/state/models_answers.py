"""What llama.cpp and this machine said about the quantizations of one model: asked one by one, kept until another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from PySide6.QtCore import QObject, QTimer, Signal

from ui.state.models_rows import Variant
from ui.tasks import Tasks
from workbench.errors import WorkbenchError
from workbench.history.model_figures import CheckedPart
from workbench.hub.memory import CurvePoint, MemoryEstimate, Verdict
from workbench.hub.repository import RemoteFiles
from workbench.hub.speed import SpeedEstimate
from workbench.runs.spec import EngineOptions

if TYPE_CHECKING:
    from workbench.models import Models

Kind = Literal["fit", "speed", "curve", "checks"]
KINDS: tuple[Kind, ...] = ("fit", "speed", "curve", "checks")
# The plans of a curve answer for the fit of the same row too.
KINDS_BESIDE: tuple[Kind, ...] = ("curve", "fit", "speed", "checks")
# Each costs about a second, and some kilobytes of network where its vocabulary is known from another row.
MOST_ROWS = 12
# How often what waits for the end of a run is tried again.
AGAIN_MS = 500


@dataclass(frozen=True)
class Fit:
    """An estimate, with the verdict on it."""

    estimate: MemoryEstimate
    verdict: Verdict


@dataclass(frozen=True)
class Question:
    """What is to be known: the rows in the order of their urgency, and the options that they are asked with."""

    rows: tuple[Variant, ...] = ()
    current: str = ""
    options: EngineOptions = field(default_factory=EngineOptions)
    contexts: tuple[int, ...] = ()


class ModelsAnswers(QObject):
    """Asks for one thing at a time on a thread; an answer about a model that was left is dropped.

    While a run goes on only the row that is looked at is asked about: planning takes a core that the run would miss.
    """

    changed = Signal()

    def __init__(self, models: Models, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models, self._tasks = models, tasks
        self._question = Question()
        self._turn = 0
        self._is_working = False
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.timeout.connect(self._work_next)
        self.free_bytes: int | None = None
        self.forget()

    def forget(self) -> None:
        """Another model: nothing that was said so far counts."""
        self._turn += 1
        self._question = Question()
        self.fits: dict[tuple[str, int, str], Fit] = {}
        self.curves: dict[tuple[str, str], tuple[CurvePoint, ...]] = {}
        self.speeds: dict[str, SpeedEstimate | None] = {}
        self.checks: dict[str, tuple[CheckedPart, ...]] = {}
        self._failures: dict[tuple[str, Kind], str] = {}
        self._put_off: set[str] = set()
        self._behind_run: set[tuple[str, Kind]] = set()
        self._old_checks: set[str] = set()

    def drop(self, keys: Iterable[str]) -> None:
        """Rows whose bytes lie elsewhere since: what failed is asked again."""
        gone = set(keys)
        self._failures = {key: text for key, text in self._failures.items() if key[0] not in gone}
        self._put_off -= gone
        self.checks = {key: checks for key, checks in self.checks.items() if key not in gone}

    def renew_checks(self) -> None:
        """A model may have been loaded meanwhile: what is known is shown until it has been read again."""
        self._old_checks = set(self.checks)
        self._work_next()

    def ask(self, question: Question) -> None:
        """Replaces what is to be known; what was answered stays."""
        self._question = question
        self._work_next()

    def failure(self, key: str, kind: Kind) -> str:
        return self._failures.get((key, kind), "")

    def is_exact(self, key: str) -> bool:
        """Whether llama.cpp itself planned this row, with any context and KV type."""
        return any(fit.estimate.basis == "engine" for (name, _, _), fit in self.fits.items() if name == key)

    def _work_next(self) -> None:
        if self._is_working:
            return
        is_busy = self._models.is_busy
        if not is_busy:
            self._behind_run.clear()
        wanted = next(self._open_jobs(is_busy=is_busy), None)
        if wanted is None:
            if self._behind_run or next(self._open_jobs(is_busy=False), None) is not None:
                self._again.start(AGAIN_MS)
            return
        row, kind = wanted
        work, take = self._job(row, kind)
        turn = self._turn
        self._is_working = True

        def fail(error: WorkbenchError) -> None:
            if error.code == "run_going_on":
                self._behind_run.add((row.key, kind))
            elif row.is_local or row.key == self._question.current:
                self._failures[(row.key, kind)] = error.message
            else:
                # Nobody asked for this row: its estimate stays, and it is asked again when it is looked at.
                self._put_off.add(row.key)

        def keep(answer: Any) -> None:
            self._put_off.discard(row.key)
            take(answer)

        self._tasks.run(
            work,
            lambda answer: self._on_answer(turn, lambda: keep(answer)),
            lambda error: self._on_answer(turn, lambda: fail(error)),
        )

    def _on_answer(self, turn: int, take: Callable[[], None]) -> None:
        self._is_working = False
        if turn == self._turn:
            take()
            self.changed.emit()
        self._work_next()

    def _open_jobs(self, *, is_busy: bool) -> Iterator[tuple[Variant, Kind]]:
        """The row that is looked at completely, then the others; those on the Hub once that row is exact."""
        current = self._question.current
        for row in sorted(self._question.rows, key=lambda row: row.key != current):
            is_current = row.key == current
            if is_busy and not is_current:
                continue
            if not is_current and not row.is_local and (row.key in self._put_off or not self.is_exact(current)):
                continue
            for kind in KINDS if is_current else KINDS_BESIDE:
                asked = row.key, kind
                if not self._has(row, kind) and asked not in self._failures and asked not in self._behind_run:
                    yield row, kind

    def _has(self, row: Variant, kind: Kind) -> bool:
        options = self._question.options
        if kind == "fit":
            return (row.key, options.context_length, options.kv_type_k) in self.fits
        if kind == "curve":
            return (row.key, options.kv_type_k) in self.curves
        if kind == "checks":
            return (row.key in self.checks and row.key not in self._old_checks) or row.file is None
        return row.key in self.speeds

    def _job(self, row: Variant, kind: Kind) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        models, question, source = self._models, self._question, row.source
        options, key = question.options, row.key
        assert source is not None
        if kind == "fit":

            def judge() -> tuple[Fit, int | None]:
                estimate = models.estimate(source, options)
                return Fit(estimate, models.verdict(estimate, source, options)), models.free_bytes(estimate.devices)

            return judge, lambda answer: self._take_fit((key, options.context_length, options.kv_type_k), *answer)
        if kind == "speed":
            return lambda: models.speed(source), lambda speed: self.speeds.update({key: speed})
        if kind == "curve":
            return (
                lambda: models.curve(source, options, question.contexts),
                lambda points: self.curves.update({(key, options.kv_type_k): points}),
            )
        assert row.file is not None
        file = row.file

        def newest() -> tuple[CheckedPart, ...]:
            checks = models.memory_checks(file.path, models.library.sha256_of(file))
            return checks[0].parts if checks else ()

        return newest, lambda parts: self._take_checks(key, parts)

    def _take_checks(self, key: str, parts: tuple[CheckedPart, ...]) -> None:
        self.checks[key] = parts
        self._old_checks.discard(key)

    def _take_fit(self, key: tuple[str, int, str], fit: Fit, free_bytes: int | None) -> None:
        self.fits[key], self.free_bytes = fit, free_bytes


def urgent(rows: Sequence[Variant], current: str) -> tuple[Variant, ...]:
    """The row that is looked at, those on this machine, and others of the Hub, `MOST_ROWS` of these at most.

    A split file is left until it is looked at: every part has a header of its own, which costs megabytes of network.
    """
    known = [row for row in rows if row.source is not None]
    beside = [row for row in known if not row.is_local and row.key != current and _is_single(row)]
    kept = {row.key for row in beside[: MOST_ROWS - 1]}
    return tuple(row for row in known if row.is_local or row.key == current or row.key in kept)


def _is_single(row: Variant) -> bool:
    return isinstance(row.source, RemoteFiles) and len(row.source.files) == 1
