"""LoRA adapters on the Run page: real clicks, the real llama.cpp, and adapters whose effect is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtWidgets import QDoubleSpinBox, QFileDialog, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from tests.fakes import tiny_models
from tests.fakes.tiny_adapters import random_pairs, successor_pairs, write_adapter
from ui.bridge import Bridge
from ui.pages.run import RunPage
from ui.pages.run_advanced import AdvancedPopup
from ui.state.run import RunState
from ui.tasks import Tasks
from workbench.core import Workbench
from workbench.runs.spec import Adapter

pytestmark = pytest.mark.usefixtures("real_engine")

Show = Callable[..., QWidget]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says "one two"."""
    folder = tmp_path_factory.mktemp("chain")
    return tiny_models.write_chain(folder / "chain.gguf", [b"one", b" two"], branches={"!": [b" six"], "?": [b" ten"]})


@pytest.fixture(scope="module")
def six(chain: Path) -> Path:
    """Makes it say "one six" from a scale of 0.5 on."""
    return write_adapter(chain.with_name("six.gguf"), successor_pairs(chain, (b"one", b" six")))


@pytest.fixture(scope="module")
def foreign(chain: Path) -> Path:
    """Trained on a wider model."""
    wider = tiny_models.write_llama(chain.with_name("wider.gguf"))
    return write_adapter(chain.with_name("foreign.gguf"), random_pairs(wider))


@pytest.fixture
def page(qtbot: QtBot, workbench: Workbench, tasks: Tasks, show: Show, chain: Path) -> Iterator[RunPage]:
    workbench.settings.update(default_model=str(chain))
    made = RunPage(RunState(workbench, Bridge(), tasks))
    show(made, 1200, 740)
    qtbot.waitUntil(
        lambda: bool(made.state.view.choices.models) and workbench.engine_state.status == "ready", timeout=20_000
    )
    made.state.set_knob("temperature", 0.0)
    made.state.set_knob("max_tokens", 8)
    yield made
    made.save_view()


def popup_of(page: RunPage) -> AdvancedPopup:
    return next(popup for popup in page.findChildren(AdvancedPopup) if popup.isVisible())


def open_popup(qtbot: QtBot, page: RunPage) -> AdvancedPopup:
    qtbot.mouseClick(page.knobs.advanced, Qt.MouseButton.LeftButton)
    return popup_of(page)


def add(qtbot: QtBot, page: RunPage, monkeypatch: pytest.MonkeyPatch, file: Path) -> AdvancedPopup:
    """Opens the panel, clicks on Add and chooses the file; the panel stays."""
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_, **__: ([str(file)], ""))
    popup = open_popup(qtbot, page)
    qtbot.mouseClick(popup.adapters.add, Qt.MouseButton.LeftButton)
    return popup


