"""Chat templates: how a model switches its thinking, what its tags are, and what a template is given to render."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.runs.record import ThinkingSwitch
from workbench.runs.spec import ChatOptions, Message
from workbench.runs.thinking import KNOWN_TAGS, ThinkingTags, detect_thinking, find_switch, find_tags

__all__ = [
    "FALLBACK_TEMPLATE",
    "FALLBACK_WARNING",
    "KNOWN_TAGS",
    "ThinkingTags",
    "as_dicts",
    "detect_thinking",
    "find_switch",
    "find_tags",
    "tags_of",
    "template_variables",
    "thinking_budget",
]

# What a model without a template gets: the plainest form that most tuned models have seen.
FALLBACK_TEMPLATE = (
    "{%- for message in messages -%}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}"
)
FALLBACK_WARNING = (
    "This model has no chat template. A plain ChatML form is used, so its answers may be worse than they could be."
)


def tags_of(switch: ThinkingSwitch) -> ThinkingTags | None:
    return next((tags for tags in KNOWN_TAGS if tags.open == switch.open_tag), None)


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
