"""The style sheet of the window as a template over the roles of `ui.theme`; holds no colour of its own."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

_TEMPLATE = Template(
    """
QWidget { color: $text; }
QMainWindow, QDialog, QWidget[role="page"] { background: $window; }
QToolTip { background: $raised; color: $text; border: 1px solid $line; padding: 4px 8px; }

QLabel { background: transparent; }
QLabel[role="caption"] { font-size: ${caption}px; color: $text_dim; }
QLabel[role="dim"] { color: $text_dim; }
QLabel[role="label"] { font-size: 12px; color: $text_dim; font-weight: 500; }
QLabel[role="strong"] { font-weight: 600; }
QLabel[role="section"] { font-size: ${section}px; font-weight: 600; }
QLabel[role="title"] { font-size: ${title}px; font-weight: 600; }
QLabel[role="figure"] { font-size: ${figure}px; font-weight: 600; }
QLabel[tone="good"] { color: $good; }
QLabel[tone="warn"] { color: $warn; }
QLabel[tone="bad"] { color: $bad; }
QLabel[tone="dim"] { color: $text_dim; }
QLabel[tone="accent"] { color: $accent; }
QLabel[tone="thinking"] { color: $thinking; }
QLabel[role="pill"] { border: 1px solid $hairline; border-radius: 12px; padding: 4px 12px; font-size: 12px;
    color: $text_dim; font-weight: 500; }
QLabel[role="pill"][tone="good"] { color: $good; }
QLabel[role="pill"][tone="warn"] { color: $warn; }
QLabel[role="pill"][tone="bad"] { color: $bad; }
QLabel[role="pill"][tone="accent"] { color: $accent; }
QLabel[role="pill"][tone="thinking"] { color: $thinking; }

QFrame[role="card"] { background: $surface; border: 1px solid $hairline; border-radius: 6px; }
QFrame[role="rule"] { background: $hairline; border: none; }
QFrame[role="notice"] { background: $surface; border: 1px solid $hairline; border-left: 3px solid $accent;
    border-radius: 6px; }
QFrame[role="notice"][tone="warn"] { border-left-color: $warn; }
QFrame[role="notice"][tone="bad"] { border-left-color: $bad; }
QFrame[role="notice"][tone="good"] { border-left-color: $good; }
QFrame[role="notice"][tone="thinking"] { border-left-color: $thinking; }

QPushButton, QToolButton { background: $surface; border: 1px solid $line; border-radius: 6px; padding: 4px 12px;
    min-height: 20px; font-weight: 500; }
QPushButton:hover, QToolButton:hover { background: $raised; }
QPushButton:pressed, QToolButton:pressed { background: $hairline; }
QPushButton:focus, QToolButton:focus { border: 2px solid $accent; padding: 3px 11px; }
QPushButton:disabled, QToolButton:disabled { color: $line; border-color: $hairline; }
QPushButton[role="primary"] { background: $accent; border: 1px solid $accent; color: $accent_text; font-weight: 600;
    padding: 4px 16px; }
QPushButton[role="primary"]:hover { border-color: $text; }
QPushButton[role="primary"]:focus { border: 2px solid $text; padding: 3px 15px; }
QPushButton[role="primary"]:disabled { background: $raised; border-color: $hairline; color: $line; }
QPushButton[role="danger"] { color: $bad; }
QPushButton[role="link"], QToolButton[role="link"] { background: transparent; border: 1px solid transparent;
    color: $accent; font-weight: 600; padding: 4px 4px; }
QPushButton[role="link"]:hover, QToolButton[role="link"]:hover { text-decoration: underline; }
QPushButton[role="link"]:focus, QToolButton[role="link"]:focus { border: 2px solid $accent; padding: 3px 3px; }
QPushButton[role="link"]:disabled { color: $line; }
QPushButton[role="quiet"], QToolButton[role="quiet"] { background: transparent; border: 1px solid transparent; }
QPushButton[role="quiet"]:hover, QToolButton[role="quiet"]:hover { background: $raised; }
QPushButton[role="quiet"]:focus, QToolButton[role="quiet"]:focus { border: 2px solid $accent; }
QToolButton[role="icon"] { background: transparent; border: 1px solid transparent; padding: 4px; min-width: 20px; }
QToolButton[role="icon"]:hover { background: $raised; }
QToolButton[role="icon"]:focus { border: 2px solid $accent; padding: 3px; }
QToolButton[role="icon"]:checked { background: $raised; }
QToolButton::menu-indicator { image: none; }
QPushButton::menu-indicator { image: url("$img_chevron_down"); width: 14px; height: 14px;
    subcontrol-origin: padding; subcontrol-position: center right; right: 8px; }

QLineEdit, QComboBox, QSpinBox, QDoubleSpinBox { background: $surface; border: 1px solid $line; border-radius: 6px;
    padding: 4px 8px; min-height: 20px; selection-background-color: $accent; selection-color: $accent_text; }
QLineEdit:focus, QComboBox:focus, QSpinBox:focus, QDoubleSpinBox:focus { border: 2px solid $accent;
    padding: 3px 7px; }
QLineEdit:disabled, QComboBox:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled { color: $line;
    border-color: $hairline; }
QLineEdit[invalid="true"], QSpinBox[invalid="true"], QDoubleSpinBox[invalid="true"] { border: 2px solid $bad;
    padding: 3px 7px; }
QSpinBox QLineEdit, QDoubleSpinBox QLineEdit, QComboBox QLineEdit { border: none; padding: 0; min-height: 0;
    background: transparent; }
