"""Decode speed of the whole path (child, pipe, runner, terminal sink) against a bare loop; prints one JSON object.

    python -m tests.bench.engine_decode [--models 0.5B 42M] [--pairs 5] [--tokens 128] [--threads 2]

Each round measures the bare decode-sample loop, the engine and the convenience class one after the other, in the
same run; the ratio of a round is engine over bare, and the median of the rounds is what counts.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from tests.bench import bare, bench_models
from workbench.engine.process import LocalEngine
from workbench.runner import PassRunner
from workbench.runs import events
from workbench.runs.record import LoadReport
from workbench.runs.spec import ChatOptions, EngineOptions, Limits, Message, ModelRef, RunSpec, Sampling

CONTEXT = 1024
PROMPT = "Tell me something long about inference."
PAUSE_S = 0.2


def sampling_of(greedy: bool) -> Sampling:
    return Sampling(temperature=0 if greedy else 0.7, logit_bias=bare.NO_END)


def engine_rate(engine: LocalEngine, load: LoadReport, spec: RunSpec) -> float:
    """Tokens per second from the stamps of a run through the runner into a terminal-like sink."""
    screen = io.StringIO()

    def sink(event: events.RunEvent) -> None:
        if isinstance(event, events.TokensReceived):
            screen.write("".join(event.texts))
            screen.flush()

    outcome = PassRunner(engine, "bench", sink).play(spec, load)
    stamps = outcome.passes[0].timings.token_ns
    assert outcome.error is None, outcome.error
    return (len(stamps) - 1) * bare.NS / (stamps[-1] - stamps[0])


def measure(path: Path, *, pairs: int, tokens: int, threads: int, greedy: bool, convenience: bool) -> dict[str, Any]:
    plain = bare.Bare(path, context_length=CONTEXT, threads=threads)
    class_ = bare.convenience_model(path, context_length=CONTEXT, threads=threads) if convenience else None
    engine = LocalEngine()
    model = ModelRef(str(path), path.stem)
    options = EngineOptions(context_length=CONTEXT, threads=threads)
    load = engine.load(model, options)
    spec = RunSpec(
        model, (Message("user", PROMPT),), options, ChatOptions(), sampling_of(greedy), Limits(max_tokens=tokens)
    )
    prompt = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    rounds: list[dict[str, float]] = []
    for number in range(pairs + 1):
        row = {}
        # The order changes from round to round, so that a slow drift of the machine favours nobody.
        for name in ("bare", "engine") if number % 2 else ("engine", "bare"):
            time.sleep(PAUSE_S)
            if name == "bare":
                row[name] = plain.decode(plain.tokenize(prompt), tokens, greedy=greedy)
            else:
                row[name] = engine_rate(engine, load, spec)
        if class_ is not None:
            time.sleep(PAUSE_S)
            row["convenience"] = bare.convenience_rate(class_, prompt, tokens, greedy=greedy)
        rounds.append(row)
    engine.close()
    return summarize(rounds[1:])


def summarize(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of the rounds (the first, which warms up, is left out)."""
    ratios = [row["engine"] / row["bare"] for row in rounds]
    return {
        "ratio_median": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "tokens_per_s": {name: round(statistics.median(row[name] for row in rounds), 2) for name in rounds[0]},
        "rounds": [{name: round(value, 2) for name, value in row.items()} for row in rounds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["0.5B", "42M"], choices=["0.5B", "42M", "tiny", "demo"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--greedy", action="store_true", help="greedy instead of top-k 40, top-p 0.95, min-p, 0.7")
    parser.add_argument("--no-convenience", action="store_true")
    arguments = parser.parse_args()
    result = {
        name: measure(
            bench_models.pick(name), pairs=arguments.pairs, tokens=arguments.tokens, threads=arguments.threads,
            greedy=arguments.greedy, convenience=not arguments.no_convenience,
        )
        for name in arguments.models
    }  # fmt: skip
    print(json.dumps({"bench": "engine_decode", "threads": arguments.threads, "models": result}, indent=2))


if __name__ == "__main__":
    main()
