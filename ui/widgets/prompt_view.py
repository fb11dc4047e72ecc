"""The rendered prompt as the model got it: token borders, special tokens, what each stretch is, what was cut."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QColor, QFontDatabase, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QDialog, QFrame, QHBoxLayout, QLabel, QPushButton, QTextEdit, QVBoxLayout, QWidget

from ui import theme
from ui.widgets.context_bar import ORDER
from ui.widgets.notice import Notice
from ui.widgets.shown_text import shown
from ui.widgets.stacked_bar import StackedBar
from workbench.units import count_text

SPECIAL = re.compile(r"^\s*(<\|.*\|>|</?s>|<(bos|eos|pad|unk)>|\[/?INST\]|</?think(ing)?>|<(start|end)_of_turn>)\s*$")
STEP_TOKENS = 1_500


def kinds_of(segments: Sequence[tuple[str, int]], count: int) -> list[str]:
    """The source of each token; tokens beyond the segments belong to the template."""
    kinds = [kind for kind, tokens in segments for _ in range(tokens)]
    return (kinds + ["template"] * count)[:count]


class TokenBorders(QTextEdit):
    """Tokens on alternating shades of the colour of their source. Long prompts are filled in steps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setAccessibleName("Rendered prompt")
        self.setTabChangesFocus(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setPixelSize(theme.SIZES["body"])
        self.setFont(font)
        self.document().setDefaultFont(font)
        self.document().setDocumentMargin(12)
        self._pieces: tuple[str, ...] = ()
        self._kinds: list[str] = []
        self._done = 0
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._insert_step)
        theme.current().changed.connect(self._on_theme_changed)

    def show_tokens(self, pieces: tuple[str, ...], kinds: list[str]) -> None:
        self._pieces, self._kinds, self._done = pieces, kinds, 0
        self.clear()
        self._insert_step()
        if self._done < len(pieces):
            self._timer.start()

    def _on_theme_changed(self) -> None:
        self.show_tokens(self._pieces, self._kinds)

    def _insert_step(self) -> None:
        cursor = QTextCursor(self.document())
        cursor.beginEditBlock()
        cursor.movePosition(QTextCursor.MoveOperation.End)
        end = min(len(self._pieces), self._done + STEP_TOKENS)
        for index in range(self._done, end):
            cursor.insertText(_visible(self._pieces[index]), self._format(index))
        cursor.endEditBlock()
        self._done = end
        if end == len(self._pieces):
            self._timer.stop()

    def _format(self, index: int) -> QTextCharFormat:
        piece, kind = self._pieces[index], self._kinds[index]
        style = QTextCharFormat()
        is_special = SPECIAL.match(piece) is not None
        tint = QColor(theme.current().part_color(kind))
        tint.setAlpha(70 if index % 2 else 28)
        style.setBackground(tint)
        style.setForeground(theme.current().color("text-dim" if is_special else "text"))
        if is_special:
            style.setFontWeight(700)
        marks = "special token, " if is_special else ""
        style.setToolTip(f"Token {index + 1:,}, {marks}{kind}: {piece!r}")
        return style


class PromptDialog(QDialog):
    """`segments` are (kind, tokens) in the order of the prompt; `cut` is what was left out, in words."""

    def __init__(
        self,
        pieces: tuple[str, ...],
        segments: Sequence[tuple[str, int]],
        context_length: int,
        cached_tokens: int,
        cut: str | None = None,
        note: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("What the model saw")
        self.resize(860, 640)
        self.tokens = TokenBorders()
        self.notice = Notice(closable=False)
        amounts: dict[str, int] = {}
        for kind, count in segments:
            amounts[kind] = amounts.get(kind, 0) + count
        used = sum(amounts.values())
        parts = [(kind, float(amounts[kind]), kind) for kind in ORDER if amounts.get(kind)]
        bar = StackedBar(12, legend=True, format_amount=count_text)
        bar.set_parts(parts, float(context_length))
        title = QLabel("What the model saw")
        theme.set_role(title, "title")
        said = f"{count_text(len(pieces))} tokens of a context of {count_text(context_length)}"
        said += f", {count_text(cached_tokens)} of them from the cache" if cached_tokens else ""
        self.summary = QLabel(f"{said}. The answer had room for {count_text(max(0, context_length - used))} more.")
        theme.set_role(self.summary, "dim")
        self.summary.setWordWrap(True)
        hint = QLabel("Each shade is one token, ↵ is a line break, bold marks special tokens. Hover for its number.")
        theme.set_role(hint, "caption")
        hint.setWordWrap(True)
        close = QPushButton("Close")
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.addWidget(hint, 1)
        foot.addWidget(close)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 20, 24, 16)
        box.setSpacing(12)
        for part in (title, self.summary, self.notice, bar):
            box.addWidget(part)
        box.addWidget(self.tokens, 1)
        box.addLayout(foot)
        if cut is not None:
            self.notice.show_message("warn", cut)
        elif note is not None:
            self.notice.show_message("info", note)
        self.tokens.show_tokens(pieces, kinds_of(segments, len(pieces)))
        self.tokens.setFrameShape(QFrame.Shape.NoFrame)


def _visible(piece: str) -> str:
    """Line breaks are shown and kept; what cannot be drawn is replaced."""
    return "\n".join(shown(line) for line in piece.replace("\n", "↵\n").split("\n"))
