"""The Models page with real widgets: search, judge, download, keep, import and delete, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDragLeaveEvent, QDropEvent, QGuiApplication
from PySide6.QtWidgets import QApplication, QFileDialog, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.fakes import gguf_files
from tests.ui.keyboard import missed_by_tab
from tests.ui.models_fakes import DEMOS, FREE, GATED, QWEN, FakeModels, offline, repository, summary
from tests.ui.test_main_window import cut_off, focusable_without_name
from ui import theme
from ui.app import open_window
from ui.figures import CurveLine
from ui.main_window import MainWindow
from ui.pages.models import ModelsPage
from ui.pages.models_dialogs import MakeDialog, TokenDialog
from ui.pages.models_results import FilterPopup
from ui.state.models import ModelsState
from ui.state.models_search import Filters
from ui.tables import models_quantizations as columns
from ui.tasks import Tasks
from ui.view_state import ViewState
from ui.widgets.memory_curve import MemoryCurve, spread
from workbench.core import Workbench
from workbench.errors import StorageFull
from workbench.glossary import Glossary
from workbench.paths import resources

Show = Callable[..., QWidget]
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def models(models: FakeModels) -> FakeModels:
    models.pages["qwen"] = [(summary(QWEN), summary("a/Qwen-other-GGUF", is_gated=True))]
    return models


@pytest.fixture
def page(qtbot: QtBot, models: FakeModels, tasks: Tasks, view: ViewState, show: Show) -> Iterator[ModelsPage]:
    made = ModelsPage(ModelsState(models, tasks), view, Glossary(resources().glossary))  # type: ignore[arg-type]
    show(made, 1204, 760)
    qtbot.waitUntil(lambda: made.state.choice.head.status == "ready")
    yield made
    made.save_view()


def search(qtbot: QtBot, page: ModelsPage, text: str) -> None:
    page.results.search.clear()
    qtbot.keyClicks(page.results.search, text)
    qtbot.keyClick(page.results.search, Qt.Key.Key_Return)


def open_qwen(qtbot: QtBot, page: ModelsPage) -> None:
    search(qtbot, page, QWEN)
    qtbot.waitUntil(lambda: page.choice.table_model.rowCount() == 5)
    qtbot.waitUntil(lambda: bool(page.choice.curve.lines()))


def click_row(qtbot: QtBot, page: ModelsPage, key: str, column: int = columns.NAME) -> None:
    place = page.choice.table_model.place_of(key)
    assert place is not None
    rect = page.choice.table.visualRect(page.choice.table_model.index(place, column))
    qtbot.mouseClick(page.choice.table.viewport(), LEFT, pos=rect.center())


def button_of(page: ModelsPage, key: str) -> QPushButton:
    return page.choice._buttons[key]


def visible_button(widget: QWidget, text: str) -> QPushButton:
    return next(b for b in widget.findChildren(QPushButton) if b.text() == text and b.isVisible())


def tray_text(page: ModelsPage, item_id: str) -> str:
    row = page.tray._rows.get(item_id)
    return row.text() if row is not None else ""


# --- finding -------------------------------------------------------------------------------------------------


def test_the_page_opens_with_the_demo_model_and_the_shelf(page: ModelsPage) -> None:
    assert page.choice.title.text() == "Demo model"
    titles = [page.results.table_model.item(row).title for row in range(page.results.table_model.rowCount())]
    assert titles[0] == "Demo model"
    assert titles[DEMOS] == "Phi-4-mini"
    assert "Qwen3 0.6B" in titles
    assert page.library_button.text().startswith(f"Library {DEMOS + 1}, ")


def test_typing_asks_after_a_pause_and_a_click_opens(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    qtbot.keyClicks(page.results.search, "qwen")
    assert not [kind for kind, _ in models.asked if kind == "search"], "every letter would be a question"
    qtbot.waitUntil(lambda: page.results.table_model.rowCount() == 2)
    rect = page.results.list.visualRect(page.results.table_model.index(0, 0))
    qtbot.mouseClick(page.results.list.viewport(), LEFT, pos=rect.center())
    qtbot.waitUntil(lambda: page.choice.table_model.rowCount() == 5)
    assert page.choice.title.text() == "Qwen3-0.6B"
    assert page.choice.link.isVisible()


def test_keys_go_from_the_field_to_the_list_and_back(qtbot: QtBot, page: ModelsPage) -> None:
    search(qtbot, page, "qwen")
    qtbot.waitUntil(lambda: page.results.table_model.rowCount() == 2)
    qtbot.keyClick(page.results.search, Qt.Key.Key_Down)
    assert page.results.list.hasFocus()
    qtbot.waitUntil(lambda: page.choice.table_model.rowCount() == 5)
    qtbot.keyClick(page.results.list, Qt.Key.Key_Up)
    assert page.results.search.hasFocus()
    qtbot.keyClick(page.results.search, Qt.Key.Key_Escape)
    assert page.results.search.text() == ""
    qtbot.waitUntil(lambda: page.results.table_model.rowCount() > 10)


def test_the_next_page_comes_when_the_list_is_scrolled_to_its_end(
    qtbot: QtBot, page: ModelsPage, models: FakeModels
) -> None:
    models.pages["many"] = [tuple(summary(f"a/m{n}-{i:02}-GGUF") for i in range(20)) for n in range(3)]
    search(qtbot, page, "many")
    qtbot.waitUntil(lambda: page.results.table_model.rowCount() == 20)
    page.results.list.scrollToBottom()
    qtbot.waitUntil(lambda: page.results.table_model.rowCount() == 40)


def test_nothing_found_offers_the_catalogue(qtbot: QtBot, page: ModelsPage) -> None:
    search(qtbot, page, "zzz")
    qtbot.waitUntil(lambda: page.results.empty.isVisible())
    qtbot.mouseClick(visible_button(page.results.empty, "Show the catalogue"), LEFT)
    qtbot.waitUntil(lambda: page.results.list.isVisible() and page.results.table_model.rowCount() > 10)
    assert page.results.search.text() == ""


def test_offline_is_said_in_the_list_with_what_is_here(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    models.problem = offline()
    search(qtbot, page, "phi")
    qtbot.waitUntil(lambda: page.results.notice.isVisible())
    assert "does not answer" in page.results.notice.text()
    assert page.results.table_model.item(0).title == "Phi-4-mini"
    models.problem = None
    models.pages["phi"] = [(summary("a/phi-GGUF"),)]
    qtbot.mouseClick(visible_button(page.results.notice, "Try again"), LEFT)
    qtbot.waitUntil(lambda: page.results.table_model.rowCount() == 1 and not page.results.notice.isVisible())


def test_a_slow_hub_is_said_after_a_moment(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    gate = models.hold("search")
    search(qtbot, page, "qwen")
    assert page.results.status.text() == ""
    qtbot.waitUntil(lambda: page.results.status.text() == "Asking the Hub")
    gate.set()
    qtbot.waitUntil(lambda: page.results.status.text() == "2 from the Hub")


def test_filters_ask_the_hub(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    qtbot.mouseClick(page.results.filters, LEFT)
    popup = page.results.findChild(FilterPopup)
    assert isinstance(popup, FilterPopup)
    popup.parameters.setFocus()
    qtbot.keyClick(popup.parameters, Qt.Key.Key_Down)
    popup.parameters.activated.emit(popup.parameters.currentIndex())
    qtbot.waitUntil(lambda: any(kind == "search" for kind, _ in models.asked))
    assert page.results.filters.text() == "Downloads, 1 filter"
    qtbot.mouseClick(popup.reset, LEFT)
    assert page.state.search.filters == Filters()
    popup.close()


def test_a_gated_repository_offers_its_page_and_a_token(
    qtbot: QtBot, page: ModelsPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()) or True)
    search(qtbot, page, GATED)
    qtbot.waitUntil(lambda: page.choice.empty.isVisible() and page.choice.page.isVisible())
    qtbot.mouseClick(page.choice.page, LEFT)
    assert opened == [f"https://hub.example/{GATED}"]
    qtbot.mouseClick(visible_button(page.choice.empty, "Set token…"), LEFT)
    dialog = page.findChild(TokenDialog)
    assert isinstance(dialog, TokenDialog)
    assert not dialog.save.isEnabled()
    qtbot.keyClicks(dialog.edit, "not a token")
    qtbot.mouseClick(dialog.save, LEFT)
    qtbot.waitUntil(lambda: "no access token" in dialog.problem.text())
    dialog.reject()


# --- judging -------------------------------------------------------------------------------------------------


def test_rows_show_size_need_speed_and_action(qtbot: QtBot, page: ModelsPage) -> None:
    open_qwen(qtbot, page)
    rows = {row.key: row for row in page.choice.table_model.rows()}
    assert rows["Q4_K_M"].size == "484 MB"
    assert rows["Q4_K_M"].bits == "5.2 bpw"
    assert rows["Q4_K_M"].fit.text == "581 weights + 918 KV + 44 compute MB"
    assert rows["Q4_K_M"].speed == "40–46"
    assert button_of(page, "Q4_K_M").text() == "Download"
    assert button_of(page, "Q4_K_M").property("role") == "primary"
    assert button_of(page, "Q8_0").property("role") == ""
    header = page.choice.table_model.headerData(columns.MEMORY, Qt.Orientation.Horizontal)
    assert header == "Memory at 8,192 tokens, of 20.9 GB free"
    spoken = page.choice.table_model.index(1, columns.MEMORY).data(Qt.ItemDataRole.AccessibleTextRole)
    assert spoken.endswith("MB, fits")


def test_context_and_kv_type_are_chosen_above_the_table(qtbot: QtBot, page: ModelsPage) -> None:
    open_qwen(qtbot, page)
    page.choice.context.setFocus()
    qtbot.keyClick(page.choice.context, Qt.Key.Key_Down)
    page.choice.context.activated.emit(page.choice.context.currentIndex())
    assert page.state.choice.context_length == 16_384
    qtbot.waitUntil(lambda: "1.84 KV" in page.choice.table_model.row(1).fit.text)
    page.choice.kv.setFocus()
    qtbot.keyClick(page.choice.kv, Qt.Key.Key_Down)
    page.choice.kv.activated.emit(page.choice.kv.currentIndex())
    qtbot.waitUntil(lambda: "975 KV" in page.choice.table_model.row(1).fit.text)


def test_a_click_on_a_row_makes_its_line_the_strong_one(qtbot: QtBot, page: ModelsPage) -> None:
    open_qwen(qtbot, page)
    assert [line.name for line in page.choice.curve.lines() if line.is_current] == ["Q4_K_M"]
    click_row(qtbot, page, "F16")
    qtbot.waitUntil(lambda: [line.name for line in page.choice.curve.lines() if line.is_current] == ["F16"])
    qtbot.waitUntil(lambda: page.choice.basis.text().startswith("F16: exact"))


def test_columns_sort_and_copy_as_a_table(qtbot: QtBot, page: ModelsPage) -> None:
    open_qwen(qtbot, page)
    header = page.choice.table.horizontalHeader()
    x = header.sectionViewportPosition(columns.SIZE) + 20
    qtbot.mouseClick(header.viewport(), LEFT, pos=QPoint(x, 10))
    qtbot.mouseClick(header.viewport(), LEFT, pos=QPoint(x, 10))
    assert page.choice.table_model.row(0).key == "F16"
    assert button_of(page, "F16").isVisible(), "the buttons go with their rows"
    page.choice.table.setFocus()
    qtbot.keyClick(page.choice.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("F16\t1.51 GB")


def test_a_model_that_does_not_fit_says_so_and_can_be_downloaded(
    qtbot: QtBot, page: ModelsPage, models: FakeModels
) -> None:
    models.repositories["a/big-GGUF"] = repository("a/big-GGUF", [("Q4_K_M", 26_400_000_000, 4.8)])
    search(qtbot, page, "a/big-GGUF")
    qtbot.waitUntil(lambda: page.choice.table_model.rowCount() == 1)
    qtbot.waitUntil(lambda: page.choice.table_model.row(0).fit.verdict == "will not fit")
    assert page.choice.table_model.row(0).fit.tone == "bad"
    assert button_of(page, "Q4_K_M").isEnabled()


def test_the_mark_of_an_estimate_goes_when_the_row_was_planned(
    qtbot: QtBot, page: ModelsPage, models: FakeModels
) -> None:
    gate = models.hold("curve of 805000000")
    open_qwen(qtbot, page)

    def dotted() -> list[str]:
        return [line.name for line in page.choice.curve.lines() if not line.is_exact]

    def marked() -> list[str]:
        table = page.choice.table_model
        memory = [table.index(row, columns.MEMORY).data(Qt.ItemDataRole.AccessibleTextRole) for row in range(5)]
        names = [table.index(row, columns.NAME).data() for row in range(5)]
        return [name for name, said in zip(names, memory, strict=True) if said.endswith("est.")]

    qtbot.waitUntil(lambda: dotted() == marked() == ["Q8_0", "F16"])
    assert page.choice.basis.text() == "Q4_K_M: exact, planned by llama.cpp; dotted lines estimated from it"
    gate.set()
    qtbot.waitUntil(lambda: dotted() == marked() == [])
    assert page.choice.basis.text() == "Q4_K_M: exact, planned by llama.cpp; so are the other lines"


def test_the_curve_reads_its_values_to_the_keyboard(qtbot: QtBot, page: ModelsPage) -> None:
    open_qwen(qtbot, page)
    page.choice.curve.setFocus()
    qtbot.keyClick(page.choice.curve, Qt.Key.Key_Right)
    assert page.choice.curve.reading().startswith("16,384 tokens: F16 ")
    assert page.choice.curve.reading() in page.choice.curve.accessibleDescription()


# --- downloading ---------------------------------------------------------------------------------------------


def test_download_pause_and_resume_by_the_buttons_of_the_row(
    qtbot: QtBot, page: ModelsPage, models: FakeModels
) -> None:
    open_qwen(qtbot, page)
    busy: list[bool] = []
    page.busy_changed.connect(busy.append)
    qtbot.mouseClick(button_of(page, "Q4_K_M"), LEFT)
    qtbot.waitUntil(lambda: button_of(page, "Q4_K_M").text() == "Pause")
    assert busy == [True]
    assert page.tray.isVisible()
    models.downloads.move("d1", state="running", done_bytes=242_000_000, bytes_per_s=24e6, remaining_s=10)
    qtbot.waitUntil(lambda: "242 of 484 MB, 24.0 MB/s, 10 s left" in tray_text(page, "d1"))
    assert page.tray.row("d1").bar.value() == 500
    qtbot.mouseClick(button_of(page, "Q4_K_M"), LEFT)
    qtbot.waitUntil(lambda: button_of(page, "Q4_K_M").text() == "Resume")
    assert busy == [True, False]


def test_enter_in_the_table_does_what_the_button_does(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    open_qwen(qtbot, page)
    page.choice.table.setFocus()
    qtbot.keyClick(page.choice.table, Qt.Key.Key_Down)
    qtbot.keyClick(page.choice.table, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: [view.order.label for view in models.downloads.orders] == ["Q5_K_M"])


def test_the_tray_pauses_resumes_cancels_and_folds(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    found = models.repositories[QWEN]
    for number in range(3):
        models.pull(found, found.quantizations[number])
    models.downloads.move("d1", state="running", done_bytes=1)
    qtbot.waitUntil(lambda: page.tray.isVisible())
    qtbot.mouseClick(visible_button(page.tray.row("d1"), "Pause"), LEFT)
    qtbot.waitUntil(lambda: "paused" in tray_text(page, "d1"))
    qtbot.mouseClick(visible_button(page.tray.row("d1"), "Resume"), LEFT)
    qtbot.waitUntil(lambda: "resumed once" in tray_text(page, "d1"))
    qtbot.mouseClick(visible_button(page.tray.row("d2"), "Cancel"), LEFT)
    models.downloads.move("d3", state="finished", path=Path("/nowhere/x.gguf"))
    qtbot.waitUntil(lambda: page.tray.fold.text() == "2 downloads are over: show")
    qtbot.mouseClick(page.tray.fold, LEFT)
    assert "SHA-256 verified" in page.tray.row("d3").text()
    qtbot.mouseClick(page.tray.clear, LEFT)
    qtbot.waitUntil(lambda: [view.id for view in models.downloads.orders] == ["d1"])


def test_a_failed_download_says_why_and_can_be_tried_again(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    found = models.repositories[QWEN]
    models.pull(found, found.quantizations[0])
    sentence = "The disk is full: 385 MB are missing."
    models.downloads.move("d1", state="failed", error=sentence, error_code=StorageFull.code)
    qtbot.waitUntil(lambda: sentence in tray_text(page, "d1"))
    qtbot.mouseClick(visible_button(page.tray.row("d1"), "Try again"), LEFT)
    qtbot.waitUntil(lambda: models.downloads.calls == [("resume", "d1")])


def test_a_finished_download_can_be_used_in_run(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    found = models.repositories[QWEN]
    models.pull(found, found.quantizations[0])
    models.downloads.move("d1", state="finished", path=Path("/nowhere/x.gguf"))
    qtbot.waitUntil(lambda: page.tray.fold.isVisible())
    qtbot.mouseClick(page.tray.fold, LEFT)
    with qtbot.waitSignal(page.use_requested) as blocker:
        qtbot.mouseClick(visible_button(page.tray.row("d1"), "Use"), LEFT)
    assert blocker.args == ["/nowhere/x.gguf", ""]


# --- keeping -------------------------------------------------------------------------------------------------


def open_library(qtbot: QtBot, page: ModelsPage) -> None:
    qtbot.mouseClick(page.library_button, LEFT)
    qtbot.waitUntil(lambda: page.library.table.isVisible() and page.library.table_model.rowCount() == DEMOS + 1)


def select_file(page: ModelsPage, name: str) -> None:
    place = next(i for i, row in enumerate(page.library.table_model.rows()) if row.name == name)
    page.library.table.setFocus()
    page.library.table.selectRow(place)


def test_the_library_lists_uses_and_protects(qtbot: QtBot, page: ModelsPage, workbench: Workbench) -> None:
    open_library(qtbot, page)
    select_file(page, "Demo model")
    assert not page.library.delete.isEnabled()
    assert "part of the program" in page.library.delete.toolTip()
    select_file(page, "Phi-4-mini")
    with qtbot.waitSignal(page.use_requested) as blocker:
        qtbot.mouseClick(page.library.use, LEFT)
    assert blocker.args == [str(workbench.paths.models / "Phi-4-mini-Q8_0.gguf"), "Q8_0"]


def test_delete_says_how_much_and_undo_brings_it_back(qtbot: QtBot, page: ModelsPage, workbench: Workbench) -> None:
    path = workbench.paths.models / "Phi-4-mini-Q8_0.gguf"
    content = path.read_bytes()
    open_library(qtbot, page)
    select_file(page, "Phi-4-mini")
    assert page.library.delete.text().startswith("Delete ")
    qtbot.keyClick(page.library.table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: page.notice.isVisible() and "Deleted" in page.notice.text())
    qtbot.waitUntil(lambda: page.library.table_model.rowCount() == DEMOS)
    assert not path.exists()
    qtbot.mouseClick(visible_button(page.notice, "Undo"), LEFT)
    qtbot.waitUntil(lambda: page.library.table_model.rowCount() == DEMOS + 1)
    assert path.read_bytes() == content


def test_verify_reads_the_file(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    open_library(qtbot, page)
    select_file(page, "Phi-4-mini")
    gate = models.hold("verify")
    qtbot.mouseClick(page.library.verify, LEFT)
    assert "Reading all of Phi-4-mini" in page.notice.text()
    assert not page.library.verify.isEnabled()
    gate.set()
    qtbot.waitUntil(lambda: page.library.verify.isEnabled())
    assert "Reading" not in page.notice.text()


def test_the_filter_narrows_the_library(qtbot: QtBot, page: ModelsPage) -> None:
    open_library(qtbot, page)
    qtbot.keyClicks(page.library.filter, "phi3")
    assert [row.name for row in page.library.table_model.rows()] == ["Phi-4-mini"]


def test_make_quantization_goes_to_the_tray(qtbot: QtBot, page: ModelsPage, models: FakeModels) -> None:
    open_library(qtbot, page)
    select_file(page, "Phi-4-mini")
    models.hold("quantize")
    qtbot.mouseClick(page.library.make, LEFT)
    dialog = page.findChild(MakeDialog)
    assert isinstance(dialog, MakeDialog)
    qtbot.waitUntil(lambda: "30%" in dialog.size_line.text())
    dialog.types.setCurrentText("IQ2_M  (needs an importance matrix)")
    assert not dialog.make.isEnabled()
    dialog.types.setCurrentText("Q4_K_M")
    qtbot.mouseClick(dialog.make, LEFT)
    qtbot.waitUntil(lambda: page.tray.isVisible())
    item = page.state.downloads.items[0]
    qtbot.waitUntil(lambda: "40 % done" in tray_text(page, item.id))
    models.gates["quantize"].set()
    qtbot.waitUntil(lambda: page.state.library.count == DEMOS + 2)


def test_import_by_dialog(qtbot: QtBot, page: ModelsPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = gguf_files.write_model(tmp_path / "Own-Q8_0.gguf", name="Own", weights=4096, file_type=7)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_, **__: ([str(path)], ""))
    page.import_button.menu().actions()[0].trigger()
    qtbot.waitUntil(lambda: "was added where it lies" in page.notice.text())
    qtbot.waitUntil(lambda: any(row.name == "Own" for row in page.state.library.rows()))


def test_files_and_folders_are_dropped_onto_the_page(qtbot: QtBot, page: ModelsPage, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    gguf_files.write_model(folder / "Dropped-Q8_0.gguf", name="Dropped", weights=8192, file_type=7)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(folder)), QUrl.fromLocalFile(str(tmp_path / "notes.txt"))])
    action, buttons, keys = Qt.DropAction.CopyAction, LEFT, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), action, mime, buttons, keys)
    QApplication.sendEvent(page, enter)
    assert enter.isAccepted()
    assert page.drop_area.isVisible()
    QApplication.sendEvent(page, QDragLeaveEvent())
    assert not page.drop_area.isVisible()
    QApplication.sendEvent(page, QDragEnterEvent(QPoint(50, 50), action, mime, buttons, keys))
    QApplication.sendEvent(page, QDropEvent(QPointF(50, 50), action, mime, buttons, keys))
    assert not page.drop_area.isVisible()
    qtbot.waitUntil(lambda: any(row.name == "Dropped" for row in page.state.library.rows()))


def test_other_things_cannot_be_dropped(page: ModelsPage, tmp_path: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path / "notes.txt"))])
    keys = Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), Qt.DropAction.CopyAction, mime, LEFT, keys)
    QApplication.sendEvent(page, enter)
    assert not page.drop_area.isVisible()


# --- details, sizes ------------------------------------------------------------------------------------------


def test_the_drawer_opens_by_key_follows_the_row_and_closes(qtbot: QtBot, page: ModelsPage) -> None:
    open_qwen(qtbot, page)
    qtbot.keyClick(page.choice.table, Qt.Key.Key_I, Qt.KeyboardModifier.ControlModifier)
    assert page.drawer.isVisible()
    assert "23749fefcc72300e3a2ad315e1317431b06b590a" in page.drawer.sheet.toPlainText()
    assert not page.results.isVisible(), "at this width the drawer takes the list's place"
    click_row(qtbot, page, "F16")
    assert "1.51 GB" in page.drawer.sheet.toPlainText()
    page.drawer.sheet.setFocus()
    qtbot.keyClick(page.drawer.sheet, Qt.Key.Key_Escape)
    assert not page.drawer.isVisible()
    assert page.results.isVisible()


def test_in_a_low_page_table_and_curve_take_turns(qtbot: QtBot, page: ModelsPage) -> None:
    open_qwen(qtbot, page)
    page.resize(1000, 520)
    qtbot.waitUntil(lambda: page.choice.swap.isVisible())
    assert page.choice.table.isVisible()
    assert not page.choice.curve.isVisible()
    qtbot.mouseClick(page.choice.swap, LEFT)
    assert page.choice.curve.isVisible()
    assert not page.choice.table.isVisible()


def test_labels_of_lines_keep_apart() -> None:
    places = spread([10, 11, 12, 90], 14, 0, 100, taken=[40])
    assert all(b - a >= 14 for a, b in pairwise(places))
    assert all(abs(place - 40) >= 13.9 for place in places[:2])
    assert places[-1] <= 100


def test_the_curve_saves_what_it_shows(qtbot: QtBot, show: Show, tmp_path: Path) -> None:
    curve = MemoryCurve()
    curve.show_lines([CurveLine("Q8_0", ((2048, 10), (4096, 20)), "series-0")], FREE, 4096)
    show(curve, 600, 300)
    curve.save_data(tmp_path / "curve.csv")
    lines = (tmp_path / "curve.csv").read_text("utf-8").splitlines()
    assert lines[1:] == ["Q8_0,2048,10,True", "Q8_0,4096,20,True"]


@pytest.fixture
def program(qtbot: QtBot, qapp: QApplication, workbench: Workbench, models: FakeModels) -> Iterator[MainWindow]:
    workbench.models = models  # type: ignore[assignment]
    window = open_window(qapp, workbench)
    qtbot.addWidget(window)
    with qtbot.waitActive(window):
        window.activateWindow()
    yield window
    window.close()


def test_nothing_is_cut_off_and_everything_has_a_name(qtbot: QtBot, program: MainWindow, models: FakeModels) -> None:
    page = program.show_page("models")
    assert isinstance(page, ModelsPage)
    qtbot.waitUntil(lambda: page.state.choice.head.status == "ready")
    found = models.repositories[QWEN]
    models.pull(found, found.quantizations[3])
    models.downloads.move("d1", state="running", done_bytes=499_000_000, bytes_per_s=24e6, remaining_s=13, resumed=2)
    open_qwen(qtbot, page)
    for choice in ("light", "dark"):
        theme.current().set_choice(choice)  # type: ignore[arg-type]
        for width, height in ((900, 600), (1024, 640), (1280, 800), (1920, 1080), (2560, 1440)):
            for is_library in (False, True):
                page.library_button.setChecked(is_library)
                program.resize(width, height)
                qtbot.wait(40)
                assert (program.width(), program.height()) == (width, height), "the page needs more room"
                assert focusable_without_name(program) == []
                # A busy machine does not always lay out everything in that time.
                if cut_off(program):
                    qtbot.wait(400)
                assert cut_off(program) == [], f"{width} x {height}, library {is_library}"


def test_the_rail_shows_a_dot_while_another_page_is_shown(
    qtbot: QtBot, program: MainWindow, models: FakeModels
) -> None:
    program.show_page("models")
    program.show_page("run")
    found = models.repositories[QWEN]
    models.pull(found, found.quantizations[0])
    qtbot.waitUntil(lambda: program._rail.button("models").is_busy)
    models.downloads.move("d1", state="finished", path=Path("/nowhere/x.gguf"))
    qtbot.waitUntil(lambda: not program._rail.button("models").is_busy)


def test_use_opens_run_with_the_model(qtbot: QtBot, program: MainWindow, workbench: Workbench) -> None:
    page = program.show_page("models")
    assert isinstance(page, ModelsPage)
    qtbot.waitUntil(lambda: page.state.library.count == DEMOS + 1)
    qtbot.mouseClick(page.library_button, LEFT)
    select_file(page, "Phi-4-mini")
    qtbot.mouseClick(page.library.use, LEFT)
    assert program.current_page == "run"
    values = program.page("run").state.view.values  # type: ignore[attr-defined]
    assert (values.model, values.quantization) == (
        str(workbench.paths.models / "Phi-4-mini-Q8_0.gguf"), "Q8_0",
    )  # fmt: skip


def test_tab_reaches_every_control(qtbot: QtBot, program: MainWindow) -> None:
    page = program.show_page("models")
    assert isinstance(page, ModelsPage)
    open_qwen(qtbot, page)
    with qtbot.waitActive(program):
        program.activateWindow()
    page.setFocus()
    assert missed_by_tab(qtbot, page, 60) == []
