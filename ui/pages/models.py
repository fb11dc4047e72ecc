"""The Models page: find, judge and download models at the left and right, or the library; downloads at the bottom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import (
    QDesktopServices,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QFocusEvent,
    QKeySequence,
    QResizeEvent,
    QShortcut,
    QShowEvent,
)
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QStackedWidget, QVBoxLayout, QWidget

from ui import theme
from ui.pages.models_choice import ChoicePane
from ui.pages.models_details import DetailsDrawer
from ui.pages.models_dialogs import DiscardDialog, MakeDialog, TokenDialog
from ui.pages.models_library import LibraryPane
from ui.pages.models_results import ResultsPane
from ui.state.models import ModelsState
from ui.state.models_search import ResultItem
from ui.view_state import ViewState
from ui.widgets.download_tray import DownloadTray
from ui.widgets.drop_area import DropArea
from ui.widgets.notice import Notice
from ui.widgets.pill_button import PillButton
from workbench import units
from workbench.glossary import Glossary

LIST_WIDTHS = ((1500, 400), (1150, 352), (960, 300), (0, 252))
DRAWER_BESIDE_FROM = 1240  # below it the drawer takes the place of the list
WIDE_DRAWER_FROM = 1500
TOKENS_PAGE = "settings/tokens"


class ModelsPage(QWidget):
    """`use_requested` carries model and quantization as the Run page takes them."""

    busy_changed = Signal(bool)
    use_requested = Signal(str, str)

    def __init__(self, state: ModelsState, view: ViewState, glossary: Glossary, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "page")
        self.setAcceptDrops(True)
        self.state, self._view = state, view
        self._notice_action = self._closed_leftovers = ""
        self.library_button, self.import_button = PillButton("Library", "Library"), PillButton("Import file", "")
        self.notice, self.leftovers = Notice(), Notice()
        self.results = ResultsPane(state.search)
        self.choice = ChoicePane(state.choice, glossary)
        self.library = LibraryPane(state.library, view, glossary)
        self.drawer = DetailsDrawer(state.details)
        self.tray = DownloadTray()
        self.drop_area = DropArea("Drop GGUF files or folders to add them; they stay where they are", self)
        self._lay_out()
        self._connect_parts()
        self._connect_state()
        self._add_shortcuts()
        self._on_library_changed()
        self._on_downloads_changed()

    # --- for the shell -----------------------------------------------------------------------------------

    def save_view(self) -> None:
        self.library.save_view()
        self.state.close()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.state.start()

    def focusInEvent(self, event: QFocusEvent) -> None:
        # Not a focus proxy: Tab would then leave out what stands before it.
        first = self.library.table if self.is_library_shown else self.results.search
        first.setFocus(event.reason())

    @property
    def is_library_shown(self) -> bool:
        return self._body.currentWidget() is self.library

    # --- building ----------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.title = QLabel("Models")
        theme.set_role(self.title, "title")
        self.library_button.setCheckable(True)
        self.library_button.setToolTip("What is on this machine (Ctrl+B)")
        self.import_button.setToolTip("Adds GGUF files or a folder of them; dropping them on the page does the same")
        menu = QMenu(self.import_button)
        menu.addAction("Files…").triggered.connect(self._on_import_files)
        menu.addAction("Folder…").triggered.connect(self._on_import_folder)
        self.import_button.setMenu(menu)
        self.import_button.refresh()
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(self.library_button)
        head.addWidget(self.import_button)
        self._find = QWidget()
        find = QHBoxLayout(self._find)
        find.setContentsMargins(0, 0, 0, 0)
        find.setSpacing(14)
        find.addWidget(self.results)
        find.addWidget(self.choice, 1)
        self._body = QStackedWidget()
        self._body.addWidget(self._find)
        self._body.addWidget(self.library)
        middle = QHBoxLayout()
        middle.setSpacing(14)
        middle.addWidget(self._body, 1)
        middle.addWidget(self.drawer)
        box = QVBoxLayout(self)
        box.setContentsMargins(18, 10, 18, 12)
        box.setSpacing(8)
        box.addLayout(head)
        box.addWidget(self.notice)
        box.addWidget(self.leftovers)
        box.addLayout(middle, 1)
        box.addWidget(self.tray)

    def _connect_parts(self) -> None:
        self.results.chosen.connect(self.state.choose)
        self.choice.use_clicked.connect(self.use_requested)
        self.choice.link_clicked.connect(lambda repo_id: self._open(self.state.address_of(repo_id)))
        self.choice.token_clicked.connect(self.ask_token)
        self.choice.details_clicked.connect(self._toggle_drawer)
        self.choice.table.selectionModel().currentRowChanged.connect(lambda: self._fill_drawer())
        self.library.use_clicked.connect(lambda key: self.use_requested.emit(key, self._quantization_of(key)))
        self.library.folder_clicked.connect(lambda key: self._show_folder(Path(key)))
        self.library.make_clicked.connect(self._on_make_clicked)
        self.library.details_clicked.connect(self._toggle_drawer)
        self.library.import_clicked.connect(self._on_import_files)
        self.library.selected.connect(lambda _: self._fill_drawer())
        for copied in (self.choice.copied, self.library.copied):
            copied.connect(lambda text: self.notice.show_message("good", text))
        self.choice.failed.connect(lambda text: self.notice.show_message("bad", text))
        self.drawer.closed.connect(lambda: self._show_drawer(False))
        self.library_button.toggled.connect(self._show_library)
        self.tray.action_clicked.connect(self._on_tray_action)
        self.tray.cleared.connect(self.state.downloads.clear)
        self.notice.action_clicked.connect(self._on_notice_action)
        self.leftovers.action_clicked.connect(self.state.library.restore_leftovers)
        self.leftovers.second_clicked.connect(self._on_discard_clicked)
        self.leftovers.closed.connect(self._on_leftovers_closed)

    def _connect_state(self) -> None:
        state = self.state
        state.said.connect(self._on_said)
        state.library.changed.connect(self._on_library_changed)
        state.downloads.changed.connect(self._on_downloads_changed)
        state.downloads.busy_changed.connect(self.busy_changed)
        state.choice.head_changed.connect(self._fill_drawer)
        state.search.picked.connect(self._on_repository_picked)

    def _add_shortcuts(self) -> None:
        for keys, slot in (
            (QKeySequence(QKeySequence.StandardKey.Find), self._on_find),
            (QKeySequence("Ctrl+L"), self._on_find),
            (QKeySequence("Ctrl+I"), self._toggle_drawer),
            (QKeySequence("Ctrl+B"), self.library_button.toggle),
            (QKeySequence(QKeySequence.StandardKey.Open), self._on_import_files),
        ):
            shortcut = QShortcut(keys, self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)

    # --- showing -----------------------------------------------------------------------------------------

    def _on_said(self, tone: str, text: str, action: str, word: str) -> None:
        self._notice_action = action
        self.notice.show_message(tone, text, word or None)  # type: ignore[arg-type]

    def _on_library_changed(self) -> None:
        library = self.state.library
        if library.is_loaded:
            self.library_button.show_text(f"Library {library.count}, {units.bytes_text(library.size_bytes)}")
        self._show_leftovers(library.leftover_text)
        self._choose_first()

    def _show_leftovers(self, text: str) -> None:
        if not text:
            self.leftovers.hide()
        elif text != self._closed_leftovers:
            self.leftovers.show_message("info", text, "Restore", "Remove for good…")
            self.leftovers.setToolTip("\n".join(self.state.library.leftover_names))

    def _on_discard_clicked(self) -> None:
        library = self.state.library
        question = library.discard_question()
        dialog = DiscardDialog(question.title, question.names, question.consequence, self)
        dialog.accepted.connect(lambda: library.discard_leftovers(question))
        dialog.open()

    def _on_leftovers_closed(self) -> None:
        self._closed_leftovers = self.leftovers.text()

    def _choose_first(self) -> None:
        """A page without a choice shows the first model there is, so that nobody looks at an empty half."""
        model = self.results.table_model
        if self.state.choice.head.status == "none" and self.state.library.is_loaded and model.rowCount():
            item: ResultItem = model.item(0)
            self.results.select(item.key)
            self.state.choose(item)

    def _on_downloads_changed(self) -> None:
        self.tray.show_items(self.state.downloads.items)

    def _show_library(self, is_library: bool) -> None:
        self._body.setCurrentWidget(self.library if is_library else self._find)
        self.title.setText("Library" if is_library else "Models")
        self._fill_drawer()
        self._fit_width(with_drawer=self.drawer.isVisibleTo(self))

    def _toggle_drawer(self) -> None:
        self._show_drawer(not self.drawer.isVisibleTo(self))

    def _show_drawer(self, is_open: bool) -> None:
        had_focus = self.drawer.isAncestorOf(self.focusWidget() or self)
        if is_open:  # the list makes room first: both at once would widen the window
            self._fit_width(with_drawer=True)
            for layout in (self._find.layout(), self._body.layout(), self.layout()):
                if layout is not None:
                    layout.activate()
        self.drawer.setVisible(is_open)
        for button in (self.choice.details, self.library.details):
            button.setChecked(is_open)
        self._fill_drawer()
        self._fit_width(with_drawer=is_open)
        if is_open:
            self.drawer.sheet.setFocus(Qt.FocusReason.OtherFocusReason)
        elif had_focus:
            (self.library.table if self.is_library_shown else self.choice.table).setFocus()

    def _fill_drawer(self) -> None:
        if not self.drawer.isVisibleTo(self):
            return
        if self.is_library_shown:
            self.state.show_details_of(self.library.current_key())
        else:
            self.state.show_details()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_width(with_drawer=self.drawer.isVisibleTo(self))
        self.tray.set_most_rows(3 if self.height() >= 700 else 2)

    def _fit_width(self, with_drawer: bool) -> None:
        width = next(width for least, width in LIST_WIDTHS if self.width() >= least)
        self.results.setFixedWidth(width)
        self.drawer.set_wide(self.width() >= WIDE_DRAWER_FROM)
        self.results.setVisible(not with_drawer or self.width() >= DRAWER_BESIDE_FROM)

    # --- what a person does ------------------------------------------------------------------------------

    def ask_token(self) -> None:
        dialog = TokenDialog(self)
        dialog.given.connect(self.state.save_token)
        dialog.page_wanted.connect(lambda: self._open(self.state.address_of(TOKENS_PAGE)))
        self.state.token_saved.connect(dialog.accept)
        self.state.token_saved.connect(self.state.choice.retry)
        self.state.token_refused.connect(dialog.show_problem)
        dialog.open()

    def _on_repository_picked(self, repo_id: str) -> None:
        self.library_button.setChecked(False)
        self.results.select(repo_id)

    def _on_find(self) -> None:
        self.library_button.setChecked(False)
        self._show_drawer(self.drawer.isVisibleTo(self) and self.width() >= DRAWER_BESIDE_FROM)
        self.results.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.results.search.selectAll()

    def _on_tray_action(self, item_id: str, action: str) -> None:
        downloads = self.state.downloads
        deeds: dict[str, Callable[[str], None]] = {
            "pause": downloads.pause, "resume": downloads.resume, "retry": downloads.resume,
            "again": downloads.again, "cancel": downloads.cancel, "forget": downloads.forget,
            "use": self._use_item, "folder": self._show_item,
            "token": lambda _: self.ask_token(), "space": lambda _: self._open_folder(self.state.download_folder()),
            "page": self._open_item_page,
        }  # fmt: skip
        deeds[action](item_id)

    def _use_item(self, item_id: str) -> None:
        path = self.state.downloads.path_of(item_id)
        if path is not None:
            self.use_requested.emit(str(path), "")

    def _show_item(self, item_id: str) -> None:
        path = self.state.downloads.path_of(item_id)
        if path is not None:
            self._show_folder(path)

    def _open_item_page(self, item_id: str) -> None:
        view = self.state.downloads.view(item_id)
        if view is not None:
            self._open(self.state.address_of(view.order.repo_id))

    def _on_notice_action(self) -> None:
        self.notice.hide()
        if self._notice_action == "undo":
            self.state.library.undo_delete()

    def _quantization_of(self, key: str) -> str:
        row = self.state.library.row(key)
        return (row.file.quantization or "") if row is not None else ""

    def _on_make_clicked(self, key: str) -> None:
        making = self.state.making_of(key)
        if making is not None:
            MakeDialog(making, self).open()

    def _on_import_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Import models", "", "GGUF models (*.gguf)")
        if names:
            self.state.library.add([Path(name) for name in names])

    def _on_import_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Import the models of a folder")
        if name:
            self.state.library.add([Path(name)])

    def _show_folder(self, path: Path) -> None:
        self._open_folder(path.parent)

    def _open_folder(self, folder: Path) -> None:
        self._open_url(QUrl.fromLocalFile(str(folder)), f"The folder {folder} could not be opened.")

    def _open(self, address: str) -> None:
        self._open_url(QUrl(address), f"No browser could be opened for {address}.")

    def _open_url(self, url: QUrl, problem: str) -> None:
        if not QDesktopServices.openUrl(url):
            self.notice.show_message("bad", problem)

    # --- drag and drop -----------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped_paths(event):
            event.acceptProposedAction()
            self.drop_area.open()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.drop_area.hide()

    def dropEvent(self, event: QDropEvent) -> None:
        self.drop_area.hide()
        if paths := _dropped_paths(event):
            event.acceptProposedAction()
            self.state.library.add(paths)


def _dropped_paths(event: QDropEvent) -> list[Path]:
    """GGUF files and folders among what is dragged; anything else is not taken."""
    paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return [path for path in paths if path.suffix.lower() == ".gguf" or path.is_dir()]
