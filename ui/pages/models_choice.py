"""The right side of the Models page: one model with its quantizations, and memory against context length."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QGuiApplication, QKeyEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from ui import icons, theme
from ui.definitions import define
from ui.state.models_choice import KV_TYPES, ModelsChoice
from ui.state.models_rows import QuantizationRow
from ui.tables import models_quantizations as columns
from ui.tables.models_quantizations import QuantizationTable
from ui.widgets.empty_state import EmptyState
from ui.widgets.fit_bar import FitDelegate
from ui.widgets.knob import ElidedLabel
from ui.widgets.memory_curve import MemoryCurve, short_tokens
from ui.widgets.pill import Pill
from ui.widgets.two_line_delegate import GroundDelegate, TwoLineDelegate
from workbench import units
from workbench.glossary import Glossary

ROW_HEIGHT, HEADER_HEIGHT = 50, 36
BOTH_FROM_HEIGHT = 500  # below it the table and the chart take turns
ERROR_FROM_WIDTH, SPEED_FROM_WIDTH = 760, 440
NAME_WIDE_FROM = 620
CELL_MARGINS = 6, 10


class ChoicePane(QWidget):
    """`use_clicked` carries model and quantization as the Run page takes them, `link_clicked` an address."""

    use_clicked = Signal(str, str)
    link_clicked = Signal(str)
    token_clicked = Signal()
    details_clicked = Signal()
    failed = Signal(str)
    copied = Signal(str)

    def __init__(self, state: ModelsChoice, glossary: Glossary, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state, self._glossary = state, glossary
        self._buttons: dict[str, QPushButton] = {}
        self.table_model = QuantizationTable(glossary, self)
        self._build_head()
        self._build_table()
        self._build_curve()
        self._lay_out()
        self._connect()
        self._show_head()

    # --- building ----------------------------------------------------------------------------------------

    def _build_head(self) -> None:
        self.title = QLabel()
        theme.set_role(self.title, "title")
        self.title.setMinimumWidth(60)
        self._pills = [Pill() for _ in range(5)]
        self.link = QPushButton("Open on the Hub")
        theme.set_role(self.link, "link")
        icons.show_on(self.link, "external", "accent", 14)
        self.details = QPushButton("Details")
        self.details.setCheckable(True)
        self.details.setToolTip("What the file says of itself, and how good earlier predictions were (Ctrl+I)")
        self.why = QLabel()
        theme.set_role(self.why, "dim")
        self.why.setWordWrap(True)
        self.context, self.kv = QComboBox(), QComboBox()
        self.context.setAccessibleName("Context length")
        self.kv.setAccessibleName("Type of the KV cache")
        for key, word in KV_TYPES:
            self.kv.addItem(word, key)
        self.swap = QPushButton("Memory curve")
        self.swap.setCheckable(True)

    def _build_table(self) -> None:
        table = self.table = QuantizationView()
        table.setModel(self.table_model)
        roles = columns.SECOND_ROLE, columns.BADGE_ROLE, columns.TONE_ROLE
        table.setItemDelegateForColumn(columns.NAME, TwoLineDelegate(*roles, is_strong=True, parent=table))
        for column in (columns.SIZE, columns.SPEED, columns.ERROR):
            table.setItemDelegateForColumn(column, TwoLineDelegate(*roles, parent=table))
        table.setItemDelegateForColumn(columns.ACTION, GroundDelegate(table))
        table.setItemDelegateForColumn(columns.MEMORY, FitDelegate(columns.FIT_ROLE, table))
        header = table.horizontalHeader()
        for number, shown in enumerate(columns.COLUMNS):
            header.resizeSection(number, shown.width)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(columns.MEMORY, QHeaderView.ResizeMode.Stretch)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        table.setSortingEnabled(True)

    def _build_curve(self) -> None:
        self.chart_card = QFrame()
        theme.set_role(self.chart_card, "card")
        heading = QLabel("Memory against context length")
        theme.set_role(heading, "strong")
        define(heading, self._glossary.topic("contextmemory"))
        self.basis = QLabel()
        theme.set_role(self.basis, "caption")
        self.curve = MemoryCurve()
        self._waiting = QLabel("The curve is drawn as soon as the first file has been judged")
        theme.set_role(self._waiting, "dim")
        self._waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._waiting.setWordWrap(True)
        head = QHBoxLayout()
        head.addWidget(heading)
        head.addStretch(1)
        head.addWidget(self.basis)
        self._curve_stack = QStackedWidget()
        self._curve_stack.addWidget(self._waiting)
        self._curve_stack.addWidget(self.curve)
        box = QVBoxLayout(self.chart_card)
        box.setContentsMargins(14, 10, 8, 6)
        box.setSpacing(4)
        box.addLayout(head)
        box.addWidget(self._curve_stack, 1)

    def _lay_out(self) -> None:
        content = QWidget()
        box = QVBoxLayout(content)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        box.addLayout(self._name_row())
        box.addWidget(self.why)
        box.addLayout(self._option_row())
        box.addWidget(self.table, 6)
        box.addWidget(self.chart_card, 4)
        self._filler = QWidget()  # takes the chart's place, so that the rows above stay together
        box.addWidget(self._filler, 1)
        self.empty = EmptyState("", "", icon_key="models")
        self.empty.set_text(
            "Choose a model",
            "Its quantizations, what they take of memory and how fast they will be stand here before anything is "
            "downloaded.",
        )
        self.page = QPushButton("Open page")
        theme.set_role(self.page, "link")
        below = self.empty.layout()
        assert isinstance(below, QVBoxLayout)
        below.insertWidget(below.count() - 1, self.page, 0, Qt.AlignmentFlag.AlignHCenter)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._stack)

    def _name_row(self) -> QHBoxLayout:
        # Title and pills give way to a narrower window, so they must not ask for the room that they have.
        self._named = QWidget()
        self._named.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        said = QHBoxLayout(self._named)
        said.setContentsMargins(0, 0, 0, 0)
        said.setSpacing(8)
        said.addWidget(self.title)
        for pill in self._pills:
            said.addWidget(pill)
        said.addStretch(1)
        names = QHBoxLayout()
        names.setSpacing(8)
        names.addWidget(self._named, 1)
        names.addWidget(self.link)
        names.addWidget(self.details)
        return names

    def _option_row(self) -> QHBoxLayout:
        options = QHBoxLayout()
        options.setSpacing(8)
        for text, control, topic in (("Context", self.context, "context"), ("KV cache", self.kv, "kvtype")):
            label = QLabel(text)
            theme.set_role(label, "label")
            define(label, self._glossary.topic(topic))
            label.setBuddy(control)
            options.addWidget(label)
            options.addWidget(control)
            options.addSpacing(8)
        self.basis_line = ElidedLabel()
        options.addWidget(self.basis_line, 1)
        options.addWidget(self.swap)
        return options

    def _connect(self) -> None:
        state = self._state
        state.head_changed.connect(self._show_head)
        state.rows_changed.connect(self._show_rows)
        state.curve_changed.connect(self._show_curve)
        self.table.selectionModel().currentRowChanged.connect(self._on_current_changed)
        self.table.activated_row.connect(self._act)
        self.table.customContextMenuRequested.connect(self._show_menu)
        self.context.activated.connect(lambda _: state.set_context(int(self.context.currentData())))
        self.kv.activated.connect(lambda _: state.set_kv_type(str(self.kv.currentData())))
        for button in (self.link, self.page):
            button.clicked.connect(self._on_link_clicked)
        self.details.clicked.connect(self.details_clicked)
        self.empty.action_clicked.connect(self._on_empty_action)
        self.swap.toggled.connect(lambda _: self._fit_height())
        self.curve.failed.connect(self.failed)
        copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self.table)
        copy.setContext(Qt.ShortcutContext.WidgetShortcut)
        copy.activated.connect(self._copy)

    # --- showing -----------------------------------------------------------------------------------------

    def _show_head(self) -> None:
        head = self._state.head
        self._stack.setCurrentIndex(1 if head.status == "ready" else 0)
        self.page.hide()
        if head.status == "loading":
            self.empty.set_text(head.title, "Asking the Hub for its files.")
        elif head.status == "failed":
            is_denied = head.problem_code == "denied"
            action = "Set token…" if is_denied else "Try again"
            self.page.setVisible(is_denied)
            self.empty.set_text(f"{head.title} cannot be shown", head.problem, action)
        elif head.status == "ready":
            self.title.setToolTip(head.title)
            self._show_pills()
            self.why.setText(head.why)
            self.why.setVisible(bool(head.why))
            self.link.setVisible(head.repo_id is not None)
            self.basis_line.set_text(head.basis)
            self._show_options()

    def _show_pills(self) -> None:
        """As many as fit beside the title; the last ones give way first."""
        pills = self._state.head.pills
        room = self.width() - self.details.sizeHint().width() - 40
        room -= self.link.sizeHint().width() if self.link.isVisibleTo(self) else 0
        font = theme.current().font("title", QFont.Weight.DemiBold)
        self.title.setText(theme.elided(self._state.head.title, font, max(80, room)))
        room -= self.title.sizeHint().width()
        for place, pill in enumerate(self._pills):
            is_there = place < len(pills)
            if is_there:
                pill.show_text(*pills[place])
                room -= pill.sizeHint().width() + 8
            pill.setVisible(is_there and room >= 0)

    def _show_options(self) -> None:
        lengths = self._state.contexts()
        if [self.context.itemData(i) for i in range(self.context.count())] != list(lengths):
            self.context.clear()
            for length in lengths:
                self.context.addItem(f"{length:,}", length)
        self.context.setCurrentIndex(self.context.findData(self._state.context_length))
        self.kv.setCurrentIndex(self.kv.findData(self._state.kv_type))

    def _show_rows(self) -> None:
        rows = self._state.rows()
        keys = [row.key for row in self.table_model.rows()]
        self.table_model.set_rows(rows)
        if keys != [row.key for row in self.table_model.rows()]:
            self._buttons.clear()
            self._select_current()
            self.table.setMaximumHeight(HEADER_HEIGHT + max(2, len(rows)) * ROW_HEIGHT)
        self._fit_columns()
        self._show_actions(rows)
        self._show_curve()

    def _show_memory_title(self) -> None:
        """As much of it as the column has room for."""
        length, free = self._state.context_length, self._state.free_bytes
        figure = units.bytes_text(free) if free is not None else ""
        titles = (
            f"Memory at {length:,} tokens, of {figure} free" if figure else f"Memory at {length:,} tokens",
            f"Memory at {short_tokens(length)}, {figure} free" if figure else f"Memory at {short_tokens(length)}",
            f"Memory at {short_tokens(length)}",
        )
        header = self.table.horizontalHeader()
        measure = QFontMetrics(theme.current().font("body", QFont.Weight.Bold))
        room = header.sectionSize(columns.MEMORY) - 24
        fitting = (title for title in titles if measure.horizontalAdvance(title) <= room)
        self.table_model.set_memory_title(next(fitting, "Memory"))

    def _select_current(self) -> None:
        current = self._state.current
        place = self.table_model.place_of(current.key) if current is not None else None
        if place is not None:
            flags = QItemSelectionModel.SelectionFlag
            self.table.selectionModel().setCurrentIndex(
                self.table_model.index(place, 0), flags.ClearAndSelect | flags.Rows
            )
            self.table.scrollTo(self.table_model.index(place, 0))

    def _show_actions(self, rows: tuple[QuantizationRow, ...]) -> None:
        for row in rows:
            place = self.table_model.place_of(row.key)
            button = self._buttons.get(row.key)
            if button is None and place is not None and row.action[0]:
                button = self._buttons[row.key] = self._new_button(row.key)
                self.table.setIndexWidget(self.table_model.index(place, columns.ACTION), _centred(button))
            if button is not None:
                theme.set_role(button, "primary" if row.is_primary else "")
                button.setText(row.action[1])  # after the role: it makes the size be asked for anew
                button.setAccessibleName(f"{row.action[1]} {row.label}")
                button.setVisible(bool(row.action[0]))
        self._fit_action_column()

    def _fit_action_column(self) -> None:
        """As wide as its widest button; it only grows, so that a change of words moves nothing."""
        widths = [button.sizeHint().width() + sum(CELL_MARGINS) for button in self._buttons.values()]
        if widths and max(widths) > self.table.columnWidth(columns.ACTION):
            self.table.setColumnWidth(columns.ACTION, max(widths))
            self._show_memory_title()

    def _new_button(self, key: str) -> QPushButton:
        button = QPushButton()
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Enter in the table does the same
        button.clicked.connect(lambda _=False: self._act(key))
        return button

    def _show_curve(self) -> None:
        lines = self._state.curve()
        self._curve_stack.setCurrentWidget(self.curve if lines else self._waiting)
        self.basis.setText(self._state.curve_basis())
        self.curve.show_lines(lines, self._state.free_bytes, self._state.context_length)

    # --- what a person does ------------------------------------------------------------------------------

    def _act(self, key: str) -> None:
        variant, place = self._state.variant(key), self.table_model.place_of(key)
        if variant is None or place is None:
            return
        action = self.table_model.row(place).action[0]
        if action == "use":
            self.use_clicked.emit(variant.model or "", variant.quantization or "")
        elif action:
            self._state.act(key)

    def _on_current_changed(self, current: QModelIndex) -> None:
        if current.isValid():
            self._state.look_at(self.table_model.row(current.row()).key)

    def _on_link_clicked(self) -> None:
        if self._state.head.repo_id:
            self.link_clicked.emit(self._state.head.repo_id)

    def _on_empty_action(self) -> None:
        if self._state.head.problem_code == "denied":
            self.token_clicked.emit()
        else:
            self._state.retry()

    def _show_menu(self, position: QPoint) -> None:
        index = self.table.indexAt(position)
        if not index.isValid():
            return
        row = self.table_model.row(index.row())
        menu = QMenu(self)
        if row.action[0]:
            menu.addAction(row.action[1]).triggered.connect(lambda: self._act(row.key))
        menu.addAction("Copy as table").triggered.connect(self._copy)
        menu.exec(self.table.viewport().mapToGlobal(position))

    def _copy(self) -> None:
        count = self.table_model.rowCount()
        QGuiApplication.clipboard().setText(self.table_model.as_tsv(list(range(count))))
        self.copied.emit(f"Copied {count} quantizations as a table.")

    # --- sizes -------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._show_pills()
        self._fit_height()
        self._fit_columns()

    def _fit_columns(self) -> None:
        """The error's column has room only once something has been measured."""
        width = self.width()
        is_measured = any(row.error_share is not None for row in self.table_model.rows())
        self.table.setColumnHidden(columns.ERROR, width < ERROR_FROM_WIDTH or not is_measured)
        self.table.setColumnHidden(columns.SPEED, width < SPEED_FROM_WIDTH)
        self.table.setColumnWidth(columns.NAME, 150 if width >= NAME_WIDE_FROM else 124)
        self._show_memory_title()

    def _fit_height(self) -> None:
        is_tall = self.height() >= BOTH_FROM_HEIGHT
        self.swap.setVisible(not is_tall)
        self.chart_card.setVisible(is_tall or self.swap.isChecked())
        self._filler.setVisible(self.chart_card.isHidden())
        self.table.setVisible(is_tall or not self.swap.isChecked())


class QuantizationView(QTableView):
    """Enter does what the row's button does; Tab leaves the table."""

    activated_row = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Quantizations")
        self.setAccessibleDescription("Enter does what the button of the row does")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.horizontalHeader().setHighlightSections(False)
        self.setMinimumHeight(HEADER_HEIGHT + 2 * ROW_HEIGHT)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            model = self.model()
            if isinstance(model, QuantizationTable):
                self.activated_row.emit(model.row(self.currentIndex().row()).key)
        else:
            super().keyPressEvent(event)


def _centred(button: QPushButton) -> QWidget:
    """The button at its own height in the middle of the cell."""
    cell = QWidget()
    row = QHBoxLayout(cell)
    row.setContentsMargins(CELL_MARGINS[0], 0, CELL_MARGINS[1], 0)
    row.addWidget(button)
    return cell
