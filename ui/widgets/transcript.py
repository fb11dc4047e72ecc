"""A conversation that scrolls: it follows the newest words unless the reader has scrolled away from them."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QPushButton, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from ui import icons, theme
from ui.widgets.token_view import TokenView
from ui.widgets.turn_view import AnswerTurn, QuestionTurn

NEAR_END_PX = 24
MARGIN = 22
WIDEST_TEXT_PX = 860


class _Sheet(QWidget):
    """Paints every pixel of itself, so that Qt moves what was painted when it scrolls (a tenth of the time)."""

    def __init__(self) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAttribute(Qt.WidgetAttribute.WA_StaticContents)
        theme.current().changed.connect(self._on_theme_changed)
        self._on_theme_changed()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), self._ground)
        painter.end()

    def _on_theme_changed(self) -> None:
        self._ground = theme.current().color("surface")
        self.update()


class Transcript(QFrame):
    """`question_edited` carries the index of the question, counted from 0, and its new text."""

    question_edited = Signal(int, str)
    regenerate_clicked = Signal()

    def __init__(self, empty: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "card")
        self.questions: list[QuestionTurn] = []
        self.answers: list[AnswerTurn] = []
        self._follows = True
        self._empty = empty
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setAccessibleName("Conversation")
        self.area.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._inner = _Sheet()
        self._box = QVBoxLayout(self._inner)
        self._box.setSpacing(18)
        self._box.addStretch(1)
        self.area.setWidget(self._inner)
        self._layers = QStackedLayout()
        frame = QVBoxLayout(self)
        frame.setContentsMargins(2, 4, 2, 4)
        frame.addLayout(self._layers)
        self._layers.addWidget(empty)
        self._layers.addWidget(self.area)
        self.jump = QPushButton("Jump to newest", self)
        icons.show_on(self.jump, "arrow-down", "text", 14)
        self.jump.clicked.connect(self.follow)
        self.jump.hide()
        bar = self.area.verticalScrollBar()
        bar.valueChanged.connect(self._on_scrolled)
        bar.rangeChanged.connect(self._on_range_changed)
        self._inner.installEventFilter(self)
        self._set_margins()

    # --- turns -------------------------------------------------------------------------------------------

    def clear(self) -> None:
        for turn in (*self.questions, *self.answers):
            self._box.removeWidget(turn)
            turn.hide()
            turn.deleteLater()
        self.questions.clear()
        self.answers.clear()
        self._layers.setCurrentWidget(self._empty)
        self._follows = True
        self.jump.hide()

    def add_question(self, text: str, attachment: str | None = None) -> QuestionTurn:
        turn = QuestionTurn(text, attachment)
        index = len(self.questions)
        turn.edited.connect(lambda edited: self.question_edited.emit(index, edited))
        self.questions.append(turn)
        self._add(turn, *turn.views())
        return turn

    def add_answer(self, model: str) -> AnswerTurn:
        for earlier in self.answers:
            earlier.regenerate_button.hide()
        turn = AnswerTurn(model)
        turn.regenerate_clicked.connect(self.regenerate_clicked)
        self.answers.append(turn)
        self._add(turn, turn.view)
        turn.fold.view.selection_dragged.connect(lambda y: self._on_selection_dragged(turn.fold.view, y))
        return turn

    def set_can_edit(self, can: bool) -> None:
        for turn in self.questions:
            turn.set_can_edit(can)
        for answer in self.answers:
            answer.regenerate_button.setEnabled(can)

    def _add(self, turn: QWidget, *views: TokenView) -> None:
        self._layers.setCurrentWidget(self.area)
        turn.setAttribute(Qt.WidgetAttribute.WA_StaticContents)  # growing repaints only what is new
        self._box.insertWidget(self._box.count() - 1, turn)
        for view in views:
            view.selection_dragged.connect(lambda y, view=view: self._on_selection_dragged(view, y))

    # --- scrolling ---------------------------------------------------------------------------------------

    @property
    def follows(self) -> bool:
        """Whether new words scroll into view."""
        return self._follows

    def follow(self) -> None:
        self._follows = True
        self.jump.hide()
        bar = self.area.verticalScrollBar()
        bar.setValue(bar.maximum())

    def _on_scrolled(self, value: int) -> None:
        bar = self.area.verticalScrollBar()
        self._follows = value >= bar.maximum() - NEAR_END_PX
        self._show_jump()

    def _on_range_changed(self, _low: int, high: int) -> None:
        if self._follows:
            self.area.verticalScrollBar().setValue(high)
        self._show_jump()

    def _show_jump(self) -> None:
        is_needed = not self._follows and self.area.verticalScrollBar().maximum() > 0
        if is_needed != self.jump.isVisible():
            self.jump.setVisible(is_needed)
            self._place_jump()

    def _place_jump(self) -> None:
        size = self.jump.sizeHint()
        self.jump.setGeometry((self.width() - size.width()) // 2, self.height() - size.height() - 12,
                              size.width(), size.height())  # fmt: skip
        self.jump.raise_()

    def _on_selection_dragged(self, view: TokenView, y: int) -> None:
        """A selection that is drawn beyond the edge takes the text along."""
        where = view.viewport().mapTo(self.area.viewport(), QPoint(0, y)).y()
        bar = self.area.verticalScrollBar()
        if where < 0:
            bar.setValue(bar.value() + max(-40, where))
        elif where > self.area.viewport().height():
            bar.setValue(bar.value() + min(40, where - self.area.viewport().height()))

    # --- Qt ----------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._set_margins()
        self._place_jump()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest and self._follows:
            bar = self.area.verticalScrollBar()
            bar.setValue(bar.maximum())
        return super().eventFilter(watched, event)

    def _set_margins(self) -> None:
        """In a wide window the text stays in the middle, as wide as lines can be read."""
        side = MARGIN + max(0, self.width() - 2 * MARGIN - WIDEST_TEXT_PX) // 2
        self._box.setContentsMargins(side, 16, side, 20)
