"""Every test of this folder skips with the same sentence where there is no GPU; the slow models are made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.gpu import places

_REASON = places.reason_to_skip()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _REASON is None:
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=_REASON))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`WORKBENCH_BENCH_MODELS` keeps them for the next time."""
    kept = os.environ.get("WORKBENCH_BENCH_MODELS")
    return Path(kept) if kept else tmp_path_factory.mktemp("models")
