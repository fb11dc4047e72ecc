"""The form of a conversation: its marks, the chat template and the same rendering for training.

Needs nothing but Python, so that the evaluation runs where neither PyTorch nor `tokenizers` is installed.
"""

from __future__ import annotations

from collections.abc import Iterable

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
THINK_START = "<think>"
THINK_END = "</think>"
# How byte-level vocabularies write a space.
SPACE = "\u0120"
CONTROL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
# The thinking marks are USER_DEFINED in the GGUF, as in Qwen3: llama.cpp then writes them out as text.
VISIBLE_TOKENS = (THINK_START, THINK_END)

# As in Qwen3: thinking of earlier turns is dropped; `enable_thinking=false` hands the model an empty thought.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- set content = message.content %}"
    "{%- if message.role == 'assistant' and '</think>' in content %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}"
    "{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}"
    "{%- endif %}"
)
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"


def render_turn(role: str, content: str) -> str:
    return f"{TURN_START}{role}\n{content}{TURN_END}\n"


def render_prompt(messages: Iterable[tuple[str, str]], *, thinking: bool) -> str:
    """What CHAT_TEMPLATE gives for (role, content) pairs without thoughts; `check_export.py` compares the two."""
    turns = "".join(render_turn(role, content) for role, content in messages)
    return f"{turns}{TURN_START}assistant\n" + ("" if thinking else EMPTY_THOUGHT)
