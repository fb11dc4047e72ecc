"""How a chat template switches thinking and what its tags are, read from its text without rendering it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from workbench.runs.record import ThinkingSwitch


@dataclass(frozen=True, slots=True)
class ThinkingTags:
    """Texts around a thinking part. `after_close` is what a model writes between closing tag and answer."""

    open: str
    close: str
    after_close: str = "\n\n"


# In the order in which they are looked for in a template.
KNOWN_TAGS = (
    ThinkingTags("<think>", "</think>"),
    ThinkingTags("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>", ""),
    ThinkingTags("[THINK]", "[/THINK]"),
    ThinkingTags("<seed:think>", "</seed:think>"),
    ThinkingTags("<reasoning>", "</reasoning>"),
    ThinkingTags("<thinking>", "</thinking>"),
    ThinkingTags("<thought>", "</thought>"),
    ThinkingTags("<|begin_of_thought|>", "<|end_of_thought|>"),
    ThinkingTags("<|START_THINKING|>", "<|END_THINKING|>"),
    ThinkingTags("◁think▷", "◁/think▷"),
    ThinkingTags("Here is my thought process:", "Here is my response:"),
)
_TAG_TRACES = {tags: (tags.open, tags.close) for tags in KNOWN_TAGS} | {
    # gpt-oss puts its channels together from pieces.
    KNOWN_TAGS[1]: ("<|channel|>analysis", "<|channel|>final"),
}
_BLOCK = re.compile(r"\{[%{](.*?)[%}]\}", re.DOTALL)
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def find_tags(template: str) -> ThinkingTags | None:
    """The thinking tags that a template mentions; None when it knows of none."""
    for tags in KNOWN_TAGS:
        if any(trace in template for trace in _TAG_TRACES[tags]):
            return tags
    return None


def find_switch(template: str) -> str:
    """The variable with which a template switches thinking, or "" when it reads none of the known ones."""
    for name in ("enable_thinking", "reasoning_effort", "thinking"):
        if _reads_variable(template, name):
            return name
    return ""


def detect_thinking(template: str, *, opens_in_prompt: bool) -> ThinkingSwitch:
    """How a template switches thinking. `opens_in_prompt`: its generation prompt ends with the opening tag."""
    tags = find_tags(template)
    switch: Any = find_switch(template)
    if not switch:
        switch = "always_on" if tags and opens_in_prompt else "none"
    elif tags is None:
        tags = KNOWN_TAGS[0]
    return ThinkingSwitch(switch, tags.open if tags else None, tags.close if tags else None)


def switch_by_text(template: str) -> ThinkingSwitch:
    """`detect_thinking` for who cannot render: the generation prompt opens with a tag that is written in its part."""
    tags = find_tags(template)
    _, found, prompt_part = template.rpartition("add_generation_prompt")
    return detect_thinking(template, opens_in_prompt=bool(found and tags and tags.open in prompt_part))


def _reads_variable(template: str, name: str) -> bool:
    """Whether a bare `name` occurs in the template's code, and not first as the target of `set` or `for`.

    A regular expression and not jinja's own analysis: that would put the import of jinja into every load.
    """
    bare = re.compile(rf"(?<![\w.]){name}(?!\w)(?!\s*=[^=])")
    for block in _BLOCK.finditer(template):
        code = _STRING.sub("''", block.group(1))
        if bare.search(code):
            return not re.match(rf"[-+]?\s*for\s+{name}\b", code)
        if re.match(rf"[-+]?\s*set\s+{name}\s*=", code):
            # Assigned before it is ever read: the template's own variable.
            return False
    return False
