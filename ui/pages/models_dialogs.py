"""The dialogs of the Models page: an access token for the Hub, a new quantization, and a removal that is final."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ui import theme
from ui.state.models_making import ModelsMaking
from ui.widgets.knob import ElidedLabel


class TokenDialog(QDialog):
    """The token leaves this dialog by `given` only, and is forgotten with it."""

    given = Signal(str)
    page_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Access token for the Hub")
        text = QLabel(
            "Gated and private repositories need a token of your account with read access. It is kept in the system's "
            "keyring, never in a file of this program."
        )
        text.setWordWrap(True)
        self.edit = QLineEdit()
        self.edit.setEchoMode(QLineEdit.EchoMode.Password)
        self.edit.setPlaceholderText("hf_…")
        self.edit.setAccessibleName("Access token")
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        theme.set_tone(self.problem, "bad")
        self.problem.hide()
        self.page = QPushButton("Make a token on the Hub")
        theme.set_role(self.page, "link")
        self.save, self.cancel = QPushButton("Keep token"), QPushButton("Cancel")
        theme.set_role(self.save, "primary")
        self.save.setEnabled(False)
        self.edit.textChanged.connect(lambda text: self.save.setEnabled(bool(text.strip())))
        self.page.clicked.connect(self.page_wanted)
        self.save.clicked.connect(lambda: self.given.emit(self.edit.text()))
        self.save.setDefault(True)
        self.cancel.clicked.connect(self.reject)
        box = _dialog_box(self, 440)
        for widget in (text, self.edit, self.problem):
            box.addWidget(widget)
        box.addLayout(_button_row(self.page, self.cancel, self.save))

    def show_problem(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.show()
        self.adjustSize()


class MakeDialog(QDialog):
    """Says how large the file will be before it is made; the work itself goes on in the tray."""

    def __init__(self, state: ModelsMaking, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Make quantization")
        self._state = state
        state.setParent(self)
        self.types = QComboBox()
        self.types.setAccessibleName("Type")
        for choice in state.types:
            self.types.addItem(f"{choice.name}  ({choice.note})" if choice.note else choice.name, choice.name)
        self.size_line = ElidedLabel("text", "body")
        self.matrix = QPushButton("Choose file…")
        self.matrix_name = ElidedLabel()
        self.matrix_name.set_text("none: not needed for most types")
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        theme.set_tone(self.problem, "bad")
        self.make, self.cancel = QPushButton("Make"), QPushButton("Cancel")
        theme.set_role(self.make, "primary")
        self.make.setDefault(True)
        self._lay_out()
        self.types.currentIndexChanged.connect(lambda _: self._choose())
        self.matrix.clicked.connect(self._on_matrix_clicked)
        self.make.clicked.connect(self._on_make_clicked)
        self.cancel.clicked.connect(self.reject)
        state.planned.connect(self._show)
        self._choose()

    def _lay_out(self) -> None:
        source = ElidedLabel("text", "body")
        source.set_text(f"{self._state.file.name}, {self._state.file.quantization or 'unknown type'}")
        form = QFormLayout()
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(10)
        matrix = QHBoxLayout()
        matrix.setSpacing(10)
        matrix.addWidget(self.matrix)
        matrix.addWidget(self.matrix_name, 1)
        rows = (("From", source), ("Type", self.types), ("Size", self.size_line), ("Importance matrix", matrix))
        for name, field in rows:
            label = QLabel(name)
            theme.set_role(label, "label")
            if name in ("Type", "Importance matrix"):
                label.setMinimumHeight(30)  # as high as the control, so that both stand on one line
            form.addRow(label, field)
        warning = QLabel(self._state.warning)
        warning.setWordWrap(True)
        theme.set_tone(warning, "warn")
        warning.setVisible(bool(self._state.warning))
        box = _dialog_box(self, 500)
        box.addLayout(form)
        box.addWidget(warning)
        box.addWidget(self.problem)
        box.addLayout(_button_row(None, self.cancel, self.make))

    def _choose(self) -> None:
        self._state.choose(str(self.types.currentData()), self._state.matrix)

    def _show(self) -> None:
        self.size_line.set_text(self._state.size_text or "—")
        self.problem.setText(self._state.problem)
        self.problem.setVisible(bool(self._state.problem))
        self.make.setEnabled(not self._state.problem)
        self.adjustSize()

    def _on_matrix_clicked(self) -> None:
        kinds = "Importance matrix (*.gguf *.dat *.imatrix)"
        name, _ = QFileDialog.getOpenFileName(self, "Importance matrix", "", kinds)
        if name:
            self.matrix_name.set_text(Path(name).name)
            self._state.choose(str(self.types.currentData()), Path(name))

    def _on_make_clicked(self) -> None:
        self._state.start()
        self.accept()


class DiscardDialog(QDialog):
    """Accepted only by the button that says what happens; Enter, Escape and closing the dialog keep everything."""

    def __init__(self, title: str, names: str, consequence: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Remove for good")
        box = _dialog_box(self, 440)
        for text, role in ((title, "section"), (names, "dim"), (consequence, "")):
            label = QLabel(text)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            if role:
                theme.set_role(label, role)
            box.addWidget(label)
        self.setAccessibleDescription(f"{title} {names}. {consequence}")
        self.remove, self.cancel = QPushButton("Remove for good"), QPushButton("Cancel")
        theme.set_role(self.remove, "danger")
        self.remove.clicked.connect(self.accept)
        self.cancel.clicked.connect(self.reject)
        box.addLayout(_button_row(None, self.cancel, self.remove))
        self.cancel.setDefault(True)
        self.cancel.setFocus()


def _dialog_box(dialog: QDialog, width: int) -> QVBoxLayout:
    dialog.setMinimumWidth(width)
    box = QVBoxLayout(dialog)
    box.setContentsMargins(20, 18, 20, 16)
    box.setSpacing(12)
    return box


def _button_row(left: QPushButton | None, *right: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(8)
    if left is not None:
        row.addWidget(left)
    row.addStretch(1)
    for button in right:
        row.addWidget(button)
    return row
