"""Dialogues as rows of tokens for training: packed, with attention kept within each dialogue."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import torch
from chat import TURN_END, TURN_START, render_prompt, render_turn
from corpus import Corpus
from dialogue import Dialogue
from tokenizers import Tokenizer
from torch import Tensor

# Rows are short. A gap in the positions before the last question of half of the longer conversations makes distances
# up to this one familiar, so that a long chat does not fall apart.
LONGEST_GAP = 1200
LONGEST_ROW = 768
IGNORED = -100
# Between a mean over tokens, in which worked sums drown the digits a look-up is about, and one over dialogues.
TYPICAL_TARGETS = 40
WEIGHT_BOUNDS = (0.4, 2.5)

Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
Encoded = tuple[list[int], list[int]]


def encode(dialogue: Dialogue, tokenizer: Tokenizer) -> Encoded:
    """Inputs and targets, one shorter than the text; only what the model is to write is a target."""
    prompt = tokenizer.encode(render_prompt(dialogue.messages, thinking=dialogue.thinking)).ids
    completion = tokenizer.encode(dialogue.completion + TURN_END).ids
    tokens = prompt + completion
    targets = [IGNORED] * len(prompt) + completion
    if dialogue.learns_history:
        for start, end in answered(dialogue, tokenizer):
            targets[start:end] = tokens[start:end]
    return tokens[:-1], targets[1:]


def answered(dialogue: Dialogue, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Where in the prompt's tokens earlier answers stand, their end of turn included.

    Their first token is left out: the model itself begins with a thought, which earlier answers have lost.
    """
    spans = []
    end = 0
    for role, content in dialogue.messages:
        start = end + len(tokenizer.encode(f"{TURN_START}{role}\n").ids)
        end += len(tokenizer.encode(render_turn(role, content)).ids)
        if role == "assistant":
            line_break = len(tokenizer.encode("\n").ids)
            spans.append((start + 1, end - line_break))
    return spans


class Rows:
    """Fills rows of a length with dialogues from the corpus."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, seed: int) -> None:
        self.corpus = corpus
        self.tokenizer = tokenizer
        self.rng = random.Random(seed)
        self.turn_start = tokenizer.token_to_id(TURN_START)
        self.waiting: list[Encoded] = []

    def batch(self, rows: int, length: int, difficulty: float) -> Batch:
        """Tokens, targets, weights, positions: (rows, length); the additive mask: (rows, 1, length, length)."""
        packed = [self._fill(length, difficulty) for _ in range(rows)]
        # What fits no row of this length waits for a longer one, but must not fill the queue.
        self.waiting = [w for w in self.waiting if len(w[0]) <= LONGEST_ROW][-96:]
        return pack(packed, length, self._positions)

    def _fill(self, length: int, difficulty: float) -> list[Encoded]:
        """As many dialogues as fit into `length` tokens; what has waited longest goes first."""
        row: list[Encoded] = []
        room, misses = length, 0
        while room > 24 and misses < 4:
            index = next((i for i, (tokens, _) in enumerate(self.waiting) if len(tokens) <= room), None)
            if index is None or len(self.waiting) < 24:
                self.waiting.append(encode(self.corpus.draw(self.rng, difficulty), self.tokenizer))
                misses += index is None and len(self.waiting) > 64
                continue
            row.append(self.waiting.pop(index))
            room -= len(row[-1][0])
        return row

    def _positions(self, ids: list[int]) -> Tensor:
        places = torch.arange(len(ids))
        last_question = [i for i, token in enumerate(ids) if token == self.turn_start][-2]
        if last_question > 0 and self.rng.random() < 0.5:
            places[last_question:] += self.rng.randrange(LONGEST_GAP)
        return places


def weight_of(targets: list[int]) -> float:
    """Of each target of a dialogue in the loss."""
    count = sum(target != IGNORED for target in targets)
    return min(WEIGHT_BOUNDS[1], max(WEIGHT_BOUNDS[0], math.sqrt(TYPICAL_TARGETS / count)))


def pack(packed: list[list[Encoded]], length: int, positions_of: Callable[[list[int]], Tensor]) -> Batch:
    """Rows of encoded dialogues as tensors; attention is causal and stays within a dialogue."""
    rows = len(packed)
    tokens = torch.zeros(rows, length, dtype=torch.long)
    targets = torch.full((rows, length), IGNORED)
    weights = torch.zeros(rows, length)
    positions = torch.zeros(rows, length, dtype=torch.long)
    owner = torch.full((rows, length), -1)
    for row, dialogues in enumerate(packed):
        at = 0
        for number, (ids, wanted) in enumerate(dialogues):
            end = at + len(ids)
            tokens[row, at:end] = torch.tensor(ids)
            targets[row, at:end] = torch.tensor(wanted)
            weights[row, at:end] = weight_of(wanted)
            positions[row, at:end] = positions_of(ids)
            owner[row, at:end] = number
            at = end
    same = owner[:, :, None] == owner[:, None, :]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    mask = torch.zeros(rows, length, length).masked_fill_(~(same & causal), float("-inf"))
    return tokens, targets, weights, positions, mask[:, None]
