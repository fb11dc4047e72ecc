"""Raw stamps of one pass and the figures derived from them; definitions in `docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PassTimings:
    """Monotonic nanoseconds of one pass (`time.perf_counter_ns`), raw.

    `token_ns[i]` is when output token i had been sampled; end-of-generation tokens and forced tokens
    (the ones that end a thinking budget) are not in it. `is_thinking[i]` belongs to `token_ns[i]`.
    `prompt_tokens` includes the `cached_tokens` that were reused. None: did not happen or not measured.
    """

    submit_ns: int
    prefill_start_ns: int | None = None
    prefill_end_ns: int | None = None
    token_ns: tuple[int, ...] = ()
    is_thinking: tuple[bool, ...] = ()
    end_ns: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    forced_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Derived figures; None means not measured. Rates are tokens per second, times milliseconds."""

    ttft_ms: float | None = None
    ttfa_ms: float | None = None
    tpot_ms: float | None = None
    tps: float | None = None
    e2e_tps: float | None = None
    prefill_ms: float | None = None
    prefill_tps: float | None = None
    ttlt_ms: float | None = None
    itl_ms: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int = 0
    thinking_tokens: int = 0

    @property
    def answer_tokens(self) -> int:
        return self.output_tokens - self.thinking_tokens

    @property
    def evaluated_tokens(self) -> int | None:
        """Prompt tokens that were really computed."""
        if self.prompt_tokens is None or self.cached_tokens is None:
            return None
        return self.prompt_tokens - self.cached_tokens


def derive(timings: PassTimings) -> Metrics:
    """The figures of one pass. Pure; the formulas are those of `docs/metrics.md`."""
    tokens, submit = timings.token_ns, timings.submit_ns
    count = len(tokens)
    span_ns = tokens[-1] - tokens[0] if count > 1 else 0
    prefill_ns = _span(timings.prefill_start_ns, timings.prefill_end_ns)
    ttlt_ns = _span(submit, timings.end_ns)
    first_answer = _first_answer_ns(timings)
    evaluated = _difference(timings.prompt_tokens, timings.cached_tokens)
    return Metrics(
        ttft_ms=_ms(tokens[0] - submit) if tokens else None,
        ttfa_ms=_ms(first_answer - submit) if first_answer is not None else None,
        tpot_ms=_ms(span_ns) / (count - 1) if count > 1 else None,
        tps=_rate(count - 1, span_ns),
        e2e_tps=_rate(count, ttlt_ns),
        prefill_ms=_ms(prefill_ns) if prefill_ns is not None else None,
        prefill_tps=_rate(evaluated, prefill_ns),
        ttlt_ms=_ms(ttlt_ns) if ttlt_ns is not None else None,
        itl_ms=tuple(_ms(b - a) for a, b in pairwise(tokens)),
        prompt_tokens=timings.prompt_tokens,
        cached_tokens=timings.cached_tokens,
        output_tokens=count,
        thinking_tokens=sum(timings.is_thinking),
    )


def derive_run(passes: Sequence[PassTimings]) -> Metrics:
    """The figures of a run of one or more passes, in the order in which they were submitted.

    TTFT counts from the first submit to the first token of any pass, TTFA to the first answer token of
    the pass that gives the answer (the last), TTLT to the last end. Rates are totals over the time spent
    decoding (or prefilling) in each pass; inter-token latencies never bridge two passes.
    """
    if not passes:
        return Metrics()
    if len(passes) == 1:
        return derive(passes[0])
    each = [derive(timings) for timings in passes]
    submit = min(timings.submit_ns for timings in passes)
    firsts = [timings.token_ns[0] for timings in passes if timings.token_ns]
    ends = [timings.end_ns for timings in passes if timings.end_ns is not None]
    first_answer = _first_answer_ns(passes[-1])
    decode_ns = sum(t.token_ns[-1] - t.token_ns[0] for t in passes if len(t.token_ns) > 1)
    decode_steps = sum(len(t.token_ns) - 1 for t in passes if len(t.token_ns) > 1)
    prefill_ns = _sum_known([_span(t.prefill_start_ns, t.prefill_end_ns) for t in passes])
    evaluated = _sum_known([m.evaluated_tokens for m in each])
    output = sum(m.output_tokens for m in each)
    ttlt_ns = max(ends) - submit if len(ends) == len(passes) else None
    return Metrics(
        ttft_ms=_ms(min(firsts) - submit) if firsts else None,
        ttfa_ms=_ms(first_answer - submit) if first_answer is not None else None,
        tpot_ms=_ms(decode_ns) / decode_steps if decode_steps else None,
        tps=_rate(decode_steps, decode_ns),
        e2e_tps=_rate(output, ttlt_ns),
        prefill_ms=_ms(prefill_ns) if prefill_ns is not None else None,
        prefill_tps=_rate(evaluated, prefill_ns),
        ttlt_ms=_ms(ttlt_ns) if ttlt_ns is not None else None,
        itl_ms=tuple(gap for m in each for gap in m.itl_ms),
        prompt_tokens=_sum_known([m.prompt_tokens for m in each]),
        cached_tokens=_sum_known([m.cached_tokens for m in each]),
        output_tokens=output,
        thinking_tokens=sum(m.thinking_tokens for m in each),
    )


def _first_answer_ns(timings: PassTimings) -> int | None:
    pairs = zip(timings.token_ns, timings.is_thinking, strict=True)
    return next((stamp for stamp, thinking in pairs if not thinking), None)


def _ms(ns: int) -> float:
    return ns / NS_PER_MS


def _span(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else end - start


def _difference(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else whole - part


def _rate(count: int | None, ns: int | None) -> float | None:
    return None if not count or not ns or ns <= 0 else count * NS_PER_S / ns


def _sum_known(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
