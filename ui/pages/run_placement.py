"""The advanced knobs of a machine with several GPUs: which of them a model lies on, and in which shares."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QWidget

from ui.state.run import RunState
from ui.state.run_placement import gpu_names, parse_shares, placement_choices, shares_text
from workbench.runs.spec import Placement


class PlacementFields(QObject):
    """Two fields, or none where the warm engine finds fewer than two GPUs and no placement is set."""

    changed = Signal()

    def __init__(self, state: RunState) -> None:
        super().__init__()
        self._state = state
        self._names = gpu_names(state.load)
        placement = state.view.values.placement or Placement()
        self.way, self.shares = QComboBox(), QLineEdit()
        for text, item in placement_choices(self._names, placement):
            self.way.addItem(text, item)
        self.way.setCurrentIndex(max(0, self.way.findData((placement.split_mode, placement.main_gpu))))
        self.shares.setPlaceholderText("by free memory")
        self.shares.setToolTip("A number for each GPU, as 3, 1 for three parts of four on the first.")
        self.shares.setText(shares_text(placement))
        self.way.currentIndexChanged.connect(self._on_changed)
        self.shares.editingFinished.connect(self._on_changed)
        self._show_enabled()

    def rows(self) -> tuple[tuple[str, QWidget], ...]:
        if len(self._names) < 2 and self._state.view.values.placement in (None, Placement()):
            return ()
        return ("GPUs", self.way), ("Shares of the GPUs", self.shares)

    def _show_enabled(self) -> None:
        mode, _ = self.way.currentData()
        self.shares.setEnabled(mode != "none")

    def _on_changed(self) -> None:
        mode, main_gpu = self.way.currentData()
        self._show_enabled()
        shares = parse_shares(self.shares.text()) if mode != "none" else ()
        self.shares.setProperty("invalid", shares is None)
        self.shares.style().unpolish(self.shares)
        self.shares.style().polish(self.shares)
        if shares is None:
            return
        placement = Placement(mode, main_gpu, shares)
        if placement != (self._state.view.values.placement or Placement()):
            self._state.set_knob("placement", placement)
            self.changed.emit()
