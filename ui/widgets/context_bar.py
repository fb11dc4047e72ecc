"""What fills the context: a legend, how many tokens of how many, and one bar."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ui import theme
from ui.widgets.stacked_bar import StackedBar
from ui.widgets.steady_label import SteadyLabel
from workbench.units import count_text

ORDER = ("system", "template", "history", "document", "question", "thinking", "answer")


class ContextLegend(QWidget):
    """Dot, name and tokens of each part; parts that find no room are left out, the bar's tooltip has them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bar = StackedBar(0, legend=True, format_amount=count_text, parent=self)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 6, 0, 0)
        box.addWidget(self._bar)

    def set_parts(self, parts: Sequence[tuple[str, float, str]]) -> None:
        self._bar.set_parts(parts, 0)


class ContextBar(QWidget):
    shown_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = QLabel("Context")
        theme.set_role(self.title, "label")
        self.legend = ContextLegend()
        self.count = SteadyLabel("—")
        theme.set_role(self.count, "strong")
        self.link = QPushButton("What the model saw")
        theme.set_role(self.link, "link")
        self.link.clicked.connect(self.shown_clicked)
        self.link.setEnabled(False)
        self.bar = StackedBar(12, format_amount=count_text)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self.title)
        row.addWidget(self.legend, 1)
        row.addWidget(self.count)
        row.addWidget(self.link)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(2)
        box.addLayout(row)
        box.addWidget(self.bar)

    def set_amounts(self, amounts: dict[str, int], length: int | None) -> None:
        """Tokens by part ("system", "history" ...); `length` None: not known yet."""
        parts = [(kind, float(amounts[kind]), kind) for kind in ORDER if amounts.get(kind)]
        used = sum(amounts.values())
        self.legend.set_parts(parts)
        self.bar.set_parts(parts, float(length or 0))
        self.count.show_text(f"{count_text(used)} of {count_text(length)}" if length else "—")
        self.bar.setAccessibleDescription(f"Context used: {self.count.text()} tokens")

    def set_can_show(self, can: bool) -> None:
        self.link.setEnabled(can)
