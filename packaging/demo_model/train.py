"""Train a model of the demo family on a number of tokens, resumable; everything it needs is in this folder.

    python packaging/demo_model/train.py demo --tokens 45e6 --work build/demo_model
    python packaging/demo_model/train.py demo-small --tokens 30e6 --work build/demo_model

The learning rate follows the tokens (warm-up, level, a long fall). Checkpoints go to `--work`; the same command
continues after an interruption, and another number of tokens moves the end. `log-NAME.jsonl` there holds the losses
and, every ten minutes, how many held-out dialogues of each kind would be answered word for word. `--start` begins with
the weights of an earlier GGUF of the same shape instead of random ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from corpus import EASY_SHARES, SHARES, Corpus
from dialogue import Dialogue
from export import write_gguf
from held_out import draw_held_out
from names import know_pieces, without_names
from network import SHAPES, Network, parameter_count
from rows import IGNORED, LONGEST_ROW, Batch, Rows, encode, pack
from start import begin_with
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from vocabulary import load_vocabulary, train_vocabulary

VOCABULARY_DIALOGUES = 40_000
CURRICULUM_TOKENS = 4e6
WARM_UP_STEPS = 100
FALL_SHARE = 0.75
LAST_RATE = 0.01
HELD_OUT_DIALOGUES = 24
LOG_S, SAVE_S, HELD_OUT_S = 30, 180, 600
# Rows and their length in turn; about as many tokens each. Few lengths: each is compiled once. Larger batches
# train a few more tokens a second and take fewer steps.
BATCHES = ((12, 256), (12, 256), (6, 512), (4, LONGEST_ROW))

States = Callable[[Tensor, Tensor, Tensor], Tensor]


def build_vocabulary(corpus: Corpus, path: Path, size: int) -> Tokenizer:
    """The vocabulary of an earlier run in the same folder, or one learnt from dialogues of a fixed seed."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        stream, rng = corpus.stream(seed=1), random.Random(1)
        texts = []
        for _ in range(VOCABULARY_DIALOGUES):
            dialogue = next(stream)
            # Sums hold few words worth a merge; one of eight keeps their phrases in.
            if dialogue.kind not in ("sum", "copy") or len(texts) % 8 == 0:
                text = "\n".join(content for _, content in dialogue.messages) + "\n" + dialogue.completion
                texts.append(without_names(text, rng))
        train_vocabulary(texts, size).save(str(path))
    return load_vocabulary(path)


def learning_rate(fraction: float, step: int) -> float:
    """Factor on the peak rate, from the share of the tokens that is done."""
    fall = min(1.0, (1.0 - fraction) / FALL_SHARE)
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(LAST_RATE, fall)


def loss_of(network: Network, batch: Batch, states_of: States) -> Tensor:
    tokens, targets, weights, positions, mask = batch
    states = states_of(tokens, positions, mask)
    wanted = targets != IGNORED
    losses = functional.cross_entropy(network.logits(states[wanted]).float(), targets[wanted], reduction="none")
    return (losses * weights[wanted]).sum() / weights[wanted].sum()


def held_out_figures(network: Network, tokenizer: Tokenizer, dialogues: dict[str, list[Dialogue]]) -> dict[str, Any]:
    """Per kind: the mean loss per token, and the share whose every token is the most likely one.

    The latter is what greedy decoding would write word for word.
    """
    device = next(network.parameters()).device
    figures = {}
    for kind, drawn in dialogues.items():
        losses, exact = [], 0
        for dialogue in drawn:
            row = encode(dialogue, tokenizer)
            batch = pack([[row]], len(row[0]), lambda ids: torch.arange(len(ids)))
            tokens, targets, _, positions, mask = (part.to(device) for part in batch)
            with torch.no_grad():
                wanted = targets != IGNORED
                logits = network.logits(network.states(tokens, positions, mask)[wanted]).float()
            losses.append(float(functional.cross_entropy(logits, targets[wanted])))
            exact += bool((logits.argmax(-1) == targets[wanted]).all())
        figures[kind] = {"loss": round(sum(losses) / len(losses), 4), "exact": round(exact / len(drawn), 3)}
    return figures


def save_atomically(path: Path, content: object) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    os.replace(temporary, path)


