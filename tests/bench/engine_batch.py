"""Total throughput of several requests at once against a bare batched loop; prints one JSON object.

    python -m tests.bench.engine_batch [--models 0.5B] [--requests 8] [--tokens 64] [--pairs 3] [--threads 2]

Both sides evaluate the same prompts and make the same number of tokens for each; the clock runs from the submit to
the last token. One request and four requests of the engine are shown beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

from tests.bench import bare, bench_models
from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.runs.spec import EngineOptions, Limits, Message, ModelRef, Sampling

CONTEXT = 512
PAUSE_S = 0.2


def prompt_text(number: int) -> str:
    return f"{number}. Tell me something about inference."


def template(text: str) -> str:
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def engine_rate(engine: LocalEngine, count: int, tokens: int, round_number: int) -> float:
    """Tokens per second of all requests together, from submit to the last stamp."""
    # The round is part of the prompt: what an earlier round left in memory must not help.
    requests = [
        api.EngineRequest(
            f"bench-{round_number}-{count}-{number}", (Message("user", f"{round_number}/{prompt_text(number)}"),),
            sampling=Sampling(logit_bias=bare.NO_END), limits=Limits(max_tokens=tokens),
        )
        for number in range(count)
    ]  # fmt: skip
    start = time.perf_counter_ns()
    total, last = 0, start
    for event in engine.run(requests):
        if isinstance(event, api.Tokens):
            total += len(event.ids)
            last = max(last, event.stamps_ns[-1])
        elif isinstance(event, api.RequestFailed):
            raise SystemExit(event.message)
    return total * bare.NS / (last - start)


def measure(name: str, *, requests: int, tokens: int, pairs: int, threads: int) -> dict[str, Any]:
    path = bench_models.pick(name)
    plain = bare.Bare(path, context_length=CONTEXT, threads=threads, parallel=requests)
    engine = LocalEngine()
    options = EngineOptions(context_length=CONTEXT, threads=threads, parallel=requests)
    engine.load(ModelRef(str(path), name), options)
    rounds = []
    for number in range(pairs + 1):
        row = {}
        for side in ("bare", "engine") if number % 2 else ("engine", "bare"):
            time.sleep(PAUSE_S)
            if side == "bare":
                prompts = [plain.tokenize(template(f"{number}/{prompt_text(n)}")) for n in range(requests)]
                row[side] = plain.decode_many(prompts, tokens, greedy=False)
            else:
                row[side] = engine_rate(engine, requests, tokens, number)
        rounds.append(row)
    fewer = {str(count): round(engine_rate(engine, count, tokens, 1000 + count), 2) for count in (1, 4)}
    engine.close()
    ratios = [row["engine"] / row["bare"] for row in rounds[1:]]
    return {
        "ratio_median": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "tokens_per_s": {side: round(statistics.median(row[side] for row in rounds[1:]), 2) for side in rounds[0]},
        "engine_with_fewer_requests": fewer,
        "rounds": [{side: round(value, 2) for side, value in row.items()} for row in rounds[1:]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["0.5B"], choices=["0.5B", "42M", "tiny", "demo"])
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    result = {
        name: measure(
            name, requests=arguments.requests, tokens=arguments.tokens, pairs=arguments.pairs,
            threads=arguments.threads,
        )
        for name in arguments.models
    }  # fmt: skip
    print(json.dumps({"bench": "engine_batch", "threads": arguments.threads, "models": result}, indent=2))


if __name__ == "__main__":
    main()
