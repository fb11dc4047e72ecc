"""Write a checkpoint whose weights are the mean of those of several checkpoints of one run.

    python packaging/demo_model/average.py build/demo_model/demo-172M.pt build/demo_model/demo.pt --out mean.pt

Worth it between points at which the learning rate had fallen to almost nothing: each end of a run fits the last things
taught a little better than the earlier ones, and the mean holds both (weight averaging as in Izmailov et al. 2018,
arXiv 1803.05407). Steps, tokens and the state of the optimizers are those of the last checkpoint named, so training
can go on from the result.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from train import save_atomically


def mean_of(checkpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """The last checkpoint with the mean weights of all; ValueError if they are not of one shape."""
    networks = [checkpoint["network"] for checkpoint in checkpoints]
    shapes = [{name: tensor.shape for name, tensor in network.items()} for network in networks]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("the checkpoints are of networks of different shapes")
    mean = {name: torch.stack([network[name] for network in networks]).mean(0) for name in networks[-1]}
    return checkpoints[-1] | {"network": mean}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    loaded = [torch.load(path, map_location="cpu", weights_only=True) for path in arguments.checkpoints]
    save_atomically(arguments.out, mean_of(loaded))


if __name__ == "__main__":
    main()
