"""What a program that was killed left in the trash: offered on the Models page, restored or removed for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from tests.fakes import gguf_files
from tests.ui.models_fakes import FakeModels
from tests.ui.test_main_window import cut_off, focusable_without_name
from ui.pages.models import ModelsPage
from ui.pages.models_dialogs import DiscardDialog
from ui.state.models import ModelsState
from ui.view_state import ViewState
from workbench import units
from workbench.core import Workbench
from workbench.glossary import Glossary
from workbench.hub.deletion import Trash
from workbench.paths import resources

Show = Callable[..., QWidget]


@pytest.fixture
def left(models: FakeModels, workbench: Workbench) -> Path:
    """The file that another program had deleted when it was killed."""
    path = workbench.paths.models / "Phi-4-mini-Q8_0.gguf"
    trash = models.library.trash
    trash.delete([file for entry in models.library.list() for file in entry.files if file.path == path])
    end_abruptly(trash)
    assert not path.exists()
    return path


def end_abruptly(trash: Trash) -> None:
    for lock in trash._held.values():  # the system takes a killed program's locks away
        lock.close()
    trash._held, trash._deletions, trash._session = {}, [], None


@pytest.fixture
def page(qtbot: QtBot, models_state: ModelsState, view: ViewState, show: Show) -> ModelsPage:
    made = ModelsPage(models_state, view, Glossary(resources().glossary))
    show(made, 1204, 760)
    qtbot.waitUntil(lambda: made.state.choice.head.status == "ready")
    return made


def click(qtbot: QtBot, page: ModelsPage, word: str) -> None:
    button = next(b for b in page.leftovers.findChildren(QPushButton) if b.text() == word)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def asked(qtbot: QtBot, page: ModelsPage) -> DiscardDialog:
    """The question that a click on the removal brings."""
    click(qtbot, page, "Remove for good…")
    qtbot.waitUntil(lambda: any(dialog.isVisible() for dialog in page.findChildren(DiscardDialog)))
    return next(dialog for dialog in page.findChildren(DiscardDialog) if dialog.isVisible())


def test_nothing_is_said_where_nothing_is_left(page: ModelsPage) -> None:
    assert not page.leftovers.isVisible()


def test_what_is_left_is_named_and_restored(qtbot: QtBot, left: Path, page: ModelsPage) -> None:
    assert page.leftovers.isVisible()
    said = page.leftovers.text()
    assert said.startswith("1 deleted model from an earlier session can be restored: Phi-4-mini-Q8_0.gguf, ")
    assert page.state.library.row(str(left)) is None
    click(qtbot, page, "Restore")
    qtbot.waitUntil(lambda: page.state.library.row(str(left)) is not None)
    assert left.is_file()
    assert not page.leftovers.isVisible()
    assert page.notice.text() == "1 model is back."


def test_what_is_left_is_removed_for_good(qtbot: QtBot, left: Path, page: ModelsPage, workbench: Workbench) -> None:
    qtbot.mouseClick(asked(qtbot, page).remove, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.notice.text().startswith("Removed for good: "))
    assert page.notice.text().endswith(" are free again.")
    assert not page.leftovers.isVisible()
    assert not left.exists()
    assert not list(workbench.paths.models.parent.rglob("*Phi-4*"))
    assert page.state.library.leftover_text == ""


def test_removing_for_good_asks_first_and_says_what_goes(
    qtbot: QtBot, left: Path, page: ModelsPage, models: FakeModels
) -> None:
    (deletion,) = models.library.trash.leftovers()
    dialog = asked(qtbot, page)
    assert [label.text() for label in dialog.findChildren(QLabel)] == [
        "Remove 1 deleted model for good?",
        "Phi-4-mini-Q8_0.gguf",
        f"1 file goes and {units.bytes_text(deletion.reclaimed_bytes)} of disk space become free. "
        "This cannot be undone.",
    ]
    assert deletion.reclaimed_bytes > 0
    assert (cut_off(dialog), focusable_without_name(dialog)) == ([], [])
    assert deletion.is_pending, "nothing happens before the answer"


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Escape, Qt.Key.Key_Space])
def test_the_first_key_keeps_everything(
    qtbot: QtBot, left: Path, page: ModelsPage, models: FakeModels, key: Qt.Key
) -> None:
    dialog = asked(qtbot, page)
    assert dialog.cancel.isDefault()
    qtbot.waitUntil(dialog.cancel.hasFocus)
    qtbot.keyClick(dialog.cancel, key)
    qtbot.waitUntil(lambda: not page.findChildren(DiscardDialog))
    assert len(models.library.trash.leftovers()) == 1
    assert page.leftovers.isVisible()
    assert page.notice.text() == ""


def test_the_keyboard_reaches_the_removal(qtbot: QtBot, left: Path, page: ModelsPage, models: FakeModels) -> None:
    dialog = asked(qtbot, page)
    qtbot.waitUntil(dialog.cancel.hasFocus)
    qtbot.keyClick(dialog, Qt.Key.Key_Tab)
    assert dialog.remove.hasFocus()
    qtbot.keyClick(dialog.remove, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: page.notice.text().startswith("Removed for good: "))
    assert models.library.trash.leftovers() == ()


def test_what_comes_to_the_trash_while_the_question_is_open_stays(
    qtbot: QtBot, left: Path, page: ModelsPage, models: FakeModels, workbench: Workbench
) -> None:
    dialog = asked(qtbot, page)
    later = workbench.paths.models / "Later-Q8_0.gguf"
    gguf_files.write_model(later, name="Later")
    trash = Trash(workbench.paths.data / "trash", models.library.index)
    trash.delete([file for entry in models.library.list() for file in entry.files if file.path == later])
    end_abruptly(trash)
    page.state.library.load()
    qtbot.waitUntil(lambda: "Later-Q8_0.gguf" in page.leftovers.text())
    qtbot.mouseClick(dialog.remove, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.notice.text().startswith("Removed for good: "))
    assert [deletion.names for deletion in models.library.trash.leftovers()] == [("Later-Q8_0.gguf",)]
    assert page.leftovers.text().startswith("1 deleted model from an earlier session can be restored: Later-Q8_0.gguf")


def test_a_file_that_was_only_taken_from_the_list_is_not_counted(
    qtbot: QtBot, models: FakeModels, models_state: ModelsState, view: ViewState, show: Show, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / "Own-Q8_0.gguf"
    elsewhere.parent.mkdir()
    gguf_files.write_model(elsewhere, name="Own")
    models.add_file(elsewhere)
    trash = models.library.trash
    trash.delete([file for entry in models.library.list() for file in entry.files if file.path == elsewhere])
    end_abruptly(trash)
    page = ModelsPage(models_state, view, Glossary(resources().glossary))
    show(page, 1204, 760)
    qtbot.waitUntil(page.leftovers.isVisible)
    said = [label.text() for label in asked(qtbot, page).findChildren(QLabel)]
    assert said[-1] == "Only links or entries of the list go; no disk space becomes free. This cannot be undone."


def test_long_names_are_cut_in_the_middle_and_all_of_them_are_in_the_tooltip(
    models: FakeModels, models_state: ModelsState, view: ViewState, show: Show, workbench: Workbench, qtbot: QtBot
) -> None:
    names = [f"Model-{number}-{'with-a-long-name-' * 4}Q8_0.gguf" for number in range(5)]
    for name in names:
        gguf_files.write_model(workbench.paths.models / name, name=name[:7])
    trash = models.library.trash
    trash.delete([file for entry in models.library.list() for file in entry.files if file.path.name in names])
    end_abruptly(trash)
    page = ModelsPage(models_state, view, Glossary(resources().glossary))
    show(page, 1204, 760)
    qtbot.waitUntil(page.leftovers.isVisible)
    shown = page.leftovers.text().split(": ")[1].split(", ")
    assert [(name[:8], name[-9:]) for name in shown[:2]] == [("Model-0-", "Q8_0.gguf"), ("Model-1-", "Q8_0.gguf")]
    assert max(map(len, shown[:2])) == 48
    assert " and 2 more, " in page.leftovers.text()
    assert sorted(page.leftovers.toolTip().splitlines()) == names


def test_a_file_in_the_way_is_said_and_the_offer_stays(qtbot: QtBot, left: Path, page: ModelsPage) -> None:
    left.write_bytes(b"another")
    click(qtbot, page, "Restore")
    qtbot.waitUntil(lambda: "There is another file at" in page.notice.text())
    qtbot.waitUntil(page.leftovers.isVisible)
    assert left.read_bytes() == b"another"
    left.unlink()
    click(qtbot, page, "Restore")
    qtbot.waitUntil(lambda: page.notice.text() == "1 model is back.")
    assert left.stat().st_size > 7


def test_a_closed_offer_stays_closed_and_keeps_the_files(
    qtbot: QtBot, left: Path, page: ModelsPage, models: FakeModels
) -> None:
    close = next(b for b in page.leftovers.findChildren(QToolButton) if b.accessibleName() == "Close this message")
    qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    page.state.library.load()
    qtbot.wait(100)
    assert not page.leftovers.isVisible()
    assert len(models.library.trash.leftovers()) == 1
