"""The line at the bottom of the window: the engine at the left, the machine at the right."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from ui import theme
from ui.widgets.knob import ElidedLabel


class StatusBar(QFrame):
    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "statusbar")
        self.setFixedHeight(26)
        self.setAccessibleName("Status")
        self._engine, self._machine = QLabel(), QLabel()
        self._build = ElidedLabel()
        for label in (self._engine, self._machine):
            theme.set_role(label, "caption")
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 0, 14, 0)
        row.setSpacing(20)
        row.addWidget(self._engine)
        row.addWidget(self._build, 1)
        row.addWidget(self._machine)

    def show_engine(self, text: str, build: str, tooltip: str = "", tone: str = "dim") -> None:
        self._engine.setText(text)
        self._engine.setToolTip(tooltip)
        theme.set_tone(self._engine, "bad" if tone == "bad" else "dim")
        self._build.set_text(build)

    def show_machine(self, text: str) -> None:
        self._machine.setText(text)