def add_and_wait(qtbot: QtBot, page: RunPage, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    before = len(page.state.view.values.adapters)
    popup = add(qtbot, page, monkeypatch, file)
    qtbot.waitUntil(lambda: len(page.state.view.values.adapters) == before + 1, timeout=10_000)
    popup.close()


def scale_of(popup: AdvancedPopup, name: str) -> QDoubleSpinBox:
    return next(f for f in popup.findChildren(QDoubleSpinBox) if f.accessibleName() == f"Scale of {name}")


def ask(qtbot: QtBot, page: RunPage) -> str:
    """Types a question, clicks Run and returns the answer."""
    qtbot.keyClicks(page.composer.edit, "say")
    with qtbot.waitSignal(page.state.run_finished, timeout=20_000):
        qtbot.mouseClick(page.composer.button, Qt.MouseButton.LeftButton)
    return page.transcript.answers[-1].view.source()


def test_an_adapter_is_chosen_weighed_and_removed(
    qtbot: QtBot, page: RunPage, monkeypatch: pytest.MonkeyPatch, six: Path
) -> None:
    assert ask(qtbot, page) == "one two"
    page.state.new_chat()
    add_and_wait(qtbot, page, monkeypatch, six)
    assert page.knobs.knobs["model"].consequence().startswith("next run loads six.gguf (")
    assert page.knobs.advanced.text() == "1 LoRA"
    assert "six.gguf" in page.knobs.advanced.toolTip()
    assert ask(qtbot, page) == "one six"
    page.state.new_chat()

    popup = open_popup(qtbot, page)
    scale = scale_of(popup, "six.gguf")
    assert (scale.minimum(), scale.maximum(), scale.singleStep(), scale.value()) == (0.0, 2.0, 0.05, 1.0)
    scale.setFocus()
    scale.selectAll()
    qtbot.keyClicks(scale, "0.25")
    qtbot.keyClick(scale, Qt.Key.Key_Return)
    assert page.state.view.values.adapters[0].scale == 0.25
    assert popup.fact.text() == "Next run: applies at once; the prompt is read again"
    assert scale_of(popup, "six.gguf") is scale, "typing keeps the field"
    popup.close()
    assert ask(qtbot, page) == "one two"
    page.state.new_chat()

    popup = open_popup(qtbot, page)
    remove = next(b for b in popup.findChildren(QToolButton) if b.accessibleName() == "Remove six.gguf")
    qtbot.mouseClick(remove, Qt.MouseButton.LeftButton)
    assert page.state.view.values.adapters == ()
    assert page.knobs.advanced.text() == ""
    popup.close()


def test_the_panel_stays_open_while_adapters_are_added(
    qtbot: QtBot, page: RunPage, monkeypatch: pytest.MonkeyPatch, six: Path, foreign: Path
) -> None:
    shown_meanwhile: list[bool] = []
    popup = open_popup(qtbot, page)
    place = popup.pos()

    def choose(*_: object, **__: object) -> tuple[list[str], str]:
        shown_meanwhile.append(popup.isVisible())
        return [str(six), str(foreign)], ""

    monkeypatch.setattr(QFileDialog, "getOpenFileNames", choose)
    qtbot.mouseClick(popup.adapters.add, Qt.MouseButton.LeftButton)
    assert shown_meanwhile == [False], "a panel on top of the dialog would catch its clicks"
    assert popup.isVisible()
    assert (popup.pos() - place).manhattanLength() < 8
    qtbot.waitUntil(lambda: len(page.state.view.values.adapters) == 2, timeout=10_000)
    assert popup_of(page) is popup
    assert scale_of(popup, "six.gguf").isVisible()
    assert popup.fact.text().startswith("Next run: ")
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_, **__: ([], ""))
    qtbot.mouseClick(popup.adapters.add, Qt.MouseButton.LeftButton)
    assert popup.isVisible(), "also when nothing was chosen"
    popup.close()
    qtbot.waitUntil(lambda: not page.findChildren(AdvancedPopup))


def test_an_adapter_of_another_model_is_said_where_errors_are_and_one_click_runs_without_it(
    qtbot: QtBot, page: RunPage, monkeypatch: pytest.MonkeyPatch, foreign: Path
) -> None:
    add_and_wait(qtbot, page, monkeypatch, foreign)
    ask(qtbot, page)
    assert page.problem.isVisible()
    assert page.problem.text().startswith("The adapter foreign.gguf belongs to another model: ")
    assert page.problem.action_text() == "Run without it"
    with qtbot.waitSignal(page.state.run_finished, timeout=20_000):
        qtbot.mouseClick(page.problem._action, Qt.MouseButton.LeftButton)
    assert page.transcript.answers[-1].view.source() == "one two"
    assert page.state.view.values.adapters == ()
    assert not page.problem.isVisible()


