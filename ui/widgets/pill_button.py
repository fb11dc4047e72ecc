"""A pill that can be pressed: shows a setting and opens the menu that changes it."""

from __future__ import annotations

from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from ui import theme


class PillButton(QPushButton):
    def __init__(self, text: str = "", name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setAccessibleName(name or text)
        self._name = name
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        theme.current().changed.connect(self._draw)
        self._draw()

    def show_text(self, text: str) -> None:
        self.setText(text)
        self.setAccessibleName(f"{self._name}: {text}" if self._name else text)

    def _draw(self) -> None:
        active = theme.current()
        arrow = "padding-right: 26px;" if self.menu() is not None else ""
        line, raised, focus = active.hex("hairline"), active.hex("raised"), active.hex("accent")
        dim, text = active.hex("text-dim"), active.hex("text")
        self.setStyleSheet(
            f"QPushButton {{ border: 1px solid {line}; border-radius: 14px; padding: 3px 12px; {arrow}"
            f" min-height: 20px; background: transparent; color: {dim}; font-size: 12px; }}"
            f"QPushButton:hover {{ background: {raised}; color: {text}; }}"
            f"QPushButton:focus {{ border: 2px solid {focus}; padding: 2px 11px; {arrow} }}"
        )

    def refresh(self) -> None:
        """After a menu was given or taken."""
        self._draw()
