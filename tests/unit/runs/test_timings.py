from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.runs.timings import Metrics, PassTimings, derive, derive_run

MS = 1_000_000

# 20 tokens, the first after 500 ms, then one each 25 ms, end 5 ms after the last: the run of docs/metrics.md.
STEADY = PassTimings(
    submit_ns=7_000 * MS,
    prefill_start_ns=7_010 * MS,
    prefill_end_ns=7_490 * MS,
    token_ns=tuple((7_500 + 25 * step) * MS for step in range(20)),
    is_thinking=(True,) * 8 + (False,) * 12,
    end_ns=7_980 * MS,
    prompt_tokens=100,
    cached_tokens=4,
)


def test_known_stamps_give_exact_figures() -> None:
    metrics = derive(STEADY)
    assert metrics.ttft_ms == 500.0
    assert metrics.ttfa_ms == 700.0
    assert metrics.tpot_ms == 25.0
    assert metrics.tps == 40.0
    assert metrics.ttlt_ms == 980.0
    assert metrics.e2e_tps == pytest.approx(20 / 0.98)
    assert metrics.prefill_ms == 480.0
    assert metrics.prefill_tps == 200.0
    assert metrics.itl_ms == (25.0,) * 19
    assert (metrics.prompt_tokens, metrics.cached_tokens, metrics.evaluated_tokens) == (100, 4, 96)
    assert (metrics.output_tokens, metrics.thinking_tokens, metrics.answer_tokens) == (20, 8, 12)


def test_nothing_happened_is_none_everywhere() -> None:
    assert derive(PassTimings(submit_ns=5)) == Metrics()
    assert Metrics().evaluated_tokens is None
    assert derive_run([]) == Metrics()


def test_one_token_has_a_first_but_no_rate() -> None:
    metrics = derive(PassTimings(0, token_ns=(30 * MS,), is_thinking=(False,), end_ns=40 * MS))
    assert (metrics.ttft_ms, metrics.ttfa_ms, metrics.ttlt_ms) == (30.0, 30.0, 40.0)
    assert (metrics.tpot_ms, metrics.tps, metrics.itl_ms) == (None, None, ())
    assert metrics.e2e_tps == 25.0


def test_thinking_without_an_answer_has_no_ttfa() -> None:
    metrics = derive(PassTimings(0, token_ns=(10, 20), is_thinking=(True, True)))
    assert metrics.ttft_ms == 10 / MS
    assert metrics.ttfa_ms is None
    assert (metrics.thinking_tokens, metrics.answer_tokens) == (2, 0)


def test_a_run_that_did_not_end_has_no_ttlt() -> None:
    metrics = derive(replace(STEADY, end_ns=None))
    assert (metrics.ttlt_ms, metrics.e2e_tps) == (None, None)
    assert metrics.tps == 40.0


def test_prefill_without_its_end_or_its_counts_has_no_rate() -> None:
    assert derive(replace(STEADY, prefill_end_ns=None)).prefill_ms is None
    without_counts = derive(replace(STEADY, cached_tokens=None))
    assert (without_counts.prefill_ms, without_counts.prefill_tps) == (480.0, None)
    assert derive(replace(STEADY, cached_tokens=100)).prefill_tps is None


def test_tokens_of_one_instant_have_no_rate() -> None:
    metrics = derive(PassTimings(0, token_ns=(5, 5, 5), is_thinking=(False,) * 3, end_ns=5))
    assert (metrics.tps, metrics.tpot_ms) == (None, 0.0)


def test_flags_that_do_not_fit_the_stamps_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        derive(PassTimings(0, token_ns=(1, 2), is_thinking=(True,)))


def test_run_of_one_pass_has_the_figures_of_the_pass() -> None:
    assert derive_run([STEADY]) == derive(STEADY)


def shifted(timings: PassTimings, ms: int) -> PassTimings:
    def move(stamp: int | None) -> int | None:
        return None if stamp is None else stamp + ms * MS

    return replace(
        timings,
        submit_ns=timings.submit_ns + ms * MS,
        prefill_start_ns=move(timings.prefill_start_ns),
        prefill_end_ns=move(timings.prefill_end_ns),
        token_ns=tuple(stamp + ms * MS for stamp in timings.token_ns),
        end_ns=move(timings.end_ns),
    )


def test_two_passes_one_after_the_other() -> None:
    metrics = derive_run([STEADY, shifted(STEADY, 1_000)])
    assert metrics.ttft_ms == 500.0
    assert metrics.ttfa_ms == 1_700.0  # the answer is that of the last pass
    assert metrics.ttlt_ms == 1_980.0
    assert metrics.tps == 40.0
    assert metrics.tpot_ms == 25.0
    assert metrics.e2e_tps == pytest.approx(40 / 1.98)
    assert (metrics.prefill_ms, metrics.prefill_tps) == (960.0, 200.0)
    assert metrics.itl_ms == (25.0,) * 38  # no gap between the passes
    assert (metrics.prompt_tokens, metrics.cached_tokens) == (200, 8)
    assert (metrics.output_tokens, metrics.thinking_tokens) == (40, 16)


def test_passes_side_by_side_start_at_the_earliest_submit() -> None:
    metrics = derive_run([shifted(STEADY, 100), STEADY])
    assert metrics.ttft_ms == 500.0
    assert metrics.ttlt_ms == 1_080.0


def test_a_pass_that_failed_leaves_unknown_what_it_did_not_tell() -> None:
    metrics = derive_run([STEADY, PassTimings(submit_ns=8_000 * MS)])
    assert (metrics.ttlt_ms, metrics.e2e_tps) == (None, None)
    assert (metrics.prompt_tokens, metrics.cached_tokens, metrics.prefill_tps) == (None, None, None)
    assert metrics.ttfa_ms is None
    assert (metrics.ttft_ms, metrics.tps, metrics.output_tokens) == (500.0, 40.0, 20)


@given(
    st.integers(0, 2**62),
    st.lists(st.tuples(st.integers(0, 10**12), st.booleans()), min_size=2, max_size=60),
)
def test_figures_agree_with_each_other(submit_ns: int, steps: list[tuple[int, bool]]) -> None:
    stamps, at = [], submit_ns
    for gap_ns, _ in steps:
        at += gap_ns
        stamps.append(at)
    timings = PassTimings(submit_ns, token_ns=tuple(stamps), is_thinking=tuple(flag for _, flag in steps), end_ns=at)
    metrics = derive(timings)
    assert metrics.ttft_ms is not None
    assert metrics.ttlt_ms is not None
    assert metrics.tpot_ms is not None
    assert metrics.ttft_ms + sum(metrics.itl_ms) == pytest.approx(metrics.ttlt_ms)
    assert metrics.ttft_ms + metrics.tpot_ms * (len(stamps) - 1) == pytest.approx(metrics.ttlt_ms)
    if metrics.tps is not None:
        assert metrics.tps * metrics.tpot_ms == pytest.approx(1000)
    if metrics.ttfa_ms is not None:
        assert metrics.ttfa_ms >= metrics.ttft_ms
    assert metrics.answer_tokens + metrics.thinking_tokens == len(stamps)
