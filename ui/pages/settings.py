"""The settings page: every change is saved at once, and what cannot be saved is said beside its control."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QCompleter,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ui import icons, theme
from ui.definitions import define
from ui.pages.settings_hardware import HardwareSection
from ui.pages.settings_hub import HubSection
from ui.state.settings import Choice, SettingsState
from ui.widgets.folder_row import FolderRow
from ui.widgets.knob import ElidedLabel
from ui.widgets.notice import Notice
from ui.widgets.segmented import Segmented
from ui.widgets.setting_row import CONTROL_WIDTH, Section, SettingRow

_WIDTH = 820
TOPICS = {
    "default_mode": "modes", "default_surface": "surface", "api_price": "apicost",
    "electricity_usd_per_kwh": "electricity",
}  # fmt: skip
_THEMES = [("system", "System", "monitor"), ("light", "Light", "sun"), ("dark", "Dark", "moon")]


class SettingsPage(QWidget):
    def __init__(self, state: SettingsState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme.set_role(self, "page")
        self._state = state
        self._rows: dict[str, SettingRow] = {}
        self._folder_list = QVBoxLayout()
        self._folder_error = QLabel()
        self._notice = Notice()
        self._build()
        state.failed.connect(self._on_state_failed)
        state.changed.connect(self._on_state_changed)
        state.prices_loaded.connect(self._show_api_models)
        self._show_problems()

    def showEvent(self, event: object) -> None:
        self._state.load_prices()
        self._state.hub.refresh()

    def save_view(self) -> None:
        """The window closes."""
        self._state.hub.close()

    def row(self, field: str) -> SettingRow:
        return self._rows[field]

    def _build(self) -> None:
        title = QLabel("Settings")
        theme.set_role(title, "title")
        content = QWidget()
        theme.set_role(content, "scrolled")
        content.setMaximumWidth(_WIDTH)
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 6, 18)
        column.setSpacing(theme.GAP)
        column.addWidget(self._notice)
        self.hub = HubSection(self._state, self._state.hub, self._row)
        self.hardware = HardwareSection(self._state.hardware)
        for section in (
            self._appearance(), self._running(), self._models(), self.hub, self.hardware, self._prices(),
            self._folders(),
        ):  # fmt: skip
            column.addWidget(section)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 12, 12, 0)
        layout.setSpacing(theme.GAP)
        layout.addWidget(title)
        layout.addWidget(area, 1)

    def _appearance(self) -> Section:
        section = Section("Appearance")
        themes = Segmented(_THEMES)
        themes.set_current(self._state.current.theme)
        themes.chosen.connect(self._on_theme_chosen)
        section.add(self._row("theme", "Theme", "System follows the desktop.", themes))
        presenter = QCheckBox("Figures in double size")
        presenter.setChecked(self._state.current.presenter)
        presenter.toggled.connect(self._on_presenter_toggled)
        section.add(self._row("presenter", "Presenter view", "For a projector; F11 switches it too.", presenter))
        return section

    def _running(self) -> Section:
        section, current = Section("Running"), self._state.current
        modes = _combo(self._state.modes(), current.default_mode)
        modes.activated.connect(lambda: self._state.set("default_mode", modes.currentData()))
        section.add(self._row("default_mode", "Mode at the start", "What a new window answers with.", modes))
        surfaces = _combo(self._state.surfaces(), current.default_surface)
        surfaces.activated.connect(lambda: self._state.set("default_surface", surfaces.currentData()))
        sentence = "Where the answer will appear; its latency budget judges each run."
        section.add(self._row("default_surface", "Surface at the start", sentence, surfaces))
        threads = QSpinBox()
        threads.setRange(0, 1024)
        threads.setSpecialValueText("Automatic")
        threads.setKeyboardTracking(False)
        threads.setValue(current.threads or 0)
        threads.valueChanged.connect(lambda value: self._state.set("threads", value or None))
        sentence = "Automatic takes one per physical core; more rarely helps."
        section.add(self._row("threads", "Threads", sentence, threads))
        check = QCheckBox("Ask for room before loading")
        check.setChecked(current.memory_check)
        check.toggled.connect(lambda is_on: self._state.set("memory_check", is_on))
        sentence = "Refuses a model that would not fit into the memory that is free. Applies at the next start."
        section.add(self._row("memory_check", "Memory check", sentence, check))
        return section

    def _models(self) -> Section:
        section = Section("Models folders")
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.setSpacing(6)
        sentence = QLabel("GGUF files in these folders appear in the list of models. Files are read in place.")
        theme.set_role(sentence, "caption")
        sentence.setWordWrap(True)
        layout.addWidget(sentence)
        self._folder_list.setSpacing(2)
        layout.addLayout(self._folder_list)
        theme.set_role(self._folder_error, "caption")
        theme.set_tone(self._folder_error, "bad")
        self._folder_error.setWordWrap(True)
        self._folder_error.hide()
        layout.addWidget(self._folder_error)
        add = QPushButton("Add folder")
        icons.show_on(add, "plus", "text", 16)
        add.clicked.connect(self._on_add_clicked)
        layout.addWidget(add, 0, Qt.AlignmentFlag.AlignLeft)
        section.add(box)
        self._show_folders()
        return section

    def _prices(self) -> Section:
        section, current = Section("Prices for the estimates"), self._state.current
        api = _combo([Choice("auto", "Prices are loading")], "auto")
        api.setEditable(True)
        api.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        api.setEnabled(False)
        api.activated.connect(self._on_api_chosen)
        edit = api.lineEdit()
        if edit is not None:
            edit.setAccessibleName("API equivalent")
            edit.editingFinished.connect(self._on_api_typed)
        self._api = api
        section.add(self._row("api_price", "API equivalent", "What the same tokens would cost there.", api))
        machines = _combo(self._state.machines(), current.gpu_price)
        machines.activated.connect(lambda: self._state.set("gpu_price", machines.currentData()))
        sentence = "What the same seconds would cost on a rented machine."
        section.add(self._row("gpu_price", "Rented GPU", sentence, machines))
        price = QLineEdit(_price_text(current.electricity_usd_per_kwh))
        price.setPlaceholderText("no estimate")
        price.editingFinished.connect(lambda: self._on_price_typed(price))
        sentence = "$ per kWh. Used where the power is measured; empty for no estimate."
        section.add(self._row("electricity_usd_per_kwh", "Electricity", sentence, price))
        return section

    def _folders(self) -> Section:
        section = Section("Folders")
        for name, sentence, path in self._state.folders():
            section.add(FolderRow(name, sentence, path))
        return section

    def _row(self, field: str, title: str, sentence: str, control: QWidget) -> SettingRow:
        self._rows[field] = SettingRow(title, sentence, control)
        if field in TOPICS:
            define(self._rows[field].name, self._state.glossary.topic(TOPICS[field]))
        return self._rows[field]

    def _show_folders(self) -> None:
        while (item := self._folder_list.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for folder in self._state.current.models_folders:
            self._folder_list.addWidget(self._folder_row(folder))

    def _folder_row(self, folder: str) -> QWidget:
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        label = ElidedLabel("text", "body")
        label.set_text(folder if Path(folder).is_dir() else f"{folder} (not there)")
        remove = QToolButton()
        theme.set_role(remove, "icon")
        icons.show_on(remove, "trash", "text-dim", 16)
        remove.setToolTip(f"Remove {folder} from the list")
        remove.setAccessibleName(f"Remove {folder} from the list")
        remove.clicked.connect(lambda: self._state.remove_folder(folder))
        layout.addWidget(label, 1)
        layout.addWidget(remove)
        return row

    def _show_api_models(self) -> None:
        if self._api.count() > 1:
            return
        choices = self._state.api_models()
        self._api.clear()
        for choice in choices:
            self._api.addItem(choice.text, choice.key)
            self._api.setItemData(self._api.count() - 1, choice.detail, Qt.ItemDataRole.ToolTipRole)
        completer = QCompleter(self._api.model(), self._api)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setMaxVisibleItems(12)
        completer.activated.connect(self._on_api_typed)
        self._api.setCompleter(completer)
        self._api.setEnabled(True)
        self._show_api_choice()

    def _show_api_choice(self) -> None:
        index = max(0, self._api.findData(self._state.current.api_price))
        self._api.setCurrentIndex(index)
        edit = self._api.lineEdit()
        if edit is not None:
            edit.setCursorPosition(0)
        detail = self._api.itemData(index, Qt.ItemDataRole.ToolTipRole)
        sentence = "What the same tokens would cost there. Type to search."
        self._rows["api_price"].set_sentence(f"{sentence}\n{detail}" if detail else sentence)

    def _show_problems(self) -> None:
        problems = [*self._state.problems, *self._state.profile_problems()]
        if problems:
            self._notice.show_message("warn", "\n".join(problems))

    def _on_theme_chosen(self, key: str) -> None:
        if self._state.set("theme", key):
            theme.current().set_choice(key)  # type: ignore[arg-type]

    def _on_presenter_toggled(self, is_on: bool) -> None:
        if self._state.set("presenter", is_on):
            theme.current().set_metric_scale(2.0 if is_on else 1.0)

    def _on_add_clicked(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Add a folder with GGUF files")
        if folder:
            self._state.add_folder(folder)

    def _on_api_chosen(self) -> None:
        self._state.set("api_price", self._api.currentData())
        self._show_api_choice()

    def _on_api_typed(self) -> None:
        """Enter or leaving the field: only the whole name of a model is taken."""
        text = self._api.currentText().strip()
        index = self._api.findText(text, Qt.MatchFlag.MatchFixedString)
        if index < 0:
            self._rows["api_price"].show_error(f"there is no API model called {text!r}. Choose one from the list.")
            return
        self._rows["api_price"].show_error(None)
        self._api.setCurrentIndex(index)
        self._on_api_chosen()

    def _on_price_typed(self, price: QLineEdit) -> None:
        if self._state.set_electricity(price.text()):
            self._rows["electricity_usd_per_kwh"].show_error(None)
            price.setText(_price_text(self._state.current.electricity_usd_per_kwh))

    def _on_state_changed(self) -> None:
        self._folder_error.hide()
        self._show_folders()
        for row in self._rows.values():
            row.show_error(None)

    def _on_state_failed(self, field: str, sentence: str) -> None:
        if field == "models_folders":
            self._folder_error.setText(sentence)
            self._folder_error.show()
        elif field in self._rows:
            self._rows[field].show_error(sentence)
        else:
            self._notice.show_message("bad", sentence)


def _combo(choices: list[Choice], current: str) -> QComboBox:
    combo = QComboBox()
    combo.setFixedWidth(CONTROL_WIDTH)
    for choice in choices:
        combo.addItem(choice.text, choice.key)
        combo.setItemData(combo.count() - 1, choice.detail, Qt.ItemDataRole.ToolTipRole)
    combo.setCurrentIndex(max(0, combo.findData(current)))
    return combo


def _price_text(usd: float | None) -> str:
    return "" if usd is None else f"{usd:.2f}" if round(usd, 2) == usd else f"{usd:g}"
