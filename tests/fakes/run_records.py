"""Run records for the tests of history: one with every field filled, and cheap ones in numbers."""

from __future__ import annotations

from dataclasses import replace

from workbench.runs.record import (
    CostEstimate,
    DeviceDescription,
    Dropped,
    ErrorRecord,
    LoadReport,
    MemoryItem,
    PassRecord,
    RunRecord,
    Segment,
    TelemetrySample,
    ThinkingSwitch,
)
from workbench.runs.spec import (
    ChatOptions,
    EngineOptions,
    Limits,
    Message,
    ModelRef,
    ProfileRef,
    RunSpec,
    Sampling,
    Strategy,
)
from workbench.runs.timings import PassTimings

START_NS = 5_000_000_000_000_000_000  # close to the end of int64, and more than a float holds exactly


def full_spec(prompt: str = "Why does context cost memory?", model: str = "Demo model") -> RunSpec:
    return RunSpec(
        model=ModelRef("/models/demo-Q4_K_M.gguf", model, "Q4_K_M", "ab" * 32),
        messages=(
            Message("system", "Be brief."),
            Message("user", prompt, document="x\n" * 10, document_name="notes.txt"),
        ),
        engine=EngineOptions(context_length=2048, parallel=2, threads=2, gpu_layers=-1, tensor_split=(0.25, 0.75)),
        chat=ChatOptions(template="tool_use", thinking="on", thinking_budget=64, overflow="shift"),
        sampling=Sampling(temperature=0.0, logit_bias=((5, -1.5), (9, 2.0)), json_schema="{}"),
        limits=Limits(max_tokens=128, stop=("</s>", "\n\n")),
        strategy=Strategy("vote", 3, "Pick one."),
        mode=ProfileRef("thoughtful", 3),
        surface=ProfileRef("chat", 1),
    )


def running(run_id: str, second: int = 0, spec: RunSpec | None = None) -> RunRecord:
    """A run that begins; `second` orders runs in time."""
    started = f"2026-11-21T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000+00:00"
    return RunRecord(run_id, "running", started, spec or full_spec(), machine=(("cpu", "Test"), ("memory", "16 GiB")))


def one_pass(index: int = 0, tokens: int = 5, start_ns: int = START_NS, gap_ns: int = 25_000_001) -> PassRecord:
    return PassRecord(
        index=index,
        purpose="answer",
        timings=PassTimings(
            submit_ns=start_ns,
            prefill_start_ns=start_ns + 1,
            prefill_end_ns=start_ns + 2,
            token_ns=tuple(start_ns + 500_000_000 + gap_ns * step for step in range(tokens)),
            is_thinking=tuple(step < 2 for step in range(tokens)),
            end_ns=start_ns + 900_000_003,
            prompt_tokens=40,
            cached_tokens=8,
            forced_tokens=1,
        ),
        text="An answer with ü, 漢字 and 🙂.",
        thinking="Let me think.",
        finish_reason="stop",
        segments=(Segment("system", 4), Segment("question", 36)),
        dropped=Dropped("shift", 12, 1, "the oldest turn"),
        engine_prompt_ms=0.1 + 0.2,
        cache_note="recurrent memory cannot be cut",
    )


def finished(record: RunRecord, text: str = "An answer with ü, 漢字 and 🙂.", tokens: int = 5) -> RunRecord:
    """The run at its end, with every field filled."""
    return replace(
        record,
        status="finished",
        passes=(one_pass(0, tokens), one_pass(1, 0, START_NS + 10**9)),
        text=text,
        thinking="Let me think.",
        load=_LOAD,
        telemetry=(
            TelemetrySample(t_ns=START_NS, engine_resident_bytes=2**40 + 1),
            TelemetrySample(t_ns=START_NS + 1, engine_cpu_percent=199.9, gpu_power_w=0.1 + 0.2, cpu_power_w=0.0),
        ),
        costs=(
            CostEstimate("api", 0.00021, "Llama at Groq", "tokens x price", (("input", "40"),), "2026-11-01"),
            CostEstimate("electricity", None, "here", "power x time", reason="not measured"),
        ),
        error=ErrorRecord("x", "A sentence.", "detail"),
        cancelled_by="flag",
        note="Two of three agreed.",
    )


_LOAD = LoadReport(
    engine_build="b1234",
    devices=(DeviceDescription("CPU", "Test", "cpu", 2**34, None),),
    threads=2,
    gpu_layers=0,
    context_length=2048,
    trained_context_length=None,
    architecture="llama",
    model_name="Demo model",
    quantization="Q4_K_M",
    parameters=3_934_464,
    model_size_bytes=2_500_000,
    vocabulary_size=3072,
    chat_templates=("default",),
    thinking_switch=ThinkingSwitch("enable_thinking", "<think>", "</think>"),
    memory=(MemoryItem("kv", "CPU", 96 * 2**20),),
    start_ms=120.5,
    load_ms=33.25,
    warnings=("a warning",),
)
