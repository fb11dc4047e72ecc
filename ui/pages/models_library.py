"""The library view of the Models page: what is on disk in a table, with what can be done to a file."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QStackedWidget,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from ui import icons, theme
from ui.state.models_library import LibraryRow, ModelsLibrary
from ui.tables.models_library import COLUMNS, TROUBLE_ROLE, LibraryTable
from ui.view_state import ViewState
from ui.widgets.empty_state import EmptyState
from ui.widgets.row_table import row_table
from workbench import units
from workbench.glossary import Glossary

_WIDTHS_KEY = "models/library_columns"


class LibraryPane(QWidget):
    """Signals carry the key of the row they are about."""

    use_clicked = Signal(str)
    folder_clicked = Signal(str)
    make_clicked = Signal(str)
    details_clicked = Signal()
    import_clicked = Signal()
    selected = Signal(str)
    copied = Signal(str)

    def __init__(
        self, state: ModelsLibrary, view: ViewState, glossary: Glossary, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._state, self._view = state, view
        self.table_model = LibraryTable(glossary, self)
        self._build_table()
        self._build_actions()
        self.empty = EmptyState("", "", icon_key="models")
        self.empty.set_text(
            "Nothing on this machine",
            "Models that are downloaded or imported stand here, with those of other programs.",
            "Import file",
        )
        self._lay_out()
        self._connect()
        self._show_rows()

    def current_key(self) -> str:
        index = self.table.currentIndex()
        return self.table_model.row(index.row()).key if index.isValid() else ""

    def selected_rows(self) -> list[LibraryRow]:
        places = sorted(index.row() for index in self.table.selectionModel().selectedRows())
        return [self.table_model.row(place) for place in places]

    def save_view(self) -> None:
        self._view.set_blob(_WIDTHS_KEY, self.table.horizontalHeader().saveState())

    def _build_table(self) -> None:
        widths = [column.width for column in COLUMNS]
        name = "Models on this machine"
        table = self.table = row_table(self.table_model, name, widths, self._view.blob(_WIDTHS_KEY), 32)
        table.setItemDelegateForColumn(0, TroubleDelegate(table))
        header = table.horizontalHeader()
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        table.setSortingEnabled(True)

    def _build_actions(self) -> None:
        self.use, self.details = QPushButton("Use in Run"), QPushButton("Details")
        self.verify, self.folder = QPushButton("Verify"), QPushButton("Show in folder")
        self.make, self.delete = QPushButton("Make quantization…"), QPushButton("Delete")
        theme.set_role(self.use, "primary")
        theme.set_role(self.delete, "danger")
        self.details.setCheckable(True)
        self.details.setToolTip("What the file says of itself, and how good earlier predictions were (Ctrl+I)")
        self.verify.setToolTip("Reads the whole file and compares it with what the Hub, Ollama or an earlier look said")
        self.make.setToolTip("Makes a smaller file of the same model with llama.cpp")
        for button, key, role in ((self.use, "play", "accent-text"), (self.verify, "check", "text"),
                                  (self.folder, "folder", "text"), (self.make, "models", "text"),
                                  (self.delete, "trash", "bad"), (self.details, "info", "text")):  # fmt: skip
            icons.show_on(button, key, role, 16)

    def _lay_out(self) -> None:
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter by name, architecture or origin")
        self.filter.setAccessibleName("Filter the models on this machine")
        self.filter.setClearButtonEnabled(True)
        self.filter.setMaximumWidth(360)
        self.problems = QLabel()
        self.problems.setWordWrap(True)
        theme.set_role(self.problems, "caption")
        theme.set_tone(self.problems, "warn")
        actions = QHBoxLayout()
        actions.setSpacing(8)
        for button in (self.use, self.details, self.verify, self.folder, self.make):
            actions.addWidget(button)
        actions.addStretch(1)
        actions.addWidget(self.delete)
        content = QWidget()
        box = QVBoxLayout(content)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(8)
        box.addWidget(self.filter)
        box.addWidget(self.problems)
        box.addWidget(self.table, 1)
        box.addLayout(actions)
        self._stack = QStackedWidget()
        self._stack.addWidget(content)
        self._stack.addWidget(self.empty)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._stack)

    def _connect(self) -> None:
        state = self._state
        state.changed.connect(self._show_rows)
        self.filter.textChanged.connect(lambda _: self._show_rows())
        self.table.selectionModel().selectionChanged.connect(lambda: self._on_selection_changed())
        self.table.doubleClicked.connect(lambda: self.use.click())
        self.table.customContextMenuRequested.connect(self._show_menu)
        self.use.clicked.connect(lambda: self.use_clicked.emit(self.current_key()))
        self.folder.clicked.connect(lambda: self.folder_clicked.emit(self.current_key()))
        self.make.clicked.connect(lambda: self.make_clicked.emit(self.current_key()))
        self.verify.clicked.connect(lambda: state.verify(self.current_key()))
        self.delete.clicked.connect(self._delete)
        self.details.clicked.connect(self.details_clicked)
        self.empty.action_clicked.connect(self.import_clicked)
        standard = QKeySequence.StandardKey
        for keys, slot in ((standard.Delete, self._delete), (standard.Copy, self._copy)):
            shortcut = QShortcut(QKeySequence(keys), self.table)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(slot)
        for enter in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            shortcut = QShortcut(QKeySequence(enter), self.table)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(self.use.click)

    def _show_rows(self) -> None:
        rows = self._state.rows()
        wanted = self.filter.text().casefold().split()
        shown = [row for row in rows if all(word in _searched(row) for word in wanted)]
        selected = {row.key for row in self.selected_rows()}
        self.table_model.set_rows(shown)
        self._select(selected)
        self.problems.setText(" ".join(self._state.problems))
        self.problems.setVisible(bool(self._state.problems))
        self._stack.setCurrentIndex(1 if self._state.is_loaded and not rows else 0)
        self._on_selection_changed()

    def _select(self, keys: set[str]) -> None:
        if self.table.selectionModel().hasSelection() or not self.table_model.rowCount():
            return
        places = [place for key in keys if (place := self.table_model.place_of(key)) is not None] or [0]
        flags = QItemSelectionModel.SelectionFlag
        for number, place in enumerate(places):
            how = flags.ClearAndSelect if number == 0 else flags.Select
            self.table.selectionModel().select(self.table_model.index(place, 0), how | flags.Rows)
        self.table.selectionModel().setCurrentIndex(self.table_model.index(places[0], 0), flags.NoUpdate)

    def _on_selection_changed(self) -> None:
        rows = self.selected_rows()
        one = rows[0] if len(rows) == 1 else None
        self.use.setEnabled(one is not None and one.is_usable)
        self.make.setEnabled(one is not None and one.is_usable)
        self.folder.setEnabled(one is not None)
        self.verify.setEnabled(one is not None and not self._state.is_verifying(one.key))
        deletable = [row for row in rows if row.can_delete]
        self.delete.setEnabled(bool(deletable) and len(deletable) == len(rows))
        size = units.bytes_text(sum(row.file.size_bytes for row in deletable)) if deletable else ""
        self.delete.setText(f"Delete {size}".strip())
        self.delete.setToolTip("" if self.delete.isEnabled() else _why_kept(rows))
        if one is not None:
            self.selected.emit(one.key)

    def _delete(self) -> None:
        if self.delete.isEnabled():
            self._state.delete([row.key for row in self.selected_rows()])

    def _copy(self) -> None:
        rows = self.selected_rows()
        places = range(self.table_model.rowCount())
        if len(rows) > 1:
            places = [p for row in rows if (p := self.table_model.place_of(row.key)) is not None]  # type: ignore[assignment]
        QGuiApplication.clipboard().setText(self.table_model.as_tsv(list(places)))
        self.copied.emit(f"Copied {len(places)} rows as a table.")

    def _show_menu(self, position: QPoint) -> None:
        menu = QMenu(self)
        for button in (self.use, self.verify, self.folder, self.make, self.delete):
            action = menu.addAction(button.text())
            action.setEnabled(button.isEnabled())
            action.triggered.connect(button.click)
        menu.addAction("Copy as table").triggered.connect(self._copy)
        menu.exec(self.table.viewport().mapToGlobal(position))


class TroubleDelegate(QStyledItemDelegate):
    """Marks a file that cannot be used, or of which something should be known."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        super().initStyleOption(option, index)
        key = index.data(TROUBLE_ROLE)
        if key is not None:
            option.icon = icons.icon("error", "bad", 16) if key == "failed" else icons.icon("warning", "warn", 16)
            option.features |= QStyleOptionViewItem.ViewItemFeature.HasDecoration


def _searched(row: LibraryRow) -> str:
    file = row.file
    return f"{row.name} {file.quantization} {file.architecture} {row.origin} {file.repo_id}".casefold()


def _why_kept(rows: list[LibraryRow]) -> str:
    kept = next((row for row in rows if not row.can_delete), None)
    if kept is None:
        return "Select a model first"
    if kept.file.origin == "demo":
        return "The demo model is a part of the program"
    return f"This file belongs to {kept.origin}; delete it there"
