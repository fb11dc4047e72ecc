"""The downloads at the bottom of a page: a row for each with bar, figures and actions; finished ones fold away."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ui import theme
from ui.figures import TrayItem
from ui.widgets.knob import ElidedLabel

ONE_LINE_FROM = 720
SHOWN_ROWS = 3


class TrayRow(QWidget):
    action_clicked = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._item: TrayItem | None = None
        self._title, self._detail = ElidedLabel("text", "body"), QLabel()
        theme.set_role(self._detail, "dim")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMinimumWidth(80)
        self._problem = QLabel()
        self._problem.setWordWrap(True)
        theme.set_role(self._problem, "caption")
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(8)
        self.buttons: list[QPushButton] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 2, 0, 2)
        self._grid.setHorizontalSpacing(14)
        self._grid.setVerticalSpacing(4)
        self._is_wide: bool | None = None
        self._arrange(True)

    def show_item(self, item: TrayItem) -> None:
        if item == self._item:
            return
        before, self._item = self._item, item
        self._title.set_text(item.title)
        self._detail.setText(item.detail)
        self._detail.setToolTip(item.tip)
        theme.set_tone(self._detail, item.tone)
        self.bar.setRange(0, 1000 if item.fraction is not None else 0)
        if item.fraction is not None:
            self.bar.setValue(round(item.fraction * 1000))
        self.bar.setAccessibleName(f"Progress of {item.title}")
        self._problem.setText(item.problem)
        theme.set_tone(self._problem, "bad")
        self._problem.setVisible(bool(item.problem))
        self.bar.setVisible(not item.is_over and not item.problem)
        if before is None or before.actions != item.actions or before.title != item.title:
            self._show_actions(item)
        self.setAccessibleName(f"{item.title}: {item.problem or item.detail}")

    def set_wide(self, is_wide: bool) -> None:
        if is_wide != self._is_wide:
            self._arrange(is_wide)

    def text(self) -> str:
        return f"{self._title.text()} {self._detail.text()} {self._problem.text()}".strip()

    def _show_actions(self, item: TrayItem) -> None:
        focused = next((b.property("key") for b in self.buttons if b.hasFocus()), None)
        while len(self.buttons) > len(item.actions):
            self.buttons.pop().deleteLater()
        while len(self.buttons) < len(item.actions):
            button = QPushButton()
            button.clicked.connect(lambda _=False, button=button: self._on_clicked(button))
            self._buttons.addWidget(button)
            self.buttons.append(button)
        for button, (key, word) in zip(self.buttons, item.actions, strict=True):
            button.setProperty("key", key)
            button.setText(word)
            button.setAccessibleName(f"{word}: {item.title}")
            if key == focused:
                button.setFocus()

    def _on_clicked(self, button: QPushButton) -> None:
        if self._item is not None:
            self.action_clicked.emit(self._item.id, str(button.property("key")))

    def _arrange(self, is_wide: bool) -> None:
        """One line with the bar in the middle, or the bar below the title."""
        self._is_wide = is_wide
        for widget in (self._title, self.bar, self._detail, self._problem):
            self._grid.removeWidget(widget)
        self._grid.removeItem(self._buttons)
        middle = Qt.AlignmentFlag.AlignVCenter
        self._title.setMinimumWidth(150 if is_wide else 80)
        self._title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        if is_wide:
            self._grid.addWidget(self._title, 0, 0)
            self._grid.addWidget(self.bar, 0, 1, middle)
            self._grid.addWidget(self._detail, 0, 2)
            self._grid.addLayout(self._buttons, 0, 3)
            self._grid.addWidget(self._problem, 1, 0, 1, 4)
            stretches = (2, 5, 0, 0)
        else:
            self._grid.addWidget(self._title, 0, 0)
            self._grid.addLayout(self._buttons, 0, 1, 2, 1)
            self._grid.addWidget(self._detail, 1, 0)
            self._grid.addWidget(self.bar, 2, 0, 1, 2)
            self._grid.addWidget(self._problem, 3, 0, 1, 2)
            stretches = (1, 0, 0, 0)
        for column, stretch in enumerate(stretches):
            self._grid.setColumnStretch(column, stretch)


class DownloadTray(QFrame):
    """Hidden while there is nothing to show."""

    action_clicked = Signal(str, str)
    cleared = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "card")
        self.setAccessibleName("Downloads")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        self._rows: dict[str, TrayRow] = {}
        self._most_rows = SHOWN_ROWS
        self._items: tuple[TrayItem, ...] = ()
        content = QWidget()
        theme.set_role(content, "scrolled")
        self._list = QVBoxLayout(content)
        self._list.setContentsMargins(0, 0, 4, 0)
        self._list.setSpacing(4)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(content)
        self.fold = QPushButton()
        theme.set_role(self.fold, "link")
        self.fold.setCheckable(True)
        self.fold.toggled.connect(lambda: self._show())
        self.clear = QPushButton("Clear the list")
        theme.set_role(self.clear, "link")
        self.clear.setToolTip("Takes finished and cancelled downloads out of this list; the files stay")
        self.clear.clicked.connect(self.cleared)
        foot = QHBoxLayout()
        foot.addWidget(self.fold)
        foot.addStretch(1)
        foot.addWidget(self.clear)
        box = QVBoxLayout(self)
        box.setContentsMargins(14, 8, 12, 8)
        box.setSpacing(4)
        box.addWidget(self._area)
        box.addLayout(foot)
        self.hide()

    def show_items(self, items: Sequence[TrayItem]) -> None:
        if tuple(items) != self._items:
            self._items = tuple(items)
            self._show()

    def set_most_rows(self, count: int) -> None:
        """How many rows are seen at once; the others are scrolled to."""
        if count != self._most_rows:
            self._most_rows = count
            self._fit()

    def row(self, item_id: str) -> TrayRow:
        return self._rows[item_id]

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for row in self._rows.values():
            row.set_wide(self._is_wide())
        self._fit()

    def _is_wide(self) -> bool:
        return self.width() >= ONE_LINE_FROM

    def _show(self) -> None:
        over = [item for item in self._items if item.is_over]
        shown = [item for item in self._items if not item.is_over or self.fold.isChecked()]
        for gone in set(self._rows) - {item.id for item in shown}:
            row = self._rows.pop(gone)
            row.hide()
            self._list.removeWidget(row)
            row.deleteLater()
        for place, item in enumerate(shown):
            row = self._rows.get(item.id) or self._new_row(item.id)
            row.show_item(item)
            if self._list.indexOf(row) != place:
                self._list.insertWidget(place, row)
        count = "1 download is over" if len(over) == 1 else f"{len(over)} downloads are over"
        self.fold.setText(f"{count}: hide" if self.fold.isChecked() else f"{count}: show")
        self.fold.setVisible(bool(over))
        self.clear.setVisible(bool(over))
        self._area.setVisible(bool(shown))
        self.setVisible(bool(self._items))
        self._fit()

    def _new_row(self, item_id: str) -> TrayRow:
        row = self._rows[item_id] = TrayRow()
        row.set_wide(self._is_wide())
        row.action_clicked.connect(self.action_clicked)
        return row

    def _fit(self) -> None:
        """As high as its rows, up to three; more of them scroll."""
        widths = max(200, self.width() - 30)
        heights = [_height(row, widths) for row in self._rows.values()]
        content = sum(heights) + 4 * max(0, len(heights) - 1)
        limit = sum(heights[: self._most_rows]) + 4 * (self._most_rows - 1)
        self._area.setFixedHeight(min(content, limit) + 2)

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), super().minimumSizeHint().height())


def _height(row: TrayRow, width: int) -> int:
    layout = row.layout()
    if layout is not None and layout.hasHeightForWidth():
        return max(layout.totalHeightForWidth(width), row.minimumSizeHint().height())
    return row.sizeHint().height()
