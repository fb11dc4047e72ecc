"""The view of a streaming text: what it shows, what it copies, and that it keeps the model's exact words."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFont, QGuiApplication, QKeySequence, QTextCursor, QTextTable
from PySide6.QtWidgets import QApplication, QToolButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from ui import theme
from ui.widgets.streaming_document import LONGEST_LINE
from ui.widgets.token_view import TokenView

ANSWER = """You pay for **every draft**, with `code` and *italics* 😀.
Second line.

# A heading
- first item
- second **bold** item
  - nested
3. third

> quoted

| Quant | MB |
|---|---|
| Q8_0 | 5 |

```python
def ttft(first, submit):  # 😀
    return (first - submit) / 1e6
```
The end."""

Show = Callable[..., QWidget]


@pytest.fixture
def holder(qtbot: QtBot, show: Show) -> QWidget:
    """A page in which the view is as tall as it wants."""
    page = QWidget()
    box = QVBoxLayout(page)
    box.addWidget(TokenView())
    box.addStretch(1)
    return show(page, 700, 500)


@pytest.fixture
def view(holder: QWidget) -> TokenView:
    found = holder.findChild(TokenView)
    assert isinstance(found, TokenView)
    return found


def feed(view: TokenView, text: str, seed: int = 1) -> None:
    """In pieces of one to six characters, as tokens come."""
    draw = random.Random(seed)
    index = 0
    while index < len(text):
        size = draw.randint(1, 6)
        view.append_text(text[index : index + size])
        index += size
    view.finish()


def format_at(view: TokenView, text: str) -> QTextCursor:
    found = view.document().find(text)
    assert not found.isNull(), f"{text!r} is not shown"
    return found


def copied(view: TokenView, text: str) -> str:
    view.setTextCursor(format_at(view, text))
    return view.createMimeDataFromSelection().text()


def test_markdown_is_shown_as_what_it_means_once_complete(view: TokenView) -> None:
    feed(view, ANSWER)
    assert format_at(view, "every draft").charFormat().fontWeight() >= QFont.Weight.DemiBold
    assert format_at(view, "italics").charFormat().fontItalic()
    assert format_at(view, "A heading").blockFormat().headingLevel() == 1
    assert format_at(view, "first item").currentList() is not None
    assert format_at(view, "nested").currentList().format().indent() == 2
    assert format_at(view, "third").currentList().format().start() == 3
    assert isinstance(format_at(view, "Q8_0").currentTable(), QTextTable)
    keyword = format_at(view, "def").charFormat().foreground().color().name()
    assert keyword == theme.current().hex("accent")
    assert "**" not in view.plain_text()
    assert "```" not in view.plain_text()
    assert view.source() == ANSWER


def test_marks_are_shown_as_what_they_mean_as_soon_as_they_are_closed(view: TokenView) -> None:
    view.append_text("- a **bold")
    assert view.plain_text() == "- a **bold"
    view.append_text("** word and `co")
    assert view.plain_text() == "- a bold word and `co"
    assert format_at(view, "bold").charFormat().fontWeight() >= QFont.Weight.DemiBold
    view.append_text("de`, more \n\nnext")
    assert view.plain_text() == "a bold word and code, more\n\nnext"
    assert view.source() == "- a **bold** word and `code`, more \n\nnext"


def test_streamed_and_given_at_once_look_the_same(view: TokenView, qtbot: QtBot) -> None:
    other = TokenView()
    qtbot.addWidget(other)
    other.resize(view.size())
    other.set_text(ANSWER)
    for seed in range(5):
        view.stream.clear()
        feed(view, ANSWER, seed)
        assert view.plain_text() == other.plain_text()


def test_html_stays_text_and_loads_nothing(view: TokenView) -> None:
    text = '<b>bold</b> <img src="file:///etc/passwd"> <script>alert(1)</script> &lt; ![x](http://a.example/x.png)'
    feed(view, text)
    shown = view.plain_text()
    assert "<b>bold</b>" in shown
    assert '<img src="file:///etc/passwd">' in shown
    assert "<script>alert(1)</script>" in shown
    assert not format_at(view, "bold").charFormat().fontWeight() >= QFont.Weight.DemiBold
    assert view.loadResource(2, "file:///etc/passwd") is None


def test_a_paragraph_without_end_stays_in_short_blocks_and_reads_the_same(view: TokenView) -> None:
    words = " ".join(random.Random(3).choice(("time", "token", "of", "memory", "budget")) for _ in range(6_000))
    for start in range(0, len(words), 300):
        view.append_text(words[start : start + 300])
        assert view.document().lastBlock().length() <= LONGEST_LINE + 301
    view.finish()
    assert view.source() == words
    assert view.plain_text() == words


def test_a_cut_paragraph_is_cut_anew_at_another_width(view: TokenView, holder: QWidget, qtbot: QtBot) -> None:
    words = "memory budget " * 500
    view.append_text(words)
    view.finish()
    holder.resize(420, 500)
    qtbot.waitUntil(lambda: not view._reflow.isActive())
    block = view.document().begin()
    while block.next().isValid():
        line = block.layout().lineAt(block.layout().lineCount() - 1)
        assert line.naturalTextWidth() > 0.6 * view.viewport().width(), "a line ends early"
        block = block.next()
    assert view.plain_text() == words


def test_copy_gives_the_models_exact_words(view: TokenView, qtbot: QtBot) -> None:
    feed(view, ANSWER)
    view.setFocus()
    qtbot.keySequence(view, QKeySequence(QKeySequence.StandardKey.SelectAll))
    qtbot.keySequence(view, QKeySequence(QKeySequence.StandardKey.Copy))
    assert QGuiApplication.clipboard().text() == ANSWER
    assert copied(view, "every draft") == "every draft"
    assert copied(view, "return (first - submit)") == "return (first - submit)"
    assert copied(view, "The end.") == "The end."
    both = format_at(view, "Second line.")
    both.setPosition(format_at(view, "A heading").selectionEnd(), QTextCursor.MoveMode.KeepAnchor)
    view.setTextCursor(both)
    assert view.createMimeDataFromSelection().text() == "Second line.\n\n# A heading"


def test_the_copy_button_of_a_code_block_gives_the_code(view: TokenView, qtbot: QtBot) -> None:
    feed(view, ANSWER)
    button = view.viewport().findChild(QToolButton)
    assert button is not None
    assert button.accessibleName() == "Copy this python"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == ("def ttft(first, submit):  # 😀\n    return (first - submit) / 1e6")


def test_a_selection_stays_while_text_streams(view: TokenView, qtbot: QtBot) -> None:
    view.append_text("keep these words please, ")
    QApplication.processEvents()
    start, end = format_at(view, "these").selectionStart(), format_at(view, "words").selectionEnd()
    cursor = QTextCursor(view.document())
    cursor.setPosition(start)
    first = view.cursorRect(cursor).center()
    cursor.setPosition(end)
    last = view.cursorRect(cursor).center()
    qtbot.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=first)
    qtbot.mouseMove(view.viewport(), QPoint((first.x() + last.x()) // 2, first.y()))
    qtbot.mouseMove(view.viewport(), last)
    qtbot.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=last)
    assert view.textCursor().selectedText() == "these words"
    for _ in range(50):
        view.append_text("more and more, ")
    assert view.textCursor().selectedText() == "these words"
    view.append_text("\n\nnext block")
    assert view.textCursor().selectedText() == "these words"


def test_an_open_code_block_is_code_at_once_and_highlighted_at_the_end(view: TokenView) -> None:
    view.append_text("```python\nreturn 1")
    assert view.plain_text() == "return 1"
    assert format_at(view, "return").charFormat().fontFixedPitch()
    view.append_text("\n```")
    view.finish()
    assert format_at(view, "return").charFormat().foreground().color().name() == theme.current().hex("accent")
    assert view.source() == "```python\nreturn 1\n```"


def test_colours_follow_the_theme(view: TokenView) -> None:
    feed(view, ANSWER)
    before = view.plain_text()
    theme.current().set_choice("light")
    assert format_at(view, "The end").charFormat().foreground().color().name() == theme.current().hex("text")
    assert view.plain_text() == before
    assert view.source() == ANSWER


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(alphabet=st.sampled_from("ab *_`#-1.>|\n\\[]()<&~😀\r\u2028\ufffc\t"), max_size=120),
    st.randoms(use_true_random=False),
)
def test_whatever_comes_the_source_is_exact_and_pieces_do_not_matter(
    qapp: QApplication, text: str, draw: random.Random
) -> None:
    whole, parts = TokenView(), TokenView()
    whole.set_text(text)
    index = 0
    while index < len(text):
        size = draw.randint(1, 9)
        parts.append_text(text[index : index + size])
        index += size
    parts.finish()
    assert whole.source() == parts.source() == text
    assert whole.plain_text() == parts.plain_text()
    parts.selectAll()
    if parts.textCursor().hasSelection():
        assert parts.createMimeDataFromSelection().text() == text
    whole.deleteLater()
    parts.deleteLater()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet="abc ,.😀", min_size=1, max_size=30).filter(str.strip), max_size=12),
       st.sampled_from(["\n", "\n\n", "\n\n\n"]))  # fmt: skip
def test_plain_text_is_shown_character_by_character(qapp: QApplication, lines: list[str], gap: str) -> None:
    text = gap.join(lines)
    view = TokenView()
    view.append_text(text)
    view.finish()
    assert view.plain_text() == text
    view.deleteLater()
