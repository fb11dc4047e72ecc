"""One question, or one answer with its thinking, in a transcript."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from ui import icons, theme
from ui.widgets.long_text import Gap, LongTextDialog, excerpt
from ui.widgets.pill import Pill
from ui.widgets.prompt_edit import PromptEdit
from ui.widgets.text_style import TextStyle
from ui.widgets.thought_fold import ThoughtFold
from ui.widgets.token_view import TokenView


def tool(key: str, name: str) -> QToolButton:
    """A small icon button; its name is its tooltip and what a screen reader says."""
    button = QToolButton()
    theme.set_role(button, "icon")
    icons.show_on(button, key, "text-dim", 15)
    button.setToolTip(name)
    button.setAccessibleName(name)
    button.setFixedSize(28, 28)
    return button


class QuestionTurn(QWidget):
    """`edited` carries the new text after "Edit and send again". Of a long question, beginning and end are shown."""

    edited = Signal(str)

    def __init__(self, text: str, attachment: str | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = text
        self.name = QLabel("You")
        theme.set_role(self.name, "label")
        self.edit_button = tool("edit", "Edit and send again")
        self.edit_button.clicked.connect(self._on_edit_clicked)
        cut = excerpt(text)
        self.view = _question_view(cut.head if cut else text)
        self.gap = Gap(cut.hidden) if cut else None
        self.tail = _question_view(cut.tail) if cut else None
        self._editor: _QuestionEditor | None = None
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self.name)
        if attachment:
            head.addWidget(Pill(attachment))
        head.addStretch(1)
        head.addWidget(self.edit_button)
        self._box = QVBoxLayout(self)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(0)
        self._box.addLayout(head)
        for part in self._shown():
            self._box.addWidget(part)
        if self.gap is not None:
            self.gap.show_clicked.connect(lambda: LongTextDialog("Your question", self._text, self).open())
            self.gap.copy_clicked.connect(lambda: QApplication.clipboard().setText(self._text))

    def views(self) -> list[TokenView]:
        return [self.view] if self.tail is None else [self.view, self.tail]

    def _shown(self) -> list[QWidget]:
        return [part for part in (self.view, self.gap, self.tail) if part is not None]

    def set_can_edit(self, can: bool) -> None:
        self.edit_button.setEnabled(can)

    def _on_edit_clicked(self) -> None:
        if self._editor is None:
            self._editor = _QuestionEditor(self._text)
            self._editor.sent.connect(self._on_sent)
            self._editor.dropped.connect(self._close_editor)
            self._box.addWidget(self._editor)
            for part in self._shown():
                part.hide()
        self._editor.edit.setFocus()

    def _on_sent(self, text: str) -> None:
        self._close_editor()
        self.edited.emit(text)

    def _close_editor(self) -> None:
        if self._editor is not None:
            self._editor.deleteLater()
            self._editor = None
            for part in self._shown():
                part.show()


def _question_view(text: str) -> TokenView:
    view = TokenView(style=TextStyle(15), is_markdown=False)
    view.setAccessibleName("Your question")
    view.set_text(text)
    return view


class _QuestionEditor(QWidget):
    sent = Signal(str)
    dropped = Signal()

    def __init__(self, text: str) -> None:
        super().__init__()
        self.edit = PromptEdit("Your question", bare=False)
        self.edit.set_text(text)
        self.edit.selectAll()
        self.edit.submitted.connect(self._on_submitted)
        self.edit.escaped.connect(self.dropped)
        send, drop = QPushButton("Send again"), QPushButton("Keep as it was")
        theme.set_role(send, "primary")
        send.clicked.connect(self._on_submitted)
        drop.clicked.connect(self.dropped)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(drop)
        row.addWidget(send)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 4, 0, 4)
        box.addWidget(self.edit)
        box.addLayout(row)

    def _on_submitted(self) -> None:
        text = self.edit.text()
        if text.strip():
            self.sent.emit(text)


class AnswerTurn(QWidget):
    """`append` while it streams, then `finish`. The pill says what is going on, in words."""

    regenerate_clicked = Signal()

    def __init__(self, model: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = QLabel(model)
        theme.set_role(self.name, "label")
        self.pill = Pill("", "accent")
        self.pill.hide()
        self.copy_button = tool("copy", "Copy the answer as the model wrote it")
        self.regenerate_button = tool("refresh", "Regenerate with the next seed (Ctrl+R)")
        self.fold = ThoughtFold()
        self.fold.hide()
        self.view = TokenView()
        self.view.setAccessibleName("Answer of the model")
        self.footer = QLabel("")
        theme.set_role(self.footer, "caption")
        self.footer.setWordWrap(True)
        self.footer.hide()
        self.copy_button.clicked.connect(self.view.copy_all)
        self.regenerate_button.clicked.connect(self.regenerate_clicked)
        self._lay_out()
        self.set_is_done(False)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, 0, 0)
        head.setSpacing(8)
        head.addWidget(self.name)
        head.addWidget(self.pill)
        head.addStretch(1)
        head.addWidget(self.copy_button)
        head.addWidget(self.regenerate_button)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(6)
        box.addLayout(head)
        box.addWidget(self.fold)
        box.addWidget(self.view)
        box.addWidget(self.footer)

    def append_thinking(self, text: str) -> None:
        self.fold.show()
        self.fold.append_text(text)

    def append_answer(self, text: str) -> None:
        self.view.append_text(text)

    def set_pill(self, text: str, tone: str = "accent") -> None:
        self.pill.show_text(text, tone)
        self.pill.setVisible(bool(text))

    def set_footer(self, text: str) -> None:
        self.footer.setText(text)
        self.footer.setVisible(bool(text))

    def finish(self, text: str | None = None) -> None:
        """`text`: what the answer is, when it is not what was streamed (the winner of a vote)."""
        if text is not None and text != self.view.source():
            self.view.set_text(text)
        self.view.finish()
        self.view.setVisible(bool(self.view.source()))
        self.set_is_done(True)

    @property
    def is_done(self) -> bool:
        return self._is_done

    def set_is_done(self, is_done: bool) -> None:
        self._is_done = is_done
        self.copy_button.setVisible(is_done)
        self.regenerate_button.setVisible(is_done)
