"""Rows of a settings page: a name with its explanation, the control at the right, an error below it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QAbstractSpinBox, QComboBox, QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ui import theme
from ui.widgets.knob import dress_number

CONTROL_WIDTH = 300


class WheelGuard(QObject):
    """A wheel over a list or number scrolls the page, unless that control has the focus."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


class SettingRow(QWidget):
    def __init__(self, title: str, sentence: str, control: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.control = control
        self.name = QLabel(title)
        self.name.setBuddy(control)
        theme.set_role(self.name, "strong")
        self._sentence = QLabel(sentence)
        theme.set_role(self._sentence, "caption")
        self._sentence.setWordWrap(True)
        self._error = QLabel()
        theme.set_role(self._error, "caption")
        theme.set_tone(self._error, "bad")
        self._error.setWordWrap(True)
        self._error.hide()
        dress_number(control, title)
        if isinstance(control, QComboBox | QAbstractSpinBox):
            control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            control.installEventFilter(WheelGuard(control))
        if hasattr(control, "set_label"):
            control.set_label(title)
        else:
            control.setFixedWidth(CONTROL_WIDTH)
            control.setAccessibleName(title)
            control.setAccessibleDescription(sentence)
        left = QVBoxLayout()
        left.setSpacing(2)
        for label in (self.name, self._sentence, self._error):
            left.addWidget(label)
        left.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 6, 0, 6)
        row.setSpacing(24)
        row.addLayout(left, 1)
        right = QWidget()
        right.setFixedWidth(CONTROL_WIDTH)
        place = QVBoxLayout(right)
        place.setContentsMargins(0, 0, 0, 0)
        place.addWidget(control, 0, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        row.addWidget(right, 0, Qt.AlignmentFlag.AlignTop)

    def set_sentence(self, text: str) -> None:
        self._sentence.setText(text)
        self.control.setAccessibleDescription(text)

    def sentence(self) -> str:
        return self._sentence.text()

    def show_error(self, text: str | None, before: str = "Not saved: ") -> None:
        """A sentence under the name and a red edge on the control; None takes both away."""
        self._error.setText(f"{before}{text}" if text else "")
        self._error.setVisible(bool(text))
        self.control.setProperty("invalid", bool(text))
        self.control.style().unpolish(self.control)
        self.control.style().polish(self.control)

    def error(self) -> str:
        return self._error.text()


class Section(QFrame):
    """A card with a heading; rows are divided by thin lines."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "card")
        heading = QLabel(title)
        theme.set_role(heading, "section")
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(20, 14, 20, 12)
        self._box.setSpacing(4)
        self._box.addWidget(heading)
        self._count = 0

    def add(self, widget: QWidget) -> None:
        if self._count:
            rule = QFrame()
            theme.set_role(rule, "rule")
            rule.setFixedHeight(1)
            self._box.addWidget(rule)
        self._count += 1
        self._box.addWidget(widget)
