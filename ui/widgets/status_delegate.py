"""Draws a state in a table as icon and word."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from ui import icons, theme

TONES = {"running": "accent", "finished": "good", "failed": "bad", "cancelled": "dim", "interrupted": "warn"}


class StatusDelegate(QStyledItemDelegate):
    """`role` is the item role under which the table keeps the state's key; icons have the names of states."""

    def __init__(self, role: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._role = role
        self._icons: dict[str, QIcon] = {}
        theme.current().changed.connect(self._icons.clear)

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        super().initStyleOption(option, index)
        key = index.data(self._role)
        if key not in self._icons:
            tone = TONES.get(key, "dim")
            self._icons[key] = icons.icon(key, "text-dim" if tone == "dim" else tone, 16)
        option.icon = self._icons[key]
        option.features |= QStyleOptionViewItem.ViewItemFeature.HasDecoration
        option.decorationPosition = QStyleOptionViewItem.Position.Left
        option.decorationAlignment = Qt.AlignmentFlag.AlignCenter
