"""The left side of the Models page: search field, filters, and the list of what was found."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ui import theme
from ui.state.models_search import LICENSES, SIZES, SORTS, Filters, ModelsSearch, ResultItem
from ui.state.models_words import license_text
from ui.tables.models_results import AUTHOR_ROLE, FACTS_ROLE, PILLS_ROLE, ResultsTable
from ui.widgets.empty_state import EmptyState
from ui.widgets.knob import ElidedLabel
from ui.widgets.notice import Notice
from ui.widgets.popup import Popup
from ui.widgets.result_delegate import ResultDelegate
from ui.widgets.search_field import SearchField


class ResultsPane(QWidget):
    """`chosen` carries the `ResultItem` that was selected by a person."""

    chosen = Signal(object)

    def __init__(self, state: ModelsSearch, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self._wanted = ""
        self.search = SearchField("Search the Hub, or paste a repository")
        self.filters = QPushButton()
        self.table_model = ResultsTable(self)
        self.list = ResultList()
        self.list.setModel(self.table_model)
        self.list.setItemDelegate(ResultDelegate(AUTHOR_ROLE, FACTS_ROLE, PILLS_ROLE, self.list))
        self.status = ElidedLabel()
        self.notice = Notice(closable=False)
        self.empty = EmptyState("Nothing found", "", icon_key="search")
        self._lay_out()
        self._connect()
        self._show_filters()

    def select(self, key: str) -> bool:
        """Marks an item as the one that is shown; False when it is not in the list."""
        self._wanted = key
        row = self.table_model.row_of(key)
        if row is None:
            return False
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.list.selectionModel().setCurrentIndex(self.table_model.index(row, 0), flags)
        return True

    def _lay_out(self) -> None:
        theme.set_role(self.filters, "link")
        self.filters.setToolTip("Author, licence, size and order of what the Hub is asked for")
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.status, 1)
        line.addWidget(self.filters)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.list)
        self._stack.addWidget(self.empty)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(6)
        box.addWidget(self.search)
        box.addLayout(line)
        box.addWidget(self.notice)
        box.addWidget(self._stack, 1)

    def _connect(self) -> None:
        state = self._state
        state.items_reset.connect(self._on_items_reset)
        state.items_added.connect(self.table_model.add_items)
        state.status_changed.connect(self._show_status)
        self.table_model.more_wanted.connect(state.load_more)
        self.search.searched.connect(state.search)
        self.search.left_downwards.connect(self._enter_list)
        self.list.left_upwards.connect(lambda: self.search.setFocus(Qt.FocusReason.OtherFocusReason))
        self.list.selectionModel().currentChanged.connect(self._on_current_changed)
        self.filters.clicked.connect(lambda: FilterPopup(state, self._show_filters, self).show_under(self.filters))
        self.notice.action_clicked.connect(state.again)
        self.empty.action_clicked.connect(self._on_empty_action)

    def _enter_list(self) -> None:
        self.list.setFocus(Qt.FocusReason.TabFocusReason)
        if not self.list.currentIndex().isValid() and self.table_model.rowCount():
            self.list.setCurrentIndex(self.table_model.index(0, 0))

    def _on_items_reset(self, items: list[ResultItem]) -> None:
        self.list.selectionModel().blockSignals(True)
        self.table_model.set_items(items)
        self.list.selectionModel().blockSignals(False)
        self.select(self._wanted)
        # The whole list is another one: begin where it begins, unless the shown model stands further down.
        if self.table_model.row_of(self._wanted) is None:
            self.list.scrollToTop()

    def _on_current_changed(self, current: QModelIndex) -> None:
        if current.isValid() and self.table_model.item(current.row()).key != self._wanted:
            item = self.table_model.item(current.row())
            self._wanted = item.key
            self.chosen.emit(item)

    def _show_status(self) -> None:
        state = self._state
        self.table_model.set_has_more(state.has_more)
        self.status.set_text(state.text)
        self._show_problem()
        is_empty = self.table_model.rowCount() == 0 and state.status != "loading"
        if is_empty:
            self._show_empty()
        elif state.status == "loading" and state.is_slow and self.table_model.rowCount() == 0:
            self.empty.set_text("Asking the Hub", "The answer has not come so far.")
        self._stack.setCurrentWidget(self.empty if is_empty else self.list)
        if state.has_more and not is_empty:
            QTimer.singleShot(0, self.list, self._fill_view)

    def _fill_view(self) -> None:
        """A list that does not fill its view is not scrolled, so nobody would ask for the next page."""
        if self.list.verticalScrollBar().maximum() == 0 and self.list.isVisible():
            self._state.load_more()

    def _show_problem(self) -> None:
        problem = self._state.problem
        if problem:
            self.notice.show_message("warn" if self._state.status == "offline" else "bad", problem, "Try again")
        else:
            self.notice.hide()

    def _show_empty(self) -> None:
        if self._state.status == "empty":
            self.empty.set_text(
                "Nothing found", "The Hub has no GGUF repository with these words and filters.", "Show the catalogue"
            )
        elif self._state.is_asking:
            self.empty.set_text(
                "Nothing here has this name", "Neither this machine nor the starter catalogue.", "Show the catalogue"
            )
        else:
            self.empty.set_text("No models so far", "Search the Hub, or import a GGUF file.")

    def _on_empty_action(self) -> None:
        self._state.set_filters(Filters())
        self.search.clear()
        self._show_filters()
        self.search.setFocus()

    def _show_filters(self) -> None:
        filters = self._state.filters
        sort = next(word for key, word in SORTS if key == filters.sort)
        count = sum(1 for value in (filters.author, filters.license, filters.size) if value)
        self.filters.setText(f"{sort}, {count} filter{'s' if count > 1 else ''}" if count else f"Sort: {sort.lower()}")


class ResultList(QListView):
    left_upwards = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Models found")
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setStyleSheet("QListView { padding: 4px; }")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Up and self.currentIndex().row() <= 0:
            self.left_upwards.emit()
        else:
            super().keyPressEvent(event)


class FilterPopup(Popup):
    """Takes effect at every change; stays open so that several can be made."""

    def __init__(self, state: ModelsSearch, on_change: Callable[[], None], parent: QWidget) -> None:
        super().__init__("What the Hub is asked for", parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._state, self._on_change = state, on_change
        filters = state.filters
        self.sort = _combo([(key, word) for key, word in SORTS], filters.sort, "Order")
        self.parameters = _combo([(key, word) for key, word, _, _ in SIZES], filters.size, "Size")
        licenses = [("", "Any licence"), *((key, license_text(key)) for key in LICENSES)]
        self.license = _combo(licenses, filters.license, "Licence")
        self.author = QLineEdit(filters.author)
        self.author.setPlaceholderText("Anyone, or a name")
        self.author.setAccessibleName("Author")
        self.author.setMinimumWidth(220)
        self.reset = QPushButton("Reset")
        theme.set_role(self.reset, "link")
        form = QFormLayout()
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(8)
        for name, control in (("Order", self.sort), ("Size", self.parameters), ("Licence", self.license),
                              ("Author", self.author)):  # fmt: skip
            label = QLabel(name)
            theme.set_role(label, "label")
            label.setMinimumHeight(30)  # as high as the control, so that both stand on one line
            form.addRow(label, control)
        self.box.addLayout(form)
        self.box.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignRight)
        for box in (self.sort, self.parameters, self.license):
            box.activated.connect(lambda _: self._apply())
        self.author.editingFinished.connect(self._apply)
        self.reset.clicked.connect(self._on_reset)

    def _apply(self) -> None:
        self._state.set_filters(
            Filters(
                author=self.author.text().strip(), license=self.license.currentData(),
                size=self.parameters.currentData(), sort=self.sort.currentData(),
            )
        )  # fmt: skip
        self._on_change()

    def _on_reset(self) -> None:
        for box in (self.sort, self.parameters, self.license):
            box.setCurrentIndex(0)
        self.author.clear()
        self._apply()


def _combo(options: list[tuple[str, str]], current: str, name: str) -> QComboBox:
    box = QComboBox()
    for key, word in options:
        box.addItem(word, key)
    box.setCurrentIndex(max(0, box.findData(current)))
    box.setAccessibleName(name)
    return box
