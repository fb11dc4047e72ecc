"""The history page: all runs in a table, one of them in detail; run again, copy, export, delete with undo."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QItemSelectionModel, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from ui import icons, theme
from ui.state.history import SUFFIXES, TOPICS, HistoryState, RunDetails
from ui.tables.history import COLUMNS, STATUS_ROLE, STATUS_WORDS, HistoryTable
from ui.view_state import ViewState
from ui.widgets.details_pane import DetailsPane
from ui.widgets.empty_state import EmptyState
from ui.widgets.notice import Notice
from ui.widgets.row_table import row_table
from ui.widgets.status_delegate import TONES, StatusDelegate
from workbench.history.store import ExportFormat

SIDE_BY_SIDE_FROM = 1500
SEARCH_WAIT_MS = 250
RUNNING_WAIT_MS = 1000
_FORMATS: tuple[tuple[ExportFormat, str], ...] = (
    ("jsonl", "JSON Lines, everything"),
    ("csv", "CSV, the figures"),
    ("markdown", "Markdown, to read"),
)


class HistoryPage(QWidget):
    rerun_requested = Signal(str)
    run_page_requested = Signal()

    def __init__(self, state: HistoryState, view: ViewState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "page")
        self._state, self._view = state, view
        self._total = 0
        self._shown: RunDetails | None = None
        self._is_side_by_side: bool | None = None
        self.table_model = HistoryTable(state.glossary, self)
        self._search_timer = QTimer(self)
        self._search_timer.setSingleShot(True)
        self._search_timer.setInterval(SEARCH_WAIT_MS)
        # A row ends some time after the engine is free again: price and hash are still filled in.
        self._running_timer = QTimer(self)
        self._running_timer.setSingleShot(True)
        self._running_timer.setInterval(RUNNING_WAIT_MS)
        self._build()
        self._connect()

    def showEvent(self, event: object) -> None:
        self._state.load()

    def resizeEvent(self, event: QResizeEvent) -> None:
        is_wide = self.width() >= SIDE_BY_SIDE_FROM
        if is_wide == self._is_side_by_side:
            return
        self._is_side_by_side = is_wide
        self._splitter.setOrientation(Qt.Orientation.Horizontal if is_wide else Qt.Orientation.Vertical)
        self._splitter.setSizes([660, 340] if is_wide else [550, 450])
        self.details.set_wide(not is_wide)

    def save_view(self) -> None:
        self._view.set_blob("history/columns", self.table.horizontalHeader().saveState())

    def selected_ids(self) -> list[str]:
        return [self.table_model.run_id(row) for row in self._selected_rows()]

    def _build(self) -> None:
        title = QLabel("History")
        theme.set_role(title, "title")
        self._count = QLabel()
        theme.set_role(self._count, "dim")
        head = QHBoxLayout()
        head.setSpacing(theme.GAP)
        head.addWidget(title)
        head.addWidget(self._count)
        head.addStretch(1)
        self._notice = Notice()
        self._empty = EmptyState(
            "No runs yet", "History keeps every run with its figures, prompt and answer.", "Go to Run", "history"
        )
        self._build_table()
        self._build_details()
        self._splitter = QSplitter()
        self._splitter.addWidget(self.table)
        self._splitter.addWidget(self.details)
        self._splitter.setStretchFactor(0, 3)
        self._splitter.setStretchFactor(1, 2)
        self._splitter.setChildrenCollapsible(False)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._splitter)
        self._stack.addWidget(self._empty)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 12, 18, 12)
        layout.setSpacing(theme.GAP)
        layout.addLayout(head)
        layout.addLayout(self._tool_row())
        layout.addWidget(self._notice)
        layout.addWidget(self._stack, 1)

    def _tool_row(self) -> QHBoxLayout:
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search in model, prompt and answer")
        self.search.setAccessibleName("Search in model, prompt and answer")
        self.search.setClearButtonEnabled(True)
        clear = self.search.findChild(QAction)
        if clear is not None:
            icons.show_on(clear, "close", "text-dim", 16)
        self.search.setMinimumWidth(200)
        self.search.setMaximumWidth(420)
        self.status = QComboBox()
        self.status.setAccessibleName("Show runs by status")
        self.status.addItem("All runs", "")
        for key, word in STATUS_WORDS.items():
            self.status.addItem(word, key)
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the selected rows as a table, or all rows shown (Ctrl+C)")
        icons.show_on(self.copy_button, "copy", "text", 16)
        self.export_button = QPushButton("Export  ")
        icons.show_on(self.export_button, "export", "text", 16)
        menu = QMenu(self.export_button)
        for form, text in _FORMATS:
            menu.addAction(text).triggered.connect(lambda _=False, form=form: self._on_export_chosen(form))
        self.export_button.setMenu(menu)
        self.export_button.setMinimumWidth(112)
        row = QHBoxLayout()
        row.setSpacing(theme.GAP_S)
        row.addWidget(self.search, 1)
        row.addWidget(self.status)
        row.addStretch(1)
        row.addWidget(self.copy_button)
        row.addWidget(self.export_button)
        return row

    def _build_table(self) -> None:
        widths = [column.width for column in COLUMNS]
        table = self.table = row_table(self.table_model, "Runs", widths, self._view.blob("history/columns"), 30)
        table.setItemDelegateForColumn(1, StatusDelegate(STATUS_ROLE, table))
        header = table.horizontalHeader()
        header.setSortIndicator(0, Qt.SortOrder.DescendingOrder)
        table.setSortingEnabled(True)

    def _build_details(self) -> None:
        self.details = DetailsPane()
        self.details.setMinimumHeight(190)
        self.rerun_button = QPushButton("Run again")
        icons.show_on(self.rerun_button, "refresh", "text", 16)
        self.thinking_button = QPushButton("Show thinking")
        self.thinking_button.setCheckable(True)
        icons.show_on(self.thinking_button, "thoughtful", "thinking", 16)
        self.delete_button = QPushButton("Delete")
        theme.set_role(self.delete_button, "danger")
        icons.show_on(self.delete_button, "trash", "bad", 16)
        for button in (self.rerun_button, self.thinking_button):
            self.details.action_row.addWidget(button)
        self.details.action_row.addStretch(1)
        self.details.action_row.addWidget(self.delete_button)
        self.details.hide()

    def _connect(self) -> None:
        state, table = self._state, self.table_model
        state.rows_reset.connect(self._on_rows_reset)
        state.rows_added.connect(self._on_rows_added)
        state.details_loaded.connect(self._show_details)
        state.deleted.connect(self._on_deleted)
        state.exported.connect(lambda path: self._notice.show_message("good", f"Exported to {path}."))
        state.failed.connect(lambda text: self._notice.show_message("bad", text))
        table.more_wanted.connect(state.load_more)
        table.all_wanted.connect(state.load_all)
        self.table.selectionModel().selectionChanged.connect(lambda: self._on_selection_changed())
        self.table.doubleClicked.connect(lambda: self.rerun_button.click())
        self.table.customContextMenuRequested.connect(self._show_menu)
        self.search.textChanged.connect(lambda: self._search_timer.start())
        self._running_timer.timeout.connect(lambda: state.load() if self.isVisible() else None)
        self._search_timer.timeout.connect(lambda: state.load(search=self.search.text()))
        self.status.activated.connect(lambda: state.load(status=self.status.currentData()))
        self.copy_button.clicked.connect(self.copy_rows)
        self.rerun_button.clicked.connect(self._on_rerun_clicked)
        self.delete_button.clicked.connect(self.delete_selected)
        self.thinking_button.toggled.connect(lambda: self._show_texts())
        self._notice.action_clicked.connect(self._on_undo_clicked)
        self._empty.action_clicked.connect(self._on_empty_action)
        # On the table and not on the page: Ctrl+C and Delete belong to the search field while one types there.
        for keys, slot in ((QKeySequence.StandardKey.Copy, self.copy_rows), (QKeySequence.StandardKey.Delete,
                           self.delete_selected)):  # fmt: skip
            shortcut = QShortcut(QKeySequence(keys), self.table)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(slot)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self).activated.connect(self.search.setFocus)

    def copy_rows(self) -> None:
        """The selected rows as TSV; all that are loaded when none or only one is selected by the button."""
        rows = self._selected_rows() or list(range(self.table_model.rowCount()))
        QGuiApplication.clipboard().setText(self.table_model.as_tsv(rows))
        self._notice.show_message("good", f"Copied {_runs(len(rows))} as a table.")

    def delete_selected(self) -> None:
        if ids := self.selected_ids():
            self._state.delete(ids)

    def _selected_rows(self) -> list[int]:
        return sorted(index.row() for index in self.table.selectionModel().selectedRows())

    def _on_rows_reset(self, rows: list[object], total: int) -> None:
        if self.isVisible() and any(getattr(row, "status", "") == "running" for row in rows):
            self._running_timer.start()
        if not self.table_model.is_new(rows, total):
            return  # the place where one reads stays
        selected = self.selected_ids()
        self._total = total
        self.table_model.set_rows(rows, total)  # type: ignore[arg-type]
        self._select([row for run_id in selected if (row := self.table_model.row_of(run_id)) is not None])
        self._show_count()
        is_empty = not rows
        if is_empty and self._state.is_filtered:
            self._empty.set_text("Nothing found", "No run has these words and this status.", "Show all runs")
        elif is_empty:
            self._empty.set_text(
                "No runs yet", "History keeps every run with its figures, prompt and answer.", "Go to Run"
            )
        self._stack.setCurrentWidget(self._empty if is_empty else self._splitter)
        self._on_selection_changed()

    def _on_rows_added(self, rows: list[object]) -> None:
        self.table_model.add_rows(rows)  # type: ignore[arg-type]
        self._show_count()

    def _select(self, rows: list[int]) -> None:
        flags = QItemSelectionModel.SelectionFlag
        rows = rows or ([0] if self.table_model.rowCount() else [])
        for number, row in enumerate(rows):
            how = flags.ClearAndSelect if number == 0 else flags.Select
            self.table.selectionModel().select(self.table_model.index(row, 0), how | flags.Rows)
        if rows:
            self.table.selectionModel().setCurrentIndex(self.table_model.index(rows[0], 0), flags.NoUpdate)

    def _show_count(self) -> None:
        self._count.setText(_runs(self._total))

    def _on_selection_changed(self) -> None:
        rows = self._selected_rows()
        self.details.setVisible(bool(rows))
        self.delete_button.setText("Delete" if len(rows) < 2 else f"Delete {len(rows)}")
        self.rerun_button.setEnabled(len(rows) == 1)
        if rows:
            self._state.select(self.table_model.run_id(rows[0]))

    def _show_details(self, details: RunDetails) -> None:
        if self._shown is None or self._shown.id != details.id:
            self.thinking_button.setChecked(False)
        self._shown = details
        self.details.show_head(details.title, details.subtitle, details.status_word, TONES.get(details.status, "dim"))
        topics = {name: self._state.glossary.topic(topic) for name, topic in TOPICS.items()}
        self.details.show_figures(details.figures, topics)
        self.thinking_button.setVisible(bool(details.thinking))
        self._show_texts()

    def _show_texts(self) -> None:
        shown = self._shown
        if shown is None:
            return
        is_open = self.thinking_button.isChecked()
        self.thinking_button.setText("Hide thinking" if is_open else "Show thinking")
        sections = [("Prompt", shown.prompt, False)]
        if shown.error:
            sections.append(("What went wrong" if shown.status == "failed" else "Note", shown.error, False))
        if shown.thinking and is_open:
            sections.append((shown.thinking_title, shown.thinking, False))
        if shown.answer:
            sections.append(("Answer", shown.answer, True))
        self.details.show_texts(sections)

    def _show_menu(self, position: QPoint) -> None:
        menu = QMenu(self)
        rerun = menu.addAction("Run again")
        rerun.setEnabled(self.rerun_button.isEnabled())
        rerun.triggered.connect(self._on_rerun_clicked)
        menu.addAction("Copy as table").triggered.connect(self.copy_rows)
        menu.addSeparator()
        menu.addAction("Delete").triggered.connect(self.delete_selected)
        menu.exec(self.table.viewport().mapToGlobal(position))

    def _on_rerun_clicked(self) -> None:
        if len(ids := self.selected_ids()) == 1:
            self.rerun_requested.emit(ids[0])

    def _on_deleted(self, count: int) -> None:
        self._notice.show_message("good", f"Deleted {_runs(count)}.", "Undo")

    def _on_undo_clicked(self) -> None:
        self._notice.hide()
        self._state.undo_delete()

    def _on_empty_action(self) -> None:
        if not self._state.is_filtered:
            self.run_page_requested.emit()
            return
        self.search.clear()
        self.status.setCurrentIndex(0)
        self._search_timer.stop()
        self._state.load(search="", status="")

    def _on_export_chosen(self, form: ExportFormat) -> None:
        suffix = SUFFIXES[form]
        name, _ = QFileDialog.getSaveFileName(self, "Export runs", f"runs.{suffix}", f"*.{suffix}")
        if name:
            ids = self.selected_ids()
            self._state.export(ids if len(ids) > 1 else None, form, Path(name))


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"
