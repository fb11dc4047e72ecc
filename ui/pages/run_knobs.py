"""The knob strip of the Run page: model, quantization, context and mode, each with what a change of it brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QAction, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QMenu,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QWidget,
)

from ui import icons, theme
from ui.definitions import define
from ui.state.run import RunState
from ui.state.run_knobs import model_changes
from ui.state.run_view import Choice
from ui.widgets.knob import Knob
from ui.widgets.segmented import Segmented

OPEN_FILE = "\0open"
ADVANCED = "Temperature, output limit, threads, LoRA adapters and more"
TOPICS = {"quantization": "quantization", "context_length": "context", "mode": "modes"}
ICONS = {"fast": "fast", "thoughtful": "thoughtful", "refine": "draft", "vote": "vote", "fixed": "check"}


class ChoiceBox(QComboBox):
    """A combo box of `Choice`s that tells which entry is looked at, and when the list closes."""

    looked_at = Signal(str)
    closed = Signal()
    picked = Signal(str)

    def __init__(self, width: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._width = width
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(4)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setMaximumWidth(width)
        self.setMinimumHeight(34)
        # The arrow has its room by itself; the style sheet's padding would take it a second time.
        self.setStyleSheet("QComboBox { padding-right: 2px; } QComboBox:focus { padding-right: 1px; }")
        self.highlighted.connect(lambda index: self.looked_at.emit(str(self.itemData(index) or "")))
        self.activated.connect(lambda index: self.picked.emit(str(self.itemData(index) or "")))

    def sizeHint(self) -> QSize:
        return QSize(self._width, 34)

    def minimumSizeHint(self) -> QSize:
        return QSize(88, 34)

    def show_choices(self, choices: Sequence[Choice], key: str, last: Choice | None = None) -> None:
        wanted = [(choice.text, choice.key, choice.note) for choice in (*choices, *([last] if last else []))]
        if wanted != [(self.itemText(i), self.itemData(i), self.itemData(i, Qt.ItemDataRole.ToolTipRole) or "")
                      for i in range(self.count())]:  # fmt: skip
            self.clear()
            for text, data, note in wanted:
                self.addItem(text, data)
                self.setItemData(self.count() - 1, note, Qt.ItemDataRole.ToolTipRole)
        self.show_key(key)

    def show_key(self, key: str) -> None:
        index = self.findData(key)
        if index != self.currentIndex():
            self.setCurrentIndex(index)
        self.setToolTip(self.currentText())

    def paintEvent(self, event: QPaintEvent) -> None:
        """As the style paints it, with an ellipsis where the name finds no room."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        control = QStyle.ComplexControl.CC_ComboBox
        room = self.style().subControlRect(control, option, QStyle.SubControl.SC_ComboBoxEditField, self).width()
        option.currentText = self.fontMetrics().elidedText(self.currentText(), Qt.TextElideMode.ElideRight, room - 4)
        painter.drawComplexControl(control, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()

    def showPopup(self) -> None:
        """The list is as wide as its longest name."""
        self.view().setMinimumWidth(min(560, self.view().sizeHintForColumn(0) + 32))
        super().showPopup()

    def hidePopup(self) -> None:
        super().hidePopup()
        self.closed.emit()


class KnobStrip(QWidget):
    open_file_clicked = Signal()

    def __init__(self, state: RunState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self.model = ChoiceBox(184)
        self.quantization = ChoiceBox(160)
        self.context = ChoiceBox(148)
        self.mode = Segmented([("fast", "Fast", "fast"), ("thoughtful", "Thoughtful", "thoughtful")])
        self.more_modes = QToolButton()
        self.advanced = QToolButton()
        self._menu = QMenu(self)
        self._shown: object = None
        self.knobs = {
            "model": Knob("Model", self.model),
            "quantization": Knob("Quantization", self.quantization),
            "context_length": Knob("Context", self.context),
            "mode": Knob("Mode", self._mode_row()),
        }
        for name, topic in TOPICS.items():
            define(self.knobs[name].label, state.glossary.topic(topic))
        self._prepare_tools()
        self._connect()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        for knob in self.knobs.values():
            row.addWidget(knob)
        row.addWidget(self.advanced, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addStretch(1)

    def _mode_row(self) -> QWidget:
        holder = QWidget()
        holder.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.mode)
        row.addWidget(self.more_modes)
        return holder

    def _prepare_tools(self) -> None:
        for button, key, name in (
            (self.more_modes, "more", "More modes"),
            (self.advanced, "settings", ADVANCED),
        ):
            theme.set_role(button, "icon")
            icons.show_on(button, key, "text-dim")
            button.setToolTip(name)
            button.setAccessibleName(name)
            button.setFixedSize(32, 32)
        self.more_modes.setMenu(self._menu)
        self.more_modes.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.mode.set_label("Mode")

    def _connect(self) -> None:
        self.model.picked.connect(self._on_model_picked)
        self.quantization.picked.connect(lambda key: self._state.set_knob("quantization", key))
        self.context.picked.connect(lambda key: self._state.set_knob("context_length", int(key)))
        self.mode.chosen.connect(lambda key: self._state.set_knob("mode", key))
        self.mode.installEventFilter(self)
        self._watch(self.model, "model", str)
        self._watch(self.quantization, "quantization", str)
        self._watch(self.context, "context_length", int)
        self._menu.hovered.connect(self._on_mode_hovered)
        self._menu.aboutToHide.connect(self.refresh_consequences)

    def _watch(self, box: ChoiceBox, knob: str, convert: Callable[[str], object]) -> None:
        def look(key: str) -> None:
            if key and key != OPEN_FILE:
                value = convert(key)
                changes = model_changes(key) if knob == "model" else {knob: value}
                text = box.itemText(box.findData(key)).split("  ")[0]
                self.knobs[knob].set_consequence(f"{text}: {self._state.consequence(**changes)}")

        box.looked_at.connect(look)
        box.closed.connect(self.refresh_consequences)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Enter:
            other = "thoughtful" if self.mode.current() == "fast" else "fast"
            self.knobs["mode"].set_consequence(self._state.mode_fact(other))
        elif event.type() == QEvent.Type.Leave:
            self.refresh_consequences()
        return super().eventFilter(watched, event)

    # --- showing -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Shows the state's knobs; the knobs rest while a run is under way."""
        view = self._state.view
        choices, values = view.choices, view.values
        shown = (choices, values, view.is_running, self._state.load, len(view.records))
        if shown == self._shown:
            return
        self._shown = shown
        self.model.show_choices(
            choices.models, self._listed(values.model) or choices.model_key,
            Choice(OPEN_FILE, "Open a model file…"),
        )  # fmt: skip
        self.quantization.show_choices(choices.quantizations, values.quantization or choices.quantization)
        self._show_contexts(choices.contexts, self._state.context_length)
        self._show_modes(choices.modes, values.mode or "fast")
        self._show_adapters([Path(adapter.path).name for adapter in values.adapters])
        for control in (self.model, self.quantization, self.context, self.mode, self.more_modes, self.advanced):
            control.setEnabled(not view.is_running)
        if not view.is_running:
            self.refresh_consequences()

    def _show_adapters(self, names: list[str]) -> None:
        """How many are set stands on the button behind which they are."""
        button = self.advanced
        button.setText(f"{len(names)} LoRA" if names else "")
        style = Qt.ToolButtonStyle.ToolButtonTextBesideIcon if names else Qt.ToolButtonStyle.ToolButtonIconOnly
        button.setToolButtonStyle(style)
        button.ensurePolished()  # its font comes with the style
        button.setFixedSize(button.sizeHint().width() + 6 if names else 32, 32)
        button.setToolTip("\n".join((ADVANCED, *(f"Adapter: {name}" for name in names))))
        button.setAccessibleName(", ".join((ADVANCED, *(f"adapter {name}" for name in names))))

    def _listed(self, model: str | None) -> str | None:
        return next((choice.key for choice in self._state.view.choices.models if choice.key == model), None)

    def _show_contexts(self, lengths: Sequence[int], current: int | None) -> None:
        """What is set is listed even while the choices are still being read for it."""
        listed = sorted({*lengths, *([current] if current else [])})
        self.context.show_choices([Choice(str(length), f"{length:,}") for length in listed], str(current))

    def _show_modes(self, modes: Sequence[Choice], current: str) -> None:
        shown = [mode for mode in modes if mode.key in ("fast", "thoughtful")]
        others = [mode for mode in modes if mode.key not in ("fast", "thoughtful")]
        shown += [mode for mode in others if mode.key == current]
        if shown:
            options = [(mode.key, mode.text, ICONS.get(mode.icon, "")) for mode in shown]
            self.mode.set_options(options)
        self.mode.set_current(current)
        self.more_modes.setVisible(bool(others))
        self._menu.clear()
        for mode in others:
            action = QAction(mode.text, self._menu)
            action.setData(mode.key)
            action.setToolTip(mode.note)
            action.triggered.connect(lambda _=False, key=mode.key: self._state.set_knob("mode", key))
            self._menu.addAction(action)

    def refresh_consequences(self) -> None:
        for name, text in self._state.knob_facts().items():
            self.knobs[name].set_consequence(text)

    def _on_mode_hovered(self, action: QAction) -> None:
        self.knobs["mode"].set_consequence(f"{action.text()}: {self._state.mode_fact(str(action.data()))}")

    def _on_model_picked(self, key: str) -> None:
        if key == OPEN_FILE:
            self.refresh()
            self.open_file_clicked.emit()
        else:
            self._state.set_knob("model", key)
