"""A table of rows: whole rows are selected, columns can be sorted, moved and resized, and remember how they were."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractItemModel, QByteArray, Qt
from PySide6.QtWidgets import QAbstractItemView, QTableView

_SMALLEST_COLUMN, _SMALLEST_HEIGHT = 48, 120


def row_table(
    model: QAbstractItemModel, name: str, widths: Sequence[int], saved: QByteArray, row_height: int
) -> QTableView:
    """`name` is for screen readers, `widths` are those before anyone changed them, `saved` a header's state."""
    table = QTableView()
    table.setModel(model)
    table.setAccessibleName(name)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(row_height)
    table.setMinimumHeight(_SMALLEST_HEIGHT)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setStretchLastSection(True)
    header.setSectionsMovable(True)
    header.setMinimumSectionSize(_SMALLEST_COLUMN)
    for number, width in enumerate(widths):
        header.resizeSection(number, width)
    header.restoreState(saved)
    return table
