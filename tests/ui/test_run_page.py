"""The Run page with real clicks and keys on the scripted engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QComboBox, QDialog, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.fakes.scripted_engine import Script, ScriptedEngine
from ui import theme
from ui.bridge import Bridge
from ui.pages.run import RunPage
from ui.state.run import RunState
from ui.tasks import Tasks
from ui.widgets.metric_tile import MetricTile
from ui.widgets.prompt_view import PromptDialog, kinds_of
from workbench.core import Workbench
from workbench.errors import EngineCrashed, PromptTooLong
from workbench.runs.record import Dropped

Show = Callable[..., QWidget]
SLOW = Script(words=[f"word{i} " for i in range(2000)], itl_ms=5, prefill_ms=20, real_time=True)


class RecordingEngine(ScriptedEngine):
    """Remembers which requests were told to answer now."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hurried: list[str] = []

    def answer_now(self, request_id: str) -> None:
        self.hurried.append(request_id)


@pytest.fixture
def engine() -> RecordingEngine:
    return RecordingEngine()


@pytest.fixture
def page(qtbot: QtBot, workbench: Workbench, tasks: Tasks, show: Show) -> Iterator[RunPage]:
    made = RunPage(RunState(workbench, Bridge(), tasks))
    show(made, 1200, 740)
    qtbot.waitUntil(
        lambda: bool(made.state.view.choices.models) and workbench.engine_state.status == "ready", timeout=10_000
    )
    yield made
    made.save_view()


def ask(qtbot: QtBot, page: RunPage, text: str = "hello", wait: bool = True) -> None:
    """Types and clicks Run."""
    page.composer.edit.setFocus()
    qtbot.keyClicks(page.composer.edit, text)
    if not wait:
        qtbot.mouseClick(page.composer.button, Qt.MouseButton.LeftButton)
        return
    with qtbot.waitSignal(page.state.run_finished, timeout=15_000):
        qtbot.mouseClick(page.composer.button, Qt.MouseButton.LeftButton)


def test_typing_and_run_streams_and_shows_the_scripted_figures(
    qtbot: QtBot, page: RunPage, engine: RecordingEngine
) -> None:
    engine.scripts = [Script(words=["Hello", " **world**", "."], prefill_ms=100, itl_ms=25)]
    ask(qtbot, page)
    answer = page.transcript.answers[-1]
    assert answer.view.source() == "Hello **world**."
    assert answer.view.plain_text() == "Hello world."
    assert page.transcript.questions[-1].view.source() == "hello"
    assert page.composer.text() == ""
    assert page.metrics.speed.value_text() == "40.0 tok/s"
    assert page.metrics.itl.value_text() == "25 ms"
    assert page.metrics.ttft.value_text().startswith("1")
    assert page.metrics.prefill.value_text() == "120 tok/s"
    assert page.context.count.text().startswith("15 of ")
    assert "3 tokens in" in answer.footer.text()


