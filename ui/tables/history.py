"""The table of runs: pages of summaries as they are loaded, sorted by any column, copied as TSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from ui.definitions import tip_of
from workbench import units
from workbench.glossary import Glossary
from workbench.history.store import RunSummary

Index = QModelIndex | QPersistentModelIndex
STATUS_ROLE = Qt.ItemDataRole.UserRole + 1
ID_ROLE = Qt.ItemDataRole.UserRole + 2
STATUS_WORDS = {
    "running": "Running",
    "finished": "Finished",
    "failed": "Failed",
    "cancelled": "Stopped",
    "interrupted": "Interrupted",
}


@dataclass(frozen=True)
class Column:
    """`sort_key` gives what is compared, None for not measured; numbers stand at the right. `topic` is the term of the
    glossary that the title means, `note` what is special about its figure here.
    """

    title: str
    text: Callable[[RunSummary], str]
    sort_key: Callable[[RunSummary], Any]
    is_number: bool = False
    width: int = 90
    topic: str = ""
    note: str = ""


def _figure(value: float | None, decimals: int) -> str:
    return units.UNKNOWN if value is None else f"{value:,.{decimals}f}"


def _ms(value: float | None) -> str:
    return _figure(value, 1 if value is not None and value < 10 else 0)


def _rate(value: float | None) -> str:
    return units.rate_parts(value)[0]


def local_time(started_at: str) -> str:
    """2026-11-21 03:13:05, in the time zone of this machine."""
    return datetime.fromisoformat(started_at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _one_line(text: str) -> str:
    return " ".join(text.split())


COLUMNS: tuple[Column, ...] = (
    Column("Started", lambda r: local_time(r.started_at), lambda r: r.started_at, width=170),
    Column("Status", lambda r: STATUS_WORDS[r.status], lambda r: STATUS_WORDS[r.status], width=112),
    Column("Model", lambda r: r.model, lambda r: r.model.lower(), width=132),
    Column("Quant", lambda r: r.quantization or units.UNKNOWN, lambda r: r.quantization, width=84,
           topic="quantization"),
    Column("Context", lambda r: units.count_text(r.context_length), lambda r: r.context_length, True, 80,
           "context"),
    Column("Mode", lambda r: r.mode or units.UNKNOWN, lambda r: r.mode, width=96,
           topic="modes"),
    Column("TTFT, ms", lambda r: _ms(r.ttft_ms), lambda r: r.ttft_ms, True, 84, "ttft"),
    Column("TPS, tok/s", lambda r: _rate(r.tps), lambda r: r.tps, True, 92, "tps"),
    Column("TTLT, s", lambda r: _figure(None if r.ttlt_ms is None else r.ttlt_ms / 1000, 2), lambda r: r.ttlt_ms,
           True, 78, "ttlt"),
    Column("Cost est., $", lambda r: units.usd_parts(r.cost_api_usd)[0], lambda r: r.cost_api_usd, True, 112,
           "apicost", "Here: an estimate, the same tokens at the chosen API."),
    Column("Prompt", lambda r: _one_line(r.prompt), lambda r: r.prompt.lower(), width=88),
)  # fmt: skip


class HistoryTable(QAbstractTableModel):
    """Newest first until sorted. `more_wanted`: the view came to the end of what is loaded; `all_wanted`: a
    sort needs every row."""

    more_wanted = Signal()
    all_wanted = Signal()

    def __init__(self, glossary: Glossary, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._glossary = glossary
        self._rows: list[RunSummary] = []
        self._total = 0
        self._sort: tuple[int, Qt.SortOrder] = (0, Qt.SortOrder.DescendingOrder)
        self._is_waiting = False

    def set_rows(self, rows: Iterable[RunSummary], total: int) -> None:
        """Replaces everything; `rows` may be the beginning of `total` rows, newest first."""
        self.beginResetModel()
        self._rows, self._total, self._is_waiting = list(rows), total, False
        if self.is_complete:
            self._rows = self._sorted(self._rows)
        self.endResetModel()

    def is_new(self, rows: Sequence[object], total: int) -> bool:
        """Whether `set_rows` with these would change anything; true before the first rows."""
        if total != self._total or len(rows) != len(self._rows) or not rows:
            return True
        shown = {row.id: row for row in self._rows}
        return any(not isinstance(row, RunSummary) or shown.get(row.id) != row for row in rows)

    def add_rows(self, rows: Sequence[RunSummary]) -> None:
        """Appends the next page."""
        self._is_waiting = False
        if not rows:
            self._total = len(self._rows)
            return
        self.beginInsertRows(QModelIndex(), len(self._rows), len(self._rows) + len(rows) - 1)
        self._rows.extend(rows)
        self._total = max(self._total, len(self._rows))
        self.endInsertRows()

    @property
    def is_complete(self) -> bool:
        return len(self._rows) >= self._total

    def run_id(self, row: int) -> str:
        return self._rows[row].id

    def row_of(self, run_id: str) -> int | None:
        return next((i for i, row in enumerate(self._rows) if row.id == run_id), None)

    def as_tsv(self, rows: Sequence[int]) -> str:
        """Header and these rows; tabs and line ends within a cell become spaces."""
        lines = ["\t".join(column.title for column in COLUMNS)]
        lines += ["\t".join(_one_line(column.text(self._rows[row])) for column in COLUMNS) for row in rows]
        return "\n".join(lines) + "\n"

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == STATUS_ROLE:
            return row.status
        if role == ID_ROLE:
            return row.id
        if role == Qt.ItemDataRole.ToolTipRole and column.title == "Prompt":
            return row.prompt
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return tip_of(self._glossary.topic(column.topic), column.note) if column.topic else None
        return None

    def canFetchMore(self, parent: Index) -> bool:
        return not parent.isValid() and not self.is_complete and not self._is_waiting

    def fetchMore(self, parent: Index) -> None:
        self._is_waiting = True
        self.more_wanted.emit()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if column < 0 or (column, order) == self._sort:
            return
        self._sort = (column, order)
        if not self.is_complete:
            self._is_waiting = True
            self.all_wanted.emit()
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        ids = [self._rows[index.row()].id for index in before]
        self._rows = self._sorted(self._rows)
        places = {row.id: place for place, row in enumerate(self._rows)} if before else {}
        after = [self.index(places[run_id], index.column()) for run_id, index in zip(ids, before, strict=True)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _sorted(self, rows: list[RunSummary]) -> list[RunSummary]:
        """What was not measured stands at the end in both directions."""
        number, order = self._sort
        key = COLUMNS[number].sort_key
        known = [row for row in rows if key(row) is not None]
        known.sort(key=key, reverse=order == Qt.SortOrder.DescendingOrder)
        return known + [row for row in rows if key(row) is None]


def _alignment(column: Column) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column.is_number else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
