"""The mean of checkpoints: of the weights alone, and of networks of one shape alone."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import average
import torch


def checkpoint(weights: list[float], tokens: int) -> dict[str, Any]:
    return {"network": {"blk": torch.tensor(weights)}, "optimizers": [{"step": tokens}], "tokens": tokens}


def test_weights_are_averaged_and_the_rest_is_the_last_ones() -> None:
    first, last = checkpoint([1.0, 4.0], 10), checkpoint([3.0, 0.0], 20)
    mean = average.mean_of([first, last])
    assert mean["network"]["blk"].tolist() == [2.0, 2.0]
    assert mean["tokens"] == 20
    assert mean["optimizers"] == [{"step": 20}]
    assert last["network"]["blk"].tolist() == [3.0, 0.0]


def test_networks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        average.mean_of([checkpoint([1.0], 1), checkpoint([1.0, 2.0], 1)])
