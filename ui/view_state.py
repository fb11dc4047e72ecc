"""Where things were on the screen (page, column widths, splitters), kept between starts; never a setting."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings


class ViewState:
    def __init__(self, folder: Path) -> None:
        self._file = QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat)

    def text(self, key: str, default: str = "") -> str:
        value = self._file.value(key, default)
        return value if isinstance(value, str) else default

    def set_text(self, key: str, value: str) -> None:
        self._file.setValue(key, value)

    def blob(self, key: str) -> QByteArray:
        """What a widget's `saveState` gave; empty when there is none."""
        return QByteArray.fromBase64(self.text(key).encode("ascii", "ignore"))

    def set_blob(self, key: str, value: QByteArray) -> None:
        self.set_text(key, value.toBase64().toStdString())

    def save(self) -> None:
        self._file.sync()
