"""Colours, fonts and spacing of the window: the one place where a colour is written down."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTemporaryDir, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontMetrics, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory, QWidget

from ui.stylesheet import build_stylesheet

Choice = Literal["system", "light", "dark"]
Tone = Literal["good", "warn", "bad", "dim", "accent", "thinking"]

GAP_S, GAP, GAP_L, GAP_XL = 8, 12, 16, 24
RADIUS = 6
TARGET = 28
SIZES: Mapping[str, int] = {"caption": 11, "body": 13, "section": 15, "title": 20, "figure": 30}

DARK: Mapping[str, str] = {
    "window": "#0f1318",
    "surface": "#171a21",
    "raised": "#232832",
    "hairline": "#2a2f39",
    "line": "#6f7886",
    "text": "#f3f5f8",
    "text-dim": "#a3abb8",
    "accent": "#4ba3ff",
    "accent-text": "#0a1119",
    "good": "#3fcf8e",
    "warn": "#f5b03e",
    "bad": "#ff7272",
    "thinking": "#b694ff",
}
LIGHT: Mapping[str, str] = {
    "window": "#f3f5f7",
    "surface": "#ffffff",
    "raised": "#e9edf2",
    "hairline": "#d6dbe2",
    "line": "#7d8793",
    "text": "#14181e",
    "text-dim": "#525c69",
    "accent": "#0a63cc",
    "accent-text": "#ffffff",
    "good": "#0b7544",
    "warn": "#8a5600",
    "bad": "#c4202b",
    "thinking": "#6a3fc4",
}
"""`hairline` only decorates (the edge of a card); `line` is what must be seen: edges of controls, axes, budgets."""

# Okabe and Ito's colours, in the order in which series take them. On white, the three bright ones are
# darkened along their own hue until a line of one pixel reads (3:1).
SERIES_DARK = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#3d8fd1", "#98a2b3")
SERIES_LIGHT = ("#2a8fcb", "#b47b00", "#008a65", "#b9608f", "#938a00", "#d55e00", "#0072b2", "#6b7686")
SERIES_COUNT = len(SERIES_DARK)

# What fills a context or a memory keeps its colour on every page.
PART_SERIES: Mapping[str, int] = {
    "system": 7, "template": 7, "history": 0, "document": 3, "question": 1,
    "weights": 0, "kv": 1, "compute": 7, "repacked": 3, "output": 5, "recurrent": 2,
}  # fmt: skip
PART_ROLES: Mapping[str, str] = {"thinking": "thinking", "answer": "good", "free": "raised"}


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours by WCAG 2.2, 1 to 21."""
    bright, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def assets_folder() -> Path:
    """The folder `assets` of the checkout, or of the installed wheel."""
    root = Path(__file__).resolve().parents[1]
    installed = root / "workbench" / "_resources" / "assets"
    return installed if installed.is_dir() else root / "assets"


