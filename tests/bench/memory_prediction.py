"""Predicted against real memory, over model shapes, context lengths and KV types: JSON, and a Markdown table.

Each combination is planned from the header, then loaded by the real engine, which reads a prompt as long as the
context (less 24 tokens) and answers 8 tokens; then the resident memory of its process is read (psutil). The models
are made in a temporary folder (1 GB at most) and deleted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import psutil

from tests.bench import bench_models
from tests.bench.memory_shapes import SHAPES
from workbench.engine import api
from workbench.engine.planner import MemoryPlanner
from workbench.engine.process import LocalEngine
from workbench.hub.client import HubClient
from workbench.hub.fit import MemoryFit, compare
from workbench.hub.memory import MemoryComparison, MemoryEstimate
from workbench.runs.spec import ChatOptions, EngineOptions, Limits, Message, ModelRef, Sampling

_LEFT_FREE_TOKENS = 24
_MIB = 1024 * 1024
_TEXT = "ab "
_HELD_OUT: list[tuple[str, dict[str, object]]] = [
    ("demo", {"context_length": 4096}),
    ("demo", {"context_length": 4096, "kv_type_k": "q4_0", "kv_type_v": "q4_0", "ubatch_size": 128}),
    ("demo", {"context_length": 2048, "parallel": 4}),
    ("mixture of experts", {"context_length": 2048, "use_mmap": False}),
    ("0.5B", {"context_length": 1024}),
    ("0.5B", {"context_length": 1024, "use_mmap": False}),
    ("0.5B", {"context_length": 1024, "repack": False}),
    ("0.5B", {"context_length": 3072, "kv_type_k": "q8_0", "kv_type_v": "q8_0"}),
    ("demo", {"context_length": 2048, "flash_attention": "off"}),
    ("mixture of experts", {"context_length": 2048, "flash_attention": "off"}),
    ("sliding window", {"context_length": 2048, "flash_attention": "off"}),
    ("0.5B", {"context_length": 2048, "flash_attention": "off"}),
]


def measure(path: Path, options: EngineOptions, estimate: MemoryEstimate) -> tuple[MemoryComparison, ...]:
    """What a run that fills the context held, beside what was predicted."""
    engine = LocalEngine()
    try:
        report = engine.load(ModelRef(str(path), ""), options)
        count = options.context_length - _LEFT_FREE_TOKENS
        # Begins otherwise than the text that counts, which would be read in part only.
        per_byte = _read(engine, "." + _TEXT * 20) / (1 + 20 * len(_TEXT))
        _read(engine, (_TEXT * count)[: int(count / per_byte)])
        resident = psutil.Process(engine.pid).memory_info().rss
    finally:
        engine.close()
    return compare(estimate, report, resident)


def _read(engine: LocalEngine, text: str) -> int:
    """Lets the engine read `text` and answer a few tokens; how many tokens the text has."""
    message = (Message("user", "x"),)
    request = api.EngineRequest("r", message, ChatOptions(), Sampling(temperature=0), Limits(8), text)
    events = list(engine.run([request]))
    if not isinstance(events[-1], api.RequestFinished):
        raise SystemExit(f"the run ended with {events[-1]}")
    (ready,) = (event for event in events if isinstance(event, api.PromptReady))
    return ready.prompt_tokens


def held_out_rows() -> list[dict[str, object]]:
    """Models and options that had no part in finding the measured constants, or only in finding that of scores."""
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="memory-shapes-") as name:
        fit = MemoryFit(HubClient(), MemoryPlanner(), Path(name) / "plans")
        makers = {
            **SHAPES,
            "demo": lambda _folder: bench_models.DEMO,
            "0.5B": lambda _folder: bench_models.half_billion(),
        }
        paths: dict[str, Path] = {}
        for shape, changes in _HELD_OUT:
            path = paths.setdefault(shape, paths.get(shape) or makers[shape](Path(name)))
            options = EngineOptions(**changes)  # type: ignore[arg-type]
            comparisons = measure(path, options, fit.estimate((path,), options))
            label = ", ".join(
                f"{key} {value}" for key, value in changes.items() if key[:7] not in ("context", "kv_type")
            )
            found.append(_row(f"{shape}{'; ' if label else ''}{label}", options, 0, comparisons))
            print(json.dumps(found[-1]), flush=True)
    return found


def rows(shapes: list[str], contexts: list[int], kv_types: list[str]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="memory-shapes-") as name:
        fit = MemoryFit(HubClient(), MemoryPlanner(), Path(name) / "plans")
        for shape in shapes:
            path = SHAPES[shape](Path(name))
            options = [EngineOptions(context_length=c, kv_type_k=t, kv_type_v=t) for t in kv_types for c in contexts]
            start = time.perf_counter_ns()
            estimates = fit.estimates((path,), options)
            plan_ms = (time.perf_counter_ns() - start) / 1e6
            for item, estimate in zip(options, estimates, strict=True):
                comparisons = measure(path, item, estimate)
                found.append(_row(shape, item, plan_ms, comparisons))
                print(json.dumps(found[-1]), flush=True)
            path.unlink()
    return found


def _row(
    shape: str, options: EngineOptions, plan_ms: float, comparisons: tuple[MemoryComparison, ...]
) -> dict[str, object]:
    sizes = {item.purpose: [item.predicted_bytes, item.measured_bytes] for item in comparisons}
    return {
        "shape": shape,
        "context": options.context_length,
        "kv_type": options.kv_type_k,
        "plan_ms_for_all": round(plan_ms),
        **sizes,
    }


def table(found: list[dict[str, object]]) -> str:
    """Figures in MiB: predicted, with the error against what was measured."""
    lines = [
        "| shape | context | KV type | weights | repacked | KV and state | compute | total resident |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in found:
        cache = [sum(pair) for pair in zip(*(row.get(key, (0, 0)) for key in ("kv", "recurrent")), strict=True)]  # type: ignore[call-overload]
        cells = [_cell(row.get(key)) for key in ("weights", "repacked")]
        cells += [_cell(cache), _cell(row.get("compute")), _cell(row.get("total resident"))]
        lines.append(f"| {row['shape']} | {row['context']:,} | {row['kv_type']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(pair: object) -> str:
    if not isinstance(pair, list | tuple) or not any(pair):
        return "—"
    predicted, measured = pair
    error = f"{(predicted / measured - 1) * 100:+.1f} %" if measured else "not measured"
    return f"{predicted / _MIB:.1f} ({error})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--contexts", nargs="*", type=int, default=[512, 2048, 8192])
    parser.add_argument("--kv", nargs="*", default=["f16", "q8_0"])
    parser.add_argument("--held-out", action="store_true", help="Other models and options instead.")
    parser.add_argument("--table", type=Path, help="Where the Markdown table goes; else to the screen.")
    arguments = parser.parse_args()
    asked = arguments.shapes, arguments.contexts, arguments.kv
    text = table(held_out_rows() if arguments.held_out else rows(*asked))
    if arguments.table:
        arguments.table.write_text(text + "\n", "utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
