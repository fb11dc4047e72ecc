"""All GPU figures that the documents owe, section by section; writes one JSON file, again after each row.

    python -m tests.gpu.bench [SECTION ...] --json gpu.json [--models 0.5B 3B 8B 30B-A3B] [--layers all half none]
                              [--kv f16 q8_0] [--contexts 4096 32768 131072] [--tokens 128] [--smoke]

Sections: machine, speed, memory, decode, parallel, per_token, cancel, oom. `memory` is `speed` with short prompts.
`--smoke` runs every section with tiny models and short lengths, also on a machine without a GPU: figures of a GPU are
null there, and no figure of such a run means anything. Models are made where `WORKBENCH_BENCH_MODELS` says, else in the
temporary folder: 0.4, 1.9, 4.9 and 18.6 GB.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import bench_models, engine_batch, engine_decode
from tests.gpu import parallel, per_token, places, shapes, speed, trouble

SMOKE_MODELS = ["smoke", "smoke-experts"]


Keep = Callable[[Any], None]


def main() -> None:
    chosen = arguments()
    result: dict[str, Any] = {"bench": "gpu", "is_smoke": chosen.smoke, "seconds": {}}
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(["machine", *(chosen.sections or SECTIONS)]):
        start = time.monotonic()

        def keep(found: Any, name: str = name, start: float = start) -> None:
            result[name] = found
            result["seconds"][name] = round(time.monotonic() - start, 1)
            chosen.json.write_text(json.dumps(result, indent=1) + "\n")

        try:
            keep(SECTIONS[name](chosen, keep))
        except Exception as error:  # noqa: BLE001 - the other sections' figures are worth having
            keep({"failed": repr(error), "trace": traceback.format_exc(), "before": result.get(name)})
        print(f"{name}: {result['seconds'][name]} s", flush=True)
    print(f"figures: {chosen.json}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*")
    parser.add_argument("--json", type=Path, default=Path("build/gpu-figures.json"))
    parser.add_argument("--models", nargs="+", default=["0.5B", "3B", "8B", "30B-A3B"], choices=list(shapes.SHAPES))
    parser.add_argument("--layers", nargs="+", default=["all", "half", "none"], choices=["all", "half", "none"])
    parser.add_argument("--kv", nargs="+", default=["f16", "q8_0"])
    parser.add_argument("--contexts", nargs="+", type=int, default=[4096, 32_768, 131_072])
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 8, 32, 64])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--prefill", type=int, default=100_000, help="tokens of the prefill that is cancelled")
    parser.add_argument("--smoke", action="store_true")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.models, chosen.contexts, chosen.counts = SMOKE_MODELS, [1024], [1, 2]
        chosen.tokens, chosen.pairs, chosen.prefill = 8, 1, 2048
    return chosen


def speed_section(chosen: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in chosen.models:
        rows = speed.rows(
            shapes.make(name), shapes.SHAPES[name].layers, layers=chosen.layers, kv_types=chosen.kv,
            contexts=chosen.contexts, tokens=chosen.tokens,
        )  # fmt: skip
        found[name] = []
        for row in rows:
            found[name].append(_shown(name, row))
            keep(found)
    return found


def memory_section(chosen: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """Loads, a short prompt, and what NVML says: every combination, in seconds each."""
    kept, speed.LONGEST_PROMPT = speed.LONGEST_PROMPT, dict.fromkeys(speed.LONGEST_PROMPT, 512)  # type: ignore[assignment]
    try:
        return speed_section(argparse.Namespace(**{**vars(chosen), "tokens": 16}), keep)
    finally:
        speed.LONGEST_PROMPT = kept


def decode_section(chosen: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """The engine against a bare loop and the convenience class, interleaved."""
    models = {name: shapes.make(name) for name in chosen.models}
    if not chosen.smoke:
        models["42M, 151,936 tokens"] = bench_models.large_vocabulary()
    found = {}
    for name, path in models.items():
        found[name] = engine_decode.measure(
            path, pairs=chosen.pairs, tokens=chosen.tokens, threads=4, greedy=False, convenience=True
        )
        keep(found)
    return found


def parallel_section(chosen: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    lengths = {"context": 1024, "prompt_tokens": 64 if chosen.smoke else 512, "tokens": chosen.tokens}
    found: dict[str, Any] = {}
    for name in chosen.models:
        path = shapes.make(name)
        found[name] = {
            "engine": parallel.rows(path, chosen.counts, **lengths),
            "bare_tokens_per_s": parallel.against_bare(path, chosen.counts, **lengths),
            "interleaved": engine_batch.measure(
                str(path), requests=2 if chosen.smoke else 8, tokens=chosen.tokens, pairs=chosen.pairs, threads=4
            ),
        }
        keep(found)
    return found


def per_token_section(chosen: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    models = {name: shapes.make(name) for name in chosen.models[:2]}
    if not chosen.smoke:
        models["42M, 151,936 tokens"] = bench_models.large_vocabulary()
    tokens = 32 if chosen.smoke else 512
    found = {}
    for name, path in models.items():
        found[name] = per_token.measure(path, tokens=tokens, context=1024)
        keep(found)
    return found


def cancel_section(chosen: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    path = shapes.make(chosen.models[0] if chosen.smoke else "8B")
    found: dict[str, Any] = {}
    for name, grace_s in (("in time", 2.0), ("killed", 0.0)):
        found[name] = trouble.cancel_during_prefill(path, prompt_tokens=chosen.prefill, grace_s=grace_s)
        keep(found)
    return {**found, "closed": trouble.freed_by_close(path, chosen.contexts[0])}


def oom_section(chosen: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """64 contexts of 131,072 tokens of the 8B shape take a terabyte."""
    if chosen.smoke:
        return {"skipped": "a machine without a GPU would be driven into swapping"}
    return trouble.out_of_memory(shapes.make("8B"), context=131_072, parallel=64)


def _shown(model: str, row: dict[str, Any]) -> dict[str, Any]:
    about = ("layers", "kv_type", "context", "ttft_ms", "prefill_tps", "decode_tps", "failed")
    print(model, {name: row[name] for name in about if row.get(name) is not None}, flush=True)
    return row


SECTIONS: dict[str, Callable[[argparse.Namespace, Keep], Any]] = {
    "machine": lambda _chosen, _keep: places.describe(),
    "speed": speed_section,
    "memory": memory_section,
    "decode": decode_section,
    "parallel": parallel_section,
    "per_token": per_token_section,
    "cancel": cancel_section,
    "oom": oom_section,
}


if __name__ == "__main__":
    main()
