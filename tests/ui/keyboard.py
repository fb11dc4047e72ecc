"""Pressing Tab through a page."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot


def missed_by_tab(qtbot: QtBot, page: QWidget, presses: int) -> list[str]:
    """Type and accessible name of each control of the page that Tab does not reach from where the focus is."""
    wanted = {
        widget
        for widget in page.findChildren(QWidget)
        if widget.isVisible()
        and widget.isEnabled()
        and widget.focusPolicy() & Qt.FocusPolicy.TabFocus == Qt.FocusPolicy.TabFocus
        and widget.focusProxy() is None
    }
    reached = set()
    for _ in range(presses):
        qtbot.keyClick(QApplication.focusWidget() or page.window(), Qt.Key.Key_Tab)
        reached.add(QApplication.focusWidget())
    return [f"{type(widget).__name__} {widget.accessibleName()}" for widget in wanted - reached]
