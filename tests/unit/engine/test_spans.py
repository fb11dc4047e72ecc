"""Every content is found where the template put it, also a short one that the template's own words contain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from workbench.engine.chat import as_dicts
from workbench.engine.child import default_command
from workbench.engine.spans import find_spans, sources_of
from workbench.engine.templates import TemplateRenderer
from workbench.runs.spec import Message

CHATML = "{% for m in messages %}<start>{{ m.role }}\n{{ m.content }}<end>\n{% endfor %}<start>assistant\n"
TRIMMED = CHATML.replace("m.content", "m.content | trim")
CUT_THINKING = CHATML.replace("m.content", "m.content.split('</think>')[-1].lstrip('\n')")
REORDERED = "{{ messages[1].content }} user system {{ messages[0].content }}"
OTHER_WAY = (
    "{% for m in messages %}{{ m.role }}{% if m.content == 'start here' %}!{% endif %}:{{ m.content }}{% endfor %}"
)


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    made = TemplateRenderer([*default_command(), "render"])
    yield made
    made.close()


def found(renderer: TemplateRenderer, template: str, messages: list[Message], mark: str = "") -> list[tuple[str, str]]:
    """(kind, the text of the span with what stands before it), so that the right one of two equal texts shows."""
    sources = sources_of(messages)
    rendered = renderer.render_located(template, {"messages": as_dicts(messages)}, tuple(s.part for s in sources))
    data = (rendered.text.replace(mark, "") if mark else rendered.text).encode()
    spans = find_spans(rendered.text, sources, rendered.places, mark)
    return [(kind, data[max(start - 1, 0) : end].decode("utf-8", "replace")) for start, end, kind in spans]


def test_words_of_the_template_are_not_taken_for_contents(renderer: TemplateRenderer) -> None:
    messages = [Message("system", "system"), Message("user", "start")]
    assert found(renderer, CHATML, messages) == [("system", "\nsystem"), ("question", "\nstart")]
    assert found(renderer, CHATML, [Message("user", "user")]) == [("question", "\nuser")]
    assert found(renderer, CHATML, [Message("user", "t")]) == [("question", "\nt")]


def test_repeated_contents_and_documents(renderer: TemplateRenderer) -> None:
    messages = [Message("user", "e"), Message("assistant", "e"), Message("user", "e", document="e\n\ne")]
    assert found(renderer, CHATML, messages) == [
        ("history", "\ne"), ("history", "\ne"), ("document", "\ne\n\ne"), ("question", "\ne"),
    ]  # fmt: skip


def test_contents_that_the_template_trims(renderer: TemplateRenderer) -> None:
    messages = [Message("system", " system\n"), Message("user", "\n start ")]
    assert found(renderer, TRIMMED, messages) == [("system", "\nsystem"), ("question", "\nstart")]


def test_a_content_of_which_the_template_drops_the_beginning(renderer: TemplateRenderer) -> None:
    messages = [Message("user", "a"), Message("assistant", "<think>a</think>\n\na"), Message("user", "a")]
    assert found(renderer, CUT_THINKING, messages) == [("history", "\na"), ("history", "\na"), ("question", "\na")]


def test_contents_in_another_order(renderer: TemplateRenderer) -> None:
    messages = [Message("system", "system"), Message("user", "user")]
    assert found(renderer, REORDERED, messages) == [("question", "user"), ("system", " system")]


def test_a_template_that_looks_at_contents_is_searched(renderer: TemplateRenderer) -> None:
    assert found(renderer, OTHER_WAY, [Message("user", "start here")]) == [("question", ":start here")]


def test_marks_in_a_content_count_nowhere(renderer: TemplateRenderer) -> None:
    messages = [Message("system", "é<\ufdd0end>"), Message("user", "\U000f0000ü\U000f0001")]
    assert found(renderer, CHATML, messages, "\ufdd0") == [
        ("system", "\né<end>"), ("question", "\n\U000f0000ü\U000f0001"),
    ]  # fmt: skip
