"""Where a question is written: the field, an attached file, and one button that runs or stops."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from ui import icons, theme
from ui.widgets.prompt_edit import PromptEdit

PLACEHOLDER = "Ask something, or drop a file as context"


class Composer(QFrame):
    """`submitted` carries the text; the field keeps it until `clear`, so that nothing is lost on a refusal."""

    submitted = Signal(str)
    stop_clicked = Signal()
    answer_now_clicked = Signal()
    attach_clicked = Signal()
    attachment_removed = Signal()
    files_dropped = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("composer")
        self.setAcceptDrops(True)
        self._is_running = False
        self.edit = PromptEdit("Your question", PLACEHOLDER)
        self.edit.installEventFilter(self)
        self.attach = QToolButton()
        theme.set_role(self.attach, "icon")
        icons.show_on(self.attach, "attach", "text-dim")
        self.attach.setToolTip("Attach a text file as context")
        self.attach.setAccessibleName("Attach a text file as context")
        self.attach.setFixedSize(32, 32)
        self.budget = QLabel("")
        theme.set_role(self.budget, "caption")
        self.answer_now = QPushButton("Answer now")
        self.answer_now.setToolTip("Ends the thinking; the answer begins")
        self.answer_now.hide()
        self.button = QPushButton("Run")
        theme.set_role(self.button, "primary")
        self.button.setMinimumSize(82, 34)
        self.chip = QPushButton("")
        self.chip.setToolTip("Remove the attached file")
        self.chip.hide()
        icons.show_on(self.chip, "close", "text-dim", 12)
        self._lay_out()
        self._connect()
        self.set_running(False)
        theme.current().changed.connect(self._draw_frame)
        self._draw_frame()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.edit, 1)
        row.addWidget(self.budget)
        row.addWidget(self.attach)
        row.addWidget(self.answer_now)
        row.addWidget(self.button)
        chips = QHBoxLayout()
        chips.setContentsMargins(0, 0, 0, 0)
        chips.addWidget(self.chip)
        chips.addStretch(1)
        box = QVBoxLayout(self)
        box.setContentsMargins(14, 8, 8, 8)
        box.setSpacing(4)
        box.addLayout(chips)
        box.addLayout(row)

    def _connect(self) -> None:
        self.edit.submitted.connect(self._on_submitted)
        self.edit.files_dropped.connect(self.files_dropped)
        self.attach.clicked.connect(self.attach_clicked)
        self.chip.clicked.connect(self.attachment_removed)
        self.answer_now.clicked.connect(self.answer_now_clicked)
        self.button.clicked.connect(self._on_button_clicked)

    def text(self) -> str:
        return self.edit.text()

    def set_text(self, text: str) -> None:
        self.edit.set_text(text)

    def clear(self) -> None:
        self.edit.clear()

    def set_running(self, is_running: bool) -> None:
        self._is_running = is_running
        self.button.setText("Stop" if is_running else "Run")
        icons.show_on(self.button, "stop" if is_running else "play", "accent-text", 12)
        self.button.setToolTip("Stop at once (Esc)" if is_running else "Run (Enter)")
        self.button.setAccessibleName("Stop the run" if is_running else "Run")
        if not is_running:
            self.set_can_answer_now(False)

    def set_can_answer_now(self, can: bool) -> None:
        self.answer_now.setVisible(can)

    def set_budget(self, text: str) -> None:
        self.budget.setText(text)

    def set_attachment(self, name: str | None) -> None:
        self.chip.setText(name or "")
        self.chip.setAccessibleName(f"Remove the attached file {name}" if name else "")
        self.chip.setVisible(name is not None)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self._draw_frame(event.type() == QEvent.Type.FocusIn)
        return super().eventFilter(watched, event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        self.edit.insertFromMimeData(event.mimeData())

    def _on_submitted(self) -> None:
        text = "" if self._is_running else self.text()
        if text.strip():
            self.submitted.emit(text)

    def _on_button_clicked(self) -> None:
        if self._is_running:
            self.stop_clicked.emit()
        else:
            self._on_submitted()
            self.edit.setFocus()

    def _draw_frame(self, has_focus: bool | None = None) -> None:
        has_focus = self.edit.hasFocus() if has_focus is None else has_focus
        active = theme.current()
        edge = active.hex("accent" if has_focus else "line")
        self.setStyleSheet(
            f"QFrame#composer {{ background: {active.hex('surface')}; border: 1px solid {edge};"
            f" border-radius: {theme.RADIUS}px; }}"
        )
