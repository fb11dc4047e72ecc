"""One engine and a few tiny models for all tests of this folder; a test that ends the child just loads again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest

from tests.fakes import tiny_models
from tests.integration.engine.asking import Asker
from workbench.engine.process import LocalEngine

DEMO = Path(__file__).parents[3] / "assets" / "models" / "demo-F16.gguf"
COLON_TEMPLATE = tiny_models.CHATML.replace("assistant\\n", "assistant:")


@pytest.fixture(scope="session")
def demo_token_bytes() -> int:
    """What one token takes in the demo model's f16 context memory: K and V of every layer, two bytes each."""
    fields = gguf.GGUFReader(DEMO).fields
    names = ("block_count", "attention.head_count_kv", "rope.dimension_count")
    layers, heads, width = (int(fields[f"llama.{name}"].contents()) for name in names)
    return layers * 2 * heads * width * 2


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    engine = LocalEngine(log_dir=tmp_path_factory.mktemp("engine-log"))
    yield engine
    engine.close()


@pytest.fixture
def asker(shared_engine: LocalEngine) -> Asker:
    return Asker(shared_engine)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with: tiny (random), loops (never ends), thinks (never stops thinking), says (a fixed text),
    mamba (recurrent), window (sliding window), bare (no template)."""
    folder = tmp_path_factory.mktemp("models")
    tiny_models.write_llama(folder / "tiny.gguf", context=8192)
    tiny_models.write_llama(folder / "bare.gguf", template=None)
    tiny_models.write_mamba(folder / "mamba.gguf")
    tiny_models.write_sliding_window(folder / "window.gguf")
    tiny_models.write_chain(folder / "loops.gguf", [b"round ", b"and ", b"round "])
    tiny_models.write_chain(
        folder / "thinks.gguf",
        ["<think>", b" hm", b" well", b" hm"],
        start=":",
        branches={"\n": [b"The", b" answer"]},
        template=COLON_TEMPLATE,
    )
    tiny_models.write_chain(
        folder / "says.gguf", [b"One caf\xc3", b"\xa9", b" is", b" op", b"en", b" \xf0\x9f", b"\x98\x80", b" now."]
    )
    return folder


@pytest.fixture(scope="session")
def demo() -> Path:
    return DEMO
