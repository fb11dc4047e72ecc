"""The arithmetic of predictions, with cases small enough to compute by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from workbench.hub.ggml_types import TENSOR_TYPES
from workbench.hub.gguf import GgufHeader, TensorEntry
from workbench.hub.model_work import AttentionLayer, ModelWork, work_of
from workbench.hub.speed import (
    AttentionSpeed,
    Corrections,
    MachineSpeed,
    TypeSpeed,
    correct,
    decode_tps,
    estimate_speed,
    prefill_tps,
)
from workbench.runs.measured_speed import MeasuredSpeed

BLOCKS = {kind.name: (kind.block_size, kind.block_bytes) for kind in TENSOR_TYPES.values()}


def tensor(name: str, *shape: int, type_name: str = "F16") -> TensorEntry:
    size, count = BLOCKS[type_name]
    return TensorEntry(name, shape, type_name, 0, math.prod(shape) // size * count)


def header(tensors: list[TensorEntry], **metadata: object) -> GgufHeader:
    named = {f"llama.{key.replace('__', '.')}": value for key, value in metadata.items()}
    return GgufHeader(3, len(tensors), {"general.architecture": "llama", **named}, tuple(tensors), 0)


SIZES = {"block_count": 1, "embedding_length": 64, "attention__head_count": 4, "attention__head_count_kv": 2}
EMBEDDING, OUTPUT = tensor("token_embd.weight", 64, 1000), tensor("output.weight", 64, 1000)
QUERY, NORM = tensor("blk.0.attn_q.weight", 64, 64), tensor("blk.0.attn_norm.weight", 64, type_name="F32")


def work(tensors: list[TensorEntry], **changes: object) -> ModelWork:
    found = work_of(header(tensors, **{**SIZES, **changes}))
    assert found is not None
    return found


def test_dense_model_reads_all_but_its_embedding_table() -> None:
    found = work([EMBEDDING, OUTPUT, QUERY, NORM])
    assert found.active_bytes == 64 * 1000 * 2 + 64 * 64 * 2 + 64 * 4
    assert found.active_parameters == 64_000 + 4096 + 64
    assert found.flops_per_token == 2 * (64_000 + 4096 + 64)
    assert found.rows == 1000 + 64
    assert {part.type: part.prefill_elements for part in found.types} == {"F16": 4096, "F32": 0}


def test_tied_embedding_is_read_as_output() -> None:
    tied, apart = work([EMBEDDING, QUERY]), work([EMBEDDING, OUTPUT, QUERY])
    assert tied.active_bytes == apart.active_bytes == 128_000 + 8192
    assert tied.output_bytes == 128_000


def test_experts_count_by_the_share_that_is_used() -> None:
    experts = tensor("blk.0.ffn_up_exps.weight", 64, 256, 8, type_name="Q8_0")
    shared = tensor("blk.0.ffn_up_shexp.weight", 64, 256, type_name="Q8_0")
    found = work([EMBEDDING, experts, shared], expert_count=8, expert_used_count=2)
    assert found.is_mixture
    by_type = {part.type: part for part in found.types}
    assert by_type["Q8_0"].decode_bytes == 64 * 256 * 34 / 32 * (2 + 1)
    assert by_type["Q8_0"].prefill_elements == 64 * 256 * 3
    assert found.rows == 1000 + 256 * 2 + 256


def test_parts_of_a_split_model_are_added() -> None:
    first, second = header([EMBEDDING], **SIZES), GgufHeader(3, 1, {}, (QUERY,), 0)
    assert work_of((first, second)) == work([EMBEDDING, QUERY])


def test_layers_that_predict_further_ahead_are_left_out() -> None:
    ahead = tensor("blk.1.attn_q.weight", 64, 64)
    found = work([EMBEDDING, QUERY, ahead], block_count=2, nextn_predict_layers=1)
    assert found.active_bytes == work([EMBEDDING, QUERY]).active_bytes
    assert len(found.attention) == 1


def test_cache_is_read_by_heads_layers_and_context() -> None:
    found = work([EMBEDDING], block_count=3)
    assert found.attention == (AttentionLayer(4, 16, 2 * (16 + 16)),) * 3
    assert found.kv_bytes(100) == 3 * 100 * 64 * 2


def test_sliding_window_bounds_what_most_layers_see() -> None:
    metadata = {
        "general.architecture": "gemma3", "gemma3.block_count": 6, "gemma3.embedding_length": 64,
        "gemma3.attention.head_count": 4, "gemma3.attention.sliding_window": 32,
    }  # fmt: skip
    found = work_of(GgufHeader(3, 1, metadata, (EMBEDDING,), 0))
    assert found is not None
    assert [layer.visible(1000) for layer in found.attention] == [32, 32, 32, 32, 32, 1000]


def test_layers_without_heads_keep_no_cache() -> None:
    found = work([EMBEDDING], block_count=3, attention__head_count=[4, 0, 4], attention__head_count_kv=[2, 0, 1])
    assert [layer.kv_elements for layer in found.attention] == [64, 32]


def test_header_without_weights_has_no_work() -> None:
    assert work_of(header([])) is None
    assert work_of(()) is None
    assert work_of(GgufHeader(3, 1, {}, (EMBEDDING,), 0)) is None


# 1 µs for a token, 1 ns for a row, 4 and 1 ns for a look of a head of 16.
MACHINE = MachineSpeed(
    machine="Test", engine_build="b1", threads=2, gpu_layers=0, measured_at="2026-11-21T00:00:00+00:00", took_s=5.0,
    types=(TypeSpeed("F16", 10e9, 100e9, 0.02), TypeSpeed("Q6_K", 20e9, 200e9, 0.02)),
    attention=(AttentionSpeed(16, 4e-9, 1e-9),), token_s=1e-6, row_s=1e-9,
)  # fmt: skip


def test_decode_time_is_weights_rows_attention_and_a_constant() -> None:
    found = work([EMBEDDING, OUTPUT, QUERY])
    seconds = 1e-6 + 1064e-9 + (128_000 + 8192) / 10e9 + 4 * 500 * 4e-9
    assert decode_tps(found, MACHINE, 500) == pytest.approx(1 / seconds)


def test_cache_is_read_no_faster_than_weights() -> None:
    fast = replace(MACHINE, attention=(AttentionSpeed(16, 1e-15, 0.0),))
    found = work([EMBEDDING])
    seconds = 1e-6 + 1000e-9 + 128_000 / 10e9 + found.kv_bytes(500) / 10e9
    assert decode_tps(found, fast, 500) == pytest.approx(1 / seconds)


def test_prefill_time_is_operations_and_half_the_prompt_looked_at_and_one_output() -> None:
    found = work([EMBEDDING, OUTPUT, QUERY])
    per_token = 2 * 4096 / 100e9 + 4 * 50 * 1e-9
    once = 1e-6 + 128_000 / 10e9
    assert prefill_tps(found, MACHINE, 100) == pytest.approx(1 / (per_token + once / 100))


def test_wider_heads_look_in_proportion_to_the_nearest_measured_width() -> None:
    two = replace(MACHINE, attention=(AttentionSpeed(64, 1e-9, 0.5e-9), AttentionSpeed(128, 3e-9, 2e-9)))
    assert two.looking(256).decode_s == pytest.approx(6e-9)
    assert two.looking(256).prefill_s == pytest.approx(4e-9)
    assert two.looking(64).decode_s == pytest.approx(1e-9)
    assert two.looking(80).decode_s == pytest.approx(1e-9 * 80 / 64)


def test_types_that_were_not_measured_are_derived_and_named() -> None:
    speed, is_measured = MACHINE.of("Q5_K")
    assert not is_measured
    assert speed.bytes_per_s == pytest.approx(20e9 * 0.8)
    assert speed.flops == pytest.approx(200e9 * 1.15)
    assert MACHINE.of("F16") == (TypeSpeed("F16", 10e9, 100e9, 0.02), True)
    found = work([EMBEDDING, tensor("blk.0.ffn_up.weight", 256, 4096, type_name="Q5_K")])
    assert "Q5_K derived" in estimate_speed(found, MACHINE).basis


def test_type_without_known_relative_is_still_estimated() -> None:
    assert MACHINE.of("MXFP4")[0].bytes_per_s == pytest.approx(20e9 * 0.6)
    one_type = replace(MACHINE, types=(TypeSpeed("F16", 10e9, 100e9, 0.02),))
    assert one_type.of("MXFP4")[0].bytes_per_s == pytest.approx(10e9 * 0.6)


def test_mixture_computes_prompts_less_well_than_a_dense_model_of_the_same_work() -> None:
    dense = work([EMBEDDING, QUERY])
    assert prefill_tps(replace(dense, is_mixture=True), MACHINE, 512) < prefill_tps(dense, MACHINE, 512)
    assert decode_tps(replace(dense, is_mixture=True), MACHINE, 512) == decode_tps(dense, MACHINE, 512)


WORK = work([EMBEDDING, OUTPUT, QUERY])


def run(ratio: float, number: int = 0, **changes: object) -> MeasuredSpeed:
    """A run that was `ratio` times as fast as predicted."""
    speed = MeasuredSpeed(
        run_id=f"r{number}", model_path="/m.gguf", sha256=None, quantization="F16",
        tps=decode_tps(WORK, MACHINE, 100 + 16) * ratio, prefill_tps=prefill_tps(WORK, MACHINE, 100) * ratio,
        prompt_tokens=100, evaluated_tokens=100, output_tokens=32, context_length=2048, threads=2, gpu_layers=0,
        engine_build="b1", cpu="Test",
    )  # fmt: skip
    return replace(speed, **changes)  # type: ignore[arg-type]


def corrections(*runs: MeasuredSpeed) -> Corrections:
    return correct(runs, MACHINE, lambda _: WORK)


def test_few_runs_correct_a_little_and_many_runs_almost_all() -> None:
    assert corrections(run(0.5)).decode_factor == pytest.approx(0.5 ** (1 / 6))
    assert corrections(*[run(0.5)] * 5).decode_factor == pytest.approx(0.5**0.5)
    many = corrections(*[run(0.5)] * 495)
    assert many.decode_factor == pytest.approx(0.5**0.99)
    assert many.prefill_factor == pytest.approx(0.5**0.99)
    assert (many.runs, many.median_error) == (495, pytest.approx(1.0))


def test_range_narrows_as_runs_agree_and_stays_wide_as_they_differ() -> None:
    usual = Corrections().decode_spread
    assert corrections(run(0.8)).decode_spread < usual
    assert corrections(*[run(0.8)] * 100).decode_spread == pytest.approx(0.05)
    wild = corrections(*[run(0.2 if number % 2 else 2.0) for number in range(100)])
    assert wild.decode_spread > usual


def test_one_run_far_off_does_not_move_the_median() -> None:
    assert corrections(*[run(0.9)] * 20, run(0.01)).decode_factor == pytest.approx(0.9 ** (21 / 26))


@pytest.mark.parametrize(
    "changes", [{"engine_build": "b2"}, {"threads": 4}, {"gpu_layers": 20}, {"cpu": "Another processor"}]
)
def test_runs_under_other_conditions_say_nothing(changes: dict[str, object]) -> None:
    assert corrections(run(0.5, **changes)) == Corrections()


def test_model_that_is_gone_is_left_out() -> None:
    assert correct([run(0.5)], MACHINE, lambda _: None) == Corrections()


def test_short_or_cached_prompts_correct_no_prefill() -> None:
    found = corrections(run(0.5, evaluated_tokens=8), run(0.5, prefill_tps=None))
    assert found.prefill_factor == 1.0
    assert found.decode_factor < 1.0


def test_estimate_is_a_range_around_the_corrected_prediction_with_its_basis() -> None:
    found = estimate_speed(WORK, MACHINE, context_length=500)
    middle = decode_tps(WORK, MACHINE, 500)
    assert found.decode_low < middle < found.decode_high
    assert found.decode_low * found.decode_high == pytest.approx(middle**2)
    assert found.prefill_low < prefill_tps(WORK, MACHINE, 500) < found.prefill_high
    assert found.basis == "from this machine's measured 10 GB/s, not yet corrected by own runs"
    corrected = estimate_speed(WORK, MACHINE, corrections(*[run(0.5)] * 34), 500)
    assert corrected.decode_high < found.decode_high
    assert corrected.basis.endswith("corrected by 34 earlier runs (median error 100%)")


def test_basis_says_that_a_probe_on_the_gpu_had_all_layers_there() -> None:
    found = estimate_speed(WORK, replace(MACHINE, gpu_layers=2))
    assert found.basis.startswith("from this machine's measured 10 GB/s with all layers on the GPU, not yet")


def test_longer_context_is_slower() -> None:
    short, long = (estimate_speed(WORK, MACHINE, context_length=length) for length in (100, 10_000))
    assert long.decode_high < short.decode_high


def test_probe_whose_readings_lay_apart_widens_the_range() -> None:
    shaky = replace(MACHINE, types=(TypeSpeed("F16", 10e9, 100e9, 0.9),))
    calm, wide = estimate_speed(WORK, MACHINE), estimate_speed(WORK, shaky)
    assert wide.decode_high / wide.decode_low > calm.decode_high / calm.decode_low


def test_a_header_that_claims_billions_of_layers_has_no_work() -> None:
    huge = header([EMBEDDING, QUERY], block_count=2**31, embedding_length=64, attention__head_count=4)
    assert work_of(huge) is None


def test_tensors_without_elements_and_negative_counts_are_passed_over() -> None:
    empty = [tensor("blk.0.ffn_up.weight", 0, 64), tensor("blk.0.ffn_down.weight", 64, 0)]
    assert work([EMBEDDING, QUERY, *empty]) == work([EMBEDDING, QUERY])
    assert work_of(header(empty, **SIZES)) is None
    assert work([EMBEDDING, QUERY], attention__head_count=2**31).attention == ()
    below = work([EMBEDDING, QUERY], attention__sliding_window=-5, attention__head_count_kv=-1)
    assert below.kv_bytes(100) >= 0
