"""TTFT, prefill, decode, memory, power and energy by model, offloaded layers, KV type and context."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.gpu import asking, watching
from workbench.engine.planner import MemoryPlanner
from workbench.engine.process import LocalEngine
from workbench.errors import WorkbenchError
from workbench.hub.client import HubClient
from workbench.hub.fit import MemoryFit, compare
from workbench.hub.memory import MemoryEstimate
from workbench.runs.record import LoadReport
from workbench.runs.spec import EngineOptions, ModelRef

# Layers that the processor computes read a prompt a hundred times slower than a GPU does.
LONGEST_PROMPT = {"all": None, "half": 4096, "none": 512}
LEFT_FREE_TOKENS = 400


def layers_of(word: str, blocks: int) -> int:
    return {"all": -1, "half": (blocks + 1) // 2, "none": 0}[word]


def rows(
    path: Path, blocks: int, *, layers: list[str], kv_types: list[str], contexts: list[int], tokens: int
) -> Iterator[dict[str, Any]]:
    """One for each combination; a combination that fails is a row with the sentence."""
    with tempfile.TemporaryDirectory(prefix="gpu-plans-") as folder:
        fit = MemoryFit(HubClient(), MemoryPlanner(), Path(folder))
        for word in layers:
            for kv_type in kv_types:
                for context in contexts:
                    options = EngineOptions(
                        context_length=context, gpu_layers=layers_of(word, blocks), kv_type_k=kv_type, kv_type_v=kv_type
                    )
                    about = {"layers": word, "kv_type": kv_type, "context": context}
                    try:
                        row = _row(path, options, fit, LONGEST_PROMPT[word], tokens)
                    except WorkbenchError as error:
                        row = {"failed": error.message, "code": error.code}
                    yield {**about, **row}


def _row(path: Path, options: EngineOptions, fit: MemoryFit, longest: int | None, tokens: int) -> dict[str, Any]:
    estimate = fit.estimate((path,), options)
    before = watching.gpu_memory_used()
    engine = LocalEngine(memory_check=False)
    try:
        with watching.Watch(lambda: engine.pid) as whole:
            report = engine.load(ModelRef(str(path), path.stem), options)
            per_word = asking.tokens_per_text(engine)
            count = max(16, options.context_length - LEFT_FREE_TOKENS - tokens)
            prompt = asking.text_of(min(count, longest) if longest else count, per_word)
            with watching.Watch(lambda: engine.pid) as reading:
                first = asking.ask(engine, prompt, 2)
            # The same prompt again: all of it is cached, so that what is watched is decoding at this depth.
            with watching.Watch(lambda: engine.pid) as decoding:
                answer = asking.ask(engine, prompt, tokens)
    finally:
        engine.close()
    return {
        "offloaded": report.gpu_layers,
        "prompt_tokens": first.prompt_tokens,
        "ttft_ms": first.ttft_ms,
        "ttft_less_engine_ms": _difference(first.ttft_ms, first.engine_prompt_ms),
        "cached_ttft_ms": answer.ttft_ms,
        "cached_ttft_less_engine_ms": _difference(answer.ttft_ms, answer.engine_prompt_ms),
        "prefill_tps": first.prefill_tps,
        "decode_tps": answer.decode_tps,
        "reading": reading.figures(first.prompt_tokens),
        "decoding": decoding.figures(len(answer.stamps_ns)),
        "memory": memory_row(estimate, report, whole, before, options),
    }


def memory_row(
    estimate: MemoryEstimate, report: LoadReport, watch: watching.Watch, before: int | None, options: EngineOptions
) -> dict[str, Any]:
    """Predicted against what llama.cpp logged, and on the GPU against NVML: the process, else what the GPU has more."""
    predicted = sum(estimate.resident_bytes(device=device) for device in estimate.devices if device != "CPU")
    most = watch.most("gpu_memory_used_bytes")
    grown = None if most is None or before is None else most - before
    measured = watch.most("gpu_engine_memory_bytes") or grown
    return {
        "predicted_gpu_bytes": predicted,
        "measured_gpu_bytes": measured,
        "process_gpu_bytes": watch.most("gpu_engine_memory_bytes"),
        "grown_gpu_bytes": grown,
        # What CUDA itself takes (context, kernels) is in what was measured and in nothing that was predicted.
        "unexplained_gpu_bytes": None if measured is None else measured - predicted,
        "gpu_error": None if not measured or not options.gpu_layers else predicted / measured - 1,
        "parts": {
            item.purpose: {"predicted": item.predicted_bytes, "measured": item.measured_bytes, "error": item.error}
            for item in compare(replace(estimate, note=None), report)
        },
    }


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
