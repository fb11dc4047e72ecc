"""The table of quantizations of one model: size, memory need, speed, error of earlier predictions."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject, Qt

from ui.state.models_rows import QuantizationRow
from ui.tables.models_columns import Column, ColumnTable
from workbench.glossary import Glossary

SECOND_ROLE = Qt.ItemDataRole.UserRole + 1
BADGE_ROLE = Qt.ItemDataRole.UserRole + 2
TONE_ROLE = Qt.ItemDataRole.UserRole + 3
FIT_ROLE = Qt.ItemDataRole.UserRole + 4
NAME, SIZE, MEMORY, SPEED, ERROR, ACTION = range(6)

COLUMNS: tuple[Column[QuantizationRow], ...] = (
    Column("Quantization", lambda r: r.label, lambda r: r.label.casefold(), width=150,
           topic="quantization"),
    Column("Size", lambda r: r.size, lambda r: r.size_bytes, True, 78),
    Column("Memory", lambda r: r.fit.text, lambda r: r.fit.reserved_bytes or None, width=260,
           topic="resident",
           note="Solid: what it will really use. Hatched: reserved beyond that. All bars have one scale."),
    Column("tok/s", lambda r: r.speed, lambda r: r.speed_rate, True, 92,
           "tps", "Here: on this machine, estimated as a range, or measured where it has run."),
    Column("Memory error", lambda r: r.error, lambda r: r.error_share, True, 122,
           note="Memory predicted over memory measured in the last load."),
    Column("", lambda r: r.action[1], lambda r: r.action[1], width=104),
)  # fmt: skip


class QuantizationTable(ColumnTable[QuantizationRow]):
    def __init__(self, glossary: Glossary, parent: QObject | None = None) -> None:
        super().__init__(COLUMNS, lambda row: row.key, glossary, parent)
        self._memory_title = "Memory"

    def set_memory_title(self, title: str) -> None:
        """Memory at 8,192 tokens, of 20.9 GB free"""
        if title != self._memory_title:
            self._memory_title = title
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, MEMORY, MEMORY)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if section == MEMORY and orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._memory_title
        return super().headerData(section, orientation, role)

    def cell(self, row: QuantizationRow, column: int, role: int) -> Any:
        if role == FIT_ROLE:
            return row.fit
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self._said(row, column)
        if column == NAME:
            return {SECOND_ROLE: row.bits, BADGE_ROLE: row.badge, Qt.ItemDataRole.ToolTipRole: row.tip}.get(role)
        if column == SPEED:
            second = "" if row.speed_rate is None else "measured" if row.is_speed_measured else "est."
            return {SECOND_ROLE: second, Qt.ItemDataRole.ToolTipRole: row.speed_tip}.get(role)
        if column == ERROR and role == Qt.ItemDataRole.ToolTipRole:
            return row.error_tip or "Known after the first load on this machine"
        if column in (ERROR, SPEED) and role == TONE_ROLE:
            return "text"
        return None

    def _said(self, row: QuantizationRow, column: int) -> str:
        if column == NAME:
            return ", ".join(filter(None, (row.label, row.bits, row.badge)))
        if column == MEMORY:
            return ", ".join(filter(None, (row.fit.text, row.fit.verdict)))
        return COLUMNS[column].text(row)
