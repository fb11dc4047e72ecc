"""An engine whose every token time is known beforehand, behind the real `Engine` interface."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from workbench.engine import api
from workbench.errors import WorkbenchError
from workbench.runs.record import (
    DeviceDescription,
    Dropped,
    FinishReason,
    LoadReport,
    MemoryItem,
    Segment,
    ThinkingSwitch,
)
from workbench.runs.spec import EngineOptions, ModelRef

MS = 1_000_000

REPORT = LoadReport(
    engine_build="scripted",
    devices=(DeviceDescription("CPU", "scripted processor", "cpu"),),
    threads=2,
    gpu_layers=0,
    context_length=4096,
    trained_context_length=4096,
    architecture="llama",
    model_name="Scripted model",
    quantization="F16",
    parameters=4_000_000,
    model_size_bytes=8_000_000,
    vocabulary_size=3000,
    chat_templates=("default",),
    thinking_switch=ThinkingSwitch("enable_thinking", "<think>", "</think>"),
    memory=(MemoryItem("weights", "CPU", 8_000_000), MemoryItem("kv", "CPU", 4_000_000)),
    start_ms=300.0,
    load_ms=20.0,
    context_ms=10.0,
)


@dataclass(frozen=True)
class Script:
    """What one request does. Times are milliseconds after the request is taken.

    `real_time` False: stamps are computed and nothing waits, so figures are exact. True: tokens are
    delivered when they are due, in batches of what is due, as the child does.
    """

    thoughts: Sequence[str] = ()
    words: Sequence[str] = ("Hello", " world", ".")
    prefill_ms: float = 100.0
    itl_ms: float = 25.0
    prompt_tokens: int = 12
    cached_tokens: int = 0
    reason: FinishReason = "stop"
    fail_after: int | None = None
    error: WorkbenchError | None = None
    real_time: bool = False
    dropped: Dropped | None = None
    prompt_text: str = "<|im_start|>user\nhello<|im_end|>\n"


@dataclass
class ScriptedEngine:
    """Plays `scripts` in turn, the last one for ever. `load_error` makes loading fail."""

    scripts: list[Script] = field(default_factory=lambda: [Script()])
    report: LoadReport = REPORT
    load_error: WorkbenchError | None = None
    pid: int | None = None

    def __post_init__(self) -> None:
        self.loads: list[tuple[ModelRef, EngineOptions]] = []
        self.requests: list[api.EngineRequest] = []
        self._cancelled: set[str] = set()
        self._answer_now: set[str] = set()
        self._wake = threading.Event()

    def load(self, model: ModelRef, options: EngineOptions, on_progress: api.ProgressSink | None = None) -> LoadReport:
        if self.load_error is not None:
            raise self.load_error
        if on_progress:
            on_progress("weights", 0.5)
        is_warm = bool(self.loads) and self.loads[-1] == (model, options)
        self.loads.append((model, options))
        report = replace(self.report, context_length=options.context_length, quantization=model.quantization)
        if is_warm:
            report = replace(report, reused="model", start_ms=None, load_ms=None, context_ms=None)
        return report

    def run(self, requests: Sequence[api.EngineRequest]) -> Iterator[api.EngineEvent]:
        for request in requests:
            self.requests.append(request)
            index = min(len(self.requests) - 1, len(self.scripts) - 1)
            yield from self._play(request, self.scripts[index])

    def cancel(self, request_id: str) -> None:
        self._cancelled.add(request_id)
        self._wake.set()

    def answer_now(self, request_id: str) -> None:
        self._answer_now.add(request_id)

    def cancel_load(self) -> None:
        """Nothing here takes long enough to be cancelled."""

    def close(self) -> None:
        self._wake.set()

    def _play(self, request: api.EngineRequest, script: Script) -> Iterator[api.EngineEvent]:
        start = time.perf_counter_ns()
        pieces = tuple(f"t{i}" for i in range(script.prompt_tokens))
        yield api.PromptReady(
            request.id, script.prompt_text, pieces,
            (Segment("template", 2), Segment("question", script.prompt_tokens - 2)),
            script.prompt_tokens, script.cached_tokens, self.report.context_length, script.dropped,
        )  # fmt: skip
        yield api.PrefillStarted(request.id, start)
        first = start + round(script.prefill_ms * MS)
        if script.real_time:
            self._wait_until(first, request.id)
        yield api.PrefillEnded(request.id, first)
        if script.error is not None and script.fail_after is None:
            yield api.RequestFailed(request.id, script.error.code, script.error.message, first, script.error.detail)
            return
        yield from self._emit(request, script, first)

    def _emit(self, request: api.EngineRequest, script: Script, first: int) -> Iterator[api.EngineEvent]:
        tokens = [(text, True) for text in script.thoughts] + [(text, False) for text in script.words]
        limit = request.limits.max_tokens
        reason: FinishReason = script.reason
        if limit is not None and limit < len(tokens):
            tokens, reason = tokens[:limit], "length"
        step = script.itl_ms * MS
        sent = 0
        while sent < len(tokens):
            if request.id in self._cancelled:
                yield api.RequestCancelled(request.id, "flag", time.perf_counter_ns())
                return
            if script.fail_after is not None and sent >= script.fail_after:
                error = script.error or WorkbenchError("the scripted engine was told to fail")
                yield api.RequestFailed(request.id, error.code, error.message, first, error.detail)
                return
            due = self._due(script, first, sent, len(tokens), step)
            batch = tokens[sent:due]
            stamps = tuple(first + round(step * (sent + i)) for i in range(len(batch)))
            yield api.Tokens(
                request.id, tuple(range(sent, due)), tuple(t for t, _ in batch), stamps, tuple(f for _, f in batch)
            )
            sent = due
        end = first + round(step * max(0, len(tokens) - 1))
        yield api.RequestFinished(request.id, reason, end, 0, script.prefill_ms)

    def _due(self, script: Script, first: int, sent: int, total: int, step: float) -> int:
        if not script.real_time:
            return sent + 1
        self._wait_until(first + round(step * sent), None)
        # The child flushes about every 12 ms: whatever came in that time goes out together.
        time.sleep(0.012 if sent else 0)
        elapsed = time.perf_counter_ns() - first
        return max(sent + 1, min(total, int(elapsed / step) + 1))

    def _wait_until(self, due_ns: int, request_id: str | None) -> None:
        while (left := due_ns - time.perf_counter_ns()) > 0:
            if request_id is not None and request_id in self._cancelled:
                return
            time.sleep(min(left / 1e9, 0.05))
