"""Shows a text while it streams: as tall as its text, selectable at any time, copying the model's exact words."""

from __future__ import annotations

import math
import time

from PySide6.QtCore import QMimeData, QRect, QRectF, QSize, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QColor,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextCursor,
    QTextOption,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QFrame, QSizePolicy, QTextEdit, QToolButton, QWidget

from ui import icons, theme
from ui.widgets.streaming_document import Region, StreamingDocument
from ui.widgets.text_style import CODE_PADDING, TextStyle

REFLOW_DELAY_MS = 200
CARET_WIDTH = 6
REPAINTED_ABOVE = 40  # margins and the frame of a code block


class TokenView(QTextEdit):
    """Append with `append_text`, end with `finish`. The height follows the text; an outer area scrolls.

    It paints the colour of a surface behind its text, so that new words repaint nothing that lies under it.
    `glyph_painted` carries `time.perf_counter_ns()` right after the first characters were drawn.
    """

    glyph_painted = Signal(object)
    height_changed = Signal(int)
    selection_dragged = Signal(int)

    def __init__(self, parent: QWidget | None = None, style: TextStyle | None = None, is_markdown: bool = True) -> None:
        super().__init__(parent)
        self._style_of_text = style or TextStyle()
        self._is_streaming = False
        self._is_painted = False
        self._buttons: list[tuple[Region, QToolButton]] = []
        self._layout_width = 0
        self._last_line_top: int | None = None
        self._prepare()
        self.stream = StreamingDocument(self.document(), self._style_of_text, is_markdown)
        self._reflow = QTimer(self)
        self._reflow.setSingleShot(True)
        self._reflow.setInterval(REFLOW_DELAY_MS)
        self._reflow.timeout.connect(self._rebuild)
        self.document().documentLayout().documentSizeChanged.connect(self._on_size_changed)
        theme.current().changed.connect(self._on_theme_changed)
        self._fit_height()

    def _prepare(self) -> None:
        theme.set_role(self, "bare")
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setFont(self._style_of_text.font)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setTabChangesFocus(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.viewport().setAutoFillBackground(False)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        for part in (self, self.viewport()):
            part.setAttribute(Qt.WidgetAttribute.WA_StaticContents)
        self.setAccessibleName("Text of the model")

    # --- the text ----------------------------------------------------------------------------------------

    def append_text(self, text: str) -> None:
        """Adds to the end. A selection stays where it is."""
        self._is_streaming = True
        layout = self.document().documentLayout()
        # Qt would repaint the whole view after each insertion; what is complete above never changes.
        was_blocked = layout.blockSignals(True)
        end = self.document().characterCount() - 1
        with _KeptSelection(self):
            self.stream.append(text)
        layout.blockSignals(was_blocked)
        self._fit_height()
        top, changed_from = self._last_line_top, self.stream.changed_from
        if top is None or changed_from < end:
            top = max(0, self._line_top(changed_from) - REPAINTED_ABOVE)
        self._last_line_top = self._line_top(self.document().characterCount() - 1)
        self.viewport().update(0, min(top, self._last_line_top), self.viewport().width(), self.height())
        self._place_buttons()

    def finish(self) -> None:
        self._is_streaming = False
        self._last_line_top = None
        with _KeptSelection(self):
            self.stream.finish()
        self._place_buttons()
        self.viewport().update()

    def set_text(self, text: str) -> None:
        """Replaces everything by a complete text."""
        self._last_line_top = None
        self.stream.clear()
        self.stream.append(text)
        self.finish()

    def source(self) -> str:
        """Exactly what was appended."""
        return self.stream.source()

    def plain_text(self) -> str:
        """What can be read in the view, without Markdown's marks."""
        return self.stream.plain_text()

    @property
    def is_streaming(self) -> bool:
        return self._is_streaming

    def last_line(self) -> str:
        """The line that grows, for a fold that shows no more."""
        block = self.document().lastBlock()
        while block.isValid() and not block.text().strip():
            block = block.previous()
        return block.text().strip() if block.isValid() else ""

    def copy_all(self) -> None:
        QApplication.clipboard().setText(self.source())

    # --- Qt ----------------------------------------------------------------------------------------------

    def createMimeDataFromSelection(self) -> QMimeData:
        cursor = self.textCursor()
        found = self.stream.source_of(cursor.selectionStart(), cursor.selectionEnd())
        data = QMimeData()
        visible = cursor.selectedText().replace("\u2029", "\n").replace("\u2028", "\n")
        data.setText(visible if found is None else found)
        return data

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        """Nothing that a model writes is ever loaded."""
        return None

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.selection_dragged.emit(round(event.position().y()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        width = self.viewport().width()
        if width != self._layout_width:
            self._layout_width = width
            self._last_line_top = None
            self._fit_height()
            self._place_buttons()
            if self.stream.has_cut_lines:
                self._reflow.start()

    def paintEvent(self, event: QPaintEvent) -> None:
        self._paint_ground(event.rect())
        super().paintEvent(event)
        if self._is_streaming:
            self._paint_caret()
        if not self._is_painted and not self.document().isEmpty():
            self._is_painted = True
            self.glyph_painted.emit(time.perf_counter_ns())

    # --- inside ------------------------------------------------------------------------------------------

    def _paint_ground(self, changed: QRect) -> None:
        """The surface, and on it what stands behind code and quotations."""
        painter = QPainter(self.viewport())
        painter.fillRect(changed, self._colour("surface"))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for region in self.stream.regions:
            rect = self._region_rect(region)
            if not rect.intersects(QRectF(changed)):
                continue
            if region.kind == "quote":
                painter.fillRect(QRectF(rect.left() + 2, rect.top(), 3, rect.height()), self._colour("line"))
            else:
                painter.setPen(self._colour("hairline"))
                painter.setBrush(self._colour("window"))
                painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), theme.RADIUS, theme.RADIUS)
        painter.end()

    def _region_rect(self, region: Region) -> QRectF:
        layout = self.document().documentLayout()
        first, last = self.document().findBlock(region.start), self.document().findBlock(region.end)
        top, bottom = layout.blockBoundingRect(first).top(), layout.blockBoundingRect(last).bottom()
        padding = CODE_PADDING if region.kind == "code" else 0
        return QRectF(0, top - padding, self.viewport().width(), bottom - top + 2 * padding)

    def _line_top(self, position: int) -> int:
        """Where the line that holds `position` begins."""
        block = self.document().findBlock(position)
        top = self.document().documentLayout().blockBoundingRect(block).top()
        line = block.layout().lineForTextPosition(position - block.position())
        return math.floor(top + (line.y() if line.isValid() else 0.0))

    def _paint_caret(self) -> None:
        cursor = QTextCursor(self.document())
        cursor.setPosition(self.document().characterCount() - 1)
        rect = self.cursorRect(cursor)
        painter = QPainter(self.viewport())
        painter.fillRect(rect.left() + 1, rect.top() + 2, CARET_WIDTH, rect.height() - 4, self._colour("accent"))
        painter.end()

    def _colour(self, role: str) -> QColor:
        return theme.current().color(role)

    def _place_buttons(self) -> None:
        codes = [region for region in self.stream.regions if region.kind == "code"]
        for region in codes[len(self._buttons) :]:
            self._buttons.append((region, self._copy_button(region)))
        for region, button in self._buttons:
            rect = self._region_rect(region)
            button.move(round(rect.right()) - button.width() - 4, round(rect.top()) + 4)

    def _copy_button(self, region: Region) -> QToolButton:
        button = QToolButton(self.viewport())
        theme.set_role(button, "icon")
        icons.show_on(button, "copy", "text-dim", 14)
        button.setToolTip(f"Copy this {region.language or 'code'}".strip())
        button.setAccessibleName(button.toolTip())
        button.clicked.connect(lambda: QApplication.clipboard().setText(self._code(region)))
        button.setCursor(Qt.CursorShape.ArrowCursor)
        button.adjustSize()
        button.show()
        return button

    def _code(self, region: Region) -> str:
        return self.stream.source_of(region.start, region.end) or ""

    def _on_theme_changed(self) -> None:
        self._rebuild()

    def _rebuild(self) -> None:
        """Makes the whole document again from the source: for other colours or another width."""
        text, was_streaming = self.source(), self._is_streaming
        with _KeptSelection(self):
            self._last_line_top = None
            for _, button in self._buttons:
                button.deleteLater()
            self._buttons.clear()
            self._style_of_text = TextStyle(self._style_of_text.size_px, self._style_of_text.role)
            self.stream.clear(self._style_of_text)
            self.stream.append(text)
            if not was_streaming:
                self.stream.finish()
        self._place_buttons()
        self._fit_height()

    def _on_size_changed(self) -> None:
        self._fit_height()

    def _fit_height(self) -> None:
        # Qt leaves the margin under the last block out of the document's size.
        padding = CODE_PADDING if self.stream.ends_with_code() else 0
        height = max(1, math.ceil(self.document().size().height()) + padding)
        if height != self.height() or self.minimumHeight() != height:
            self.setFixedHeight(height)
            self.height_changed.emit(height)


class _KeptSelection:
    """Puts a view's selection back after its document has changed behind it."""

    def __init__(self, view: TokenView) -> None:
        self._view = view

    def __enter__(self) -> None:
        cursor = self._view.textCursor()
        self._had = cursor.hasSelection()
        self._anchor, self._position = cursor.anchor(), cursor.position()

    def __exit__(self, *unused: object) -> None:
        cursor = self._view.textCursor()
        if not self._had or (cursor.anchor(), cursor.position()) == (self._anchor, self._position):
            return
        last = self._view.document().characterCount() - 1
        cursor.setPosition(min(self._anchor, last))
        cursor.setPosition(min(self._position, last), QTextCursor.MoveMode.KeepAnchor)
        self._view.setTextCursor(cursor)
