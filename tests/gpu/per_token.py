"""Where the time of a token goes: submitting the decode, waiting for the GPU, sampling, detokenizing, and the pipe.

The engine's own classes run in this process, each part between two readings of the clock. `plain` is the same loop
with two readings for the whole: what the clock itself costs. `sampled_on_gpu` attaches the sampler to the context, so
that llama.cpp samples on the device and copies one token instead of a vocabulary of logits. `pipe` is the most it can
be: here every token is a message of its own, in the engine those of 30 ms share one.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

from workbench.engine import api, llama, protocol
from workbench.engine.context import Context
from workbench.engine.sampling import Sampler
from workbench.engine.stream import OutputStream
from workbench.engine.weights import Weights
from workbench.runs.spec import EngineOptions, Sampling

PARTS = ("decode", "synchronize", "sample", "detokenize", "pipe")
NO_END = ((0, -1e9), (2, -1e9))
GREEDY = Sampling(temperature=0, logit_bias=NO_END)
USUAL = Sampling(logit_bias=NO_END)


def measure(path: Path, *, tokens: int, context: int, gpu_layers: int = -1) -> dict[str, Any]:
    log = llama.LogCapture()
    llama.start_backend()
    options = EngineOptions(context_length=context, gpu_layers=gpu_layers)
    weights = Weights.load(str(path), options, gpu_layers, lambda _fraction: True)
    assert weights is not None, log.tail_text()
    made = Context.make(weights, options, 4)
    assert made is not None, log.tail_text()
    try:
        loop = _Loop(weights, made, context)
        loop.run(USUAL, 8, parted=False)
        found: dict[str, Any] = {
            name: loop.run(sampling, tokens, parted=True) for name, sampling in (("usual", USUAL), ("greedy", GREEDY))
        }
        found["plain"] = {
            name: loop.run(sampling, tokens, parted=False) for name, sampling in (("usual", USUAL), ("greedy", GREEDY))
        }
        found["sampled_on_gpu"] = {
            name: loop.run(sampling, tokens, parted=False, on_device=True)
            for name, sampling in (("usual", USUAL), ("greedy", GREEDY))
        }
        found["vocabulary"] = weights.vocabulary_size
        return found
    finally:
        made.close()
        weights.close()


class _Loop:
    def __init__(self, weights: Weights, context: Context, length: int) -> None:
        self._weights, self._context, self._length = weights, context, length

    def run(self, sampling: Sampling, tokens: int, *, parted: bool, on_device: bool = False) -> dict[str, Any]:
        """Microseconds of each part for a token, at the median, or those of the whole alone."""
        self._context.cut(0, 0)
        sampler = Sampler(self._weights, sampling, self._length)
        is_attached = on_device and bool(llama.lib.llama_set_sampler(self._context.pointer, 0, sampler._free))
        pipe = os.open(os.devnull, os.O_WRONLY)
        try:
            spent, seconds = self._decode(sampler, tokens, pipe, parted)
        finally:
            if on_device:
                llama.lib.llama_set_sampler(self._context.pointer, 0, None)
            os.close(pipe)
            sampler.close()
        whole = {"tokens_per_s": tokens / seconds, "us_per_token": seconds / tokens * 1e6}
        if on_device:
            whole["is_attached"] = is_attached
        return {**whole, **{name: statistics.median(values) for name, values in spent.items() if values}}

    def _decode(self, sampler: Sampler, tokens: int, pipe: int, parted: bool) -> tuple[dict[str, list[float]], float]:
        context, clock = self._context, time.perf_counter_ns
        stream = OutputStream(None, starts_thinking=False, stop=())
        spent: dict[str, list[float]] = {name: [] for name in PARTS}
        token = self._weights.tokenize("a", add_special=True, parse_special=False)[0]
        start = clock()
        for position in range(tokens):
            context.batch.set_one(token, position, 0)
            t0 = clock()
            assert context.decode() == 0
            t1 = clock() if parted else 0
            if parted:
                context.synchronize()
            t2 = clock() if parted else 0
            token = sampler.sample(context.pointer, 0)
            t3 = clock()
            stream.push(token, self._weights.piece(token), t3)
            pieces = stream.take_ready()
            t4 = clock() if parted else 0
            if pieces:
                os.write(pipe, protocol.encode(_message(pieces)))
            if parted:
                for name, span in zip(PARTS, (t1 - t0, t2 - t1, t3 - t2, t4 - t3, clock() - t4), strict=True):
                    spent[name].append(span / 1000)
        return spent, (clock() - start) / 1e9


def _message(pieces: list[Any]) -> api.Tokens:
    return api.Tokens(
        "bench", tuple(piece.token for piece in pieces), tuple(piece.text for piece in pieces),
        tuple(piece.stamp_ns for piece in pieces), tuple(piece.is_thinking for piece in pieces),
    )  # fmt: skip
