"""A control with its label above and, below, one line that says what a change of it brings."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractSpinBox, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ui import theme


class ElidedLabel(QWidget):
    """One dim line that is cut with an ellipsis on purpose; the whole text is in the tooltip."""

    def __init__(self, role: str = "text-dim", size: str = "caption", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = ""
        self._role, self._size = role, size
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        theme.current().changed.connect(self.update)

    def text(self) -> str:
        return self._text

    def set_text(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self.setToolTip(text)
            self.setAccessibleName(text)
            self.update()

    def set_color(self, role: str) -> None:
        self._role = role
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(40, theme.SIZES[self._size] + 5)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        active = theme.current()
        font = active.font(self._size)
        painter = QPainter(self)
        painter.setFont(font)
        painter.setPen(active.color(self._role))
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(self.rect(), flags, theme.elided(self._text, font, self.width()))
        painter.end()


def dress_number(control: QWidget, name: str) -> None:
    """Gives the text of a number field its name, and the left edge of other fields: a style sheet does not reach it."""
    if isinstance(control, QAbstractSpinBox):
        control.lineEdit().setTextMargins(6, 0, 0, 0)
        control.lineEdit().setAccessibleName(name)


class Knob(QWidget):
    def __init__(self, label: str, control: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.control = control
        self.label = QLabel(label)
        theme.set_role(self.label, "label")
        self.label.setBuddy(control)
        self._consequence = ElidedLabel()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        for part in (self.label, control, self._consequence):
            box.addWidget(part)
        control.setProperty("knob", True)
        dress_number(control, label)
        if hasattr(control, "set_label"):
            control.set_label(label)
        else:
            control.setAccessibleName(label)
        self.setSizePolicy(control.sizePolicy().horizontalPolicy(), QSizePolicy.Policy.Fixed)

    def set_consequence(self, text: str) -> None:
        """One sentence; a screen reader hears it as the control's description."""
        self._consequence.set_text(text)
        if not hasattr(self.control, "set_label"):
            self.control.setAccessibleDescription(text)

    def consequence(self) -> str:
        return self._consequence.text()
