"""`workbench run --lora`: the adapter is in the text and in the spec, and what cannot be is a sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.e2e.program import run, run_json
from tests.fakes import tiny_models
from tests.fakes.tiny_adapters import successor_pairs, write_adapter


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.write_chain(
        tmp_path_factory.mktemp("chain") / "chain.gguf", [b"one", b" two"], branches={"!": [b" six"]}
    )


@pytest.fixture(scope="module")
def adapter(chain: Path) -> Path:
    return write_adapter(chain.with_name("bends.gguf"), successor_pairs(chain, (b"one", b" six")))


def test_an_adapter_with_a_scale_is_in_the_text_and_in_the_spec(chain: Path, adapter: Path) -> None:
    arguments = ("run", "say", "--model", str(chain), "--temperature", "0")
    assert run_json(*arguments)["text"] == "one two"
    assert run_json(*arguments)["spec"]["engine"]["adapters"] == []
    bent = run_json(*arguments, "--lora", str(adapter))
    assert bent["text"] == "one six"
    sha256 = hashlib.sha256(adapter.read_bytes()).hexdigest()
    assert bent["spec"]["engine"]["adapters"] == [{"path": str(adapter), "scale": 1.0, "sha256": sha256}]
    weak = run_json(*arguments, "--lora", f"{adapter}:0.25")
    assert weak["text"] == "one two"
    assert weak["spec"]["engine"]["adapters"][0]["scale"] == 0.25


@pytest.mark.parametrize(
    ("suffix", "code", "says"),
    [
        (":wide", 2, "the scale 'wide' is no number"),
        (":nan", 2, "scale of an adapter is nan"),
        ("-gone", 3, "no adapter file"),
    ],
)
def test_an_option_that_cannot_be_meant_is_a_sentence(
    chain: Path, adapter: Path, suffix: str, code: int, says: str
) -> None:
    result = run("run", "say", "--model", str(chain), "--lora", f"{adapter}{suffix}")
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_an_adapter_of_another_model_is_one_failed_run(adapter: Path) -> None:
    found = run_json("run", "say", "--model", "demo", "--lora", str(adapter), code=3)
    assert found["status"] == "failed"
    assert found["error"]["code"] == "adapter_wrong_model"
    assert "belongs to another model" in found["error"]["message"]
