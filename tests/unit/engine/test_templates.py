"""Templates are strangers' programs: whatever they try ends in a sentence within seconds and reaches nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from workbench.engine.child import default_command
from workbench.engine.templates import OUTPUT_LIMIT_CHARACTERS, TIME_LIMIT_S, TemplateFailed, TemplateRenderer

COMMAND = [*default_command(), "render"]


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    made = TemplateRenderer(COMMAND)
    made.start()
    yield made
    made.close()


def test_what_transformers_offers_is_there(renderer: TemplateRenderer) -> None:
    template = (
        "{%- for m in messages -%}\n    {% if loop.first %}\n[{{ m.content | trim }}]{% endif %}\n"
        "{%- if m.content == 'stop' %}{% break %}{% endif %}{{ m.role }}\n{%- endfor %}"
        "{{ messages | tojson }}{{ strftime_now('%Y') | length }}{{ bos_token }}"
    )
    messages = [{"role": "user", "content": " ünï "}, {"role": "user", "content": "stop"}]
    text = renderer.render(template, {"messages": messages, "bos_token": "<s>"})
    assert text.startswith("[ünï]")
    assert '"content": " ünï "' in text
    assert text.endswith("4<s>")


def test_a_refusal_of_the_template_is_passed_on(renderer: TemplateRenderer) -> None:
    with pytest.raises(TemplateFailed, match="roles must alternate"):
        renderer.render("{{ raise_exception('roles must alternate') }}", {})


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ 'a' * 10**10 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ '%1000000000d' | format(1) }}{{ '%1000000000d' % 1 }}",
        "{{ 'a' | center(10**10) }}",
        "{{ 'a'.ljust(10**10) }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(9) %}{% set ns.s = ns.s.replace('a', ns.s) %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{{ lipsum(n=10000) }}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ self.__init__.__globals__ }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ messages.append(1) }}",
        "{{ ''.format_map }}{{ '{0.__class__.__mro__}'.format(1) }}{{ nothing.at.all }}",
        "{% include 'x' %}",
        "{% import 'os' as os %}",
        "{% if %}",
        "{{ 1 / 0 }}",
        "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    ],
)
def test_an_attack_ends_in_a_sentence(renderer: TemplateRenderer, template: str) -> None:
    start = time.perf_counter()
    with pytest.raises(TemplateFailed) as caught:
        renderer.render(template, {"messages": []})
    assert caught.value.message.endswith(".")
    assert time.perf_counter() - start < TIME_LIMIT_S + 3
    assert renderer.render("{{ 1 + 1 }}", {}) == "2"


def test_sentences_end_with_one_full_stop(renderer: TemplateRenderer) -> None:
    for template in ("{{ raise_exception('Only users here.') }}", "{{ [1][0].x.y }}", "{% if %}", "{{ 1 / 0 }}"):
        with pytest.raises(TemplateFailed) as caught:
            renderer.render(template, {})
        assert caught.value.message.endswith(".")
        assert not caught.value.message.endswith("..")
    with pytest.raises(TemplateFailed, match=r"refused: No!$"):
        renderer.render("{{ raise_exception('No!') }}", {})


def _dying(code: str) -> TemplateRenderer:
    hello = (
        "import sys, os\n"
        "from workbench.engine import protocol\n"
        "protocol.write_frame(sys.stdout.buffer, protocol.Hello(1))\n"
        "protocol.read_frame(sys.stdin.buffer)\n"
    )
    return TemplateRenderer([sys.executable, "-c", hello + code])


def test_a_death_by_memory_and_any_other_are_told_apart() -> None:
    for code in ("os._exit(77)", "raise MemoryError"):
        with pytest.raises(TemplateFailed, match="more memory than it may"):
            _dying(code).render("x", {})
    with pytest.raises(TemplateFailed, match=r"ended unexpectedly \(exit code 3\)") as caught:
        _dying("print('it hurts', file=sys.stderr); sys.exit(3)").render("x", {})
    assert "memory" not in caught.value.message
    assert caught.value.detail == "it hurts"


def test_too_much_output_is_refused(renderer: TemplateRenderer) -> None:
    with pytest.raises(TemplateFailed, match=f"{OUTPUT_LIMIT_CHARACTERS:,}"):
        renderer.render("{% for i in range(9000) %}{{ 'x' * 1000 }}{% endfor %}", {})


def test_a_long_conversation_is_no_attack(renderer: TemplateRenderer) -> None:
    messages = [{"role": "user", "content": "word " * 2000} for _ in range(200)]
    text = renderer.render("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", {"messages": messages})
    assert len(text) == 200 * (10_000 + 6)


def test_the_process_ends_with_its_owner() -> None:
    made = TemplateRenderer(COMMAND)
    made.render("x", {})
    assert made._process is not None
    pid = made._process.pid
    assert psutil.pid_exists(pid)
    made.close()
    assert not psutil.pid_exists(pid)
    assert pid != os.getpid()
