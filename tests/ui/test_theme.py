"""Colours that can be read in both themes, fonts, icons, and widgets that follow a change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QApplication, QLabel, QPushButton
from pytestqt.qtbot import QtBot

from ui import icons, theme

ROOT = Path(__file__).resolve().parents[2]
BACKGROUNDS = ("window", "surface", "raised")
TEXTS = ("text", "text-dim", "accent", "good", "warn", "bad", "thinking")
THEMES = [("dark", theme.DARK, theme.SERIES_DARK), ("light", theme.LIGHT, theme.SERIES_LIGHT)]


def test_contrast_of_known_colours() -> None:
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert theme.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("name", "colours", "series"), THEMES)
def test_text_and_lines_can_be_read_on_every_background(
    name: str, colours: dict[str, str], series: tuple[str, ...]
) -> None:
    for background in BACKGROUNDS:
        for role in TEXTS:
            assert theme.contrast(colours[role], colours[background]) >= 4.5, f"{name}: {role} on {background}"
        assert theme.contrast(colours["line"], colours[background]) >= 3, f"{name}: line on {background}"
        for number, colour in enumerate(series):
            assert theme.contrast(colour, colours[background]) >= 3, f"{name}: series {number} on {background}"
    assert theme.contrast(colours["accent-text"], colours["accent"]) >= 4.5


def test_no_colour_is_written_outside_the_theme() -> None:
    pattern = re.compile(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b|\brgba?\(|GlobalColor\.(?!transparent)")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "ui").rglob("*.py"))
        if path.name != "theme.py"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if pattern.search(line.replace("#rrggbb", ""))
    ]
    assert not found


def test_a_change_of_theme_changes_palette_sheet_and_signal(qapp: QApplication, qtbot: QtBot) -> None:
    active = theme.current()
    with qtbot.waitSignal(active.changed):
        active.set_choice("light")
    assert not active.is_dark
    assert active.color("window").name() == theme.LIGHT["window"]
    assert qapp.palette().window().color().name() == theme.LIGHT["window"]
    assert theme.LIGHT["surface"] in qapp.styleSheet()


def test_system_follows_the_desktop(qapp: QApplication) -> None:
    active = theme.current()
    active.set_choice("system")
    for scheme, is_dark in ((Qt.ColorScheme.Dark, True), (Qt.ColorScheme.Light, False)):
        qapp.styleHints().colorSchemeChanged.emit(scheme)
        assert active.is_dark == is_dark
    active.set_choice("light")
    qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert not active.is_dark


def test_figures_have_one_width_and_grow_in_the_presenter_view(qapp: QApplication) -> None:
    active = theme.current()
    assert active.font("figure").pixelSize() == 30
    assert qapp.font().featureValue(QFont.Tag("tnum")) == 1
    active.set_metric_scale(2.0)
    assert active.font("figure").pixelSize() == 60
    assert active.font("body").pixelSize() == 13


@pytest.mark.parametrize("path", sorted((ROOT / "assets" / "icons").glob("*.svg")), ids=lambda path: path.stem)
def test_every_icon_draws_something_inside_its_square(qapp: QApplication, path: Path) -> None:
    image = icons.pixmap(path.stem, "text", 24, 2.0).toImage()
    assert image.width() == 48
    painted = [(x, y) for x in range(48) for y in range(48) if image.pixelColor(x, y).alpha() > 40]
    assert len(painted) > 20
    edge = [point for point in painted if 0 in point or 47 in point]
    assert not edge, "the drawing is cut off at its border"


def test_icons_of_buttons_follow_the_theme(qtbot: QtBot) -> None:
    button = QPushButton("Run")
    qtbot.addWidget(button)
    icons.show_on(button, "run", "accent", 16)
    before = button.icon().pixmap(16).toImage()
    theme.current().set_choice("light")
    assert button.icon().pixmap(16).toImage() != before


def test_a_role_reaches_the_font_of_a_label(qtbot: QtBot) -> None:
    label = QLabel("Run")
    qtbot.addWidget(label)
    theme.set_role(label, "title")
    label.ensurePolished()
    assert label.fontInfo().pixelSize() == 20
