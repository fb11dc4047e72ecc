"""The glossary: all terms at the left by alphabet, searched as one types, the chosen one at the right."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QTextBlockFormat, QTextCharFormat, QTextCursor, QTextDocument
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QStackedWidget,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from ui import theme
from ui.widgets.search_field import SearchField
from workbench.glossary import Glossary, Topic

_LIST_WIDTH = 244
_READ_WIDTH = 680  # longer lines are hard to follow
_LINE_PERCENT = 130


class GlossaryDialog(QDialog):
    """Stays open beside the window. The term that is shown stays chosen as long as the search finds it."""

    def __init__(self, glossary: Glossary, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Glossary")
        self.resize(780, 560)
        self._glossary = glossary
        self._shown: Topic | None = None
        self._count = QLabel()
        theme.set_role(self._count, "dim")
        self.search = SearchField("Search in all terms and explanations")
        self.terms = QListWidget()
        self.terms.setFixedWidth(_LIST_WIDTH)
        self.terms.setStyleSheet("QListView { padding: 4px; }")
        self.terms.setAccessibleName("Terms")
        self.text = QTextBrowser()
        theme.set_role(self.text, "bare")
        self.text.setAccessibleName("Explanation")
        self._nothing = QLabel("No term and no explanation has these words.")
        theme.set_role(self._nothing, "dim")
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._lay_out()
        # Filtering costs less than a millisecond: no need to wait for a pause as a search of the Hub does.
        self.search.textChanged.connect(lambda _: self._show_terms())
        self.search.left_downwards.connect(self.terms.setFocus)
        self.terms.currentItemChanged.connect(lambda item, _: self._on_term_chosen(item))
        theme.current().changed.connect(self._show_text)
        self._show_terms()
        self.search.setFocus()

    def show_topic(self, topic_id: str) -> None:
        """Chooses this term, in the list of all."""
        self._shown = self._glossary.topic(topic_id)
        self.search.clear()
        self._show_terms()

    @property
    def shown(self) -> Topic | None:
        return self._shown

    def _lay_out(self) -> None:
        heading = QLabel("Glossary")
        theme.set_role(heading, "title")
        close = QPushButton("Close")
        close.setAutoDefault(False)  # Enter belongs to the search field
        close.clicked.connect(self.close)
        head, foot, body = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(heading)
        head.addWidget(self._count)
        head.addStretch(1)
        foot.addStretch(1)
        foot.addWidget(close)
        self._right = QStackedWidget()
        self._right.addWidget(self.text)
        self._right.addWidget(self._nothing)
        self._right.setMaximumWidth(_READ_WIDTH)
        body.setSpacing(16)
        body.addWidget(self.terms)
        body.addWidget(self._right, 100)
        body.addStretch(1)
        box = QVBoxLayout(self)
        box.setContentsMargins(24, 20, 24, 16)
        box.setSpacing(12)
        box.addLayout(head)
        box.addWidget(self.search)
        box.addLayout(body, 1)
        box.addLayout(foot)

    def _show_terms(self) -> None:
        asked = self.search.text().strip()
        found = self._glossary.search(asked) if asked else self._glossary.alphabetical
        chosen = self._shown if self._shown in found else next(iter(found), None)
        self.terms.blockSignals(True)
        self.terms.clear()
        for topic in found:
            item = QListWidgetItem(topic.title, self.terms)
            item.setData(Qt.ItemDataRole.UserRole, topic.id)
            if topic is chosen:
                self.terms.setCurrentItem(item)
        self.terms.blockSignals(False)
        total = len(self._glossary.topics)
        self._count.setText(f"{total} terms" if len(found) == total else f"{len(found)} of {total} terms")
        self._right.setCurrentWidget(self.text if found else self._nothing)
        if chosen is not None:
            self._shown = chosen
            self.terms.scrollToItem(self.terms.currentItem())
            self._show_text()

    def _on_term_chosen(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self._shown = self._glossary.topic(item.data(Qt.ItemDataRole.UserRole))
            self._show_text()

    def _show_text(self) -> None:
        topic, active = self._shown, theme.current()
        if topic is None:
            return
        document = QTextDocument(self.text)
        document.setDefaultFont(active.font())
        document.setDocumentMargin(0)
        cursor = QTextCursor(document)
        for text, size, weight, colour in (
            (topic.title, "title", QFont.Weight.DemiBold, "text"),
            (", ".join(topic.other_names), "caption", QFont.Weight.Normal, "text-dim"),
            (topic.short, "section", QFont.Weight.Normal, "text"),
        ):
            if text:
                self._add_block(cursor, text, active.font(size, weight), colour)
        self._add_block(cursor, "", active.font(), "text")
        cursor.insertMarkdown(topic.long, QTextDocument.MarkdownFeature.MarkdownNoHTML)
        self._space_lines(document)
        self.text.setDocument(document)

    def _add_block(self, cursor: QTextCursor, text: str, font: QFont, colour: str) -> None:
        look = QTextCharFormat()
        look.setFont(font)
        look.setForeground(theme.current().color(colour))
        if not cursor.document().isEmpty():
            cursor.insertBlock()
        cursor.setBlockCharFormat(look)
        cursor.insertText(text, look)

    def _space_lines(self, document: QTextDocument) -> None:
        cursor = QTextCursor(document)
        cursor.select(QTextCursor.SelectionType.Document)
        look = QTextBlockFormat()
        look.setLineHeight(_LINE_PERCENT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        look.setBottomMargin(8)
        cursor.mergeBlockFormat(look)
