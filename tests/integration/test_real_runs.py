"""Whole runs through the core with the real llama.cpp child and the demo model."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from workbench.core import Knobs, Workbench
from workbench.runs import events
from workbench.runs.record import RunRecord
from workbench.runs.spec import RunSpec

pytestmark = pytest.mark.usefixtures("real_engine")


def ask(workbench: Workbench, prompt: str = "What is TTFT?", **knobs: object) -> RunRecord:
    spec = workbench.build_spec(Knobs(**{"prompt": prompt, "mode": "fast", "max_tokens": 24, **knobs}))  # type: ignore[arg-type]
    return workbench.run(spec, lambda event: None)


def test_a_real_run_has_every_figure(workbench: Workbench) -> None:
    record = ask(workbench)
    metrics, load = record.metrics, record.load
    assert record.status == "finished", record.error
    assert record.text
    assert load is not None
    assert load.architecture == "llama"
    assert load.cold_start_ms is not None
    assert load.thinking_switch.kind == "enable_thinking"
    for purpose in ("weights", "kv", "compute"):
        assert load.reserved_bytes(purpose), purpose
    assert metrics.ttft_ms is not None
    assert metrics.ttft_ms > 0
    assert metrics.prompt_tokens is not None
    assert metrics.prompt_tokens > 5
    assert metrics.cached_tokens == 0
    assert 1 < metrics.output_tokens <= 24
    assert metrics.tps is not None
    assert metrics.ttlt_ms is not None
    assert metrics.ttlt_ms >= metrics.ttft_ms
    assert sum(segment.tokens for segment in record.passes[0].segments) == metrics.prompt_tokens
    assert any(sample.engine_resident_bytes for sample in record.telemetry)
    digest = hashlib.sha256(Path(record.spec.model.path).read_bytes()).hexdigest()
    assert record.spec.model.sha256 == digest
    assert workbench.history.get(record.id) == record


def test_what_a_change_will_cost_is_what_the_engine_then_does(workbench: Workbench) -> None:
    assert ask(workbench, context_length=512).load.reused == "nothing"  # type: ignore[union-attr]
    expectations = [
        ({"context_length": 512, "temperature": 0.0}, "nothing", "model"),
        ({"context_length": 512, "mode": "thoughtful"}, "nothing", "model"),
        ({"context_length": 1024}, "new_context", "weights"),
        ({"context_length": 1024, "kv_type": "q8_0"}, "new_context", "weights"),
        ({"context_length": 1024, "kv_type": "q8_0", "quantization": "Q8_0"}, "new_weights", "nothing"),
    ]
    for knobs, kind, reused in expectations:
        spec = workbench.build_spec(Knobs(**{"prompt": "hi", "mode": "fast", "max_tokens": 4, **knobs}))  # type: ignore[arg-type]
        assert workbench.explain_change(None, spec).kind == kind, knobs
        record = workbench.run(spec, lambda event: None)
        assert record.status == "finished", record.error
        assert record.load is not None
        assert record.load.reused == reused, knobs


@pytest.mark.parametrize("quantization", ["Q8_0", "Q4_K_M", "Q2_K"])
def test_quantizations_of_the_demo_model_are_made_on_first_use(workbench: Workbench, quantization: str) -> None:
    record = ask(workbench, quantization=quantization)
    assert record.status == "finished", record.error
    assert record.load is not None
    assert record.load.quantization is not None
    source = Path(workbench.library.resolve(None, "F16").path).stat().st_size
    made = Path(record.spec.model.path).stat().st_size
    assert made < source * 0.7


def test_greedy_runs_repeat_and_seeds_matter(workbench: Workbench) -> None:
    first, second = ask(workbench, temperature=0.0), ask(workbench, temperature=0.0)
    assert first.text == second.text
    assert second.metrics.cached_tokens is not None
    assert second.metrics.cached_tokens > 0
    hot = {seed: [ask_hot(workbench, seed) for _ in range(2)] for seed in (1, 2, 3)}
    assert all(one == other for one, other in hot.values())
    assert len({one for one, _ in hot.values()}) > 1


def hot_spec(workbench: Workbench, seed: int, max_tokens: int) -> RunSpec:
    """Samples from the whole vocabulary, so that even a model that is sure of its answer shows its seed."""
    spec = workbench.build_spec(Knobs(prompt="What is TTFT?", mode="fast", max_tokens=max_tokens, seed=seed))
    return replace(spec, sampling=replace(spec.sampling, temperature=5.0, top_k=0, top_p=1.0, min_p=0.0))


def ask_hot(workbench: Workbench, seed: int) -> str:
    return workbench.run(hot_spec(workbench, seed, max_tokens=12), lambda event: None).text


def test_killed_child_fails_the_run_with_its_text_and_the_next_run_works(workbench: Workbench) -> None:
    streaming = threading.Event()
    spec = workbench.build_spec(Knobs(prompt="Explain the KV cache.", mode="fast", max_tokens=400))
    spec_forever = hot_spec(workbench, seed=1, max_tokens=1500)
    handle = workbench.start_run(
        spec_forever, lambda event: isinstance(event, events.TokensReceived) and streaming.set()
    )
    assert streaming.wait(30)
    pid = workbench.engine_pid
    assert pid is not None
    psutil.Process(pid).kill()
    record = handle.wait(20)
    assert record is not None
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.code in ("engine_crashed", "out_of_memory")
    assert record.text or record.thinking
    assert workbench.run(spec, lambda event: None).status == "finished"
    assert workbench.engine_pid != pid


def test_a_prompt_that_does_not_fit_is_refused_with_numbers(workbench: Workbench) -> None:
    record = ask(workbench, prompt="word " * 2000, context_length=256)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.code == "prompt_too_long"
    assert "256" in record.error.message


def test_a_prompt_cut_on_request_says_what_was_cut(workbench: Workbench) -> None:
    record = ask(workbench, prompt="word " * 600, context_length=256, overflow="keep_head_tail", max_tokens=16)
    assert record.status == "finished", record.error
    assert record.dropped_tokens > 300
    assert record.metrics.prompt_tokens is not None
    assert record.metrics.prompt_tokens <= 256
