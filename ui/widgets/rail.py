"""The navigation rail: one button per page, with a dot while a page works in the background."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QFrame, QSizePolicy, QVBoxLayout, QWidget

from ui import icons, theme

WIDTH, NARROW = 76, 48
Place = Literal["top", "bottom"]


class RailButton(QAbstractButton):
    def __init__(self, key: str, title: str, icon_key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.key = key
        self._icon_key = icon_key
        self._is_narrow = False
        self._is_busy = False
        self.setText(title)
        self.setToolTip(title)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.current().changed.connect(self.update)
        self._describe()

    def set_narrow(self, narrow: bool) -> None:
        self._is_narrow = narrow
        self.updateGeometry()

    def set_busy(self, busy: bool) -> None:
        self._is_busy = busy
        self._describe()
        self.update()

    @property
    def is_busy(self) -> bool:
        return self._is_busy

    def sizeHint(self) -> QSize:
        return QSize(NARROW - 8, 40) if self._is_narrow else QSize(WIDTH - 12, 54)

    def paintEvent(self, event: QPaintEvent) -> None:
        active = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.isChecked() or self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(active.color("raised"))
            painter.drawRoundedRect(self.rect(), 6, 6)
        if self.hasFocus():
            painter.setPen(QPen(active.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 6, 6)
        role = "accent" if self.isChecked() else "text-dim"
        mark = icons.pixmap(self._icon_key, role, 20, self.devicePixelRatioF())
        left = (self.width() - 20) // 2
        top = 10 if self._is_narrow else 8
        painter.drawPixmap(left, top, mark)
        if self._is_busy:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(active.color("accent"))
            painter.drawEllipse(QRectF(left + 18, top - 3, 7, 7))
        if not self._is_narrow:
            self._paint_title(painter)
        painter.end()

    def _paint_title(self, painter: QPainter) -> None:
        active = theme.current()
        font = active.font("caption", QFont.Weight.DemiBold if self.isChecked() else QFont.Weight.Medium)
        painter.setFont(font)
        painter.setPen(active.color("text" if self.isChecked() else "text-dim"))
        area = QRectF(2, 31, self.width() - 4, 18)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, theme.elided(self.text(), font, self.width() - 4))

    def _describe(self) -> None:
        self.setAccessibleName(f"{self.text()}, working" if self._is_busy else self.text())


class Rail(QFrame):
    """`chosen` carries the key of a button that was clicked; `set_current` marks without it."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "rail")
        self.setAccessibleName("Pages")
        self._buttons: list[RailButton] = []
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(6, 10, 6, 8)
        self._box.setSpacing(2)
        self._box.addStretch(1)
        self._top_count = 0
        self._is_narrow = False
        self.setFixedWidth(WIDTH)

    def add(self, key: str, title: str, icon_key: str, place: Place = "top") -> None:
        """At the top, below those that are there; at the bottom, above those that are there."""
        button = RailButton(key, title, icon_key, self)
        button.set_narrow(self._is_narrow)
        button.clicked.connect(lambda: self._on_button_clicked(key))
        if place == "top":
            self._box.insertWidget(self._top_count, button)
            self._buttons.insert(self._top_count, button)
            self._top_count += 1
        else:
            self._box.insertWidget(self._top_count + 1, button)
            self._buttons.insert(self._top_count, button)
        for before, after in zip(self._buttons, self._buttons[1:], strict=False):
            QWidget.setTabOrder(before, after)

    def set_current(self, key: str) -> None:
        for button in self._buttons:
            button.setChecked(button.key == key)

    def set_busy(self, key: str, busy: bool) -> None:
        for button in self._buttons:
            if button.key == key:
                button.set_busy(busy)

    def button(self, key: str) -> RailButton:
        return next(button for button in self._buttons if button.key == key)

    def set_narrow(self, narrow: bool) -> None:
        if narrow == self._is_narrow:
            return
        self._is_narrow = narrow
        self.setFixedWidth(NARROW if narrow else WIDTH)
        self._box.setContentsMargins(4 if narrow else 6, 10, 4 if narrow else 6, 8)
        for button in self._buttons:
            button.set_narrow(narrow)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        focused = next((i for i, button in enumerate(self._buttons) if button.hasFocus()), None)
        if step is None or focused is None:
            super().keyPressEvent(event)
            return
        self._buttons[(focused + step) % len(self._buttons)].setFocus(Qt.FocusReason.TabFocusReason)

    def _on_button_clicked(self, key: str) -> None:
        # A second click on the current page must not unmark it.
        current = next((button.key for button in self._buttons if button.isChecked()), key)
        self.set_current(key if current != key else current)
        self.chosen.emit(key)
