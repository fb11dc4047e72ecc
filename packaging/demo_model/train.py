"""Train the demo model for a given number of minutes, resumable; everything it needs is in this folder.

    python packaging/demo_model/train.py --minutes 100 --work build/demo_model --out assets/models/demo-F16.gguf

The learning rate follows the wall clock (warm-up, level, a long fall), so a run ends when it was
asked to. Checkpoints go to `--work`; the same command continues after an interruption. `log.jsonl` there holds the
losses, one JSON object every half minute.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from chat import TURN_END, TURN_START, render_prompt
from corpus import Corpus, Dialogue
from export import write_gguf
from network import Network, Shape, parameter_count
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from vocabulary import load_vocabulary, train_vocabulary

VOCABULARY_DIALOGUES = 30_000
# Training rows are short. A gap in the positions before the last question of half of the longer conversations
# makes distances up to this one familiar, so that a long chat does not fall apart.
LONGEST_GAP = 1500

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
IGNORED = -100


def build_vocabulary(corpus: Corpus, path: Path, size: int) -> Tokenizer:
    """The vocabulary of an earlier run in the same folder, or one learnt from dialogues of a fixed seed."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = corpus.stream(seed=1)
        texts = []
        for _ in range(VOCABULARY_DIALOGUES):
            dialogue = next(stream)
            # Sums hold no words worth a merge; one of eight keeps their few phrases in.
            if dialogue.kind != "sum" or len(texts) % 8 == 0:
                texts.append("\n".join(content for _, content in dialogue.messages) + "\n" + dialogue.completion)
        train_vocabulary(texts, size).save(str(path))
    return load_vocabulary(path)


