"""Title, state, figures and texts of one thing, with a row of actions; for the side of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QFontMetrics, QTextBlockFormat, QTextCharFormat, QTextCursor, QTextDocument
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from ui import theme
from ui.definitions import define
from ui.widgets.knob import ElidedLabel
from ui.widgets.pill import Pill
from workbench.glossary import Topic

_COLUMNS = 2


class DetailsPane(QFrame):
    """`sections` are (heading, text, is markdown). Beside the texts when wide, the figures stand above when narrow."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "card")
        self._title = QLabel()
        theme.set_role(self._title, "section")
        self._title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._pill = Pill()
        self._subtitle = ElidedLabel()
        self.action_row = QHBoxLayout()
        self.action_row.setSpacing(8)
        self._figures = QWidget()
        self._grid = QGridLayout(self._figures)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(2 * _COLUMNS, 1)
        self._values: list[tuple[QLabel, QLabel]] = []
        self._sections: Sequence[tuple[str, str, bool]] = ()
        self._browser = QTextBrowser()
        theme.set_role(self._browser, "bare")
        self._browser.setOpenLinks(False)
        self._browser.setAccessibleName("Texts of the run")
        self._browser.setMinimumHeight(60)
        self._lay_out()
        theme.current().changed.connect(self._fill_browser)

    def show_head(self, title: str, subtitle: str, state: str, tone: str) -> None:
        self._title.setText(title)
        self._title.setToolTip(title)
        self._subtitle.set_text(subtitle)
        self._pill.show_text(state, tone)

    def show_figures(self, figures: Sequence[tuple[str, str]], topics: Mapping[str, Topic] | None = None) -> None:
        """`topics` are the terms behind the names that have one."""
        rows = (len(figures) + _COLUMNS - 1) // _COLUMNS
        while len(self._values) < len(figures):
            name, value = QLabel(), QLabel()
            theme.set_role(name, "caption")
            theme.set_role(value, "strong")
            value.setAlignment(Qt.AlignmentFlag.AlignRight)
            name.setMinimumWidth(96)
            value.setMinimumWidth(84)
            place = len(self._values)
            self._grid.addWidget(name, place % rows, place // rows * 2)
            self._grid.addWidget(value, place % rows, place // rows * 2 + 1)
            self._values.append((name, value))
        for (name, value), (label, figure) in zip(self._values, figures, strict=False):
            name.setText(label)
            value.setText(figure)
            if topics and label in topics:
                define(name, topics[label])

    def show_texts(self, sections: Sequence[tuple[str, str, bool]]) -> None:
        self._sections = sections
        self._fill_browser()

    def plain_text(self) -> str:
        return self._browser.toPlainText()

    def set_wide(self, wide: bool) -> None:
        """Figures at the left of the texts, or above them."""
        direction = QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom
        self._body.setDirection(direction)
        self._rule.setFixedSize(1, 16_777_215) if wide else self._rule.setFixedSize(16_777_215, 1)
        if wide:
            self._rule.setMinimumHeight(0)
        else:
            self._rule.setMinimumWidth(0)

    def _lay_out(self) -> None:
        names = QHBoxLayout()
        names.setSpacing(8)
        names.addWidget(self._title, 1)
        names.addWidget(self._pill)
        self._rule = QFrame()
        theme.set_role(self._rule, "rule")
        self._body = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._body.setSpacing(12)
        figures = QVBoxLayout()
        figures.addWidget(self._figures)
        figures.addStretch(0)
        self._body.addLayout(figures)
        self._body.addWidget(self._rule)
        self._body.addWidget(self._browser, 1)
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 12, 16, 12)
        box.setSpacing(6)
        box.addLayout(names)
        box.addWidget(self._subtitle)
        box.addLayout(self.action_row)
        box.addSpacing(4)
        box.addLayout(self._body, 1)

    def _fill_browser(self) -> None:
        active = theme.current()
        document = QTextDocument(self._browser)
        document.setDefaultFont(active.font())
        document.setDocumentMargin(0)
        cursor = QTextCursor(document)
        heading, body = QTextCharFormat(), QTextCharFormat()
        heading.setForeground(active.color("text-dim"))
        heading.setFont(active.font("caption", QFont.Weight.DemiBold))
        body.setFont(active.font())
        body.setForeground(active.color("text"))
        gap = QTextBlockFormat()
        gap.setTopMargin(QFontMetrics(active.font()).height() * 0.6)
        for number, (name, text, is_markdown) in enumerate(self._sections):
            if number:
                cursor.insertBlock(gap)
            cursor.insertText(name, heading)
            cursor.insertBlock(QTextBlockFormat(), body)
            if is_markdown:
                cursor.insertMarkdown(text, QTextDocument.MarkdownFeature.MarkdownNoHTML)
                cursor.movePosition(QTextCursor.MoveOperation.End)
            else:
                cursor.insertText(text, body)
        self._browser.setDocument(document)
