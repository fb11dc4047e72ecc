"""Definitions on hover: tooltips in the glossary's own words, on widgets that Shift+F1 can ask for their term."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from workbench.glossary import Topic

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

TOPIC = "topic"  # the property with the id of the term that a widget shows
MORE = "Shift+F1 explains it at length."


def tip_of(topic: Topic, note: str = "") -> str:
    """Rich text, which wraps: the sentence, what is special about it here, and the paragraph."""
    paragraphs = [html.escape(text, quote=False) for text in (topic.short, note, topic.explanation) if text]
    return "".join(f"<p>{text}</p>" for text in paragraphs)


def define(widget: QWidget, topic: Topic, note: str = "") -> None:
    """Gives the widget the tooltip and the term."""
    widget.setProperty(TOPIC, topic.id)
    widget.setToolTip(tip_of(topic, note))


def sentences_of(topic: Topic, note: str = "") -> str:
    """Plain lines for a tooltip that goes on with figures: the sentence, what is special here, the way to the rest."""
    return "\n".join(text for text in (topic.short, note, MORE) if text)
