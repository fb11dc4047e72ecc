"""A list of adapters: for each its file, its scale and a way to remove it; below them a way to add one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QPushButton, QScrollArea, QToolButton, QVBoxLayout, QWidget

from ui import icons, theme
from ui.widgets.knob import ElidedLabel, dress_number

SHOWN_ROWS = 4
ROW_HEIGHT = 36
LARGEST_SCALE = 2.0
STEP = 0.05


@dataclass(frozen=True, slots=True)
class AdapterRow:
    path: str
    name: str
    scale: float


class AdapterList(QWidget):
    """`scaled` carries the place in the list and the scale, `removed` the place."""

    add_clicked = Signal()
    scaled = Signal(int, float)
    removed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: list[str] = []
        self._scales: list[QDoubleSpinBox] = []
        self.add = QPushButton("Add adapter…")
        icons.show_on(self.add, "plus", "text", 16)
        self.add.clicked.connect(self.add_clicked)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self._area)
        column.addWidget(self.add, 0, Qt.AlignmentFlag.AlignLeft)
        self._area.hide()

    def show_rows(self, rows: Sequence[AdapterRow]) -> None:
        """The same files keep their rows, so that a field in which somebody types keeps the focus."""
        if [row.path for row in rows] != self._paths:
            self._paths = [row.path for row in rows]
            self._build(rows)
        for field, row in zip(self._scales, rows, strict=True):
            with QSignalBlocker(field):  # it rounds, and what it shows is no choice of anybody's
                _set_scale(field, row.scale)

    def _build(self, rows: Sequence[AdapterRow]) -> None:
        had_focus = self.isAncestorOf(self.focusWidget()) if self.focusWidget() else False
        content = QWidget()
        theme.set_role(content, "scrolled")
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self._scales = []
        for place, row in enumerate(rows):
            column.addWidget(self._row(place, row))
        shown = self._area.takeWidget()
        if shown is not None:
            shown.hide()
            shown.deleteLater()  # its button may be the one that was clicked
        self._area.setWidget(content)
        self._area.setFixedHeight(ROW_HEIGHT * min(SHOWN_ROWS, len(rows)))
        self._area.setVisible(bool(rows))
        if had_focus:
            self.add.setFocus()

    def _row(self, place: int, row: AdapterRow) -> QWidget:
        name = ElidedLabel("text", "body")
        name.set_text(row.name)
        name.setToolTip(row.path)
        scale = QDoubleSpinBox()
        scale.setSingleStep(STEP)
        scale.setKeyboardTracking(False)
        _set_scale(scale, row.scale)
        scale.setFixedWidth(92)
        scale.setToolTip("1 as it was trained, 0 not at all")
        dress_number(scale, f"Scale of {row.name}")
        scale.setAccessibleName(f"Scale of {row.name}")
        scale.valueChanged.connect(lambda value: self.scaled.emit(place, round(value, 3)))
        remove = QToolButton()
        theme.set_role(remove, "icon")
        icons.show_on(remove, "close", "text-dim", 16)
        remove.setToolTip(f"Remove {row.name}")
        remove.setAccessibleName(f"Remove {row.name}")
        remove.clicked.connect(lambda: self.removed.emit(place))
        holder = QWidget()
        holder.setFixedHeight(ROW_HEIGHT)
        line = QHBoxLayout(holder)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        line.addWidget(name, 1)
        line.addWidget(scale)
        line.addWidget(remove)
        self._scales.append(scale)
        return holder


def _set_scale(field: QDoubleSpinBox, scale: float) -> None:
    # A run of the history or of the command line may have one that this list would not offer.
    field.setRange(min(0.0, scale), max(LARGEST_SCALE, scale))
    field.setValue(scale)