def build_optimizers(network: Network) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks (it needs far fewer steps), AdamW for embeddings and norms.

    The decay bounds the matrices. With almost none, and embeddings started at 0.02, the blocks' outputs grew to 250
    times the embeddings within 5 million tokens: tokens could no longer be told apart in the residual stream, and
    copying was never learnt.
    """
    matrices = [p for n, p in network.named_parameters() if p.ndim == 2 and "token_embd" not in n]
    norms = [p for p in network.parameters() if p.ndim == 1]
    return [
        torch.optim.Muon(matrices, lr=0.007, momentum=0.95, weight_decay=0.1, adjust_lr_fn="original"),
        torch.optim.AdamW([network.token_embd.weight], lr=0.004, betas=(0.9, 0.95), weight_decay=0.0),
        torch.optim.AdamW(norms, lr=0.002, betas=(0.9, 0.95), weight_decay=0.0),
    ]


class Training:
    """A run: the network, its optimizers and how far it is; kept in one checkpoint."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.limit = int(arguments.tokens)
        self.device = torch.device(arguments.device)
        self.corpus = Corpus(EASY_SHARES if arguments.model == "demo-small" else SHARES)
        self.tokenizer = build_vocabulary(
            Corpus(), arguments.work / "tokenizer.json", SHAPES[arguments.model].vocabulary
        )
        know_pieces(self.tokenizer.get_vocab())
        self.network = Network(SHAPES[arguments.model]).to(self.device)
        self.optimizers = build_optimizers(self.network)
        self.peaks = [arguments.rate * optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        self.checkpoint = arguments.work / f"{arguments.model}.pt"
        self.log_path = arguments.work / f"log-{arguments.model}.jsonl"
        self.step = self.tokens = self.earlier_tokens = 0
        self.elapsed_s = 0.0
        if self.checkpoint.exists():
            self._resume()
        elif arguments.start:
            self.earlier_tokens = begin_with(arguments.start, self.network, self.tokenizer)
        self.rows = Rows(self.corpus, self.tokenizer, seed=arguments.seed + self.step)
        self.states_of: States = (
            torch.compile(self.network.states, dynamic=False) if arguments.compile else self.network.states
        )

    def _resume(self) -> None:
        saved = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(saved["network"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            # The saved state brings its own decay along; what stands in this file counts.
            decay = optimizer.param_groups[0]["weight_decay"]
            optimizer.load_state_dict(state)
            optimizer.param_groups[0]["weight_decay"] = decay
        self.step, self.tokens, self.elapsed_s = saved["step"], saved["tokens"], saved["elapsed_s"]
        self.earlier_tokens = saved["earlier_tokens"]

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "tokens": self.tokens,
            "earlier_tokens": self.earlier_tokens,
            "elapsed_s": self.elapsed_s,
        }
        save_atomically(self.checkpoint, state)

    def take_step(self) -> float:
        """One batch through the network and the optimizers; the loss."""
        rows, length = BATCHES[self.step % len(BATCHES)]
        batch = self.rows.batch(rows, length, min(1.0, self.tokens / CURRICULUM_TOKENS))
        batch = tuple(part.to(self.device) for part in batch)
        # On two Zen 5 cores bfloat16 trained 12,000 tokens/s where float32 trained 6,000 (torch 2.13).
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            loss = loss_of(self.network, batch, self.states_of)
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = peak * learning_rate(self.tokens / self.limit, self.step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step, self.tokens = self.step + 1, self.tokens + rows * length
        return float(loss.detach())

    def run(self) -> None:
        held_out = draw_held_out(self.corpus, HELD_OUT_DIALOGUES, seed=987_654)
        last = time.monotonic()
        logged = saved = figured = self.elapsed_s
        losses: list[float] = []
        tokens_before = self.tokens
        with self.log_path.open("a") as log:
            while self.tokens < self.limit:
                losses.append(self.take_step())
                now = time.monotonic()
                self.elapsed_s, last = self.elapsed_s + now - last, now
                is_over = self.tokens >= self.limit
                if self.elapsed_s - logged < LOG_S and not is_over:
                    continue
                line: dict[str, Any] = {
                    "step": self.step,
                    "minutes": round(self.elapsed_s / 60, 2),
                    "tokens": self.tokens,
                    "loss": round(sum(losses) / len(losses), 4),
                    "tokens_per_s": round((self.tokens - tokens_before) / (self.elapsed_s - logged)),
                }
                if self.elapsed_s - figured >= HELD_OUT_S or is_over:
                    line["held_out"] = held_out_figures(self.network, self.tokenizer, held_out)
                    figured = self.elapsed_s
                if self.elapsed_s - saved >= SAVE_S or is_over:
                    self.save()
                    saved = self.elapsed_s
                log.write(json.dumps(line) + "\n")
                log.flush()
                logged, tokens_before, losses = self.elapsed_s, self.tokens, []


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(SHAPES))
    parser.add_argument("--tokens", type=float, default=45e6, help="tokens to train on in all")
    parser.add_argument("--work", type=Path, default=Path("build/demo_model"))
    parser.add_argument("--start", type=Path, help="GGUF file of an earlier model of this shape to begin with")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--out", type=Path, help="GGUF file to write at the end")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    training = Training(arguments)
    count = parameter_count(training.network)
    print(f"{count:,} parameters, {training.tokens:,} of {training.limit:,} tokens done", flush=True)
    training.run()
    if arguments.out:
        tokens = training.earlier_tokens + training.tokens
        write_gguf(training.network, training.tokenizer, arguments.out, arguments.model, tokens)


if __name__ == "__main__":
    main()
