"""The real window, the real Hub client and the real engine: from a pasted repository to an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

from tests.e2e.hub_repos import DEMO, FILE, REPO
from tests.fakes.hub_server import Drop, HubServer, Slow
from ui.app import open_window
from ui.main_window import MainWindow
from ui.pages.models import ModelsPage
from ui.widgets.composer import Composer
from workbench.core import Workbench

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")


@pytest.fixture
def window(
    qapp: QApplication, qtbot: QtBot, workbench_home: Path, known_speed: None, hub: HubServer
) -> Iterator[MainWindow]:
    workbench = Workbench.open()
    workbench.check_memory_of_loads()
    opened = open_window(qapp, workbench)
    qtbot.waitUntil(opened.isVisible)
    opened.resize(1280, 800)
    yield opened
    opened.close()
    opened.deleteLater()


def models_page(window: MainWindow) -> ModelsPage:
    page = window.show_page("models")
    assert isinstance(page, ModelsPage)
    return page


def paste(page: ModelsPage, qtbot: QtBot, text: str) -> None:
    page.results.search.setFocus()
    qtbot.keyClicks(page.results.search, text)
    qtbot.keyClick(page.results.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: page.state.choice.head.repo_id == REPO and bool(page.state.choice.curve()), timeout=30_000)


def click(page: ModelsPage, qtbot: QtBot, word: str) -> None:
    def button() -> QPushButton | None:
        found = (b for b in page.choice.findChildren(QPushButton) if b.text() == word and b.isVisible())
        return next(found, None)

    qtbot.waitUntil(lambda: button() is not None, timeout=20_000)
    found = button()
    assert found is not None
    qtbot.mouseClick(found, Qt.MouseButton.LeftButton)


def test_from_a_pasted_repository_to_an_answer(window: MainWindow, qtbot: QtBot, hub: HubServer) -> None:
    hub.misbehave(FILE, Slow(20_000_000), times=None)
    hub.misbehave(FILE, Drop(3_000_000), skip=2, times=1)
    page = models_page(window)
    paste(page, qtbot, REPO)
    (row,) = page.state.choice.rows()
    assert row.fit.verdict == "fits"
    click(page, qtbot, "Download")
    downloads = window._workbench.models.downloads
    qtbot.waitUntil(lambda: any(view.state == "finished" for view in downloads.views()), timeout=30_000)
    (view,) = downloads.views()
    assert view.path is not None
    assert hashlib.sha256(view.path.read_bytes()).digest() == hashlib.sha256(DEMO.read_bytes()).digest()
    click(page, qtbot, "Use")
    qtbot.waitUntil(lambda: window.current_page == "run")
    run = window.page("run")
    composer = run.findChild(Composer)
    qtbot.keyClicks(composer.edit, "What is TTFT?")
    qtbot.mouseClick(composer.button, Qt.MouseButton.LeftButton)
    history = window._workbench.history
    qtbot.waitUntil(lambda: history.count(status="finished") == 1, timeout=30_000)
    (record,) = history.list()
    assert Path(history.get(record.id).spec.model.path) == view.path
    qtbot.waitUntil(lambda: bool(history.memory_checks(view.path)), timeout=20_000)
    (check,) = history.memory_checks(view.path)
    kv = next(part for part in check.parts if part.purpose == "kv")
    assert kv.predicted_bytes == kv.measured_bytes


def test_closing_during_a_download_keeps_it_for_the_next_window(
    qapp: QApplication, window: MainWindow, qtbot: QtBot, hub: HubServer
) -> None:
    hub.misbehave(FILE, Slow(1_500_000), times=None)
    page = models_page(window)
    paste(page, qtbot, REPO)
    click(page, qtbot, "Download")
    downloads = window._workbench.models.downloads
    qtbot.waitUntil(lambda: bool(downloads.views()) and downloads.views()[0].done_bytes > 200_000, timeout=30_000)
    window.close()
    hub.behave()
    again = open_window(qapp, Workbench.open())
    try:
        page = models_page(again)
        qtbot.waitUntil(lambda: bool(page.state.downloads.items), timeout=10_000)
        (view,) = again._workbench.models.downloads.views()
        assert view.state == "paused"
        assert view.done_bytes > 200_000
        resume = next(b for b in page.tray.findChildren(QPushButton) if b.text() == "Resume")
        qtbot.mouseClick(resume, Qt.MouseButton.LeftButton)
        queue = again._workbench.models.downloads
        qtbot.waitUntil(lambda: queue.views()[0].state == "finished", timeout=30_000)
        path = queue.views()[0].path
        assert path is not None
        assert path.read_bytes() == DEMO.read_bytes()
    finally:
        again.close()
        again.deleteLater()
