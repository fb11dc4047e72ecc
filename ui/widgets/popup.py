"""A small panel that opens under a button and closes at Esc or a click elsewhere."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from ui import theme


class Popup(QFrame):
    closed = Signal()

    def __init__(self, title: str, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        theme.set_role(self, "card")
        self.setAccessibleName(title)
        heading = QLabel(title)
        theme.set_role(heading, "section")
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(16, 12, 16, 14)
        self.box.setSpacing(10)
        self.box.addWidget(heading)

    def show_under(self, anchor: QWidget) -> None:
        """Below the anchor, moved to the left as far as the screen asks for."""
        self._fit()
        where = anchor.mapToGlobal(QPoint(0, anchor.height() + 4))
        screen = anchor.screen().availableGeometry()
        x = max(screen.left() + 8, min(where.x(), screen.right() - self.width() - 8))
        y = where.y()
        if y + self.height() > screen.bottom() - 8:
            y = max(screen.top() + 8, anchor.mapToGlobal(QPoint(0, 0)).y() - self.height() - 4)
        self.move(x, y)
        self.show()

    def _fit(self) -> None:
        """`adjustSize` does not ask wrapped labels how high they are at the width they get."""
        width = self.box.sizeHint().width()
        is_wrapped = self.box.hasHeightForWidth()
        self.resize(width, self.box.totalHeightForWidth(width) if is_wrapped else self.box.sizeHint().height())

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.closed.emit()
