"""The settings page: changes apply at once, are saved, and what is wrong is said beside the control."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from tests.fakes.keyring_store import HeldKeyring, LockedKeyring, PlainTextKeyring, keyring_in_use
from tests.fakes.scripted_engine import Script, ScriptedEngine
from ui import theme
from ui.pages.settings import SettingsPage
from ui.pages.settings_hardware import HardwareSection
from ui.state.settings import SettingsState
from ui.state.settings_hardware import SettingsHardware
from ui.tasks import Tasks
from ui.widgets.segmented import Segmented
from workbench.core import Knobs, Workbench
from workbench.engine.process import LocalEngine
from workbench.graphics import Gpu
from workbench.hardware import Hardware, Machine
from workbench.machine_probe import MachineProbe
from workbench.probe_readings import ProbeSize
from workbench.runs.record import DeviceDescription, EngineBuild
from workbench.settings import SettingsStore

Show = Callable[..., QWidget]
SECRET = "hf_a5ecretOfThisTest"
TINY = ProbeSize(weight_bytes=1, prompt_tokens=32, output_tokens=6, repeats=2, long_prompt_tokens=64)


@pytest.fixture(autouse=True)
def held() -> Iterator[HeldKeyring]:
    """A keyring of the test's own, never that of the person who runs it."""
    store = HeldKeyring()
    with keyring_in_use(store):
        yield store


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


def wait_for_token(qtbot: QtBot, page: SettingsPage, begin: str) -> None:
    row = page.hub.token_row
    qtbot.waitUntil(lambda: not page._state.hub.token.is_busy and row.sentence().startswith(begin), timeout=10_000)


def paste_and_save(qtbot: QtBot, page: SettingsPage, text: str) -> None:
    token = page.hub.token
    QApplication.clipboard().setText(text)
    token.edit.setFocus()
    token.edit.paste()
    QApplication.clipboard().clear()
    qtbot.mouseClick(token.save, Qt.MouseButton.LeftButton)


