"""The settings page's section on the hardware: each device, and the commands that would put it to use."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from ui import icons, theme
from ui.state.settings_hardware import DeviceRow, SettingsHardware
from ui.widgets.copy_button import CopyButton
from ui.widgets.setting_row import Section

_LABEL_WIDTH = 120
_LOOK, _LOOKING = "Look again", "Looking…"


class HardwareSection(Section):
    def __init__(self, hardware: SettingsHardware) -> None:
        super().__init__("This machine")
        self._hardware = hardware
        self._has_asked = False
        self._shown: tuple[DeviceRow, ...] = ()
        self._list = QVBoxLayout()
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(theme.GAP)
        self.fact = QLabel("Looking for devices")
        theme.set_role(self.fact, "caption")
        self.refresh = QPushButton(_LOOK)
        icons.show_on(self.refresh, "refresh", "text", 16)
        self.refresh.clicked.connect(hardware.refresh)
        self.copy = CopyButton("Copy all", hardware.as_text)
        icons.show_on(self.copy, "copy", "text", 16)
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(theme.GAP)
        column.addWidget(self.fact)
        column.addLayout(self._list)
        buttons = QHBoxLayout()
        buttons.addWidget(self.refresh)
        buttons.addWidget(self.copy)
        buttons.addStretch(1)
        column.addLayout(buttons)
        self.add(box)
        hardware.changed.connect(self._show)
        self._show()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Asks when it is first seen: a process is started for it, which most visits of the page do not need."""
        super().paintEvent(event)
        if not self._has_asked:
            self._has_asked = True
            QTimer.singleShot(0, self, self._hardware.refresh)

    def rows(self) -> list[HardwareRow]:
        return self.findChildren(HardwareRow)

    def _show(self) -> None:
        hardware = self._hardware
        self.fact.setVisible(not hardware.rows)
        self.refresh.setText(_LOOKING if hardware.is_reading else _LOOK)  # disabled, it would lose the focus
        self.copy.setEnabled(bool(hardware.rows))
        if hardware.rows == self._shown:
            return
        self._shown = hardware.rows
        while (item := self._list.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for row in hardware.rows:
            self._list.addWidget(HardwareRow(row))


class HardwareRow(QWidget):
    """A device, its facts, and the commands that would put it to use, each with a button that copies it."""

    def __init__(self, row: DeviceRow, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.text = _label(row.title, "strong"), _label(row.text, "caption")
        self.verdict = _label(row.verdict, "caption")
        if row.tone:
            theme.set_tone(self.verdict, row.tone)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for label in (self.title, self.text, self.verdict):
            layout.addWidget(label)
            label.setHidden(not label.text())
        self.copy_buttons: list[CopyButton] = []
        for name, command in row.commands:
            layout.addLayout(self._command(row.title, name, command))

    def _command(self, device: str, name: str, command: str) -> QHBoxLayout:
        field = QLineEdit(command)
        field.setReadOnly(True)
        field.setCursorPosition(0)
        field.setAccessibleName(f"{name} that uses {device}")
        field.setToolTip(command)
        button = CopyButton("Copy", lambda: command)
        button.setAccessibleName(f"Copy the command for {device}: {name}")
        self.copy_buttons.append(button)
        line = QHBoxLayout()
        line.setSpacing(theme.GAP_S)
        label = _label(name, "caption")
        label.setFixedWidth(_LABEL_WIDTH)
        line.addWidget(label)
        line.addWidget(field, 1)
        line.addWidget(button)
        return line


def _label(text: str, role: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(role != "strong")
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    theme.set_role(label, role)
    return label
