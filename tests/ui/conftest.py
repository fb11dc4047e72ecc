"""Fixtures of the window's tests: a themed application, a place to wait, widgets that are really shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from tests.fakes import gguf_files
from tests.ui.models_fakes import FakeModels
from ui import theme
from ui.state.models import ModelsState
from ui.tasks import Tasks
from ui.view_state import ViewState
from workbench.core import Workbench


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The offscreen platform warns of what it cannot do; all other Qt warnings fail the test."""
    for item in items:
        if "/tests/ui/" in item.path.as_posix():
            item.add_marker(pytest.mark.qt_log_ignore("This plugin does not support"))


@pytest.fixture(autouse=True)
def active_theme(qapp: QApplication) -> Iterator[theme.Theme]:
    """Dark, at normal size, before and after each test."""
    active = theme.current()
    active.set_choice("dark")
    yield active
    active.set_choice("dark")
    if active.metric_scale != 1.0:
        active.set_metric_scale(1.0)


@pytest.fixture
def tasks(qapp: QApplication) -> Iterator[Tasks]:
    made = Tasks()
    yield made
    assert made.close(10.0), "a task of the window did not end"


@pytest.fixture
def view(workbench: Workbench) -> ViewState:
    return ViewState(workbench.paths.data)


@pytest.fixture
def models(workbench: Workbench) -> Iterator[FakeModels]:
    """With the demo model and one of the models folder."""
    folder = workbench.paths.models
    folder.mkdir(parents=True, exist_ok=True)
    gguf_files.write_model(folder / "Phi-4-mini-Q8_0.gguf", name="Phi 4 mini", architecture="phi3", file_type=7)
    made = FakeModels(workbench.library)
    yield made
    made.close()


@pytest.fixture
def models_state(qapp: QApplication, models: FakeModels, tasks: Tasks) -> Iterator[ModelsState]:
    made = ModelsState(models, tasks)  # type: ignore[arg-type]
    yield made
    made.close()


@pytest.fixture
def show(qtbot: QtBot) -> Callable[..., QWidget]:
    """Shows a widget at a size and waits for its first paint."""

    def shown(widget: QWidget, width: int = 1280, height: int = 800) -> QWidget:
        qtbot.addWidget(widget)
        widget.resize(width, height)
        with qtbot.waitExposed(widget):
            widget.show()
        return widget

    return shown