QSpinBox, QDoubleSpinBox { padding: 2px 8px; min-height: 24px; max-height: 24px; }
QSpinBox:focus, QDoubleSpinBox:focus { padding: 1px 7px; }
QComboBox[knob="true"], QLineEdit[knob="true"] { min-height: 24px; }
QSpinBox[knob="true"], QDoubleSpinBox[knob="true"] { min-height: 28px; max-height: 28px; }
QComboBox { padding-right: 28px; font-weight: 500; }
QComboBox:focus { padding-right: 27px; }
QComboBox::drop-down { border: none; width: 28px; }
QComboBox::down-arrow { image: url("$img_chevron_down"); width: 16px; height: 16px; }
QComboBox QAbstractItemView { background: $surface; border: 1px solid $line; border-radius: 0; padding: 4px;
    outline: none; selection-background-color: $raised; selection-color: $text; }
QComboBox QAbstractItemView::item { min-height: 28px; padding: 0 8px; }
QSpinBox::up-button, QDoubleSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::down-button { border: none;
    width: 22px; background: transparent; }
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow { image: url("$img_chevron_up"); width: 12px; height: 12px; }
QSpinBox::down-arrow, QDoubleSpinBox::down-arrow { image: url("$img_chevron_down"); width: 12px; height: 12px; }
QSpinBox::up-button:hover, QDoubleSpinBox::up-button:hover, QSpinBox::down-button:hover,
QDoubleSpinBox::down-button:hover { background: $raised; }

QLineEdit QToolButton { border: none; padding: 0; min-height: 0; background: transparent; }

QPlainTextEdit, QTextEdit, QTextBrowser { background: $surface; border: 1px solid $hairline; border-radius: 6px;
    padding: 4px; selection-background-color: $accent; selection-color: $accent_text; }
QPlainTextEdit:focus, QTextEdit:focus, QTextBrowser:focus { border: 1px solid $accent; }
QPlainTextEdit[role="bare"], QTextEdit[role="bare"], QTextBrowser[role="bare"] { background: transparent;
    border: none; padding: 0; }

QCheckBox, QRadioButton { spacing: 8px; min-height: 28px; }
QCheckBox::indicator { width: 16px; height: 16px; border: 1px solid $line; border-radius: 4px; background: $surface; }
QCheckBox::indicator:focus { border: 2px solid $accent; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url("$img_check"); }

QProgressBar { background: $raised; border: none; border-radius: 3px; max-height: 6px; min-height: 6px;
    text-align: center; color: transparent; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }

QScrollArea { background: transparent; border: none; }
QScrollArea > QWidget > QWidget[role="scrolled"] { background: transparent; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: $line; border-radius: 3px; margin: 2px; }
QScrollBar::handle:vertical { min-height: 28px; }
QScrollBar::handle:horizontal { min-width: 28px; }
QScrollBar::handle:hover { background: $text_dim; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QAbstractScrollArea::corner { background: transparent; border: none; }

QMenu { background: $surface; border: 1px solid $line; padding: 4px; }
QMenu::item { padding: 6px 24px 6px 12px; min-height: 18px; border-radius: 4px; }
QMenu::item:selected { background: $raised; }
QMenu::item:disabled { color: $line; }
QMenu::separator { height: 1px; background: $hairline; margin: 4px 8px; }

QTableView, QListView, QTreeView { background: $surface; border: 1px solid $hairline; border-radius: 6px;
    gridline-color: $hairline; outline: none; selection-background-color: $raised; selection-color: $text;
    alternate-background-color: $surface; }
QTableView:focus, QListView:focus, QTreeView:focus { border: 1px solid $accent; }
QTableView::item { padding: 0 8px; border: none; }
QTableView::item:selected, QTableView::item:selected:active { background: $raised; color: $text; }
QListView::item { padding: 4px 8px; min-height: 24px; border: none; border-radius: 4px; }
QListView::item:selected, QListView::item:selected:active { background: $raised; color: $text; }
QHeaderView { background: $surface; border: none; border-top-left-radius: 6px; border-top-right-radius: 6px; }
QHeaderView::section { background: $surface; color: $text_dim; border: none; border-bottom: 1px solid $line;
    padding: 6px 11px; font-size: 12px; font-weight: 600; }
QHeaderView::section:hover { color: $text; }
QHeaderView::up-arrow { image: url("$img_chevron_up"); width: 12px; height: 12px; }
QHeaderView::down-arrow { image: url("$img_chevron_down"); width: 12px; height: 12px; }
QSplitter::handle { background: transparent; }
QSplitter::handle:horizontal { width: 12px; }
QSplitter::handle:vertical { height: 12px; }
QTabBar::tab { background: transparent; border: none; border-bottom: 2px solid transparent; padding: 6px 12px;
    color: $text_dim; font-weight: 500; }
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; }
QTabBar::tab:focus { color: $accent; }
QTabWidget::pane { border: none; }

QFrame[role="statusbar"] { background: $surface; border: none; border-top: 1px solid $hairline; }
QFrame[role="rail"] { background: $surface; border: none; border-right: 1px solid $hairline; }
"""
)


def build_stylesheet(colours: Mapping[str, str], sizes: Mapping[str, int]) -> str:
    """`colours` maps roles to #rrggbb and "img-..." to files."""
    names = {key.replace("-", "_"): value for key, value in colours.items()}
    return _TEMPLATE.substitute(names, **{key: str(value) for key, value in sizes.items()})
