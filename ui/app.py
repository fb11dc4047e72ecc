"""The window's composition root: makes every part once and hands them down; imports Qt only in `main`."""

from __future__ import annotations

import logging
import logging.handlers
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from ui.display import display_problem

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from ui.main_window import MainWindow
    from ui.tasks import Tasks
    from ui.view_state import ViewState
    from workbench.core import EngineFactory, Workbench
    from workbench.errors import WorkbenchError
    from workbench.paths import Paths

NO_DISPLAY = 69  # EX_UNAVAILABLE of sysexits.h
FAILED = 1
log = logging.getLogger(__name__)


def has_display() -> bool:
    """Whether `main` can show a window; imports no Qt."""
    return display_problem() is None


def main(argv: Sequence[str] | None = None, make_engine: EngineFactory | None = None) -> int:
    """Opens the window and blocks until it is closed. `NO_DISPLAY` where there can be none."""
    if (problem := display_problem()) is not None:
        print(problem, file=sys.stderr)
        return NO_DISPLAY
    from PySide6.QtWidgets import QApplication

    from workbench.core import Workbench
    from workbench.errors import WorkbenchError

    app = QApplication([sys.argv[0], *(argv or ())])
    app.setApplicationName("inference-workbench")
    app.setApplicationDisplayName("Inference Workbench")
    app.setDesktopFileName("inference-workbench")
    try:
        workbench = Workbench.open(make_engine=make_engine)
    except WorkbenchError as error:
        _show_start_failure(error)
        return FAILED
    start_log(workbench.paths)
    workbench.check_memory_of_loads()
    try:
        window = open_window(app, workbench)
    except WorkbenchError as error:
        workbench.close()
        _show_start_failure(error)
        return FAILED
    with _ErrorHooks(window), _InterruptKey(window):
        status = app.exec()
    window.close()
    return status


def open_window(app: QApplication, workbench: Workbench) -> MainWindow:
    """The shown window with its pages; closing it closes the workbench."""
    from ui import theme
    from ui.main_window import MainWindow
    from ui.tasks import Tasks
    from ui.view_state import ViewState

    settings = workbench.settings.current
    active = theme.current()
    active.set_choice(settings.theme)
    if settings.presenter:
        active.set_metric_scale(2.0)
    tasks = Tasks(app)
    view = ViewState(workbench.paths.data)
    window = MainWindow(workbench, tasks, view)
    _add_pages(window, workbench, tasks, view)
    window.painted.connect(lambda: _on_painted(window, workbench, tasks))
    window.show_first_page()
    window.show()
    return window


def _add_pages(window: MainWindow, workbench: Workbench, tasks: Tasks, view: ViewState) -> None:
    from PySide6.QtWidgets import QWidget

    from ui.main_window import PageEntry

    def run_page() -> QWidget:
        from ui.bridge import Bridge
        from ui.pages.run import RunPage
        from ui.state.run import RunState

        return RunPage(RunState(workbench, Bridge(window), tasks, window))

    def models_page() -> QWidget:
        from ui.pages.models import ModelsPage
        from ui.state.models import ModelsState

        page = ModelsPage(ModelsState(workbench.models, tasks, window), view, workbench.glossary)
        page.use_requested.connect(lambda model, quantization: _use_model(window, model, quantization))
        return page

    def history_page() -> QWidget:
        from ui.pages.history import HistoryPage
        from ui.state.history import HistoryState

        page = HistoryPage(HistoryState(workbench, tasks, window), view)
        page.rerun_requested.connect(lambda run_id: _run_again(window, run_id))
        page.run_page_requested.connect(lambda: window.show_page("run"))
        return page

    def settings_page() -> QWidget:
        from ui.pages.settings import SettingsPage
        from ui.state.settings import SettingsState

        return SettingsPage(SettingsState(workbench, tasks, window))

    window.add_page(PageEntry("run", "Run", "run", run_page))
    window.add_page(PageEntry("models", "Models", "models", models_page))
    window.add_page(PageEntry("history", "History", "history", history_page))
    window.add_page(PageEntry("settings", "Settings", "settings", settings_page, "bottom"))


def _run_again(window: MainWindow, run_id: str) -> None:
    page = window.show_page("run")
    rerun: Callable[[str], None] | None = getattr(page, "rerun", None)
    if rerun is not None:
        rerun(run_id)


def _use_model(window: MainWindow, model: str, quantization: str) -> None:
    state = getattr(window.show_page("run"), "state", None)
    if state is not None:
        state.set_knob("model", model)
        state.set_knob("quantization", quantization or None)


def _on_painted(window: MainWindow, workbench: Workbench, tasks: Tasks) -> None:
    """What may come after the first picture: price tables, the chart library, notes about the start."""
    from ui.widgets.line_chart import preload

    workbench.load_prices()
    tasks.run(preload)
    problems = list(workbench.settings.problems)
    if count := workbench.interrupted_runs:
        runs = "1 run was" if count == 1 else f"{count} runs were"
        problems.append(f"{runs} interrupted when the program ended last time; the text so far is in History.")
    if problems:
        window.show_note(" ".join(problems))


def start_log(paths: Paths) -> None:
    """Warnings and errors of the window go to `logs/ui.log`, two files of 1 MB."""
    handler = logging.handlers.RotatingFileHandler(
        paths.logs / "ui.log", maxBytes=1_000_000, backupCount=1, encoding="utf-8", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.INFO)
    logging.getLogger().addHandler(handler)


class _ErrorHooks:
    """Shows and logs what no one caught, in slots and in threads, as long as the window is open."""

    def __init__(self, window: MainWindow) -> None:
        from ui.bridge import Bridge

        self._bridge = Bridge(window)
        self._bridge.drained.connect(lambda errors: window.show_error(errors[-1]))

    def __enter__(self) -> None:
        self._before = (sys.excepthook, threading.excepthook)
        sys.excepthook = self._on_error
        threading.excepthook = lambda args: self._on_error(args.exc_type, args.exc_value, args.exc_traceback)

    def __exit__(self, *_: object) -> None:
        sys.excepthook, threading.excepthook = self._before
        self._bridge.close()

    def _on_error(self, kind: type[BaseException], value: BaseException | None, trace: TracebackType | None) -> None:
        from workbench.errors import Bug, WorkbenchError

        if issubclass(kind, KeyboardInterrupt):
            return
        report = "".join(traceback.format_exception(kind, value, trace))
        log.error("uncaught: %s", report)
        if isinstance(value, WorkbenchError):
            self._bridge.post(value)
        else:
            self._bridge.post(Bug(f"Something in the program failed: {value or kind.__name__}", detail=report))


class _InterruptKey:
    """Ctrl-C in the terminal closes the window. A socket wakes Qt, so that nothing has to poll."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window

    def __enter__(self) -> None:
        from PySide6.QtCore import QSocketNotifier

        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self._on_wake)
        self._old_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._old_handlers = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._notifier.setEnabled(False)
        self._reader.close()
        self._writer.close()

    def _on_wake(self) -> None:
        self._reader.recv(64)

    def _on_signal(self, *_: object) -> None:
        self._window.close()


def _show_start_failure(error: WorkbenchError) -> None:
    from PySide6.QtWidgets import QMessageBox

    print(error.message, file=sys.stderr)
    box = QMessageBox(QMessageBox.Icon.Critical, "Inference Workbench", error.message)
    if error.detail:
        box.setDetailedText(error.detail)
    box.exec()
