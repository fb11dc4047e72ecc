"""The table of the model files on this machine."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject, Qt

from ui.state import models_words as words
from ui.state.models_library import LibraryRow
from ui.tables.models_columns import Column, ColumnTable
from workbench import units
from workbench.glossary import Glossary

TROUBLE_ROLE = Qt.ItemDataRole.UserRole + 1

COLUMNS: tuple[Column[LibraryRow], ...] = (
    Column("Model", lambda r: r.name, lambda r: r.name.casefold(), width=186),
    Column("Quantization", lambda r: r.file.quantization or units.UNKNOWN, lambda r: r.file.quantization, width=116,
           topic="quantization"),
    Column("Size", lambda r: units.bytes_text(r.file.size_bytes), lambda r: r.file.size_bytes, True, 78),
    Column("Parameters", lambda r: r.parameters_text, lambda r: r.file.parameters, True, 110, "parameters"),
    Column("Architecture", lambda r: r.file.architecture, lambda r: r.file.architecture, width=116),
    Column("Context", lambda r: units.count_text(r.file.context_trained), lambda r: r.file.context_trained, True, 82,
           "context", "Here: what the model was trained with."),
    Column("tok/s", lambda r: units.rate_parts(r.tps)[0], lambda r: r.tps, True, 66,
           "tps", "Here: the median of earlier runs on this machine."),
    Column("Last used", lambda r: words.age_text(r.last_used) or units.UNKNOWN, lambda r: r.last_used, width=96),
    Column("Thinking", lambda r: thinking_text(r.file.thinking), lambda r: r.file.thinking, width=124,
           topic="thinking", note="Here: the switch with which the chat template turns it on and off."),
    Column("Licence", lambda r: words.license_text(r.file.license) or units.UNKNOWN, lambda r: r.file.license,
           width=88),
    Column("From", lambda r: r.origin, lambda r: r.origin, width=140),
)  # fmt: skip


class LibraryTable(ColumnTable[LibraryRow]):
    def __init__(self, glossary: Glossary, parent: QObject | None = None) -> None:
        super().__init__(COLUMNS, lambda row: row.key, glossary, parent)

    def cell(self, row: LibraryRow, column: int, role: int) -> Any:
        if role == TROUBLE_ROLE:
            return ("failed" if not row.is_usable else "interrupted") if row.trouble else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.trouble or str(row.file.path)
        return None


def thinking_text(kind: str | None) -> str:
    if kind is None:
        return units.UNKNOWN
    return {"none": "no switch", "always_on": "always on"}.get(kind, kind)
