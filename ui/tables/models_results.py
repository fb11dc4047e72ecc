"""The list of found models, with pages that arrive as one scrolls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from ui.state.models_search import ResultItem

Index = QModelIndex | QPersistentModelIndex
AUTHOR_ROLE = Qt.ItemDataRole.UserRole + 1
FACTS_ROLE = Qt.ItemDataRole.UserRole + 2
PILLS_ROLE = Qt.ItemDataRole.UserRole + 3


class ResultsTable(QAbstractListModel):
    """`more_wanted`: the view came to the end of what is loaded."""

    more_wanted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._items: list[ResultItem] = []
        self._has_more = False

    def set_items(self, items: Sequence[ResultItem]) -> None:
        self.beginResetModel()
        self._items = list(items)
        self.endResetModel()

    def add_items(self, items: Sequence[ResultItem]) -> None:
        self.beginInsertRows(QModelIndex(), len(self._items), len(self._items) + len(items) - 1)
        self._items.extend(items)
        self.endInsertRows()

    def set_has_more(self, has_more: bool) -> None:
        self._has_more = has_more

    def item(self, row: int) -> ResultItem:
        return self._items[row]

    def row_of(self, key: str) -> int | None:
        return next((row for row, item in enumerate(self._items) if item.key == key), None)

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._items)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        item = self._items[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return item.title
        if role == AUTHOR_ROLE:
            return item.author
        if role == FACTS_ROLE:
            return item.facts
        if role == PILLS_ROLE:
            return item.pills
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(filter(None, (item.repo_id or item.title, item.why)))
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(filter(None, (item.title, item.author, item.facts, *(word for word, _ in item.pills))))
        return None

    def canFetchMore(self, parent: Index) -> bool:
        return not parent.isValid() and self._has_more

    def fetchMore(self, parent: Index) -> None:
        self.more_wanted.emit()