def test_enter_sends_and_shift_enter_makes_a_line(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    edit = page.composer.edit
    qtbot.keyClicks(edit, "one")
    qtbot.keyClick(edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(edit, "two")
    assert edit.toPlainText() == "one\ntwo"
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert engine.requests[-1].messages[-1].content == "one\ntwo"


def test_the_same_button_stops_and_keeps_the_text_so_far(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    engine.scripts = [SLOW]
    ask(qtbot, page, wait=False)
    assert page.composer.button.text() == "Stop"
    qtbot.waitUntil(lambda: len(page.transcript.answers[-1].view.source()) > 50, timeout=10_000)
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.mouseClick(page.composer.button, Qt.MouseButton.LeftButton)
    assert page.composer.button.text() == "Run"
    assert page.transcript.answers[-1].pill.text() == "stopped"
    assert page.transcript.answers[-1].view.source().startswith("word0 word1 ")


def test_escape_stops(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    engine.scripts = [SLOW]
    ask(qtbot, page, wait=False)
    qtbot.waitUntil(lambda: page.state.view.phase == "answering", timeout=10_000)
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000) as finished:
        qtbot.keyClick(page.composer.edit, Qt.Key.Key_Escape)
    assert finished.args[0].status == "cancelled"


def test_thoughtful_folds_the_thinking_and_enter_opens_it(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    engine.scripts = [Script(thoughts=["Let", " me", " see."], words=["It is 100."], prefill_ms=100, itl_ms=20)]
    mode = page.knobs.mode
    mode.setFocus()
    qtbot.keyClick(mode, Qt.Key.Key_Right)
    assert page.state.view.values.mode == "thoughtful"
    ask(qtbot, page)
    fold = page.transcript.answers[-1].fold
    assert fold.line.text().startswith("Thought for 60 ms  3 tokens, first answer token at 1")
    assert not fold.view.isVisible()
    fold.line.setFocus()
    qtbot.keyClick(fold.line, Qt.Key.Key_Return)
    assert fold.view.isVisible()
    assert fold.view.source() == "Let me see."
    assert page.transcript.answers[-1].view.source() == "It is 100."
    assert page.metrics.ttfa.value_text() != "—"
    assert engine.requests[-1].chat.thinking == "on"


def test_answer_now_is_there_while_it_thinks(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    engine.scripts = [Script(thoughts=["so "] * 400, words=["done"], itl_ms=5, prefill_ms=5, real_time=True)]
    assert not page.composer.answer_now.isVisible()
    ask(qtbot, page, wait=False)
    qtbot.waitUntil(page.composer.answer_now.isVisible, timeout=10_000)
    qtbot.waitUntil(lambda: "so so" in page.transcript.answers[-1].fold.line.text(), timeout=10_000)
    qtbot.mouseClick(page.composer.answer_now, Qt.MouseButton.LeftButton)
    assert engine.hurried == [engine.requests[-1].id]
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.mouseClick(page.composer.button, Qt.MouseButton.LeftButton)
    assert not page.composer.answer_now.isVisible()


def test_an_error_shows_its_sentence_and_the_button_mends_it(
    qtbot: QtBot, page: RunPage, engine: RecordingEngine
) -> None:
    sentence = "The prompt has 600 tokens and the context holds 512."
    engine.scripts = [Script(error=PromptTooLong(sentence)), Script()]
    page.state.set_knob("context_length", 512)
    ask(qtbot, page)
    assert page.problem.isVisible()
    assert page.problem.text() == sentence
    assert page.problem.action_text() == "Use 1k context"
    assert page.transcript.answers[-1].pill.text() == "failed"
    button = next(b for b in page.problem.findChildren(QPushButton) if b.text() == "Use 1k context")
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert not page.problem.isVisible()
    assert page.knobs.context.currentText() == "1,024"
    assert len(page.transcript.answers) == 1
    assert page.transcript.answers[-1].view.source() == "Hello world."


def test_a_crash_offers_to_try_again(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    engine.scripts = [Script(error=EngineCrashed("The engine ended unexpectedly."), fail_after=2)]
    ask(qtbot, page)
    assert page.problem.action_text() == "Try again"
    assert page.transcript.answers[-1].view.source() == "Hello world", "the text so far stays"


def test_what_was_cut_is_loud_and_shown(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    engine.scripts = [Script(dropped=Dropped("drop_oldest", 612, 3, "three turns were left out"))]
    ask(qtbot, page)
    assert page.problem.isVisible()
    assert "612 tokens were cut" in page.problem.text()
    button = next(b for b in page.problem.findChildren(QPushButton) if b.text() == "What the model saw")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    dialog = page.findChild(PromptDialog)
    assert isinstance(dialog, QDialog)
    assert dialog.isVisible()
    assert dialog.tokens.toPlainText().startswith("t0t1t2")
    assert "612 tokens were cut" in dialog.notice.text()
    assert dialog.summary.text().startswith("12 tokens of a context of")
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_token_borders_alternate_and_special_tokens_are_marked(qtbot: QtBot) -> None:
    pieces = ("<|im_start|>", "user", "\n", "Hello", " world", "<|im_end|>", "extra")
    dialog = PromptDialog(pieces, [("template", 3), ("question", 2), ("template", 1)], 100, 0)
    qtbot.addWidget(dialog)
    assert dialog.tokens.toPlainText() == "<|im_start|>user↵\nHello world<|im_end|>extra"
    first = dialog.tokens.document().find("Hello").charFormat()
    second = dialog.tokens.document().find(" world").charFormat()
    assert first.background().color() != second.background().color()
    special = dialog.tokens.document().find("<|im_end|>").charFormat()
    assert special.fontWeight() == 700
    assert special.toolTip() == "Token 6, special token, template: '<|im_end|>'"
    assert kinds_of([("question", 2)], 3) == ["question", "question", "template"]


def test_token_borders_follow_the_theme(qtbot: QtBot) -> None:
    dialog = PromptDialog(("a", "b"), [("question", 2)], 512, 0)
    qtbot.addWidget(dialog)

    def colour() -> str:
        fragment = dialog.tokens.document().begin().begin().fragment()
        return fragment.charFormat().foreground().color().name()

    dark = colour()
    theme.current().set_choice("light")
    assert colour() == theme.current().hex("text") != dark
    assert dialog.tokens.toPlainText() == "ab"


def test_closing_during_a_run_ends_it_as_cancelled(
    qtbot: QtBot, page: RunPage, engine: RecordingEngine, workbench: Workbench
) -> None:
    engine.scripts = [SLOW]
    ask(qtbot, page, wait=False)
    qtbot.waitUntil(lambda: page.state.view.phase == "answering", timeout=10_000)
    page.save_view()
    page.close()
    run_id = workbench.history.list(1)[0].id
    workbench.close()
    reopened = Workbench.open(make_engine=lambda *_: ScriptedEngine())
    assert reopened.history.get(run_id).status == "cancelled"
    assert reopened.history.get(run_id).text.startswith("word0 ")
    reopened.close()


def test_regenerate_replaces_the_answer(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    engine.scripts = [Script(words=["first"]), Script(words=["second"])]
    ask(qtbot, page)
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.mouseClick(page.transcript.answers[-1].regenerate_button, Qt.MouseButton.LeftButton)
    assert [answer.view.source() for answer in page.transcript.answers] == ["second"]
    assert page.seed.text() == "seed 8"


def test_edit_and_send_again(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    ask(qtbot, page, "one")
    ask(qtbot, page, "two")
    question = page.transcript.questions[0]
    qtbot.mouseClick(question.edit_button, Qt.MouseButton.LeftButton)
    editor = question._editor
    assert editor is not None
    qtbot.keyClicks(editor.edit, "one, changed")
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.keyClick(editor.edit, Qt.Key.Key_Return)
    assert [q.view.source() for q in page.transcript.questions] == ["one, changed"]


def test_new_chat_empties_the_conversation(qtbot: QtBot, page: RunPage) -> None:
    ask(qtbot, page)
    assert not page.suggestions.isVisible()
    qtbot.keyClick(page, Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier)
    qtbot.mouseClick(page.new_chat, Qt.MouseButton.LeftButton)
    assert page.suggestions.isVisible()
    assert not page.transcript.answers
    assert page.composer.edit.hasFocus()


def test_a_suggestion_asks(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.mouseClick(page.suggestions.buttons[0], Qt.MouseButton.LeftButton)
    assert engine.requests[-1].messages[-1].content == page.suggestions.buttons[0].text()


def test_the_banner_is_closed_for_good(qtbot: QtBot, page: RunPage, workbench: Workbench) -> None:
    assert page.banner.isVisible()
    close = next(b for b in page.banner.findChildren(QAbstractButton) if b.accessibleName().startswith("Close"))
    qtbot.mouseClick(close, Qt.MouseButton.LeftButton)
    assert not page.banner.isVisible()
    assert workbench.settings.current.banner_dismissed


def test_scroll_position_is_kept_when_the_reader_has_scrolled_up(
    qtbot: QtBot, page: RunPage, engine: RecordingEngine
) -> None:
    engine.scripts = [Script(words=[f"line {i}\n\n" for i in range(3000)], itl_ms=2, prefill_ms=5, real_time=True)]
    page.state.set_knob("max_tokens", 3000)
    ask(qtbot, page, wait=False)
    bar = page.transcript.area.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 800, timeout=15_000)
    assert bar.value() == bar.maximum(), "it follows the newest words"
    bar.setValue(100)
    assert page.transcript.jump.isVisible()
    grown = bar.maximum()
    qtbot.waitUntil(lambda: bar.maximum() > grown + 200, timeout=15_000)
    assert bar.value() == 100
    qtbot.mouseClick(page.transcript.jump, Qt.MouseButton.LeftButton)
    grown = bar.maximum()
    qtbot.waitUntil(lambda: bar.maximum() > grown, timeout=15_000)
    assert bar.maximum() - bar.value() < 30
    assert not page.transcript.jump.isVisible()
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.mouseClick(page.composer.button, Qt.MouseButton.LeftButton)


def test_a_dropped_file_becomes_context(qtbot: QtBot, page: RunPage, engine: RecordingEngine, tmp_path: object) -> None:
    path = tmp_path / "report.md"  # type: ignore[operator]
    path.write_text("the numbers", encoding="utf-8")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    page.composer.edit.insertFromMimeData(data)
    assert page.composer.chip.isVisible()
    assert page.composer.chip.text() == "report.md"
    ask(qtbot, page, "what is in it")
    assert engine.requests[-1].messages[-1].document == "the numbers"
    assert not page.composer.chip.isVisible()


def test_knobs_rest_during_a_run_and_choices_apply(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    context = page.knobs.context
    context.setFocus()
    index = context.findText("1,024")
    qtbot.keyClick(context, Qt.Key.Key_Home)
    while context.currentIndex() < index:
        qtbot.keyClick(context, Qt.Key.Key_Down)
    assert page.state.view.values.context_length == 1024
    assert page.knobs.knobs["context_length"].consequence().startswith("new context")
    engine.scripts = [SLOW]
    ask(qtbot, page, wait=False)
    assert not page.knobs.model.isEnabled()
    qtbot.waitUntil(lambda: page.state.figures.metrics.output_tokens > 0, timeout=10_000)
    with qtbot.waitSignal(page.state.run_finished, timeout=10_000):
        qtbot.mouseClick(page.composer.button, Qt.MouseButton.LeftButton)
    assert page.knobs.model.isEnabled()
    assert engine.loads[-1][1].context_length == 1024


def test_a_looked_at_choice_tells_its_consequence_before_it_is_made(qtbot: QtBot, page: RunPage) -> None:
    quantization = page.knobs.quantization
    quantization.showPopup()
    quantization.view().setCurrentIndex(quantization.model().index(1, 0))
    quantization.highlighted.emit(1)
    said = page.knobs.knobs["quantization"].consequence()
    assert said.startswith(f"{quantization.itemText(1)}: ")
    assert page.state.view.values.quantization is None
    quantization.hidePopup()
    assert not page.knobs.knobs["quantization"].consequence().startswith(f"{quantization.itemText(1)}: ")


def test_metrics_become_a_strip_in_a_narrow_window(qtbot: QtBot, page: RunPage) -> None:
    page.resize(1200, 740)
    qtbot.waitUntil(lambda: page.metrics.x() > page.transcript.x())
    page.resize(940, 600)
    qtbot.waitUntil(lambda: page.metrics.width() > 800)
    tops = {tile.mapTo(page, QPoint(0, 0)).y() for tile in page.metrics.tiles.values()}
    assert len(tops) == 1
    page.resize(1200, 740)
    qtbot.waitUntil(lambda: page.metrics.width() < 400)


def test_a_tile_pins_its_chart(qtbot: QtBot, page: RunPage) -> None:
    ask(qtbot, page)
    qtbot.mouseClick(page.metrics.speed, Qt.MouseButton.LeftButton)
    assert page.chart.isVisible()
    assert page.chart.key == "speed"
    qtbot.mouseClick(page.chart.close_button, Qt.MouseButton.LeftButton)
    assert not page.chart.isVisible()


def test_the_answer_is_copied_as_the_model_wrote_it(qtbot: QtBot, page: RunPage, engine: RecordingEngine) -> None:
    engine.scripts = [Script(words=["**Hello**", " `world`"])]
    ask(qtbot, page)
    qtbot.mouseClick(page.transcript.answers[-1].copy_button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "**Hello** `world`"


def test_every_control_has_a_name(qtbot: QtBot, page: RunPage) -> None:
    ask(qtbot, page)
    for control in page.findChildren(QWidget):
        if isinstance(control, QAbstractButton | QComboBox | MetricTile) and control.isVisible():
            name = control.accessibleName() or (control.text() if isinstance(control, QAbstractButton) else "")
            assert name, f"{control!r} of {control.parent()!r} has no name"


def test_run_again_fills_the_composer(qtbot: QtBot, page: RunPage, workbench: Workbench) -> None:
    ask(qtbot, page, "asked before")
    page.rerun(workbench.history.list(1)[0].id)
    assert page.composer.text() == "asked before"
    assert not page.transcript.answers
