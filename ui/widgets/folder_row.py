"""A row of a settings page that names a folder and opens it in the system's file manager."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ui import icons, theme
from ui.widgets.knob import ElidedLabel


class FolderRow(QWidget):
    """The folder need not exist: until it does there is nothing to open, and the row says so."""

    def __init__(self, name: str, sentence: str, path: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sentence, self._path = sentence, path
        title = QLabel(name)
        theme.set_role(title, "strong")
        self.about = ElidedLabel()
        self.open_button = QPushButton("Open folder")
        icons.show_on(self.open_button, "folder", "text", 16)
        self.open_button.setAccessibleName(f"Open the folder {name}")
        self.open_button.clicked.connect(self._on_open_clicked)
        left = QVBoxLayout()
        left.setSpacing(2)
        left.addWidget(title)
        left.addWidget(self.about)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 6, 0, 6)
        row.addLayout(left, 1)
        row.addWidget(self.open_button)
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh()

    def _refresh(self) -> None:
        is_there = self._path.is_dir()
        missing = "" if is_there else ", not made so far"
        self.about.set_text(f"{self._path}  ({self._sentence}{missing})")
        self.open_button.setEnabled(is_there)

    def _on_open_clicked(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._path)))
