"""One figure of a run: title, value with unit, change to the run before, and a bar or a line under it."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from ui import theme
from ui.widgets.sparkline import Sparkline
from ui.widgets.stacked_bar import StackedBar

DeltaTone = Literal["good", "bad", "warn", "dim"]
_PAD, _PAD_COMPACT = 14, 10
_SMALLEST_BESIDE_UNIT, _SMALLEST_FIGURE = 16, 10  # pixels a figure may shrink to for its unit, and for itself


class MetricTile(QWidget):
    """`definition` is the sentence shown on hover. A click or Enter emits `clicked` (pins its chart)."""

    clicked = Signal()

    def __init__(
        self,
        title: str,
        definition: str,
        with_sparkline: bool = False,
        with_bar: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._title, self._definition = title, definition
        self._figure, self._unit = "—", ""
        self._delta, self._delta_tone = "", "dim"
        self._note = ("", "", "")
        self._strip_words = ("", "")
        self._details = definition
        self._budget: tuple[float, bool | None] | None = None
        self._has_budget = False
        self._is_compact = self._is_tight = False
        self._is_pinned = False
        self._is_hovered = False
        self._heights: dict[bool, int] = {}
        self.sparkline = Sparkline(parent=self) if with_sparkline else None
        self.bar = StackedBar(parent=self) if with_bar else None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleDescription(definition)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.current().changed.connect(self._on_theme_changed)
        self._describe()

    def set_title(self, title: str) -> None:
        self._title = title
        self._describe()
        self.update(self._head())

    def fits_title(self, title: str) -> bool:
        """Whether `title` would be shown whole at the present width."""
        return QFontMetrics(self._title_font()).horizontalAdvance(title) <= self._room()

    def set_details(self, text: str) -> None:
        """What the tooltip says instead of the definition."""
        self._details = text
        self._describe()

    def set_value(self, figure: str, unit: str = "") -> None:
        """`figure` "—" when not measured."""
        if (figure, unit) != (self._figure, self._unit):
            self._figure, self._unit = figure, unit
            self._describe()
            self.update(self._head())

    def set_delta(self, text: str, tone: DeltaTone = "dim") -> None:
        self._delta, self._delta_tone = text, tone
        self._describe()
        self.update(self._foot() if self._is_compact else self._head())

    def set_note(self, left: str, right: str = "", short: str = "") -> None:
        """Small print at the bottom; `left` may have two lines when `right` is empty.

        `short` stands for `left` in a compact tile without room; the tooltip holds the whole then.
        """
        had = self._note_lines()
        self._note = (left, right, short)
        if self._note_lines() != had:
            self._relayout()
        self._describe()
        self.update(self._foot())

    def set_budget(self, fraction: float | None, within: bool | None = None) -> None:
        """A bar of how much of the budget was used, 0 to 1 and more; `fraction` None: an empty bar.

        `within` None: not judged yet. The note says in words what the colour says.
        """
        first = not self._has_budget
        self._has_budget = True
        self._budget = None if fraction is None else (fraction, within)
        if first:
            self._relayout()
        self.update()

    def clear_budget(self) -> None:
        if self._has_budget:
            self._has_budget = False
            self._relayout()

    def set_compact(self, compact: bool) -> None:
        """For the strip layout: smaller figure, no line, no bar."""
        if compact != self._is_compact:
            self._is_compact = compact
            self._relayout()
            self._describe()

    def set_tight(self, tight: bool) -> None:
        """Smaller figure, line and margins, for a low window."""
        if tight != self._is_tight:
            self._is_tight = tight
            self._relayout()

    def set_strip_words(self, unit: str, note: str) -> None:
        """What a compact tile says instead of its unit, change and note."""
        if (unit, note) != self._strip_words:
            self._strip_words = (unit, note)
            self._describe()
            self.update()

    def set_pinned(self, pinned: bool) -> None:
        """Whether the large chart shows this figure."""
        self._is_pinned = pinned
        self.update()

    def value_text(self) -> str:
        return f"{self._figure} {self._unit}".strip()

    def cut_texts(self) -> list[str]:
        """What does not fit at the present size."""
        font, room = QFontMetrics(theme.current().font("caption")), self._room()
        lines = [self._compact_note()] if self._is_compact else self._note[0].split("\n")
        right = "" if self._is_compact else self._note[1]
        taken = font.horizontalAdvance(right) + 8 if right else 0
        found = [text for text in lines if font.horizontalAdvance(text) + taken > room]
        figure = QFontMetrics(self._figure_font()).horizontalAdvance(self._figure)
        unit = self._shown_unit()
        taken = figure + (6 + QFontMetrics(self._unit_font()).horizontalAdvance(unit) if unit else 0)
        if taken > room:
            found.append(f"{self._figure} {unit}")
        if self._delta and not self._is_compact and not self._fits_beside(taken) and not self._fits_beside_title():
            found.append(self._delta)
        return found + ([] if self.fits_title(self._title) else [self._title])

    def _fits_beside(self, taken: int) -> bool:
        """Whether the change has room in a line of which so much is taken."""
        return taken + 8 + QFontMetrics(self._delta_font()).horizontalAdvance(self._delta) <= self._room()

    def _fits_beside_title(self) -> bool:
        return self._fits_beside(QFontMetrics(self._title_font()).horizontalAdvance(self._title))

    def height_when(self, tight: bool) -> int:
        return self._height(tight)

    def sizeHint(self) -> QSize:
        return QSize(130 if self._is_compact else 316, self._height())

    def minimumSizeHint(self) -> QSize:
        return QSize(104 if self._is_compact else 240, self._height())

    def resizeEvent(self, event: object) -> None:
        self._place_children()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.ApplicationFontChange):
            self._heights.clear()

    def enterEvent(self, event: object) -> None:
        self._is_hovered = True
        self.update()

    def leaveEvent(self, event: object) -> None:
        self._is_hovered = False
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.clicked.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        active = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        edge = "accent" if self.hasFocus() or self._is_pinned else ("line" if self._is_hovered else "hairline")
        width = 2 if self.hasFocus() else 1
        painter.setPen(QPen(active.color(edge), width))
        painter.setBrush(active.color("surface"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(width / 2, width / 2, -width / 2, -width / 2), 6, 6)
        pad, margin = self._pad(), self._margin(self._is_tight)
        inner = QRectF(self.rect()).adjusted(pad, margin, -pad, -margin)
        if event.region().intersects(self._head()):
            self._paint_head(painter, inner)
        if self._has_budget and not self._is_compact:
            self._paint_budget(painter, inner)
        if event.region().intersects(self._foot()):
            self._paint_note(painter, inner)
        painter.end()

    def _paint_head(self, painter: QPainter, inner: QRectF) -> None:
        active = theme.current()
        title_font = self._title_font()
        painter.setFont(title_font)
        painter.setPen(active.color("text-dim"))
        title_height = QFontMetrics(title_font).height()
        line = QRectF(inner.left(), inner.top(), inner.width(), title_height)
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft, theme.elided(self._title, title_font, int(inner.width())))
        figure_font = self._figure_font()
        measure = QFontMetrics(figure_font)
        # One line for the figures of neighbouring tiles, also where one had to become smaller.
        baseline = int(inner.top() + title_height + 2 + QFontMetrics(self._usual_figure_font()).ascent())
        painter.setFont(figure_font)
        painter.setPen(active.color("text" if self._figure != "—" else "text-dim"))
        painter.drawText(int(inner.left()), baseline, self._figure)
        left = inner.left() + measure.horizontalAdvance(self._figure) + 6
        unit_font, unit = self._unit_font(), self._shown_unit()
        painter.setFont(unit_font)
        painter.setPen(active.color("text-dim"))
        painter.drawText(int(left), baseline, theme.elided(unit, unit_font, int(inner.right() - left)))
        if self._delta and not self._is_compact:
            taken = left + QFontMetrics(unit_font).horizontalAdvance(unit)
            if not self._fits_beside(int(taken - inner.left())) and self._fits_beside_title():
                baseline = int(inner.top()) + QFontMetrics(title_font).ascent() + 1
                taken = inner.left() + QFontMetrics(title_font).horizontalAdvance(self._title)
            self._paint_delta(painter, taken + 8, inner.right(), baseline)

    def _paint_delta(self, painter: QPainter, left: float, right: float, baseline: int) -> None:
        font = self._delta_font()
        painter.setFont(font)
        painter.setPen(theme.current().color("text-dim" if self._delta_tone == "dim" else self._delta_tone))
        text = theme.elided(self._delta, font, int(right - left))
        painter.drawText(int(right - QFontMetrics(font).horizontalAdvance(text)), baseline - 1, text)

    def _paint_budget(self, painter: QPainter, inner: QRectF) -> None:
        active = theme.current()
        top = inner.top() + self._head_height(self._is_tight) + 4
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(active.color("raised"))
        painter.drawRoundedRect(QRectF(inner.left(), top, inner.width(), 6), 3, 3)
        if self._budget is not None:
            fraction, within = self._budget
            painter.setBrush(active.color({True: "good", False: "bad", None: "accent"}[within]))
            width = max(6.0, min(1.0, fraction) * inner.width())
            painter.drawRoundedRect(QRectF(inner.left(), top, width, 6), 3, 3)

    def _paint_note(self, painter: QPainter, inner: QRectF) -> None:
        active = theme.current()
        font = active.font("caption")
        measure = QFontMetrics(font)
        painter.setFont(font)
        painter.setPen(active.color("text-dim"))
        left, right, short = self._note
        if short and right and measure.horizontalAdvance(left) + measure.horizontalAdvance(right) + 8 > inner.width():
            left = short
        if self._is_compact:
            left, right = self._compact_note(), ""
            if self._delta and left == self._delta:
                painter.setPen(active.color("text-dim" if self._delta_tone == "dim" else self._delta_tone))
        lines = left.split("\n")[:2] if left else [""]
        top = inner.bottom() - measure.height() * len(lines)
        room = int(inner.width()) - (measure.horizontalAdvance(right) + 8 if right else 0)
        for index, text in enumerate(lines):
            where = QRectF(inner.left(), top + index * measure.height(), inner.width(), measure.height())
            painter.drawText(where, Qt.AlignmentFlag.AlignLeft, theme.elided(text, font, room))
        if right:
            where = QRectF(inner.left(), inner.bottom() - measure.height(), inner.width(), measure.height())
            painter.drawText(where, Qt.AlignmentFlag.AlignRight, theme.elided(right, font, int(inner.width())))

    def _title_font(self) -> QFont:
        return theme.current().font("caption" if self._is_compact else "body", QFont.Weight.Medium)

    def _unit_font(self) -> QFont:
        return theme.current().font("caption" if self._is_compact else "body")

    def _delta_font(self) -> QFont:
        return theme.current().font("caption", QFont.Weight.DemiBold)

    def _usual_figure_font(self) -> QFont:
        font = theme.current().font("figure", QFont.Weight.DemiBold)
        if self._is_compact or self._is_tight:
            font.setPixelSize(round((20 if self._is_compact else 26) * theme.current().metric_scale))
        return font

    def _figure_font(self) -> QFont:
        """The usual one; smaller for its unit, and as small as it takes never to be cut off."""
        font = self._usual_figure_font()
        unit = self._shown_unit()
        beside = QFontMetrics(self._unit_font()).horizontalAdvance(unit) + 6 if unit else 0
        while font.pixelSize() > _SMALLEST_FIGURE:
            width = QFontMetrics(font).horizontalAdvance(self._figure)
            wanted = width + (beside if font.pixelSize() > _SMALLEST_BESIDE_UNIT else 0)
            if wanted <= self._room():
                break
            font.setPixelSize(font.pixelSize() - 1)
        return font

    def _shown_unit(self) -> str:
        return self._strip_words[0] if self._is_compact and any(self._strip_words) else self._unit

    def _compact_note(self) -> str:
        """One line: what was given for the strip, else the change, else the note or its short form."""
        if self._strip_words[1]:
            return self._strip_words[1]
        left, _, short = self._note
        left = self._delta or left.split("\n")[0]
        is_cut = QFontMetrics(theme.current().font("caption")).horizontalAdvance(left) > self._room()
        return short if short and is_cut and not self._delta else left

    def _room(self) -> int:
        return self.width() - 2 * self._pad()

    def _pad(self) -> int:
        return _PAD_COMPACT if self._is_compact else _PAD

    def _margin(self, tight: bool) -> int:
        """Above and below."""
        return self._pad() - (4 if tight else 2)

    def _head(self) -> QRect:
        """Where title, figure, unit and change are."""
        return QRect(0, 0, self.width(), self._margin(self._is_tight) + self._head_height(self._is_tight))

    def _foot(self) -> QRect:
        """Where the note is."""
        measure = QFontMetrics(theme.current().font("caption"))
        height = self._margin(self._is_tight) + max(1, self._note_lines()) * measure.height()
        return QRect(0, self.height() - height, self.width(), height)

    def _head_height(self, tight: bool) -> int:
        active = theme.current()
        title = QFontMetrics(self._title_font()).height()
        figure = 24 if self._is_compact else (31 if tight else 36)
        return title + 2 + round(figure * active.metric_scale)

    def _note_lines(self) -> int:
        if self._is_compact:
            return 1
        return min(2, len(self._note[0].split("\n"))) if any(self._note[:2]) else 0

    def _height(self, tight: bool | None = None) -> int:
        """Asked for at every layout, so it is computed once until `_relayout`."""
        tight = self._is_tight if tight is None else tight
        if tight not in self._heights:
            self._heights[tight] = self._computed_height(tight)
        return self._heights[tight]

    def _computed_height(self, tight: bool) -> int:
        note = self._note_lines() * QFontMetrics(theme.current().font("caption")).height()
        height = 2 * self._margin(tight) + self._head_height(tight) + note + (3 if note else 0)
        if self._is_compact:
            return height
        line = (30 if tight else 44) if self.sparkline else 0
        return height + (10 if self._has_budget else 0) + (14 if self.bar else 0) + line

    def _place_children(self) -> None:
        top = self._margin(self._is_tight) + self._head_height(self._is_tight) + 4 + (10 if self._has_budget else 0)
        left, width = self._pad(), self._room()
        if self.bar is not None:
            self.bar.setVisible(not self._is_compact)
            self.bar.setGeometry(left, top, width, 8)
            top += 14
        if self.sparkline is not None:
            self.sparkline.setVisible(not self._is_compact)
            self.sparkline.setGeometry(left, top, width, 24 if self._is_tight else 38)

    def _relayout(self) -> None:
        """What the height depends on has changed: fonts, size of the figures, or which parts are shown."""
        self._heights.clear()
        self._place_children()
        self.updateGeometry()
        self.update()

    def _describe(self) -> None:
        said = [f"{self._title}: {self.value_text() if self._figure != '—' else 'not measured'}"]
        said += [text.replace("\n", ", ") for text in (self._delta, *self._note[:2]) if text]
        self.setAccessibleName(", ".join(said))
        self.setToolTip("\n".join([self._details, *said]) if self._is_compact else self._details)

    def _on_theme_changed(self) -> None:
        self._relayout()