class Rows:
    """Packs dialogues into rows of equal length; attention stays within a dialogue, loss on what it answers."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, seed: int) -> None:
        self.corpus = corpus
        self.tokenizer = tokenizer
        self.rng = random.Random(seed)
        self.turn_start = tokenizer.token_to_id(TURN_START)
        self.waiting: list[tuple[list[int], list[int]]] = []

    def encode(self, dialogue: Dialogue) -> tuple[list[int], list[int]]:
        prompt = self.tokenizer.encode(render_prompt(dialogue.messages, thinking=dialogue.thinking)).ids
        completion = self.tokenizer.encode(dialogue.completion + TURN_END).ids
        tokens = prompt + completion
        return tokens[:-1], [IGNORED] * (len(prompt) - 1) + completion

    def positions(self, ids: list[int]) -> Tensor:
        places = torch.arange(len(ids))
        last_question = [i for i, token in enumerate(ids) if token == self.turn_start][-2]
        if last_question > 0 and self.rng.random() < 0.5:
            places[last_question:] += self.rng.randrange(LONGEST_GAP)
        return places

    def batch(self, rows: int, length: int, difficulty: float) -> Batch:
        """Tokens, targets and positions (rows, length) and the additive mask (rows, 1, length, length)."""
        tokens = torch.zeros(rows, length, dtype=torch.long)
        targets = torch.full((rows, length), IGNORED)
        positions = torch.zeros(rows, length, dtype=torch.long)
        owner = torch.full((rows, length), -1)
        for row in range(rows):
            at = number = 0
            misses = 0
            while at < length - 24 and misses < 4:
                index = next((i for i, (t, _) in enumerate(self.waiting) if len(t) <= length - at), None)
                if index is None or len(self.waiting) < 24:
                    self.waiting.append(self.encode(self.corpus.draw(self.rng, difficulty)))
                    misses += index is None and len(self.waiting) > 64
                    continue
                ids, wanted = self.waiting.pop(index)
                tokens[row, at : at + len(ids)] = torch.tensor(ids)
                targets[row, at : at + len(ids)] = torch.tensor(wanted)
                positions[row, at : at + len(ids)] = self.positions(ids)
                owner[row, at : at + len(ids)] = number
                at, number = at + len(ids), number + 1
        # Samples too long for any row of this length must not fill the queue.
        self.waiting = [w for w in self.waiting if len(w[0]) <= 512][-96:]
        same = owner[:, :, None] == owner[:, None, :]
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        mask = torch.zeros(rows, length, length).masked_fill_(~(same & causal), float("-inf"))
        return tokens, targets, positions, mask[:, None]


def learning_rate(fraction: float, step: int) -> float:
    """Factor on the peak rate: 100 steps of warm-up, level, then falling to 2 % over the last 60 % of the time."""
    return min(1.0, (step + 1) / 100) * (1.0 if fraction < 0.4 else max(0.02, ((1.0 - fraction) / 0.6) ** 1.5))


def loss_of(network: Network, batch: Batch, states_of: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    tokens, targets, positions, mask = batch
    states = states_of(tokens, positions, mask)
    wanted = targets != IGNORED
    return functional.cross_entropy(network.logits(states[wanted]).float(), targets[wanted])


def held_out_loss(network: Network, corpus: Corpus, tokenizer: Tokenizer) -> float:
    """On dialogues of another seed; their topics are known, their numbers and combinations mostly not."""
    rows = Rows(corpus, tokenizer, seed=987_654)
    with torch.no_grad():
        losses = [float(loss_of(network, rows.batch(8, 256, 1.0), network.states)) for _ in range(4)]
    return sum(losses) / len(losses)


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
        torch.optim.Muon(matrices, lr=0.01, momentum=0.95, weight_decay=0.1, adjust_lr_fn="original"),
        torch.optim.AdamW([network.token_embd.weight], lr=0.006, betas=(0.9, 0.95), weight_decay=0.0),
        torch.optim.AdamW(norms, lr=0.002, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--work", type=Path, default=Path("build/demo_model"))
    parser.add_argument("--out", type=Path, help="GGUF file to write at the end and at every export")
    parser.add_argument("--export-minutes", type=float, default=20.0, help="also write --out this often")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=3072)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def batches(rows: Rows, arguments: argparse.Namespace, step: int, difficulty: float) -> Batch:
    """Every fourth batch has rows twice as long, for whole conversations."""
    if step % 4 == 3:
        return rows.batch(arguments.rows // 2, arguments.length * 2, difficulty)
    return rows.batch(arguments.rows, arguments.length, difficulty)


def train(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    device = torch.device(arguments.device)
    corpus = Corpus()
    tokenizer = build_vocabulary(corpus, arguments.work / "tokenizer.json", arguments.vocabulary)
    network = Network(Shape(vocabulary=arguments.vocabulary, layers=arguments.layers)).to(device)
    optimizers = build_optimizers(network)
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    checkpoint = arguments.work / "checkpoint.pt"
    step, elapsed, seen = 0, 0.0, 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(saved["network"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            # The saved state brings its own decay along; what stands in this file counts.
            decay = optimizer.param_groups[0]["weight_decay"]
            optimizer.load_state_dict(state)
            optimizer.param_groups[0]["weight_decay"] = decay
        step, elapsed, seen = saved["step"], saved["elapsed_s"], saved["tokens"]
    rows = Rows(corpus, tokenizer, seed=arguments.seed + step)
    states_of = torch.compile(network.states, dynamic=False) if arguments.compile else network.states
    limit = arguments.minutes * 60
    print(
        f"{parameter_count(network):,} parameters, {elapsed / 60:.1f} of {arguments.minutes} min done",
        flush=True,
    )

    def save() -> None:
        state = {
            "network": network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "step": step,
            "elapsed_s": elapsed,
            "tokens": seen,
        }
        save_atomically(checkpoint, state)

    log_path = arguments.work / "log.jsonl"
    last = time.monotonic()
    saved_at = exported_at = logged_at = elapsed
    running: list[float] = []
    logged_tokens = seen
    with log_path.open("a") as log:
        while elapsed < limit:
            fraction = elapsed / limit
            batch = batches(rows, arguments, step, difficulty=min(1.0, fraction / 0.15))
            tokens, targets, positions, mask = (part.to(device) for part in batch)
            # On CPUs without matrix units bfloat16 was slower than float32 (measured with torch 2.13).
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type != "cpu"):
                loss = loss_of(network, (tokens, targets, positions, mask), states_of)
            for optimizer, peak in zip(optimizers, peaks, strict=True):
                optimizer.zero_grad(set_to_none=True)
                for group in optimizer.param_groups:
                    group["lr"] = peak * learning_rate(fraction, step)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            running.append(float(loss.detach()))
            step, seen = step + 1, seen + tokens.numel()
            now = time.monotonic()
            elapsed, last = elapsed + now - last, now
            if elapsed - logged_at >= 30:
                line = {
                    "step": step,
                    "minutes": round(elapsed / 60, 2),
                    "tokens": seen,
                    "loss": round(sum(running) / len(running), 4),
                    "tokens_per_s": round((seen - logged_tokens) / (elapsed - logged_at)),
                }
                if elapsed - saved_at >= 300:
                    line["held_out_loss"] = round(held_out_loss(network, corpus, tokenizer), 4)
                    save()
                    saved_at = elapsed
                log.write(json.dumps(line) + "\n")
                log.flush()
                logged_at, logged_tokens, running = elapsed, seen, []
            if arguments.out and elapsed - exported_at >= arguments.export_minutes * 60:
                write_gguf(network, tokenizer, arguments.out, trained_tokens=seen)
                exported_at = elapsed
    save()
    if arguments.out:
        write_gguf(network, tokenizer, arguments.out, trained_tokens=seen)


if __name__ == "__main__":
    train(parse_arguments())