class Theme(QObject):
    """The look of one application. `changed` comes after palette and style sheet are in place."""

    changed = Signal()

    def __init__(self, app: QApplication, choice: Choice = "system") -> None:
        super().__init__(app)
        self._app = app
        self._choice: Choice = choice
        self._system_scheme = app.styleHints().colorScheme()
        self._scale = 1.0
        self._control_images = QTemporaryDir()
        self._family = _font_family(app)
        style = QStyleFactory.create("Fusion")
        if style is not None:
            app.setStyle(style)
        app.styleHints().colorSchemeChanged.connect(self._on_system_scheme_changed)
        self._is_dark = self._wants_dark()
        self._apply()

    @property
    def choice(self) -> Choice:
        return self._choice

    @property
    def is_dark(self) -> bool:
        return self._is_dark

    @property
    def metric_scale(self) -> float:
        """1, or 2 in the presenter view: how much larger the figures of metrics are."""
        return self._scale

    def set_choice(self, choice: Choice) -> None:
        self._choice = choice
        self._refresh()

    def set_metric_scale(self, scale: float) -> None:
        self._scale = scale
        self.changed.emit()

    def hex(self, role: str) -> str:
        """The colour of a role or of a series ("series-0" ...) as #rrggbb."""
        if role.startswith("series-"):
            series = SERIES_DARK if self._is_dark else SERIES_LIGHT
            return series[int(role.removeprefix("series-")) % SERIES_COUNT]
        return (DARK if self._is_dark else LIGHT)[role]

    def color(self, role: str) -> QColor:
        return QColor(self.hex(role))

    def series(self, index: int) -> QColor:
        return self.color(f"series-{index}")

    def part_color(self, part: str) -> QColor:
        """The colour of a part of a context or of a memory ("history", "kv" ...), or of a role or series."""
        if part in PART_ROLES:
            return self.color(PART_ROLES[part])
        return self.series(PART_SERIES[part]) if part in PART_SERIES else self.color(part)

    def font(self, size: str = "body", weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
        """For painted text. `size` is a step of the type scale; "figure" grows in the presenter view."""
        font = QFont(self._app.font())
        pixels = SIZES[size] * (self._scale if size == "figure" else 1.0)
        font.setPixelSize(round(pixels))
        font.setWeight(weight)
        if size in ("title", "figure"):
            font.setLetterSpacing(QFont.SpacingType.PercentageSpacing, 97)
        return font

    def _wants_dark(self) -> bool:
        if self._choice == "system":
            return self._system_scheme == Qt.ColorScheme.Dark
        return self._choice == "dark"

    def _on_system_scheme_changed(self, scheme: Qt.ColorScheme) -> None:
        self._system_scheme = scheme
        if self._choice == "system":
            self._refresh()

    def _refresh(self) -> None:
        is_dark = self._wants_dark()
        if is_dark != self._is_dark:
            self._is_dark = is_dark
            self._apply()
            self.changed.emit()

    def _apply(self) -> None:
        font = QFont(self._family) if self._family else QFont(self._app.font())
        font.setPixelSize(SIZES["body"])
        font.setFeature(QFont.Tag("tnum"), 1)
        self._app.setFont(font)
        self._app.setPalette(self._palette())
        colours = dict(DARK if self._is_dark else LIGHT)
        images = {f"img-{name}": path for name, path in self._write_control_images().items()}
        self._app.setStyleSheet(build_stylesheet(colours | images, SIZES))

    def _write_control_images(self) -> dict[str, str]:
        """A style sheet takes arrows only from files, so the few it needs are written in the theme's colours."""
        paths: dict[str, str] = {}
        names = (("chevron-down", "text-dim"), ("chevron-up", "text-dim"), ("check", "accent-text"))
        for name, role in names:
            text = (assets_folder() / "icons" / f"{name}.svg").read_text("utf-8")
            target = Path(self._control_images.filePath(f"{name}-{'dark' if self._is_dark else 'light'}.svg"))
            target.write_text(text.replace("currentColor", self.hex(role)), "utf-8")
            paths[name] = target.as_posix()
        return paths

    def _palette(self) -> QPalette:
        palette = QPalette()
        group, role = QPalette.ColorGroup, QPalette.ColorRole
        pairs = {
            role.Window: "window", role.WindowText: "text", role.Base: "surface", role.AlternateBase: "raised",
            role.Text: "text", role.Button: "surface", role.ButtonText: "text", role.ToolTipBase: "raised",
            role.ToolTipText: "text", role.PlaceholderText: "text-dim", role.Highlight: "accent",
            role.HighlightedText: "accent-text", role.Link: "accent", role.LinkVisited: "accent",
            role.BrightText: "bad", role.Light: "raised", role.Midlight: "raised", role.Mid: "hairline",
            role.Dark: "line", role.Shadow: "hairline", role.Accent: "accent",
        }  # fmt: skip
        for where, name in pairs.items():
            palette.setColor(where, self.color(name))
        for where in (role.WindowText, role.Text, role.ButtonText):
            palette.setColor(group.Disabled, where, self.color("line"))
        return palette


_latest: list[weakref.ref[Theme]] = []  # the one that `current` found last; a search per painted word costs too much


def current() -> Theme:
    """The theme of the running application; one is made when the composition root made none (in a test)."""
    found = _latest[0]() if _latest else None
    return found if found is not None and found._app is QApplication.instance() else _find()


def _find() -> Theme:
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        raise RuntimeError("there is no QApplication yet")
    child = app.findChild(Theme, options=Qt.FindChildOption.FindDirectChildrenOnly)
    found = child if isinstance(child, Theme) else Theme(app)
    _latest[:] = [weakref.ref(found)]
    return found


def set_role(widget: QWidget, role: str) -> None:
    """Gives a label, button or frame its place in the style sheet ("caption", "primary", "card" ...)."""
    if widget.property("role") == role:
        return
    widget.setProperty("role", role)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def set_tone(widget: QWidget, tone: str) -> None:
    """Colours a label's text by its meaning; a word or icon must say the same."""
    if widget.property("tone") == tone:
        return
    widget.setProperty("tone", tone)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def elided(text: str, font: QFont, width: int) -> str:
    """The text as it fits into `width` pixels, on one line."""
    return QFontMetrics(font).elidedText(text.replace("\n", " "), Qt.TextElideMode.ElideRight, max(0, width))


def _font_family(app: QCoreApplication) -> str | None:
    """None: the system's own UI font. Platforms without one (tests, grabs) take the first good family."""
    if QGuiApplication.platformName() not in ("offscreen", "minimal", "vnc"):
        return None
    families = set(QFontDatabase.families())
    return next((name for name in ("Inter", "DejaVu Sans", "Liberation Sans", "Noto Sans") if name in families), None)
