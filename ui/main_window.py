"""The shell: rail, pages built when they are first shown, notices, status bar; knows no page's inside."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QByteArray, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QCursor, QGuiApplication, QKeySequence, QPaintEvent, QResizeEvent, QShortcut
from PySide6.QtWidgets import QApplication, QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from ui import theme
from ui.definitions import TOPIC
from ui.state.about import about_sections
from ui.state.engine import EngineState
from ui.tasks import Tasks
from ui.view_state import ViewState
from ui.widgets.about_dialog import AboutDialog
from ui.widgets.glossary_dialog import GlossaryDialog
from ui.widgets.notice import Notice
from ui.widgets.rail import Place, Rail
from ui.widgets.status_bar import StatusBar
from workbench.core import Workbench
from workbench.errors import WorkbenchError

NARROW_BELOW = 1000
SMALLEST = (900, 600)  # every page fits it; a test holds that
CLOSE_WAIT_S = 5.0
SUMMARY = "Runs quantized models on this machine and measures what they cost in time, memory and money."
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageEntry:
    """A page as the shell needs it. `factory` is called once, when the page is first shown.

    A page may have the signals `busy_changed(bool)` (a dot on the rail) and `term_requested(str)` (the glossary's id
    of a term), and a method `save_view()` (called before the window closes).
    """

    key: str
    title: str
    icon: str
    factory: Callable[[], QWidget]
    place: Place = "top"


class MainWindow(QMainWindow):
    page_built = Signal(str)
    painted = Signal()

    def __init__(self, workbench: Workbench, tasks: Tasks, view: ViewState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._workbench, self._tasks, self._view = workbench, tasks, view
        self._entries: dict[str, PageEntry] = {}
        self._pages: dict[str, QWidget] = {}
        self._was_painted = False
        self._report = ""
        self._glossary: GlossaryDialog | None = None
        self.engine = EngineState(workbench, self)
        self.setWindowTitle("Inference Workbench")
        self.setMinimumSize(*SMALLEST)
        self._rail = Rail()
        self._stack = QStackedWidget()
        self._notice = Notice()
        self._status = StatusBar()
        self._lay_out()
        self._rail.add("about", "About", "about", "bottom")
        self._rail.chosen.connect(self._on_rail_chosen)
        self._notice.action_clicked.connect(self._on_notice_action)
        self.engine.changed.connect(self._show_engine)
        self.engine.machine_changed.connect(lambda: self._status.show_machine(self.engine.machine_text))
        tasks.failed.connect(self.show_error)
        self._add_shortcuts()
        self._restore_geometry()
        self._show_engine()

    def add_page(self, entry: PageEntry) -> None:
        self._entries[entry.key] = entry
        self._rail.add(entry.key, entry.title, entry.icon, entry.place)

    def show_page(self, key: str) -> QWidget:
        """Shows the page, building it when it is new. An unknown key raises KeyError."""
        page = self.page(key)
        self._stack.setCurrentWidget(page)
        self._rail.set_current(key)
        self._view.set_text("page", key)
        page.setFocus(Qt.FocusReason.OtherFocusReason)
        return page

    def show_first_page(self) -> None:
        """The page of last time, else the first one."""
        key = self._view.text("page")
        self.show_page(key if key in self._entries else next(iter(self._entries)))

    def page(self, key: str) -> QWidget:
        if key not in self._pages:
            page = self._entries[key].factory()
            self._pages[key] = page
            self._stack.addWidget(page)
            busy = getattr(page, "busy_changed", None)
            if busy is not None:
                busy.connect(lambda is_busy: self._rail.set_busy(key, is_busy))
            term = getattr(page, "term_requested", None)
            if term is not None:
                term.connect(self.show_glossary)
            self.page_built.emit(key)
        return self._pages[key]

    @property
    def current_page(self) -> str:
        return next((key for key, page in self._pages.items() if page is self._stack.currentWidget()), "")

    def show_error(self, error: WorkbenchError) -> None:
        """A failure that belongs to no place on a page. The report is what "Copy report" takes along."""
        self._report = f"{type(error).__name__} ({error.code}): {error.message}\n\n{error.detail or ''}".strip()
        self._notice.show_message("bad", error.message, "Copy report")

    def show_note(self, text: str) -> None:
        self._report = ""
        self._notice.show_message("info", text)

    def show_about(self) -> None:
        sections = about_sections(self._workbench.paths, self.engine.current)
        about = AboutDialog("Inference Workbench", SUMMARY, sections, self)
        about.glossary_clicked.connect(lambda: QTimer.singleShot(0, self, lambda: self.show_glossary()))
        about.exec()

    def show_glossary(self, topic_id: str = "") -> None:
        """Beside the window, at this term; without one at the term that was read last."""
        if self._glossary is None:
            self._glossary = GlossaryDialog(self._workbench.glossary, self)
        if topic_id:
            self._glossary.show_topic(topic_id)
        self._glossary.show()
        self._glossary.raise_()
        self._glossary.activateWindow()

    def toggle_presenter(self) -> None:
        """Figures in double size, and back; kept in the settings."""
        active = theme.current()
        is_on = active.metric_scale == 1.0
        active.set_metric_scale(2.0 if is_on else 1.0)
        self._save_setting(presenter=is_on)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._was_painted:
            self._was_painted = True
            QTimer.singleShot(0, self, self._on_first_paint)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._rail.set_narrow(self.width() < NARROW_BELOW)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Gone from the screen at once; runs under way end as cancelled before this returns."""
        for page in self._pages.values():
            save_view = getattr(page, "save_view", None)
            if save_view is not None:
                save_view()
        self._view.save()
        self._save_setting(window_geometry=self.saveGeometry().toBase64().toStdString())
        self.hide()
        self.engine.close()
        # Closing waits for threads; one that hangs must not keep the window's process alive.
        closing = threading.Thread(target=self._workbench.close, name="close", daemon=True)
        closing.start()
        closing.join(CLOSE_WAIT_S)
        if closing.is_alive():
            log.warning("the engine did not end within %s s", CLOSE_WAIT_S)
        self._tasks.close(1.0)
        event.accept()

    def _lay_out(self) -> None:
        content = QWidget()
        content.setProperty("role", "page")
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        notice_row = QVBoxLayout()
        notice_row.setContentsMargins(18, 8, 18, 0)
        notice_row.addWidget(self._notice)
        right = QVBoxLayout()
        right.setSpacing(0)
        right.addLayout(notice_row)
        right.addWidget(self._stack, 1)
        row = QHBoxLayout()
        row.setSpacing(0)
        row.addWidget(self._rail)
        row.addLayout(right, 1)
        column.addLayout(row, 1)
        column.addWidget(self._status)
        self.setCentralWidget(content)

    def _add_shortcuts(self) -> None:
        for number in range(1, 10):
            self._shortcut(f"Ctrl+{number}", partial(self._show_nth, number - 1))
        self._shortcut("F1", self.show_about)
        self._shortcut("Shift+F1", lambda: self.show_glossary(_term_at_hand()))
        self._shortcut("F11", self.toggle_presenter)
        self._shortcut("Ctrl+,", lambda: self._show_known("settings"))
        self._shortcut("Ctrl+Q", self.close)

    def _shortcut(self, keys: str, slot: Callable[[], object]) -> None:
        QShortcut(QKeySequence(keys), self).activated.connect(slot)

    def _show_nth(self, index: int) -> None:
        keys = list(self._entries)
        if index < len(keys):
            self.show_page(keys[index])

    def _show_known(self, key: str) -> None:
        if key in self._entries:
            self.show_page(key)

    def _restore_geometry(self) -> None:
        saved = self._workbench.settings.current.window_geometry
        if saved and self.restoreGeometry(QByteArray.fromBase64(saved.encode("ascii", "ignore"))):
            return
        screen = QGuiApplication.primaryScreen().availableSize()
        self.resize(min(1280, screen.width()), min(800, screen.height()))

    def _save_setting(self, **changes: object) -> None:
        try:
            self._workbench.settings.update(**changes)
        except WorkbenchError as error:
            log.warning("a setting was not saved: %s", error.message)
            self.show_error(error)

    def _show_engine(self) -> None:
        current = self.engine.current
        details = "\n".join(current.load.warnings) if current.load else ""
        self._status.show_engine(self.engine.text, self.engine.build_text, details, self.engine.tone)

    def _on_first_paint(self) -> None:
        self.engine.start()
        self.painted.emit()

    def _on_rail_chosen(self, key: str) -> None:
        if key in self._entries:
            self.show_page(key)
            return
        self._rail.set_current(self.current_page)
        self.show_about()

    def _on_notice_action(self) -> None:
        QGuiApplication.clipboard().setText(self._report)
        self._notice.hide()


def _term_at_hand() -> str:
    """The term of what lies under the mouse, else of what has the focus; empty for none."""
    for widget in (QApplication.widgetAt(QCursor.pos()), QApplication.focusWidget()):
        while widget is not None:
            if term := widget.property(TOPIC):
                return str(term)
            widget = widget.parentWidget()
    return ""
