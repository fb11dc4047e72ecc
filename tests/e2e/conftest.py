"""Models for the tests of the real program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.tiny_models import write_chain


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Says "abc abc abc ..." until it is stopped."""
    return write_chain(tmp_path_factory.mktemp("models") / "endless.gguf", [b"a", b"b", b"c", b" ", b"a"])
