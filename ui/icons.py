"""Icons from `assets/icons`, drawn in a role's colour at the size and resolution where they are shown."""

from __future__ import annotations

from functools import cache

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt
from PySide6.QtGui import QAction, QGuiApplication, QIcon, QPainter, QPixmap, QPixmapCache
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QAbstractButton

from ui import theme

SIZE = 18


@cache
def _source(key: str) -> str:
    return (theme.assets_folder() / "icons" / f"{key}.svg").read_text("utf-8")


def pixmap(key: str, role: str = "text", size: int = SIZE, dpr: float | None = None) -> QPixmap:
    """The icon in `size` logical pixels; `dpr` None: as sharp as the sharpest screen."""
    ratio = dpr if dpr is not None else max((s.devicePixelRatio() for s in QGuiApplication.screens()), default=1.0)
    colour = theme.current().hex(role)
    name = f"icon/{key}/{colour}/{size}/{ratio}"
    image = QPixmap()
    if QPixmapCache.find(name, image):
        return image
    image = QPixmap(QSize(round(size * ratio), round(size * ratio)))
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    data = QByteArray(_source(key).replace("currentColor", colour).encode())
    QSvgRenderer(data).render(painter, QRectF(image.rect()))
    painter.end()
    image.setDevicePixelRatio(ratio)
    QPixmapCache.insert(name, image)
    return image


def icon(key: str, role: str = "text", size: int = SIZE) -> QIcon:
    """Sharp at 100 % and 200 %. The colour stays when the theme changes; `show_on` follows it."""
    made = QIcon()
    for ratio in (1.0, 2.0):
        made.addPixmap(pixmap(key, role, size, ratio), QIcon.Mode.Normal)
        made.addPixmap(pixmap(key, "line", size, ratio), QIcon.Mode.Disabled)
    return made


def show_on(target: QAbstractButton | QAction, key: str, role: str = "text", size: int = SIZE) -> None:
    """Puts the icon on a button or action and keeps its colour right; calling again replaces it."""
    if isinstance(target, QAbstractButton):
        target.setIconSize(QSize(size, size))
    follower = target.findChild(_Follower, options=Qt.FindChildOption.FindDirectChildrenOnly)
    if follower is None:
        follower = _Follower(target)
    follower.show(key, role, size)


class _Follower(QObject):
    """Child of a button or action; gives it the icon again when the theme has changed."""

    def __init__(self, target: QAbstractButton | QAction) -> None:
        super().__init__(target)
        self._target = target
        self._shown = ("", "text", SIZE)
        theme.current().changed.connect(self._on_theme_changed)

    def show(self, key: str, role: str, size: int) -> None:
        if (key, role, size) != self._shown:
            self._shown = (key, role, size)
            self._target.setIcon(icon(key, role, size))

    def _on_theme_changed(self) -> None:
        self._target.setIcon(icon(*self._shown))
