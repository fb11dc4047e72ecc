"""Template snippets written in the manner of well-known models: each switches its thinking in its own way."""

from __future__ import annotations

import pytest

from workbench.engine import chat
from workbench.runs.record import ThinkingSwitch
from workbench.runs.spec import ChatOptions, Message

LIKE_QWEN3 = (
    "{%- for message in messages %}{%- if '</think>' in message.content %}{{- message.content.split('</think>')[-1] }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
LIKE_SMOLLM3 = (
    "{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}"
    "{%- set reasoning_mode = '/think' if enable_thinking else '/no_think' -%}{{ '<think>' }}"
)
SETS_A_DEFAULT = "{%- set enable_thinking = enable_thinking | default(true) -%}{{ '<think>' }}"
LIKE_GRANITE = (
    "{%- if thinking %}Respond to every user query in a comprehensive way. {{ '<think></think>' }}{%- endif %}"
)
LIKE_OLDER_GRANITE = "{%- if thinking %}Begin with 'Here is my thought process:' ... 'Here is my response:'{%- endif %}"
LIKE_DEEPSEEK_V31 = (
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}{%- if thinking %}{{ '<think>' }}{% endif %}"
)
LIKE_DEEPSEEK_R1 = (
    "{% for message in messages %}{{ message['content'].split('</think>')[-1] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"
)
LIKE_GPT_OSS = (
    "{%- set reasoning_effort = reasoning_effort | default('medium') %}{{- 'Reasoning: ' + reasoning_effort }}"
    "{%- if message.thinking %}{{- '<|start|>assistant<|channel|>analysis<|message|>' + message.thinking + '<|end|>' }}"
    "{%- endif %}"
)
LIKE_MAGISTRAL = "{{ '[THINK]' + block['thinking'] + '[/THINK]' }}"
PLAIN = "{% for message in messages %}<|start_header_id|>{{ message['role'] }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "opens", "expected"),
    [
        (LIKE_QWEN3, False, ThinkingSwitch("enable_thinking", "<think>", "</think>")),
        (LIKE_SMOLLM3, False, ThinkingSwitch("enable_thinking", "<think>", "</think>")),
        (SETS_A_DEFAULT, False, ThinkingSwitch("enable_thinking", "<think>", "</think>")),
        (LIKE_GRANITE, False, ThinkingSwitch("thinking", "<think>", "</think>")),
        (
            LIKE_OLDER_GRANITE,
            False,
            ThinkingSwitch("thinking", "Here is my thought process:", "Here is my response:"),
        ),
        (LIKE_DEEPSEEK_V31, False, ThinkingSwitch("thinking", "<think>", "</think>")),
        (LIKE_DEEPSEEK_R1, True, ThinkingSwitch("always_on", "<think>", "</think>")),
        (LIKE_MAGISTRAL, False, ThinkingSwitch("none", "[THINK]", "[/THINK]")),
        (PLAIN, False, ThinkingSwitch()),
    ],
)
def test_the_switch_and_the_tags_are_found(template: str, opens: bool, expected: ThinkingSwitch) -> None:
    assert chat.detect_thinking(template, opens_in_prompt=opens) == expected


def test_channels_of_gpt_oss_are_tags() -> None:
    switch = chat.detect_thinking(LIKE_GPT_OSS, opens_in_prompt=False)
    assert switch.kind == "reasoning_effort"
    assert switch.open_tag == "<|channel|>analysis<|message|>"
    assert switch.close_tag == "<|end|><|start|>assistant<|channel|>final<|message|>"


def test_a_word_in_a_text_or_an_attribute_is_no_switch() -> None:
    assert chat.find_switch("{{ 'if thinking' }}{{ message.thinking }}{{ f(thinking=1) }} thinking") == ""
    assert chat.find_switch("{% set thinking = message.x %}{% if thinking %}{% endif %}") == ""


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("enable_thinking", ChatOptions(), {}),
        ("enable_thinking", ChatOptions(thinking="off"), {"enable_thinking": False}),
        ("thinking", ChatOptions(thinking="on"), {"thinking": True}),
        ("reasoning_effort", ChatOptions(reasoning_effort="high"), {"reasoning_effort": "high"}),
        ("reasoning_effort", ChatOptions(thinking="off"), {"reasoning_effort": "low"}),
        ("none", ChatOptions(thinking="on"), {}),
    ],
)
def test_options_become_template_variables(kind: str, options: ChatOptions, expected: dict[str, object]) -> None:
    switch = ThinkingSwitch(kind)  # type: ignore[arg-type]
    assert chat.template_variables(options, switch) == expected


def test_off_means_a_budget_of_nothing_for_a_model_that_always_thinks() -> None:
    always = ThinkingSwitch("always_on", "<think>", "</think>")
    assert chat.thinking_budget(ChatOptions(thinking="off"), always) == 0
    assert chat.thinking_budget(ChatOptions(thinking_budget=9), always) == 9


def test_a_document_goes_before_the_question() -> None:
    message = Message("user", "What is it?", document="A text.")
    assert chat.as_dicts([message]) == [{"role": "user", "content": "A text.\n\nWhat is it?"}]
