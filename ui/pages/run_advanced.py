"""What opens under the title row of the Run page: advanced knobs, the system prompt, how a cost was computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from ui import theme
from ui.definitions import define
from ui.pages.run_placement import PlacementFields
from ui.state.run import RunState
from ui.widgets.adapter_list import AdapterList, AdapterRow
from ui.widgets.popup import Popup
from workbench import units
from workbench.runs.record import CostEstimate
from workbench.runs.spec import KV_TYPES

OVERFLOWS = (
    ("error", "Stop with an error"),
    ("drop_oldest", "Leave out the oldest turns"),
    ("keep_head_tail", "Keep head and tail"),
    ("shift", "Shift while generating"),
)
AUTOMATIC = "as the mode says"


class AdvancedPopup(Popup):
    """Every field has a value that means: let the mode, the settings or the model decide. Gone when it closes."""

    def __init__(self, state: RunState, parent: QWidget) -> None:
        super().__init__("More settings", parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._state = state
        self._anchor: QWidget | None = None
        self._shown_adapters = state.view.values.adapters
        self.temperature = QDoubleSpinBox()
        self.temperature.setRange(-0.05, 5.0)
        self.temperature.setSingleStep(0.05)
        self.temperature.lineEdit().setTextMargins(6, 0, 0, 0)
        self.temperature.setSpecialValueText(AUTOMATIC)
        self.max_tokens = self._spin(0, 1_000_000, AUTOMATIC, 64)
        self.threads = self._spin(0, 1024, "as many as cores", 1)
        self.gpu_layers = self._spin(-2, 100_000, "as many as fit", 1)
        self.kv_type = QComboBox()
        for name in KV_TYPES:
            self.kv_type.addItem(name)
        self.overflow = QComboBox()
        for key, text in OVERFLOWS:
            self.overflow.addItem(text, key)
        self.fact = QLabel("")
        theme.set_role(self.fact, "caption")
        self.fact.setWordWrap(True)
        self.placement = PlacementFields(state)
        form = QFormLayout()
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(8)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for text, field, topic in (
            ("Temperature", self.temperature, "temperature"), ("Output limit, tokens", self.max_tokens, "outputlimit"),
            ("Threads", self.threads, ""), ("GPU layers, −1 is all", self.gpu_layers, "offload"),
            *((text, field, "") for text, field in self.placement.rows()),
            ("KV cache type", self.kv_type, "kvtype"), ("When the prompt is too long", self.overflow, "truncation"),
        ):  # fmt: skip
            field.setMinimumWidth(210)
            field.setAccessibleName(text)
            form.addRow(text, field)
            if topic:
                define(form.labelForField(field), state.glossary.topic(topic))
        self.adapters = AdapterList()
        heading = QLabel("LoRA adapters, each with its scale")
        define(heading, state.glossary.topic("lora"))
        self.box.addLayout(form)
        for widget in (heading, self.adapters, self.fact):
            self.box.addWidget(widget)
        self.fact.hide()
        self._load()
        self._show_adapters()
        self._connect()

    def _spin(self, low: int, high: int, automatic: str, step: int) -> QSpinBox:
        spin = QSpinBox()
        spin.setRange(low, high)
        spin.setSingleStep(step)
        spin.setSpecialValueText(automatic)
        spin.setGroupSeparatorShown(True)
        spin.setKeyboardTracking(False)
        spin.lineEdit().setTextMargins(6, 0, 0, 0)
        return spin

    def _load(self) -> None:
        values = self._state.view.values
        self.temperature.setValue(-0.05 if values.temperature is None else values.temperature)
        self.max_tokens.setValue(values.max_tokens or 0)
        self.threads.setValue(values.threads or 0)
        self.gpu_layers.setValue(-2 if values.gpu_layers is None else values.gpu_layers)
        self.kv_type.setCurrentText(values.kv_type or "f16")
        self.overflow.setCurrentIndex(self.overflow.findData(values.overflow or "error"))

    def _connect(self) -> None:
        self.temperature.setKeyboardTracking(False)
        self.temperature.valueChanged.connect(lambda v: self._set("temperature", None if v < 0 else round(v, 3)))
        self.max_tokens.valueChanged.connect(lambda v: self._set("max_tokens", v or None))
        self.threads.valueChanged.connect(lambda v: self._set("threads", v or None))
        self.gpu_layers.valueChanged.connect(lambda v: self._set("gpu_layers", None if v < -1 else v))
        self.kv_type.currentTextChanged.connect(lambda text: self._set("kv_type", text))
        self.overflow.currentIndexChanged.connect(lambda _: self._set("overflow", self.overflow.currentData()))
        self.placement.changed.connect(self._show_consequence)
        self.adapters.add_clicked.connect(self._on_add_clicked)
        self.adapters.scaled.connect(self._on_scaled)
        self.adapters.removed.connect(self._on_removed)
        self._state.changed.connect(self._on_state_changed)

    def show_under(self, anchor: QWidget) -> None:
        self._anchor = anchor
        super().show_under(anchor)

    def _set(self, name: str, value: object) -> None:
        self._state.set_knob(name, value)
        self._show_consequence()

    def _show_consequence(self) -> None:
        self.fact.setText(f"Next run: {self._state.consequence()}")
        self.fact.show()
        self._fit_again()

    def _fit_again(self) -> None:
        """What was added may not fit below the anchor any more."""
        if self._anchor is not None and self.isVisible():
            self.show_under(self._anchor)

    # --- adapters ----------------------------------------------------------------------------------------

    def _show_adapters(self) -> None:
        rows = [AdapterRow(item.path, Path(item.path).name, item.scale) for item in self._state.view.values.adapters]
        self.adapters.show_rows(rows)

    def _on_state_changed(self) -> None:
        before = self._shown_adapters
        self._shown_adapters = self._state.view.values.adapters
        if self._shown_adapters != before:
            self._show_adapters()
            self._show_consequence()

    def _on_scaled(self, place: int, scale: float) -> None:
        adapters = list(self._state.view.values.adapters)
        adapters[place] = replace(adapters[place], scale=scale)
        self._state.set_knob("adapters", tuple(adapters))

    def _on_removed(self, place: int) -> None:
        adapters = self._state.view.values.adapters
        self._state.set_knob("adapters", (*adapters[:place], *adapters[place + 1 :]))

    def _on_add_clicked(self) -> None:
        """A dialog closes every panel that is open, so this one steps aside for it and comes back."""
        self.hide()
        names, _ = QFileDialog.getOpenFileNames(self.parentWidget(), "Add LoRA adapters", "", "LoRA adapters (*.gguf)")
        for name in names:
            self._state.add_adapter(Path(name))
        if self._anchor is not None:
            self.show_under(self._anchor)
            self.adapters.add.setFocus()


class SystemPromptPopup(Popup):
    """Kept when the panel closes; an empty text means no system message."""

    def __init__(self, state: RunState, parent: QWidget) -> None:
        super().__init__("System prompt", parent)
        self._state = state
        self.edit = QPlainTextEdit(state.view.values.system or "")
        self.edit.setAccessibleName("System prompt")
        self.edit.setPlaceholderText("What the model is told before the conversation, for example: answer in one line.")
        self.edit.setMinimumSize(420, 130)
        self.edit.setTabChangesFocus(True)
        done = QPushButton("Done")
        theme.set_role(done, "primary")
        done.clicked.connect(self.close)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(done)
        self.box.addWidget(self.edit)
        self.box.addLayout(row)
        self.closed.connect(self._keep)

    def _keep(self) -> None:
        self._state.set_knob("system", self.edit.toPlainText().strip() or None)


class CostPopup(Popup):
    """The three estimates with formula, price date and inputs."""

    explain_clicked = Signal()

    def __init__(self, costs: Sequence[CostEstimate], parent: QWidget) -> None:
        super().__init__("How the cost was computed", parent)
        if not costs:
            self._line("Nothing was run so far.", "dim")
        for estimate in costs:
            usd = f"{units.usd_text(estimate.usd)} estimated" if estimate.usd is not None else "not known"
            self._line(f"{TITLES[estimate.kind]}: {usd}", "strong")
            if estimate.usd is None:
                self._line(estimate.reason or "not measured", "dim")
            else:
                date = f", prices of {estimate.price_date}" if estimate.price_date else ""
                self._line(f"{estimate.label}{date}", "dim")
                self._line(estimate.formula)
            self._line("\n".join(f"{name}: {value}" for name, value in estimate.inputs), "caption")
        self._line("These are three different questions: never add them.", "caption")
        self.explain = QPushButton("What is the cost of a query?")
        theme.set_role(self.explain, "link")
        self.explain.clicked.connect(self.close)
        self.explain.clicked.connect(self.explain_clicked)
        self.box.addWidget(self.explain, 0, Qt.AlignmentFlag.AlignLeft)

    def _line(self, text: str, role: str = "") -> None:
        label = QLabel(text)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        label.setMinimumWidth(440)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        if role:
            theme.set_role(label, role)
        self.box.addWidget(label)


TITLES = {"api": "The same tokens at an API", "gpu": "The same seconds on a rented GPU", "electricity": "Power here"}
