"""The settings page: changes apply at once, are saved, and what is wrong is said beside the control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QFileDialog, QLineEdit, QPushButton, QSpinBox, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from ui import theme
from ui.pages.settings import SettingsPage
from ui.state.settings import SettingsState
from ui.tasks import Tasks
from ui.widgets.segmented import Segmented
from workbench.core import Workbench
from workbench.settings import SettingsStore

Show = Callable[..., QWidget]


@pytest.fixture
def page(qtbot: QtBot, workbench: Workbench, tasks: Tasks, show: Show) -> SettingsPage:
    made = SettingsPage(SettingsState(workbench, tasks))
    show(made)
    return made


def saved(workbench: Workbench) -> SettingsStore:
    """The settings as the next start will read them."""
    return SettingsStore(workbench.paths.settings_file)


def control(page: SettingsPage, field: str, kind: type[QWidget]) -> QWidget:
    found = page.row(field).control
    assert isinstance(found, kind)
    return found


def test_the_theme_changes_at_once_and_is_saved(qtbot: QtBot, page: SettingsPage, workbench: Workbench) -> None:
    themes = control(page, "theme", Segmented)
    themes.setFocus()
    qtbot.keyClick(themes, Qt.Key.Key_Right)
    assert not theme.current().is_dark
    assert saved(workbench).current.theme == "light"


def test_mode_surface_threads_and_checks_are_saved(qtbot: QtBot, page: SettingsPage, workbench: Workbench) -> None:
    for field in ("default_mode", "default_surface"):
        combo = control(page, field, QComboBox)
        combo.setFocus()
        qtbot.keyClick(combo, Qt.Key.Key_Down)
        assert getattr(saved(workbench).current, field) == combo.currentData()
    threads = control(page, "threads", QSpinBox)
    threads.setFocus()
    threads.selectAll()
    qtbot.keyClicks(threads, "3")
    qtbot.keyClick(threads, Qt.Key.Key_Return)
    assert saved(workbench).current.threads == 3
    for field in ("presenter", "memory_check"):
        box = control(page, field, QCheckBox)
        before = box.isChecked()
        qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
        assert getattr(saved(workbench).current, field) is not before


def test_a_wrong_price_is_said_beside_the_field(qtbot: QtBot, page: SettingsPage, workbench: Workbench) -> None:
    price = control(page, "electricity_usd_per_kwh", QLineEdit)
    row = page.row("electricity_usd_per_kwh")
    for wrong in ("cheap", "-1", "1000"):
        price.setFocus()
        price.selectAll()
        qtbot.keyClicks(price, wrong)
        qtbot.keyClick(price, Qt.Key.Key_Return)
        assert row.error().startswith("Not saved: ")
        assert price.property("invalid") is True
        assert saved(workbench).current.electricity_usd_per_kwh == 0.30
    price.selectAll()
    qtbot.keyClicks(price, "0,25")
    qtbot.keyClick(price, Qt.Key.Key_Return)
    assert saved(workbench).current.electricity_usd_per_kwh == 0.25
    assert row.error() == ""
    price.selectAll()
    qtbot.keyClick(price, Qt.Key.Key_Backspace)
    qtbot.keyClick(price, Qt.Key.Key_Return)
    assert saved(workbench).current.electricity_usd_per_kwh is None


def test_an_api_model_is_found_by_typing(qtbot: QtBot, page: SettingsPage, workbench: Workbench) -> None:
    combo = control(page, "api_price", QComboBox)
    qtbot.waitUntil(lambda: combo.count() > 100, timeout=20_000)
    wanted = workbench.prices.choices()[10]
    edit = combo.lineEdit()
    edit.setFocus()
    edit.selectAll()
    qtbot.keyClicks(edit, "no such model")
    combo.completer().popup().hide()
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert "no API model" in page.row("api_price").error()
    edit.selectAll()
    edit.insert(wanted.label)
    combo.completer().popup().hide()
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    index = combo.findText(wanted.label)
    assert saved(workbench).current.api_price == combo.itemData(index)
    assert page.row("api_price").error() == ""


def test_a_rented_gpu_is_chosen(qtbot: QtBot, page: SettingsPage, workbench: Workbench) -> None:
    combo = control(page, "gpu_price", QComboBox)
    assert combo.itemData(0) == "auto"
    combo.setFocus()
    qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert saved(workbench).current.gpu_price == workbench.profiles.machines()[0].name


def test_folders_are_added_and_removed(
    qtbot: QtBot, page: SettingsPage, workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(folder))
    add = next(button for button in page.findChildren(QPushButton) if button.text() == "Add folder")
    qtbot.mouseClick(add, Qt.MouseButton.LeftButton)
    assert saved(workbench).current.models_folders == (str(folder),)
    qtbot.mouseClick(add, Qt.MouseButton.LeftButton)
    assert "already in the list" in page._folder_error.text()
    name = f"Remove {folder} from the list"
    remove = next(button for button in page.findChildren(QToolButton) if button.accessibleName() == name)
    qtbot.mouseClick(remove, Qt.MouseButton.LeftButton)
    assert saved(workbench).current.models_folders == ()


def test_settings_of_a_newer_program_are_not_overwritten(
    qtbot: QtBot, workbench: Workbench, tasks: Tasks, show: Show
) -> None:
    workbench.paths.settings_file.write_text('{"version": 99}', "utf-8")
    workbench.settings = SettingsStore(workbench.paths.settings_file)
    page = SettingsPage(SettingsState(workbench, tasks))
    show(page)
    assert "newer version" in page._notice.text()
    themes = control(page, "theme", Segmented)
    themes.setFocus()
    qtbot.keyClick(themes, Qt.Key.Key_Right)
    assert "newer version" in page.row("theme").error()
    assert theme.current().is_dark, "a theme that was not saved is not applied"


def test_a_wheel_over_a_list_changes_nothing_without_focus(
    qtbot: QtBot, page: SettingsPage, workbench: Workbench
) -> None:
    from PySide6.QtCore import QPointF
    from PySide6.QtGui import QWheelEvent
    from PySide6.QtWidgets import QApplication

    combo = control(page, "gpu_price", QComboBox)
    page.row("theme").control.setFocus()
    event = QWheelEvent(QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
                        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)  # fmt: skip
    QApplication.sendEvent(combo, event)
    assert combo.currentIndex() == 0
