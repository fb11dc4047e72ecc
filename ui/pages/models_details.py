"""The drawer of the Models page: the facts about the selected file."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from ui import icons, theme
from ui.state.models_details import ModelsDetails
from ui.widgets.fact_sheet import FactSheet

WIDTH, WIDE = 330, 400


class DetailsDrawer(QFrame):
    """Hidden until it is asked for; Esc closes it."""

    closed = Signal()

    def __init__(self, state: ModelsDetails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "card")
        self.setAccessibleName("Details")
        self.setFixedWidth(WIDTH)
        self._state = state
        self.title = QLabel()
        theme.set_role(self.title, "section")
        self.title.setWordWrap(True)
        self.close_button = QToolButton()
        theme.set_role(self.close_button, "icon")
        icons.show_on(self.close_button, "close", "text-dim", 16)
        self.close_button.setToolTip("Close the details (Esc)")
        self.close_button.setAccessibleName("Close the details")
        self.close_button.clicked.connect(self.closed)
        self.sheet = FactSheet("Facts about the file")
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.title, 1)
        head.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        box = QVBoxLayout(self)
        box.setContentsMargins(14, 10, 8, 10)
        box.setSpacing(8)
        box.addLayout(head)
        box.addWidget(self.sheet, 1)
        state.changed.connect(self._show_facts)
        self.hide()

    def set_wide(self, is_wide: bool) -> None:
        self.setFixedWidth(WIDE if is_wide else WIDTH)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)

    def _show_facts(self) -> None:
        self.title.setText(self._state.title or "Details")
        if self._state.sections:
            self.sheet.show_sections(self._state.sections)
        else:
            self.sheet.show_sections([("Select a quantization or a file first", ())])
