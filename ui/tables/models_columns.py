"""What the tables of the Models page share: columns that know their text and sort key, sorting, copying as TSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from ui.definitions import tip_of
from workbench.glossary import Glossary

Row = TypeVar("Row")
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Column(Generic[Row]):
    """`sort_key` gives what is compared, None for not known; numbers stand at the right. `width` is a first one.
    `topic` is the term of the glossary that the title means, `note` what is special about its figure here.
    """

    title: str
    text: Callable[[Row], str]
    sort_key: Callable[[Row], Any]
    is_number: bool = False
    width: int = 90
    topic: str = ""
    note: str = ""


class ColumnTable(QAbstractTableModel, Generic[Row]):
    """Rows as they were given until a column is sorted by; `key_of` tells which row is which in two answers."""

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        key_of: Callable[[Row], str],
        glossary: Glossary,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._glossary = glossary
        self.columns = list(columns)
        self._key_of = key_of
        self._given: list[Row] = []
        self._rows: list[Row] = []
        self._sort: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """The same rows with other figures stay where they are; anything else replaces all."""
        arranged = self._sorted(rows)
        self._given = list(rows)
        if list(map(self._key_of, arranged)) != list(map(self._key_of, self._rows)):
            self.beginResetModel()
            self._rows = arranged
            self.endResetModel()
            return
        before, self._rows = self._rows, arranged
        for place, (old, new) in enumerate(zip(before, arranged, strict=True)):
            if old != new:
                self.dataChanged.emit(self.index(place, 0), self.index(place, len(self.columns) - 1))

    def row(self, place: int) -> Row:
        return self._rows[place]

    def rows(self) -> list[Row]:
        return list(self._rows)

    def place_of(self, key: str) -> int | None:
        return next((place for place, row in enumerate(self._rows) if self._key_of(row) == key), None)

    def as_tsv(self, places: Sequence[int]) -> str:
        """Header and these rows; tabs and line ends within a cell become spaces."""
        lines = ["\t".join(column.title for column in self.columns)]
        for place in places:
            lines.append("\t".join(" ".join(column.text(self._rows[place]).split()) for column in self.columns))
        return "\n".join(lines) + "\n"

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        return self.cell(row, index.column(), role)

    def cell(self, row: Row, column: int, role: int) -> Any:
        """What a table adds to text and alignment."""
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return tip_of(self._glossary.topic(column.topic), column.note) if column.topic else column.note or None
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if (column, order) == self._sort:
            return
        self._sort = (column, order)
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        keys = [self._key_of(self._rows[index.row()]) for index in before]
        self._rows = self._sorted(self._given)
        places = {self._key_of(row): place for place, row in enumerate(self._rows)}
        after = [self.index(places[key], index.column()) for key, index in zip(keys, before, strict=True)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _sorted(self, rows: Sequence[Row]) -> list[Row]:
        """What is not known stands at the end in both directions."""
        number, order = self._sort
        if not 0 <= number < len(self.columns):
            return list(rows)
        key = self.columns[number].sort_key
        known = [row for row in rows if key(row) is not None]
        known.sort(key=key, reverse=order == Qt.SortOrder.DescendingOrder)
        return known + [row for row in rows if key(row) is None]


def _alignment(column: Column[Any]) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column.is_number else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
