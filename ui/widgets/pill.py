"""A small rounded label for a state or a property."""

from __future__ import annotations

from PySide6.QtWidgets import QSizePolicy, QWidget

from ui import theme
from ui.widgets.steady_label import SteadyLabel


class Pill(SteadyLabel):
    def __init__(self, text: str = "", tone: str = "dim", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        theme.set_role(self, "pill")
        theme.set_tone(self, tone)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def show_text(self, text: str, tone: str = "dim") -> None:
        super().show_text(text)
        theme.set_tone(self, tone)
