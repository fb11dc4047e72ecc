"""What the workbench adds to the time to the first token, and what the prefix cache saves; prints one JSON object.

    python -m tests.bench.engine_ttft [--models demo 0.5B] [--requests 40] [--threads 2] [--history 1500]

Overhead: TTFT minus llama.cpp's own time of the prompt's decode calls, of short warm requests whose prompts differ.
Second turn: TTFT of the next turn of a chat with so many tokens of history, against the same prompt evaluated cold.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

from tests.bench import bare, bench_models
from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.runs.spec import EngineOptions, Limits, Message, ModelRef, Sampling

CONTEXT = 4096
PAUSE_S = 0.05


@dataclass
class First:
    """One request up to its first token, in milliseconds and tokens."""

    ttft_ms: float
    engine_prompt_ms: float
    prompt_tokens: int
    cached_tokens: int
    text: str

    @property
    def overhead_ms(self) -> float:
        return self.ttft_ms - self.engine_prompt_ms


def ask(engine: LocalEngine, messages: list[Message], number: int, max_tokens: int = 4) -> First:
    request = api.EngineRequest(
        f"bench-{number}-{time.perf_counter_ns()}", tuple(messages),
        sampling=Sampling(temperature=0, logit_bias=bare.NO_END), limits=Limits(max_tokens=max_tokens),
    )  # fmt: skip
    start = time.perf_counter_ns()
    first_ns, prompt_ms, prompt_tokens, cached, text = 0, 0.0, 0, 0, ""
    for event in engine.run([request]):
        if isinstance(event, api.Tokens):
            first_ns = first_ns or event.stamps_ns[0]
            text += "".join(event.texts)
        elif isinstance(event, api.PromptReady):
            prompt_tokens, cached = event.prompt_tokens, event.cached_tokens
        elif isinstance(event, api.RequestFinished):
            assert event.engine_prompt_ms is not None
            prompt_ms = event.engine_prompt_ms
        elif isinstance(event, api.RequestFailed):
            raise SystemExit(event.message)
    return First((first_ns - start) / 1e6, prompt_ms, prompt_tokens, cached, text)


def overhead(engine: LocalEngine, requests: int) -> dict[str, Any]:
    results = []
    for number in range(requests + 3):
        time.sleep(PAUSE_S)
        results.append(ask(engine, [Message("user", f"Question {number}: what is a token?")], number))
    overheads = [item.overhead_ms for item in results[3:]]
    return {
        "overhead_ms": {
            "p50": round(statistics.median(overheads), 3),
            "p95": round(statistics.quantiles(overheads, n=20, method="inclusive")[-1], 3),
            "max": round(max(overheads), 3),
        },
        "ttft_ms_p50": round(statistics.median(item.ttft_ms for item in results[3:]), 3),
        "requests": requests,
    }


def long_history(engine: LocalEngine, tokens: int) -> str:
    """A text of about so many tokens for this model."""
    words = "The cache keeps what was read before, so that it need not be read again. "
    per_copy = ask(engine, [Message("user", words * 20)], -1, 1).prompt_tokens / 20
    return words * max(1, round(tokens / per_copy))


def second_turn(engine: LocalEngine, history_tokens: int, rounds: int) -> dict[str, Any]:
    text = long_history(engine, history_tokens)
    rows = []
    for number in range(rounds):
        first_turn = [Message("user", f"{number}. {text}")]
        first = ask(engine, first_turn, number, 16)
        turn = [*first_turn, Message("assistant", first.text), Message("user", "And what does it cost?")]
        warm = ask(engine, turn, number)
        # Another conversation takes the sequence over, then the same prompt comes to a memory without it.
        ask(engine, [Message("user", "zzz")], number, 1)
        cold = ask(engine, turn, number)
        rows.append({"cold_ms": cold.ttft_ms, "warm_ms": warm.ttft_ms, "ratio": warm.ttft_ms / cold.ttft_ms,
                     "prompt_tokens": warm.prompt_tokens, "cached_tokens": warm.cached_tokens,
                     "cold_cached_tokens": cold.cached_tokens})  # fmt: skip
    return {
        "ratio_median": round(statistics.median(row["ratio"] for row in rows), 4),
        "rounds": [{name: round(value, 3) for name, value in row.items()} for row in rows],
    }


def measure(name: str, *, requests: int, threads: int, history: int, rounds: int) -> dict[str, Any]:
    path = bench_models.pick(name)
    engine = LocalEngine()
    try:
        start = time.perf_counter_ns()
        report = engine.load(ModelRef(str(path), name), EngineOptions(context_length=CONTEXT, threads=threads))
        started_ms = (time.perf_counter_ns() - start) / 1e6
        return {
            "start_and_load_ms": round(started_ms, 1),
            "parts_ms": {"start": report.start_ms, "weights": report.load_ms, "context": report.context_ms},
            "warm": overhead(engine, requests),
            "second_turn": second_turn(engine, history, rounds),
        }
    finally:
        engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["demo", "0.5B"], choices=["0.5B", "42M", "tiny", "demo"])
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--history", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    result = {
        name: measure(
            name, requests=arguments.requests, threads=arguments.threads, history=arguments.history,
            rounds=arguments.rounds,
        )
        for name in arguments.models
    }  # fmt: skip
    print(json.dumps({"bench": "engine_ttft", "threads": arguments.threads, "models": result}, indent=2))


if __name__ == "__main__":
    main()
