"""Perplexity of what a model should write, and how often a small model's draft is what a large one writes.

    python packaging/demo_model/likelihood.py perplexity --model assets/models/demo-F16.gguf
    python packaging/demo_model/likelihood.py acceptance --model assets/models/demo-F16.gguf \
        --draft assets/models/demo-small-F16.gguf

Both feed the held-out dialogues with their taught answers to llama.cpp and look at the scores of each next token.
Perplexity is exp of the mean of -ln p over the tokens to be written. Acceptance is that of speculative decoding,
greedy: the draft proposes a number of tokens from what the large model has written so far; those up to the first other
one are accepted, and the large model adds one itself. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from answers import quantized
from chat import TURN_END, render_prompt
from corpus import Corpus
from dialogue import Dialogue
from held_out import draw_held_out

SEED = 2027
DRAFT_LENGTHS = (2, 4, 8)


class Scores:
    """A model through llama-cpp-python with the scores of every position."""

    def __init__(self, path: Path) -> None:
        from llama_cpp import Llama

        self.llama = Llama(str(path), n_ctx=2048, n_batch=2048, logits_all=True, verbose=False)

    def tokens(self, text: str) -> list[int]:
        return list(self.llama.tokenize(text.encode(), add_bos=False, special=True))

    def of(self, ids: list[int]) -> np.ndarray:
        """(len(ids), vocabulary) raw scores of what follows each token."""
        self.llama.reset()
        self.llama.eval(ids)
        return np.array(self.llama.scores[: len(ids)])

    def greedy(self, prompt: list[int], most: int = 220) -> list[int]:
        """What the model writes itself, its end-of-turn token included."""
        self.llama.reset()
        written = []
        for token in self.llama.generate(prompt, temp=0.0, top_k=1, reset=True):
            written.append(int(token))
            if token == self.llama.token_eos() or len(written) >= most:
                break
        return written


def log_likelihoods(scores: np.ndarray, wanted: list[int]) -> np.ndarray:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted[np.arange(len(wanted)), wanted] - np.log(np.exp(shifted).sum(axis=1))


def perplexity(model: Path, count: int) -> dict[str, Any]:
    """Per kind of dialogue and over all."""
    scores, found, everything = Scores(model), {}, []
    for kind, dialogues in draw_held_out(Corpus(), count, SEED).items():
        parts = []
        for dialogue in dialogues:
            prompt = scores.tokens(render_prompt(dialogue.messages, thinking=dialogue.thinking))
            wanted = scores.tokens(dialogue.completion + TURN_END)
            rows = scores.of(prompt + wanted)[len(prompt) - 1 : -1]
            parts.append(log_likelihoods(rows, wanted))
        everything += parts
        found[kind] = round(float(np.exp(-np.concatenate(parts).mean())), 4)
    return {"model": model.name, "all": round(float(np.exp(-np.concatenate(everything).mean())), 4), "by_kind": found}


def accepted(agrees: np.ndarray, length: int) -> tuple[int, int]:
    """(accepted, drafted) tokens when `agrees[i]` says that the draft, given the text so far, proposes token i."""
    at = hits = drafted = 0
    while at < len(agrees):
        proposed = min(length, len(agrees) - at)
        run = 0
        while run < proposed and agrees[at + run]:
            run += 1
        hits, drafted, at = hits + run, drafted + proposed, at + run + 1
    return hits, drafted


def agreements(large: Scores, draft: Scores, dialogues: list[Dialogue]) -> Iterator[np.ndarray]:
    """For each answer of the large model: at which of its tokens the draft's most likely one is the same."""
    for dialogue in dialogues:
        prompt = large.tokens(render_prompt(dialogue.messages, thinking=dialogue.thinking))
        written = large.greedy(prompt)
        rows = draft.of(prompt + written)[len(prompt) - 1 : -1]
        yield rows.argmax(axis=1) == np.array(written)


def acceptance(model: Path, draft: Path, count: int) -> dict[str, Any]:
    large, small = Scores(model), Scores(draft)
    drawn = draw_held_out(Corpus(), count, SEED)
    result: dict[str, Any] = {"model": model.name, "draft": draft.name}
    for kind in ("topic", "arithmetic", "lookup"):
        found = list(agreements(large, small, drawn[kind]))
        counts = {length: [accepted(agrees, length) for agrees in found] for length in DRAFT_LENGTHS}
        result[kind] = {
            str(length): round(sum(hits for hits, _ in pairs) / sum(drafted for _, drafted in pairs), 3)
            for length, pairs in counts.items()
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("perplexity", "acceptance"))
    parser.add_argument("--model", type=Path, default=Path("assets/models/demo-F16.gguf"))
    parser.add_argument("--quantization", help="such as Q2_K: made beforehand, in a temporary folder")
    parser.add_argument("--draft", type=Path, default=Path("assets/models/demo-small-F16.gguf"))
    parser.add_argument("--count", type=int, default=40, help="dialogues of each kind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = quantized(arguments.model, arguments.quantization, Path(folder))
        if arguments.what == "perplexity":
            result = perplexity(model, arguments.count)
        else:
            result = acceptance(model, arguments.draft, arguments.count)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