def test_files_that_are_no_adapters_are_refused(
    qtbot: QtBot, page: RunPage, monkeypatch: pytest.MonkeyPatch, chain: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing else")
    for file, says in ((chain, "it is a model, not an adapter"), (broken, "broken.gguf cannot be used as an adapter")):
        add(qtbot, page, monkeypatch, file).close()
        qtbot.waitUntil(lambda says=says: page.problem.isVisible() and says in page.problem.text(), timeout=10_000)
    assert page.state.view.values.adapters == ()


def test_the_same_adapter_is_not_added_twice(
    qtbot: QtBot, page: RunPage, monkeypatch: pytest.MonkeyPatch, six: Path
) -> None:
    add_and_wait(qtbot, page, monkeypatch, six)
    add(qtbot, page, monkeypatch, six).close()
    qtbot.waitUntil(page.problem.isVisible, timeout=10_000)
    assert page.problem.text() == "six.gguf is in the list of adapters already."
    assert len(page.state.view.values.adapters) == 1


def test_an_adapter_that_is_dropped_on_the_question_is_added(qtbot: QtBot, page: RunPage, six: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(six))])
    page.composer.edit.insertFromMimeData(mime)
    qtbot.waitUntil(lambda: len(page.state.view.values.adapters) == 1, timeout=10_000)
    (adapter,) = page.state.view.values.adapters
    assert Path(adapter.path) == six
    assert page.state.view.attachment is None
    assert page.knobs.advanced.text() == "1 LoRA"


def test_another_model_takes_the_adapters_away(qtbot: QtBot, page: RunPage, six: Path) -> None:
    page.state.add_adapter(six)
    qtbot.waitUntil(lambda: len(page.state.view.values.adapters) == 1, timeout=10_000)
    combo = page.knobs.model
    index = next(i for i in range(combo.count()) if "demo" in str(combo.itemData(i)).lower())
    combo.setCurrentIndex(index)
    combo.activated.emit(index)
    assert page.state.view.values.adapters == ()
    qtbot.waitUntil(lambda: page.state.view.choices.is_demo, timeout=10_000)


def test_a_run_of_the_history_brings_its_adapters_back(
    qtbot: QtBot, page: RunPage, monkeypatch: pytest.MonkeyPatch, six: Path
) -> None:
    add_and_wait(qtbot, page, monkeypatch, six)
    page.state.set_knob("adapters", (Adapter(str(six), 2.5),))
    assert ask(qtbot, page) == "one six"
    record = page.state.view.turns[-1].record
    assert record is not None
    page.state.set_knob("adapters", ())
    page.rerun(record.id)
    assert [(Path(item.path), item.scale) for item in page.state.view.values.adapters] == [(six, 2.5)]
    popup = open_popup(qtbot, page)
    assert scale_of(popup, "six.gguf").value() == 2.5
    assert page.state.view.values.adapters[0].scale == 2.5, "showing it changes nothing"
    popup.close()


def test_an_adapter_that_is_gone_is_said_and_can_be_left_out(
    qtbot: QtBot, page: RunPage, six: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(six.read_bytes())
    page.state.add_adapter(copy)
    qtbot.waitUntil(lambda: len(page.state.view.values.adapters) == 1, timeout=10_000)
    context = page.knobs.context.currentText()
    copy.unlink()
    page.state.set_knob("seed", 8)
    assert page.knobs.context.currentText() == context != ""
    assert "no adapter file" in page.knobs.knobs["model"].consequence()
    qtbot.keyClicks(page.composer.edit, "say")
    qtbot.mouseClick(page.composer.button, Qt.MouseButton.LeftButton)
    assert "no adapter file" in page.problem.text()
    assert page.problem.action_text() == "Run without it"
    with qtbot.waitSignal(page.state.run_finished, timeout=20_000):
        qtbot.mouseClick(page.problem._action, Qt.MouseButton.LeftButton)
    assert page.transcript.answers[-1].view.source() == "one two"


def test_the_panel_is_gone_when_it_closes(qtbot: QtBot, page: RunPage) -> None:
    for _ in range(3):
        open_popup(qtbot, page).close()
    qtbot.waitUntil(lambda: not page.findChildren(AdvancedPopup))
