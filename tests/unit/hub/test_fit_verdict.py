"""Verdicts at the borders, and the search for what fits."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import pytest

from workbench.hub import fit_verdict
from workbench.hub.fit_verdict import CPU, SPARE_BYTES
from workbench.hub.memory import MemoryEstimate, MemoryPart

GB = 1000**3


def needing(cpu: int, gpu: int = 0, context: int = 8192) -> MemoryEstimate:
    parts = [MemoryPart("weights", CPU, cpu, cpu), *([MemoryPart("weights", "CUDA0", gpu, gpu)] if gpu else [])]
    return MemoryEstimate(tuple(parts), context, "f16", 10 if gpu else 0, "engine")


@pytest.mark.parametrize(("missing", "lacks"), [(0, False), (1, True)])
def test_the_last_byte_decides(missing: int, lacks: bool) -> None:
    found = fit_verdict.shortages(needing(2 * GB), {CPU: 2 * GB + SPARE_BYTES - missing})
    assert bool(found) is lacks


def test_only_devices_with_known_memory_are_judged() -> None:
    estimate = needing(GB, gpu=50 * GB)
    assert fit_verdict.shortages(estimate, {CPU: 10 * GB}) == ()
    (lack,) = fit_verdict.shortages(estimate, {CPU: 10 * GB, "CUDA0": 8 * GB})
    assert (lack.device, lack.free_bytes) == ("CUDA0", 8 * GB)
    verdict = fit_verdict.fits_verdict(estimate, {CPU: 10 * GB})
    assert verdict.sentence.endswith("How much is free on CUDA0 is not known.")


def test_reserved_bytes_count_where_the_resident_ones_are_not_known() -> None:
    estimate = MemoryEstimate((MemoryPart("kv", CPU, 3 * GB),), 512, "f16", 0, "engine")
    assert fit_verdict.shortages(estimate, {CPU: 3 * GB})


def test_the_sentences_have_the_numbers() -> None:
    (lack,) = fit_verdict.shortages(needing(4 * GB), {CPU: 3 * GB})
    fits = fit_verdict.fits_verdict(needing(GB), {CPU: 3 * GB})
    assert fits.sentence == "Fits: takes 1.00 GB of the 3.00 GB free, with 8,192 tokens of context."
    less = fit_verdict.less_context_verdict(needing(4 * GB), needing(2 * GB, context=4096), lack)
    assert less.context_length == 4096
    assert less.sentence == (
        "Needs 4.21 GB with 8,192 tokens of context, but only 3.00 GB are free. "
        "With 4,096 tokens of context it fits and takes 2.00 GB."
    )
    layers = fit_verdict.fewer_layers_verdict(needing(GB, gpu=9 * GB), 7, fit_verdict.Shortage("CUDA0", 9 * GB, GB))
    assert layers.gpu_layers == 7
    assert "on CUDA0" in layers.sentence
    no = fit_verdict.does_not_fit_verdict(needing(4 * GB), lack, needing(int(3.5 * GB), context=512))
    assert "Even with 512 tokens of context it needs 3.71 GB." in no.sentence
    assert "anyway" in no.sentence


def test_suggested_contexts_are_round_numbers_below_the_asked_one() -> None:
    lengths = fit_verdict.shorter_contexts(20_000)
    assert lengths == sorted(set(lengths))
    assert lengths[:3] == [512, 768, 1024]
    assert lengths[-2:] == [15_360, 16_384]
    assert all(length % 1024 == 0 for length in lengths if length >= 2048)
    assert fit_verdict.shorter_contexts(512) == []
    assert fit_verdict.shorter_contexts(32_768)[-1] == 28_672


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 10, 100, 321])
@pytest.mark.parametrize("at_once", [1, 4, 8])
def test_the_search_finds_the_largest_that_fits(count: int, at_once: int) -> None:
    candidates = list(range(0, count * 10, 10))
    for last in {-1, 0, 1, count // 2, count - 1, count}:
        rounds: list[int] = []

        def fits(asked: Sequence[int], last: int = last, rounds: list[int] = rounds) -> list[bool]:
            rounds.append(len(asked))
            return [value <= last * 10 for value in asked]

        expected = max((value for value in candidates if value <= last * 10), default=None)
        assert fit_verdict.largest(candidates, fits, at_once) == expected
        assert max(rounds, default=0) <= at_once
        assert len(rounds) <= (4 if at_once == 8 else 10)


@pytest.mark.parametrize("free", [1.0, 1.3, 2.2, 7.9])
def test_a_guessed_context_is_the_answer_where_memory_grows_evenly(free: float) -> None:
    def with_context(tokens: int) -> MemoryEstimate:
        parts = (MemoryPart("weights", CPU, GB // 2), MemoryPart("kv", CPU, 1000 * tokens))
        return MemoryEstimate(parts, tokens, "f16", 0, "engine")

    has = {CPU: round(free * GB)}
    lengths = fit_verdict.shorter_contexts(10_000_000)
    guess = fit_verdict.guessed_context(with_context(512), with_context(10_000_000), has)
    asked: list[int] = []

    def fits(tried: Sequence[int]) -> list[bool]:
        asked.extend(tried)
        return [not fit_verdict.shortages(with_context(length), has) for length in tried]

    found = fit_verdict.largest(lengths, fits, guess=bisect_right(lengths, guess) - 1)
    assert found == fit_verdict.largest(lengths, fits)
    assert found is not None
    assert found <= guess < found + 4096
    assert len(asked[: asked.index(found) + 2]) <= 3, "the guess and its neighbours were enough"


def test_a_wrong_guess_costs_time_and_no_answer() -> None:
    candidates = list(range(100))
    for guess in (0, 40, 98, 99, -1, 500):
        assert fit_verdict.largest(candidates, lambda tried: [item <= 61 for item in tried], guess=guess) == 61
    assert fit_verdict.largest(candidates, lambda tried: [False] * len(tried), guess=61) is None
    assert fit_verdict.largest([], lambda tried: [], guess=-1) is None


def test_the_scarcest_device_decides_the_guess() -> None:
    shorter, longer = needing(GB, gpu=GB, context=0), needing(3 * GB, gpu=5 * GB, context=1000)
    spare = fit_verdict.GPU_SPARE_BYTES
    assert fit_verdict.guessed_context(shorter, longer, {CPU: 2 * GB + SPARE_BYTES, "CUDA0": 2 * GB + spare}) == 250
    assert fit_verdict.guessed_context(shorter, longer, {CPU: 2 * GB + SPARE_BYTES, "CUDA0": 9 * GB}) == 500
    assert fit_verdict.guessed_context(shorter, longer, {CPU: 0}) == 0


def test_a_gpu_in_the_processor_takes_the_machine_s_memory_once() -> None:
    """Its part and the processor's come out of one memory; nothing is free a second time."""
    estimate = replace(needing(2 * GB, gpu=3 * GB), shared_devices=("CUDA0",))
    assert fit_verdict.taken_bytes(estimate, CPU) == 5 * GB
    assert fit_verdict.shortages(estimate, {CPU: 6 * GB}) == ()
    (lack,) = fit_verdict.shortages(estimate, {CPU: 5 * GB})
    assert (lack.device, lack.need_bytes) == (CPU, 5 * GB + SPARE_BYTES)
    fits = fit_verdict.fits_verdict(estimate, {CPU: 6 * GB})
    assert fits.sentence == "Fits: takes 5.00 GB of the 6.00 GB free, with 8,192 tokens of context."


def test_each_of_two_gpus_is_judged_by_itself() -> None:
    parts = (MemoryPart("weights", CPU, GB), MemoryPart("weights", "CUDA0", 9 * GB), MemoryPart("weights", "CUDA1", GB))
    estimate = MemoryEstimate(parts, 8192, "f16", 20, "engine")
    free = {CPU: 10 * GB, "CUDA0": 8 * GB, "CUDA1": 8 * GB}
    (lack,) = fit_verdict.shortages(estimate, free)
    assert (lack.device, lack.free_bytes) == ("CUDA0", 8 * GB)
    fits = fit_verdict.fits_verdict(estimate, {**free, "CUDA0": 16 * GB})
    assert "9.00 GB of the 16.0 GB free on CUDA0 and 1.00 GB of the 8.00 GB free on CUDA1" in fits.sentence
