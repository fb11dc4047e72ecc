"""The Run page: a conversation with a model beside the figures of each answer."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QActionGroup, QKeyEvent, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from ui import theme
from ui.definitions import define
from ui.pages.run_advanced import AdvancedPopup, CostPopup, SystemPromptPopup
from ui.pages.run_chart import RunChart
from ui.pages.run_knobs import KnobStrip
from ui.pages.run_metrics import TOPICS, MetricColumn
from ui.pages.run_words import answer_footer, budget_text, phase_pill, thinking_line
from ui.state.run import RunState
from ui.state.run_view import Turn
from ui.widgets.composer import Composer
from ui.widgets.context_bar import ContextBar
from ui.widgets.notice import Notice
from ui.widgets.pill_button import PillButton
from ui.widgets.prompt_view import PromptDialog
from ui.widgets.suggestions import Suggestions
from ui.widgets.transcript import Transcript
from ui.widgets.turn_view import AnswerTurn
from workbench.runs.record import RunRecord

STRIP_BELOW = 1100 - 76  # the window's 1100 px without the rail
KNOBS_BESIDE_FROM = 1180  # where the knobs fit beside the column of figures, which then is tall enough
BANNER = (
    "This is the demo model: trained on sentences written for this program; "
    "use it to learn the controls, not to judge models."
)
SHORT_BANNER = "Demo model: use it to learn the controls, not to judge models."
BANNER_SHORT_BELOW = 900  # where the sentence would take two lines
BANNER_FROM_HEIGHT = 590  # in a lower page its room belongs to the conversation
SUGGESTIONS = (
    "Why does context length cost memory?",
    "What is 47 + 38 + 15?",
    "What is time to first token?",
    "When is a small model enough?",
)


class RunPage(QWidget):
    busy_changed = Signal(bool)
    term_requested = Signal(str)

    def __init__(self, state: RunState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "page")
        self.state = state
        self._answer: AnswerTurn | None = None
        self._was_shown = self._was_running = False
        self.surface, self.seed = PillButton("", "Surface"), PillButton("", "Seed")
        self.system, self.new_chat = PillButton("System prompt", "System prompt"), PillButton("New chat", "")
        self.banner, self.problem = Notice(), Notice()
        self.knobs = KnobStrip(state)
        self.suggestions = Suggestions("Ask the model something", SUGGESTIONS)
        self.transcript = Transcript(self.suggestions)
        self.metrics = MetricColumn(state.glossary)
        self.chart = RunChart()
        self.context = ContextBar()
        self.composer = Composer()
        self.setFocusProxy(self.composer.edit)
        self._lay_out()
        self._make_menus()
        self._connect_state()
        self._connect_widgets()
        self._add_shortcuts()
        self._on_state_changed()
        self._on_figures_changed()

    # --- building ----------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        title = QLabel("Run")
        theme.set_role(title, "title")
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(title)
        head.addStretch(1)
        for pill in (self.new_chat, self.system, self.surface, self.seed):
            head.addWidget(pill)
        self._strip_slot = QVBoxLayout()
        left = QVBoxLayout()
        left.setSpacing(10)
        self._knobs_beside = QVBoxLayout()
        left.addLayout(self._knobs_beside)
        left.addLayout(self._strip_slot)
        left.addWidget(self.banner)
        left.addWidget(self.transcript, 1)
        left.addWidget(self.chart)
        left.addWidget(self.problem)
        left.addWidget(self.context)
        left.addWidget(self.composer)
        self._column_slot = QVBoxLayout()
        body = QHBoxLayout()
        body.setSpacing(14)
        body.addLayout(left, 1)
        body.addLayout(self._column_slot)
        box = QVBoxLayout(self)
        box.setContentsMargins(18, 10, 18, 10)
        box.setSpacing(10)
        box.addLayout(head)
        self._knobs_above = QVBoxLayout()
        box.addLayout(self._knobs_above)
        box.addLayout(body, 1)
        self._knobs_above.addWidget(self.knobs)
        self._column_slot.addWidget(self.metrics)
        self.chart.hide()

    def _make_menus(self) -> None:
        self._surface_menu = QMenu(self)
        self._surface_group = QActionGroup(self)
        self.surface.setMenu(self._surface_menu)
        self._seed_menu = QMenu(self)
        self._seed_menu.addAction("Next seed", lambda: self._set_seed(self.state.view.values.seed + 1))
        self._seed_menu.addAction("Seed 7, the default", lambda: self._set_seed(7))
        self._seed_menu.addAction("Choose…", self._on_seed_chosen)
        self.seed.setMenu(self._seed_menu)
        for pill in (self.surface, self.seed):
            pill.refresh()
        glossary = self.state.glossary
        for widget, topic in ((self.surface, "surface"), (self.seed, "seed"), (self.system, "system"),
                              (self.context.title, "contextused")):  # fmt: skip
            define(widget, glossary.topic(topic))
        self.new_chat.setToolTip("New chat (Ctrl+N)")

    def _connect_state(self) -> None:
        state = self.state
        state.changed.connect(self._on_state_changed)
        state.figures_changed.connect(self._on_figures_changed)
        state.run_started.connect(self._on_run_started)
        state.tokens_arrived.connect(self._on_tokens_arrived)
        state.run_finished.connect(self._on_run_finished)
        state.conversation_replaced.connect(self._on_conversation_replaced)
        state.prompt_offered.connect(self._on_prompt_offered)

    def _connect_widgets(self) -> None:
        state, composer = self.state, self.composer
        composer.submitted.connect(state.start)
        composer.stop_clicked.connect(state.stop)
        composer.answer_now_clicked.connect(state.answer_now)
        composer.attach_clicked.connect(self._on_attach_clicked)
        composer.attachment_removed.connect(state.remove_attachment)
        composer.files_dropped.connect(lambda paths: state.attach(Path(paths[0])))
        composer.edit.escaped.connect(state.stop)
        self.suggestions.chosen.connect(self._on_suggestion_chosen)
        self.transcript.question_edited.connect(state.edit_and_resend)
        self.transcript.regenerate_clicked.connect(state.regenerate)
        self.knobs.open_file_clicked.connect(self._on_open_file_clicked)
        self.knobs.advanced.clicked.connect(lambda: AdvancedPopup(state, self).show_under(self.knobs.advanced))
        self.system.clicked.connect(lambda: SystemPromptPopup(state, self).show_under(self.system))
        self.new_chat.clicked.connect(self._on_new_chat)
        self.metrics.chart_requested.connect(self._on_chart_requested)
        self.metrics.term_requested.connect(self.term_requested)
        self.chart.closed.connect(lambda: self._pin(None))
        self.chart.explain_clicked.connect(lambda: self.term_requested.emit(TOPICS[self.chart.key or "ttft"]))
        self.context.shown_clicked.connect(self.show_prompt)
        self.banner.closed.connect(state.dismiss_banner)
        self.problem.action_clicked.connect(self._on_problem_action)
        self.problem.closed.connect(state.dismiss_problem)

    def _add_shortcuts(self) -> None:
        for keys, slot in (
            ("Ctrl+L", self.composer.edit.setFocus),
            ("Ctrl+R", self.state.regenerate),
            ("Ctrl+N", self._on_new_chat),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(slot)

    # --- for the shell -----------------------------------------------------------------------------------

    def rerun(self, run_id: str) -> None:
        """Puts a run of history back: knobs, conversation and question; Enter runs it again."""
        self.state.load_run(run_id)

    def save_view(self) -> None:
        """The window closes."""
        self.state.close()

    # --- what the state tells ----------------------------------------------------------------------------

    def _on_state_changed(self) -> None:
        view = self.state.view
        self.knobs.refresh()
        self._show_surfaces()
        self.seed.show_text(f"seed {view.values.seed}")
        self.system.show_text("system prompt: set" if view.values.system else "system prompt")
        self.composer.set_running(view.is_running)
        self.composer.set_can_answer_now(view.phase == "thinking")
        self.composer.set_attachment(view.attachment.name if view.attachment else None)
        self.composer.set_budget(budget_text(self.state.surface))
        self.transcript.set_can_edit(not view.is_running)
        self.new_chat.setEnabled(not view.is_running)
        self.context.set_can_show(view.prompt is not None)
        self._show_problem()
        self._show_banner()
        self._show_phase()
        if view.is_running != self._was_running:
            self._was_running = view.is_running
            self.busy_changed.emit(view.is_running)

    def _on_run_started(self, turn: Turn) -> None:
        self.composer.clear()
        self._answer = self._add_turn(turn)
        self._answer.view.glyph_painted.connect(self.state.note_painted)
        self._answer.fold.line.glyph_painted.connect(self.state.note_painted)
        self.transcript.follow()

    def _add_turn(self, turn: Turn) -> AnswerTurn:
        self.transcript.add_question(turn.question, turn.attachment.name if turn.attachment else None)
        return self.transcript.add_answer(self.state.view.model_title or "Model")

    def _on_tokens_arrived(self, pieces: list[tuple[str, str]]) -> None:
        if self._answer is None:
            return
        for part, text in pieces:
            if part == "thinking":
                self._answer.append_thinking(text)
            else:
                if self._answer.fold.isVisibleTo(self._answer) and not self._answer.view.source():
                    self._finish_thinking()
                self._answer.append_answer(text)

    def _on_run_finished(self, record: RunRecord) -> None:
        answer = self._answer
        if answer is None:
            return
        self._finish_thinking()
        answer.finish(record.text if record.status == "finished" else None)
        self._show_end(answer, record)
        self.transcript.set_can_edit(True)
        self.composer.edit.setFocus()

    def _show_end(self, answer: AnswerTurn, record: RunRecord) -> None:
        answer.set_footer(answer_footer(record))
        ends = {"failed": ("failed", "bad"), "cancelled": ("stopped", "warn")}
        answer.set_pill(*ends.get(record.status, ("", "dim")))

    def _finish_thinking(self) -> None:
        if self._answer is not None and self._answer.fold.view.source():
            self._answer.fold.finish(*thinking_line(self.state.figures.metrics))

    def _on_figures_changed(self) -> None:
        state = self.state
        self.metrics.show_figures(state.figures, state.previous, state.surface)
        self.chart.show_figures(state.figures, state.previous, state.surface, state.view.records)
        amounts: dict[str, int] = {}
        for segment in state.figures.segments:
            amounts[segment.kind] = amounts.get(segment.kind, 0) + segment.tokens
        amounts["thinking"], amounts["answer"] = state.figures.context_thinking, state.figures.context_answer
        spec_length = state.figures.context_length or (state.load.context_length if state.load else None)
        self.context.set_amounts(amounts, spec_length)
        self._show_phase()
        if self._answer is not None and state.figures.is_final and self._answer.fold.view.source():
            self._finish_thinking()

    def _on_conversation_replaced(self) -> None:
        self.transcript.clear()
        self._answer = None
        for turn in self.state.view.turns:
            answer = self._add_turn(turn)
            if turn.record is not None and turn.record.thinking:
                answer.append_thinking(turn.record.thinking)
                answer.fold.finish(*thinking_line(turn.record.metrics))
            answer.append_answer(turn.text)
            answer.finish()
            if turn.record is not None:
                self._show_end(answer, turn.record)
        if not self.state.view.turns:
            self.suggestions.show()

    def _on_prompt_offered(self, question: str) -> None:
        self.composer.set_text(question)
        self.composer.edit.setFocus()

    # --- showing -----------------------------------------------------------------------------------------

    def _show_phase(self) -> None:
        view = self.state.view
        if self._answer is not None and view.is_running and not self._answer.is_done:
            self._answer.set_pill(*phase_pill(view, self.state.figures))
            if view.phase == "drafting":
                self._answer.fold.show()
                self._answer.fold.set_progress(f"Working, {view.phase_text}")

    def _show_problem(self) -> None:
        problem = self.state.view.problem
        if problem is None:
            self.problem.hide()
            return
        self.problem.show_message(problem.tone, problem.text, problem.action_text)
        self.problem.setToolTip(problem.detail or "")

    def _show_banner(self) -> None:
        """Only while the model is the demo model, which it is until the choices are read on a first start."""
        choices = self.state.view.choices
        is_wanted = not self.state.is_banner_dismissed and (choices.is_demo or not choices.models)
        text = SHORT_BANNER if self.width() < BANNER_SHORT_BELOW else BANNER
        if not is_wanted or self.height() < BANNER_FROM_HEIGHT:
            self.banner.hide()
        elif not self.banner.isVisibleTo(self) or self.banner.text() != text:
            self.banner.show_message("info", text)

    def _show_surfaces(self) -> None:
        view = self.state.view
        current = next((item.text for item in view.choices.surfaces if item.key == view.values.surface), None)
        self.surface.show_text(f"surface: {(current or view.values.surface or 'chat').lower()}")
        if [action.data() for action in self._surface_menu.actions()] == [item.key for item in view.choices.surfaces]:
            return
        self._surface_menu.clear()
        for item in view.choices.surfaces:
            action = self._surface_menu.addAction(item.text)
            action.setData(item.key)
            action.setToolTip(item.note)
            action.triggered.connect(lambda _=False, key=item.key: self._set_surface(key))

    def show_prompt(self) -> None:
        """Opens "What the model saw"."""
        prompt = self.state.view.prompt
        if prompt is None:
            return
        cut = prompt.dropped
        said = None
        if cut is not None:
            said = f"{cut.tokens:,} tokens were cut and are not below: {cut.description or cut.policy}."
        segments = [(segment.kind, segment.tokens) for segment in prompt.segments]
        PromptDialog(
            prompt.pieces, segments, prompt.context_length, prompt.cached_tokens, said, prompt.cache_note, self
        ).open()

    # --- what a person does ------------------------------------------------------------------------------

    def _on_suggestion_chosen(self, text: str) -> None:
        self.composer.set_text(text)
        self.state.start(text)

    def _on_problem_action(self) -> None:
        problem = self.state.view.problem
        if problem is not None and problem.remedy == "show_prompt":
            self.show_prompt()
        else:
            self.state.apply_remedy()

    def _on_new_chat(self) -> None:
        self.state.new_chat()
        self.composer.edit.setFocus()

    def _on_attach_clicked(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Attach a text file")
        if path:
            self.state.attach(Path(path))

    def _on_open_file_clicked(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model file", "", "GGUF models (*.gguf)")
        if path:
            self.state.set_knob("model", path)

    def _on_seed_chosen(self) -> None:
        seed, is_chosen = QInputDialog.getInt(self, "Seed", "Seed", self.state.view.values.seed, 0, 2**31 - 1)
        if is_chosen:
            self._set_seed(seed)

    def _set_seed(self, seed: int) -> None:
        self.state.set_knob("seed", seed)

    def _set_surface(self, key: str) -> None:
        self.state.set_knob("surface", key)
        self._on_figures_changed()

    def _on_chart_requested(self, key: str) -> None:
        if key == "cost":
            popup = CostPopup(self.state.figures.costs, self)
            popup.explain_clicked.connect(lambda: self.term_requested.emit("costquery"))
            popup.show_under(self.metrics.cost)
        else:
            self._pin(None if self.chart.key == key and self.chart.isVisible() else key)

    def _pin(self, key: str | None) -> None:
        self.metrics.set_pinned(key)
        state = self.state
        self.chart.pin(key, state.glossary.topic(TOPICS[key]).title if key is not None else "")
        if key is not None:
            self.chart.show_figures(state.figures, state.previous, state.surface, state.view.records)

    # --- Qt ----------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.state.view.is_running:
            self.state.stop()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._was_shown:
            self._was_shown = True
            QTimer.singleShot(0, self, self.state.prepare)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        is_strip = self.width() < STRIP_BELOW
        _move(self.metrics, self._strip_slot if is_strip else self._column_slot)
        _move(self.knobs, self._knobs_beside if self.width() >= KNOBS_BESIDE_FROM else self._knobs_above)
        self.metrics.set_strip(is_strip)
        self._show_banner()


def _move(widget: QWidget, slot: QVBoxLayout) -> None:
    if slot.indexOf(widget) < 0:
        slot.addWidget(widget)
