"""Many requests at once on one GPU: all tokens per second, and what each of them waits."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench import bare
from tests.gpu import asking, watching
from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.runs.spec import EngineOptions, ModelRef


def rows(path: Path, counts: list[int], *, context: int, prompt_tokens: int, tokens: int) -> list[dict[str, Any]]:
    """The engine's context is made for each count, its weights stay."""
    engine = LocalEngine(memory_check=False)
    try:
        return [_row(engine, path, count, context, prompt_tokens, tokens) for count in counts]
    finally:
        engine.close()


def _row(engine: LocalEngine, path: Path, count: int, context: int, prompt_tokens: int, tokens: int) -> dict[str, Any]:
    engine.load(ModelRef(str(path), path.stem), EngineOptions(context_length=context, parallel=count, gpu_layers=-1))
    per_word = asking.tokens_per_text(engine)
    requests = [asking.request_of(asking.text_of(prompt_tokens, per_word), tokens) for _ in range(count)]
    stamps: dict[str, list[int]] = {request.id: [] for request in requests}
    with watching.Watch(lambda: engine.pid) as watch:
        start = time.perf_counter_ns()
        for event in engine.run(requests):
            if isinstance(event, api.Tokens):
                stamps[event.request_id] += event.stamps_ns
            elif isinstance(event, api.RequestFailed):
                return {"parallel": count, "failed": event.message}
    last = max(max(values) for values in stamps.values())
    total = sum(map(len, stamps.values()))
    gaps = [(b - a) / 1e6 for values in stamps.values() for a, b in pairwise(values)]
    firsts = sorted((values[0] - start) / 1e6 for values in stamps.values())
    return {
        "parallel": count,
        "tokens_per_s": total * bare.NS / (last - start),
        "ttft_ms": {"median": statistics.median(firsts), "worst": firsts[-1]},
        "itl_ms": {"median": statistics.median(gaps), "p99": sorted(gaps)[int(0.99 * (len(gaps) - 1))]},
        **watch.figures(total),
    }


def against_bare(path: Path, counts: list[int], *, context: int, prompt_tokens: int, tokens: int) -> dict[str, float]:
    """All tokens per second of a bare batched loop in this process, by count."""
    found = {}
    for count in counts:
        loop = bare.Bare(path, context_length=context, threads=4, parallel=count)
        words = asking.WORDS * max(1, prompt_tokens // 16)
        prompts = [loop.tokenize(f"{number}. {words}")[:prompt_tokens] for number in range(count)]
        loop.decode_many(prompts, 4, greedy=False)
        found[str(count)] = loop.decode_many(prompts, tokens, greedy=False)
        loop.close()
    return found
