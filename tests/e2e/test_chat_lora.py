"""`workbench chat --lora`: every turn is answered with the adapter, and a wrong one is a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.program import run
from tests.fakes import tiny_models
from tests.fakes.tiny_adapters import successor_pairs, write_adapter


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write_chain(
        tmp_path_factory.mktemp("chain") / "chain.gguf", [b"one", b" two"], branches={"!": [b" six"]}
    )


def test_every_turn_is_answered_with_the_adapter(chain: Path) -> None:
    six = write_adapter(chain.with_name("six.gguf"), successor_pairs(chain, (b"one", b" six")))
    arguments = ("chat", "--model", str(chain), "--temperature", "0", "--max-tokens", "8")
    lines = "say\n/reset\nsay\n/exit\n"
    bent = run(*arguments, "--lora", str(six), stdin=lines)
    assert bent.returncode == 0, bent.stderr
    assert bent.stdout.count("one six") == 2
    weak = run(*arguments, "--lora", f"{six}:0.25", stdin=lines)
    assert weak.stdout.count("one two") == 2, weak.stderr


def test_a_missing_adapter_ends_the_chat_before_it_begins(chain: Path) -> None:
    result = run("chat", "--model", str(chain), "--lora", str(chain.with_name("gone.gguf")), stdin="say\n")
    assert result.returncode == 3
    assert "no adapter file" in result.stderr
    assert "Traceback" not in result.stderr
