"""The speed that one finished run had, with what it depended on: what predictions are compared with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """A run of a single pass that ran alone in its context. Rates are tokens per second; None: not measured.

    `prompt_tokens` were in the context when decoding began; `cpu` is what the row says of the processor.
    """

    run_id: str
    model_path: str
    sha256: str | None
    quantization: str | None
    tps: float
    prefill_tps: float | None
    prompt_tokens: int | None
    evaluated_tokens: int | None
    output_tokens: int
    context_length: int
    threads: int
    gpu_layers: int
    engine_build: str
    cpu: str | None = None
