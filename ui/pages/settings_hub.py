"""The settings page's section on models and the Hub: token, downloads, their folder, the speed of this machine."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QHideEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ui import icons, theme
from ui.state.settings import SettingsState
from ui.state.settings_hub import SettingsHub
from ui.widgets.folder_row import FolderRow
from ui.widgets.setting_row import Section, SettingRow

MakeRow = Callable[[str, str, str, QWidget], SettingRow]


class HubSection(Section):
    """`make_row(field, title, sentence, control)` makes the rows of plain settings, whose errors the page shows."""

    def __init__(self, state: SettingsState, hub: SettingsHub, make_row: MakeRow) -> None:
        super().__init__("Models and the Hub")
        self.token, self.speed = TokenControl(hub), SpeedControl(hub)
        self._hub = hub
        self.token_row = SettingRow("Access token", "", self.token)
        self.speed_row = SettingRow("Speed of this machine", "", self.speed)
        self.cache = FolderRow(
            "Hugging Face cache",
            "downloads lie here, shared with other tools",
            hub.cache_folder(),
        )
        self.add(self.token_row)
        for row in _plain_rows(state, make_row):
            self.add(row)
        self.add(self.cache)
        self.add(self.speed_row)
        hub.token_changed.connect(self._show_token)
        hub.speed_changed.connect(self._show_speed)
        self._show_token()
        self._show_speed()

    def _show_token(self) -> None:
        view = self._hub.token
        self.token_row.set_sentence(view.text)
        self.token_row.show_error(view.problem or None, "")
        self.token.show_view()

    def _show_speed(self) -> None:
        view = self._hub.speed
        self.speed_row.set_sentence(view.text)
        self.speed_row.show_error(view.problem or None, "")
        self.speed.show_view()


class TokenControl(QWidget):
    """A field that shows no letter of what is pasted, and empties when the token is kept or the page is left."""

    def __init__(self, hub: SettingsHub, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hub = hub
        self.edit = QLineEdit()
        self.edit.setEchoMode(QLineEdit.EchoMode.Password)
        self.edit.setPlaceholderText("Paste a token")
        self.edit.setAccessibleName("Access token")
        self.edit.setAccessibleDescription("Kept in the system keyring, never in a file of this program.")
        self.edit.setToolTip(self.edit.accessibleDescription())
        self.save, self.forget, self.page = QPushButton("Save"), QPushButton("Forget"), QPushButton("Make a token")
        self.save.setAccessibleName("Save the token in the system keyring")
        self.forget.setAccessibleName("Forget the token in the system keyring")
        theme.set_role(self.page, "link")
        icons.show_on(self.page, "external", "accent", 14)
        self.page.setAccessibleName("Open the Hub's page for tokens in the browser")
        self.page.setToolTip(hub.tokens_page)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.save)
        buttons.addWidget(self.forget)
        buttons.addStretch(1)
        buttons.addWidget(self.page)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.edit)
        column.addLayout(buttons)
        self.setFocusProxy(self.edit)
        self.edit.textChanged.connect(self.show_view)
        self.edit.returnPressed.connect(self._on_save)
        self.save.clicked.connect(self._on_save)
        self.forget.clicked.connect(hub.forget_token)
        self.page.clicked.connect(lambda: QDesktopServices.openUrl(QUrl(hub.tokens_page)))
        hub.token_kept.connect(self.edit.clear)

    def show_view(self) -> None:
        view = self._hub.token
        self.save.setEnabled(not view.is_busy and bool(self.edit.text().strip()))
        self.forget.setEnabled(view.can_forget)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if not event.spontaneous():  # a window that is made small keeps what was typed
            self.edit.clear()

    def _on_save(self) -> None:
        self._hub.save_token(self.edit.text())


class SpeedControl(QWidget):
    """A button, and while it is measured a bar and a way to stop."""

    def __init__(self, hub: SettingsHub, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hub = hub
        self.measure, self.cancel = QPushButton(), QPushButton("Cancel")
        icons.show_on(self.measure, "refresh", "text", 16)
        self.cancel.setAccessibleName("Cancel measuring this machine")
        self.bar = QProgressBar()
        self.bar.setRange(0, 100)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of measuring this machine")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(12)
        row.addWidget(self.measure)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel)
        row.addStretch()
        self.measure.clicked.connect(hub.measure)
        self.cancel.clicked.connect(hub.cancel)

    def show_view(self) -> None:
        view = self._hub.speed
        had_focus = self.measure.hasFocus() or self.cancel.hasFocus()
        self.measure.setText("Measure" if view.speed is None else "Measure again")
        self.measure.setAccessibleName(f"{self.measure.text()} the speed of this machine")
        self.measure.setVisible(not view.is_measuring)
        for widget in (self.bar, self.cancel):
            widget.setVisible(view.is_measuring)
        self.bar.setValue(round(100 * (view.share or 0.0)))
        self.cancel.setEnabled(not view.is_cancelling)
        if had_focus:
            (self.cancel if view.is_measuring else self.measure).setFocus()


def _plain_rows(state: SettingsState, make_row: MakeRow) -> tuple[SettingRow, SettingRow]:
    xet = QCheckBox("Use Xet where the Hub offers it")
    xet.setChecked(state.current.hub_xet)
    xet.toggled.connect(lambda is_on: state.set("hub_xet", is_on))
    at_once = QSpinBox()
    at_once.setRange(1, 8)
    at_once.setKeyboardTracking(False)
    at_once.setValue(state.current.downloads_at_once)
    at_once.valueChanged.connect(lambda value: state.set("downloads_at_once", value))
    sentence = "Fetches files as chunks, each once; off downloads them whole over HTTP."
    return (
        make_row("hub_xet", "Chunk storage", sentence, xet),
        make_row("downloads_at_once", "Downloads at once", "Others wait for their turn.", at_once),
    )
