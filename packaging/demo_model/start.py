"""Begin a training with the weights of an earlier model of the same shape, whatever its vocabulary was."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from network import Network
from tokenizers import Tokenizer


def parts_of(token: str, known: dict[str, int]) -> list[int]:
    """Indices of the longest known pieces that make up the token, from the left; unknown characters are left out."""
    parts = []
    while token:
        piece = next((token[:end] for end in range(len(token), 0, -1) if token[:end] in known), "")
        parts += [known[piece]] if piece else []
        token = token[len(piece) or 1 :]
    return parts


def begin_with(path: Path, network: Network, tokenizer: Tokenizer) -> int:
    """Weights of the GGUF file at `path`; tokens that its vocabulary lacks begin as the mean of their parts.

    The result is how many tokens the file says it was trained on. Raises ValueError when the shapes differ.
    """
    reader = gguf.GGUFReader(path)
    field = reader.fields["tokenizer.ggml.tokens"]
    known = {bytes(field.parts[at]).decode(): index for index, at in enumerate(field.data)}
    wanted = network.state_dict()
    found = {tensor.name: torch.from_numpy(np.array(tensor.data, dtype=np.float32)) for tensor in reader.tensors}
    if {name: tensor.shape for name, tensor in wanted.items()} != {name: t.shape for name, t in found.items()}:
        raise ValueError(f"{path} has another shape than the model to train")
    earlier = found["token_embd.weight"]
    now = wanted["token_embd.weight"].clone()
    for token, index in tokenizer.get_vocab().items():
        if parts := parts_of(token, known):
            now[index] = earlier[parts].mean(0)
    network.load_state_dict(found | {"token_embd.weight": now})
    card = reader.fields.get("workbench.card.trained_tokens")
    return int(card.contents()) if card else 0
