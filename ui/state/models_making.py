"""What the dialog for a new quantization offers: types, their sizes as llama.cpp plans them, and the order itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from ui.state.models_downloads import ModelsDownloads
from ui.tasks import Tasks
from workbench import units
from workbench.engine.file_types import MAKEABLE, NEEDS_MATRIX, WHOLE_NUMBERS, QuantizeOptions
from workbench.errors import WorkbenchError
from workbench.hub.gguf import ModelFile

if TYPE_CHECKING:
    from workbench.models import Models

USUAL = ("Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "Q3_K_M", "Q2_K", "IQ4_XS", "IQ3_XXS", "IQ2_M")


@dataclass(frozen=True)
class TypeChoice:
    name: str
    note: str


class ModelsMaking(QObject):
    """`planned` comes when the size of the chosen type is known, or why it cannot be made."""

    planned = Signal()

    def __init__(
        self, models: Models, downloads: ModelsDownloads, tasks: Tasks, file: ModelFile, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._models, self._downloads, self._tasks, self.file = models, downloads, tasks, file
        self._question = 0
        self.type_name = USUAL[0]
        self.matrix: Path | None = None
        self.size_text = ""
        self.problem = ""

    @property
    def types(self) -> tuple[TypeChoice, ...]:
        """The usual ones first; those that are garbage without an importance matrix say so."""
        others = [name for name in MAKEABLE if name not in USUAL and name not in WHOLE_NUMBERS]
        names = [name for name in (*USUAL, *others) if name != self.file.quantization]
        return tuple(TypeChoice(name, "needs an importance matrix" if name in NEEDS_MATRIX else "") for name in names)

    @property
    def warning(self) -> str:
        if self.file.quantization in (*WHOLE_NUMBERS, None):
            return ""
        return (
            f"The source is {self.file.quantization} already. Made from it, the result loses more than it would from "
            "F16."
        )

    def choose(self, type_name: str, matrix: Path | None) -> None:
        """Asks llama.cpp how large the file would be."""
        self._question += 1
        question = self._question
        self.type_name, self.matrix = type_name, matrix
        self.problem = ""
        if type_name in NEEDS_MATRIX and matrix is None:
            self.size_text, self.problem = "", f"{type_name} needs an importance matrix: choose its file below."
            self.planned.emit()
            return
        self.size_text = "Asking llama.cpp how large it will be"
        self.planned.emit()
        self._tasks.run(
            lambda: self._models.plan_quantization(self.file.path, type_name, options=self._options()),
            lambda plan: self._on_planned(question, plan.size_bytes),
            lambda error: self._on_refused(question, error),
        )

    def start(self) -> None:
        models, file, name, options = self._models, self.file, self.type_name, self._options()
        self._downloads.make(
            f"{name}  {file.name}",
            lambda progress, cancel: models.quantize(
                file.path, name, options=options, on_progress=progress, cancel=cancel
            ),
        )

    def _options(self) -> QuantizeOptions:
        is_quantized = self.file.quantization not in (*WHOLE_NUMBERS, None)
        return QuantizeOptions(matrix=str(self.matrix) if self.matrix else None, allow_requantize=is_quantized)

    def _on_planned(self, question: int, size_bytes: int) -> None:
        if question == self._question:
            share = size_bytes / self.file.size_bytes if self.file.size_bytes else 0.0
            self.size_text = f"{units.bytes_text(size_bytes)}, {share:.0%} of {units.bytes_text(self.file.size_bytes)}"
            self.planned.emit()

    def _on_refused(self, question: int, error: WorkbenchError) -> None:
        if question == self._question:
            self.size_text, self.problem = "", error.message
            self.planned.emit()
