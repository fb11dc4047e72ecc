"""What the engine is measured against: llama.cpp's low-level calls in a plain loop, and the convenience class.

Everything happens in the process that calls, with the same settings that the engine's child uses.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp import llama_cpp as lib

NS = 1_000_000_000
# An end token must not cut a measurement short; ids 0 and 2 end a text in these models.
NO_END = ((0, -1e9), (2, -1e9))
# Kept by the module: llama.cpp still logs while the interpreter ends.
_SILENT = lib.llama_log_callback(lambda level, text, user: None)


class Bare:
    """A model and one context for `parallel` sequences of `context_length` tokens."""

    def __init__(self, path: Path, *, context_length: int, threads: int, parallel: int = 1) -> None:
        lib.llama_log_set(_SILENT, None)
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        parameters = lib.llama_context_default_params()
        parameters.n_ctx = context_length * parallel
        parameters.n_seq_max = parallel
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.no_perf = False
        self.context = lib.llama_init_from_model(self.model, parameters)
        self.vocab = lib.llama_model_get_vocab(self.model)
        self.memory = lib.llama_get_memory(self.context)
        self.batch = lib.llama_batch_init(2048, 0, 1)
        self.parallel = parallel

    def close(self) -> None:
        lib.llama_batch_free(self.batch)
        lib.llama_free(self.context)
        lib.llama_model_free(self.model)

    def tokenize(self, text: str) -> list[int]:
        data = text.encode()
        tokens = (ctypes.c_int32 * (len(data) + 8))()
        count = lib.llama_tokenize(self.vocab, data, len(data), tokens, len(data) + 8, False, True)
        return tokens[:count]

    def chain(self, *, greedy: bool, seed: int = 7) -> Any:
        """The sampler chain that the engine makes of the same request."""
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        bias = (lib.llama_logit_bias * len(NO_END))(*NO_END)
        size = lib.llama_vocab_n_tokens(self.vocab)
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_logit_bias(size, len(NO_END), bias))
        if greedy:
            lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_greedy())
            return chain
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_k(40))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_top_p(0.95, 1))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_min_p(0.05, 1))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_temp(0.7))
        lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_dist(seed))
        return chain

    def prefill(self, tokens: Sequence[int], sequence: int = 0) -> int:
        """Nanoseconds of the decode calls of a prompt, at most 512 tokens in each."""
        lib.llama_memory_seq_rm(self.memory, sequence, 0, -1)
        start = time.perf_counter_ns()
        for first in range(0, len(tokens), 512):
            part = tokens[first : first + 512]
            self._fill([(token, first + i, sequence) for i, token in enumerate(part)])
            self.batch.logits[len(part) - 1] = int(first + len(part) == len(tokens))
            assert lib.llama_decode(self.context, self.batch) == 0
        lib.llama_synchronize(self.context)
        return time.perf_counter_ns() - start

    def _fill(self, items: Sequence[tuple[int, int, int]]) -> None:
        batch = self.batch
        batch.n_tokens = len(items)
        for index, (token, position, sequence) in enumerate(items):
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            batch.logits[index] = 0

    def decode(self, tokens: Sequence[int], count: int, *, greedy: bool) -> float:
        """Tokens per second of `count` tokens after a prompt: decode and sample, nothing else."""
        self.prefill(tokens)
        chain = self.chain(greedy=greedy)
        token = lib.llama_sampler_sample(chain, self.context, -1)
        start = time.perf_counter_ns()
        batch = self.batch
        for position in range(len(tokens), len(tokens) + count - 1):
            batch.n_tokens, batch.token[0], batch.pos[0] = 1, token, position
            batch.n_seq_id[0], batch.seq_id[0][0], batch.logits[0] = 1, 0, 1
            lib.llama_decode(self.context, batch)
            token = lib.llama_sampler_sample(chain, self.context, -1)
        end = time.perf_counter_ns()
        lib.llama_sampler_free(chain)
        return (count - 1) * NS / (end - start)

    def decode_many(self, prompts: Sequence[Sequence[int]], count: int, *, greedy: bool) -> float:
        """Total tokens per second of a batched loop: all prompts first, then one token of each in every step."""
        start = time.perf_counter_ns()
        chains = [self.chain(greedy=greedy) for _ in prompts]
        tokens = []
        for sequence, prompt in enumerate(prompts):
            self.prefill(prompt, sequence)
            tokens.append(lib.llama_sampler_sample(chains[sequence], self.context, -1))
        for step in range(count - 1):
            self._fill([(tokens[s], len(prompt) + step, s) for s, prompt in enumerate(prompts)])
            for sequence in range(len(prompts)):
                self.batch.logits[sequence] = 1
            lib.llama_decode(self.context, self.batch)
            tokens = [lib.llama_sampler_sample(chain, self.context, s) for s, chain in enumerate(chains)]
        end = time.perf_counter_ns()
        for chain in chains:
            lib.llama_sampler_free(chain)
        return len(prompts) * count * NS / (end - start)


def convenience_rate(model: Any, prompt: str, count: int, *, greedy: bool) -> float:
    """Tokens per second of `llama_cpp.Llama` streaming a completion."""
    stamps = []
    for _ in model.create_completion(
        prompt, max_tokens=count, temperature=0.0 if greedy else 0.7, top_k=40, top_p=0.95, min_p=0.05,
        repeat_penalty=1.0, seed=7, stream=True,
    ):  # fmt: skip
        stamps.append(time.perf_counter_ns())
    return (len(stamps) - 1) * NS / (stamps[-1] - stamps[0])


def convenience_model(path: Path, *, context_length: int, threads: int) -> Any:
    return llama_cpp.Llama(
        str(path), n_ctx=context_length, n_threads=threads, n_threads_batch=threads, verbose=False, logits_all=False,
        n_gpu_layers=-1,
    )  # fmt: skip
