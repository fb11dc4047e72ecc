"""Chat templates: how a model switches its thinking, what its tags are, and what a template is given to render."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.runs.record import ThinkingSwitch
from workbench.runs.spec import ChatOptions, Message

# What a model without a template gets: the plainest form that most tuned models have seen.
FALLBACK_TEMPLATE = (
    "{%- for message in messages -%}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}"
)
FALLBACK_WARNING = (
    "This model has no chat template. A plain ChatML form is used, so its answers may be worse than they could be."
)


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


def tags_of(switch: ThinkingSwitch) -> ThinkingTags | None:
    return next((tags for tags in KNOWN_TAGS if tags.open == switch.open_tag), None)


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


def template_variables(options: ChatOptions, switch: ThinkingSwitch) -> dict[str, Any]:
    """What the options mean to a template with this switch; nothing for "default"."""
    variables: dict[str, Any] = {}
    if switch.kind in ("enable_thinking", "thinking") and options.thinking != "default":
        variables[switch.kind] = options.thinking == "on"
    if options.reasoning_effort is not None:
        variables["reasoning_effort"] = options.reasoning_effort
    elif switch.kind == "reasoning_effort" and options.thinking == "off":
        # The lowest level that gpt-oss knows; it has no way to switch thinking off.
        variables["reasoning_effort"] = "low"
    return variables


def thinking_budget(options: ChatOptions, switch: ThinkingSwitch) -> int | None:
    """Tokens of thinking allowed. "off" for a model that always thinks means none at all."""
    if switch.kind == "always_on" and options.thinking == "off":
        return 0
    return options.thinking_budget


def as_dicts(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as templates know them."""
    return [{"role": message.role, "content": message.full_content} for message in messages]
