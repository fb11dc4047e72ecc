"""Milliseconds per token alone and beside other busy programs, with spin counts to compare; prints one JSON object.

    python -m tests.bench.engine_beside_others [--model 42M] [--spin 1000 300000] [--tokens 100] [--runs 5]

Beside: nothing, one and two programs that only compute, and another llama.cpp with as many threads. "as it is" is the
program's own way; a number sets GOMP_SPINCOUNT, and 300000 is libgomp's default.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from tests.bench import bench_models, engine_decode
from workbench.engine.process import LocalEngine
from workbench.runs.spec import ChatOptions, EngineOptions, Limits, Message, ModelRef, RunSpec

CONTEXT = 1024
SETTLE_S = 1.0
BUSY = "while True: pass"
LLAMA = (
    "from tests.bench import bare, bench_models\n"
    "loop = bare.Bare(bench_models.pick('42M'), context_length=512, threads={threads})\n"
    "while True: loop.decode(loop.tokenize('hello'), 100, greedy=True)"
)


def measure(model: str, spin: str | None, tokens: int, runs: int, threads: int) -> dict[str, dict[str, float]]:
    """Median and worst run beside each of the programs."""
    os.environ.pop("GOMP_SPINCOUNT", None)
    if spin is not None:
        os.environ["GOMP_SPINCOUNT"] = spin
    reference = ModelRef(str(bench_models.pick(model)), model)
    options = EngineOptions(context_length=CONTEXT, threads=threads)
    engine = LocalEngine()
    load = engine.load(reference, options)
    os.environ.pop("GOMP_SPINCOUNT", None)
    messages = (Message("user", engine_decode.PROMPT),)
    spec = RunSpec(
        reference, messages, options, ChatOptions(), engine_decode.sampling_of(False), Limits(max_tokens=tokens)
    )
    beside = {"nothing": [], "one": [BUSY], "two": [BUSY, BUSY], "llama.cpp": [LLAMA.format(threads=threads)]}
    found = {}
    for name, programs in beside.items():
        others = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) for code in programs]
        time.sleep(SETTLE_S)
        times = [1000 / engine_decode.engine_rate(engine, load, spec) for _ in range(runs)]
        for other in others:
            other.kill()
            other.wait()
        found[name] = {"median_ms": round(statistics.median(times), 2), "worst_ms": round(max(times), 2)}
    engine.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="42M", choices=["0.5B", "42M", "tiny", "demo"])
    parser.add_argument("--spin", nargs="*", default=[])
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    ways: list[str | None] = [None, *chosen.spin]
    result = {
        spin or "as it is": measure(chosen.model, spin, chosen.tokens, chosen.runs, chosen.threads) for spin in ways
    }
    print(json.dumps({"bench": "engine_beside_others", "model": chosen.model, "milliseconds": result}, indent=2))


if __name__ == "__main__":
    main()