def test_a_token_is_kept_and_forgotten_and_never_shown(
    qtbot: QtBot, page: SettingsPage, held: HeldKeyring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wait_for_token(qtbot, page, "There is none.")
    token = page.hub.token
    assert (token.save.isEnabled(), token.forget.isEnabled()) == (False, False)
    assert token.edit.echoMode() is QLineEdit.EchoMode.Password
    paste_and_save(qtbot, page, f" {SECRET}\n")
    wait_for_token(qtbot, page, "From the system keyring.")
    assert list(held.held.values()) == [SECRET]
    assert token.edit.text() == ""
    shown = [label.text() for label in page.findChildren(QLabel)]
    said = [widget.accessibleName() + widget.accessibleDescription() for widget in page.findChildren(QWidget)]
    assert SECRET not in "\n".join((*shown, *said, caplog.text, repr(page._state.hub.token)))
    qtbot.mouseClick(token.forget, Qt.MouseButton.LeftButton)
    wait_for_token(qtbot, page, "There is none.")
    assert "The one in the keyring is forgotten." in page.hub.token_row.sentence()
    assert held.held == {}


def test_a_token_of_the_environment_counts_first_and_the_page_says_so(
    qtbot: QtBot, page: SettingsPage, held: HeldKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_token(qtbot, page, "There is none.")
    monkeypatch.setenv("HF_TOKEN", "hf_outer")
    paste_and_save(qtbot, page, SECRET)
    wait_for_token(qtbot, page, "From the environment variable HF_TOKEN")
    assert "The keyring holds the one that was saved." in page.hub.token_row.sentence()
    assert list(held.held.values()) == [SECRET]


def test_without_a_keyring_the_page_says_what_to_do(qtbot: QtBot, page: SettingsPage) -> None:
    wait_for_token(qtbot, page, "There is none.")
    for store, says in ((PlainTextKeyring(), "no system keyring"), (LockedKeyring(), "Unlock it and try again")):
        with keyring_in_use(store):
            paste_and_save(qtbot, page, SECRET)
            qtbot.waitUntil(lambda says=says: says in page.hub.token_row.error(), timeout=10_000)
        assert "HF_TOKEN" in page.hub.token_row.error()
        assert SECRET not in page.hub.token_row.error()
        assert store.held == {}
        page.hub.token.edit.clear()


def test_a_keyring_that_quotes_the_token_does_not_bring_it_into_the_log(
    qtbot: QtBot, page: SettingsPage, caplog: pytest.LogCaptureFixture
) -> None:
    class Talkative(HeldKeyring):
        def set_password(self, service: str, username: str, password: str) -> None:
            raise ValueError(f"cannot store {password}")

    caplog.set_level(logging.DEBUG)
    wait_for_token(qtbot, page, "There is none.")
    with keyring_in_use(Talkative()):
        paste_and_save(qtbot, page, SECRET)
        qtbot.waitUntil(lambda: "ValueError" in page.hub.token_row.error(), timeout=10_000)
    assert SECRET not in page.hub.token_row.error() + caplog.text


def test_what_is_no_token_is_refused_and_a_page_that_is_left_forgets_the_field(
    qtbot: QtBot, page: SettingsPage, held: HeldKeyring
) -> None:
    wait_for_token(qtbot, page, "There is none.")
    paste_and_save(qtbot, page, "two words")
    qtbot.waitUntil(lambda: "is no access token" in page.hub.token_row.error(), timeout=10_000)
    assert page.hub.token.edit.text() == "two words", "it can be corrected"
    assert held.held == {}
    page.hide()
    assert page.hub.token.edit.text() == ""


def test_downloads_follow_the_settings_at_once(qtbot: QtBot, page: SettingsPage, workbench: Workbench) -> None:
    downloads = workbench.models.downloads
    box = control(page, "hub_xet", QCheckBox)
    assert workbench.models.client.use_xet is True
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    assert saved(workbench).current.hub_xet is False
    assert workbench.models.client.use_xet is False
    at_once = control(page, "downloads_at_once", QSpinBox)
    assert (at_once.minimum(), at_once.maximum(), at_once.value()) == (1, 8, 2)
    at_once.setFocus()
    qtbot.keyClick(at_once, Qt.Key.Key_Up)
    assert saved(workbench).current.downloads_at_once == 3
    assert downloads.parallel == 3


def test_the_folder_of_downloads_opens_once_it_is_there(page: SettingsPage, tmp_path: Path) -> None:
    folder = tmp_path / "user" / "huggingface" / "hub"
    assert page.hub.cache.about.text().startswith(f"{folder}  (")
    assert not page.hub.cache.open_button.isEnabled()
    folder.mkdir()
    page.hide()
    page.show()
    assert page.hub.cache.open_button.isEnabled()


def test_this_machine_is_measured_with_progress(qtbot: QtBot, page: SettingsPage, workbench: Workbench) -> None:
    probe_little(workbench)
    speed = page.hub.speed
    assert speed.measure.text() == "Measure"
    assert page.hub.speed_row.sentence().startswith("Not measured so far.")
    shares: list[int] = []
    speed.bar.valueChanged.connect(shares.append)
    qtbot.mouseClick(speed.measure, Qt.MouseButton.LeftButton)
    assert (speed.bar.isVisible(), speed.cancel.isVisible(), speed.measure.isVisible()) == (True, True, False)
    qtbot.waitUntil(lambda: speed.measure.isVisible(), timeout=60_000)
    assert shares, "no progress was shown"
    found = workbench.models.machine_speed(measure=False)
    assert found is not None
    said = page.hub.speed_row.sentence()
    day = datetime.fromisoformat(found.measured_at).astimezone().date()
    assert said.startswith(f"Measured {day} with ")
    assert f"Q4_K {found.of('Q4_K')[0].bytes_per_s / 1e9:.3g}" in said
    assert speed.measure.text() == "Measure again"


def test_measuring_is_cancelled(qtbot: QtBot, page: SettingsPage, workbench: Workbench) -> None:
    speed = page.hub.speed
    qtbot.mouseClick(speed.measure, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(speed.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: speed.measure.isVisible(), timeout=30_000)
    assert page.hub.speed_row.error() == ""
    assert page.hub.speed_row.sentence().startswith("Not measured so far.")
    assert workbench.models.machine_speed(measure=False) is None


def test_nothing_is_measured_beside_a_run(
    qtbot: QtBot, page: SettingsPage, workbench: Workbench, engine: ScriptedEngine
) -> None:
    engine.scripts = [Script(words=["a "] * 2000, itl_ms=5, real_time=True)]
    handle = workbench.start_run(workbench.build_spec(Knobs(prompt="hello")), lambda event: None)
    qtbot.waitUntil(lambda: workbench.engine_state.status == "running", timeout=10_000)
    qtbot.mouseClick(page.hub.speed.measure, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "A run is going on" in page.hub.speed_row.error(), timeout=10_000)
    assert page.hub.speed.measure.isVisible()
    handle.cancel()
    assert handle.wait(10) is not None


def test_a_window_that_closes_ends_the_measuring(qtbot: QtBot, page: SettingsPage, tasks: Tasks) -> None:
    qtbot.mouseClick(page.hub.speed.measure, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: tasks.count > 0)
    page.save_view()
    assert tasks.close(20.0)


def probe_little(workbench: Workbench) -> None:
    """The real probe with little to measure, so that it takes a second."""
    models = workbench.models
    models._probe = MachineProbe(workbench.paths.cache, "Test", LocalEngine, TINY)


H200 = Gpu("NVIDIA H200", "nvidia", 150_000_000_000, "580.65", (9, 0), 149_000_000_000)
CPU_BUILD = EngineBuild("llama.cpp", ("CPU",), ("AVX2",), (DeviceDescription("CPU", "Test CPU", "cpu", 2**34),))
CUDA = DeviceDescription("CUDA0", "NVIDIA H200", "gpu", 150_000_000_000, 149_000_000_000)


@pytest.fixture
def answers() -> list[Hardware]:
    """What the machine answers, the last one for ever."""
    return []


@pytest.fixture
def hardware(tasks: Tasks, answers: list[Hardware]) -> SettingsHardware:
    return SettingsHardware(lambda: answers.pop(0) if len(answers) > 1 else answers[0], tasks)


def seen(qtbot: QtBot, hardware: SettingsHardware, show: Show) -> HardwareSection:
    """The section as it stands once the machine has answered."""
    section = HardwareSection(hardware)
    show(section, 900, 600)
    qtbot.waitUntil(lambda: bool(section.rows()))
    return section


def said(section: HardwareSection) -> dict[str, str]:
    return {row.title.text(): f"{row.text.text()}\n{row.verdict.text()}".strip() for row in section.rows()}


def test_an_idle_gpu_has_its_facts_and_commands_to_copy(
    qtbot: QtBot, hardware: SettingsHardware, answers: list[Hardware], show: Show
) -> None:
    answers.append(Hardware(Machine("Test CPU", 4, 8, 2**34, "Linux", "3.11", (H200,)), CPU_BUILD))
    section = seen(qtbot, hardware, show)
    texts = said(section)
    assert texts["Test CPU"].startswith("Processor · 4 cores, 8 threads · 17.2 GB of memory")
    assert "150 GB, 149 GB free · driver 580.65 · compute capability 9.0" in texts["NVIDIA H200"]
    assert "Not used: this build runs on the CPU only; a build with CUDA 13.0 would use it" in texts["NVIDIA H200"]
    (gpu,) = (row for row in section.rows() if row.copy_buttons)
    assert gpu.verdict.property("tone") == "warn"
    assert not gpu.text.property("tone"), "facts are no warning"
    for button, words in zip(gpu.copy_buttons, ("--only-binary", "-DCMAKE_CUDA_ARCHITECTURES=90"), strict=True):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert words in QApplication.clipboard().text()
    qtbot.mouseClick(section.copy, Qt.MouseButton.LeftButton)
    assert "NVIDIA H200: 150 GB" in QApplication.clipboard().text()
    assert "compute capability 9.0. Not used: " in QApplication.clipboard().text()


def test_a_gpu_in_use_and_a_build_that_does_not_start_are_said(
    qtbot: QtBot, hardware: SettingsHardware, answers: list[Hardware], show: Show
) -> None:
    machine = Machine("Test CPU", 4, 8, 2**34, "Linux", "3.11", (H200,))
    build = EngineBuild("llama.cpp", ("CUDA", "CPU"), ("AVX2",), (CUDA, *CPU_BUILD.devices))
    answers += [Hardware(machine, build), Hardware(machine, problem="The process ended early.")]
    section = seen(qtbot, hardware, show)
    texts = said(section)
    assert texts["NVIDIA H200"].endswith("Used by this build as CUDA0.")
    assert texts["llama.cpp"] == "Can use CUDA, device CUDA0; of the CPU's instruction sets it uses AVX2."
    assert texts["CUDA0, as llama.cpp sees it"] == "NVIDIA H200 · 150 GB, 149 GB free"
    section.refresh.setFocus()
    qtbot.keyClick(section.refresh, Qt.Key.Key_Space)
    assert section.refresh.text() == "Looking…"
    qtbot.waitUntil(lambda: said(section).get("llama.cpp") == "The process ended early.")
    assert section.refresh.text() == "Look again"
    assert section.refresh.hasFocus(), "who pressed it can press it again"


def test_the_real_machine_is_read_when_the_section_is_seen_and_not_before(
    qtbot: QtBot, workbench: Workbench, tasks: Tasks, show: Show
) -> None:
    state = SettingsState(workbench, tasks)
    section = HardwareSection(state.hardware)
    assert not state.hardware.is_reading
    show(section, 900, 600)
    qtbot.waitUntil(lambda: bool(section.rows()), timeout=20_000)
    assert any(row.title.text() == "llama.cpp" for row in section.rows())
