"""What must hold on a real NVIDIA GPU; `tests/gpu/bench.py` measures the figures, this only proves the promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu import asking, shapes, speed, trouble
from workbench.core import read_hardware
from workbench.engine.process import LocalEngine
from workbench.errors import SpecError
from workbench.metrics.telemetry import Probe
from workbench.runs.spec import EngineOptions, ModelRef

pytestmark = [pytest.mark.slow, pytest.mark.timeout(550)]
NEARLY = 0.05
SLOWEST_RATIO = 0.97


@pytest.fixture(scope="module")
def half_billion(models: Path) -> Path:
    return shapes.make("0.5B", models)


def memory_of(path: Path, name: str, word: str, kv_type: str, context: int) -> tuple[int, int]:
    """Predicted and measured bytes on the GPU."""
    blocks = shapes.SHAPES[name].layers
    (row,) = speed.rows(path, blocks, layers=[word], kv_types=[kv_type], contexts=[context], tokens=8)
    assert "failed" not in row, row
    memory = row["memory"]
    return memory["predicted_gpu_bytes"], memory["measured_gpu_bytes"]


def test_doctor_finds_the_gpu_and_the_build_uses_it() -> None:
    hardware = read_hardware()
    assert hardware.build is not None
    assert "CUDA" in hardware.build.backends
    (use, *_) = hardware.uses
    assert use.is_used, use.text
    assert use.gpu.memory_total_bytes
    assert use.gpu.memory_free_bytes
    assert use.gpu.driver
    (found,) = hardware.build.gpus[:1]
    assert found.memory_total_bytes == pytest.approx(use.gpu.memory_total_bytes, rel=NEARLY)


def test_telemetry_of_a_run_has_the_gpu_s_figures(half_billion: Path) -> None:
    engine, probe = LocalEngine(), Probe()
    try:
        engine.load(ModelRef(str(half_billion), "0.5B"), EngineOptions(gpu_layers=-1))
        asking.ask(engine, asking.WORDS, 64)
        sample = probe.read(engine.pid)
    finally:
        probe.close()
        engine.close()
    assert sample.gpu_memory_used_bytes
    assert sample.gpu_memory_used_bytes > half_billion.stat().st_size
    assert sample.gpu_util_percent is not None
    assert sample.gpu_temperature_c is not None


@pytest.mark.parametrize(
    ("word", "kv_type", "context"), [("all", "f16", 4096), ("all", "q8_0", 32_768), ("half", "f16", 4096)]
)
def test_memory_on_the_gpu_is_what_was_predicted(
    models: Path, half_billion: Path, word: str, kv_type: str, context: int
) -> None:
    """What CUDA takes for itself is seen with a model that takes next to nothing."""
    predicted, measured = memory_of(shapes.make("smoke", models), "smoke", "all", "f16", 512)
    own = measured - predicted
    predicted, measured = memory_of(half_billion, "0.5B", word, kv_type, context)
    assert predicted + own == pytest.approx(measured, rel=NEARLY)


def test_decoding_keeps_up_with_a_bare_loop(half_billion: Path) -> None:
    from tests.bench import engine_decode  # loads llama.cpp

    found = engine_decode.measure(half_billion, pairs=5, tokens=256, threads=4, greedy=False, convenience=False)
    assert found["ratio_median"] >= SLOWEST_RATIO, found


def test_what_is_ours_of_a_token_lets_300_a_second_pass(half_billion: Path) -> None:
    """Sampling, detokenizing and the pipe with a vocabulary of 151,936 tokens, in microseconds."""
    from tests.gpu import per_token  # loads llama.cpp

    found = per_token.measure(half_billion, tokens=256, context=1024)["usual"]
    ours = found["sample"] + found["detokenize"] + found["pipe"]
    assert found["tokens_per_s"] >= 300, found
    assert ours < 0.5 * found["us_per_token"], found


@pytest.mark.parametrize(("grace_s", "way"), [(2.0, "flag"), (0.0, "killed")])
def test_cancel_during_a_long_prefill_frees_the_gpu_and_the_next_run_works(
    half_billion: Path, grace_s: float, way: str
) -> None:
    found = trouble.cancel_during_prefill(half_billion, prompt_tokens=100_000, grace_s=grace_s)
    assert found["way"] == way
    assert found["read_tokens"] < 100_000
    assert found["next_run_tokens"] == 4
    if way == "killed":
        assert found["child_is_gone"]
        assert found["freed_after_s"] < trouble.GIVEN_BACK_WITHIN_S


def test_closing_the_engine_gives_the_gpu_back(half_billion: Path) -> None:
    assert trouble.freed_by_close(half_billion, 32_768)["freed_after_s"] < trouble.GIVEN_BACK_WITHIN_S


def test_too_little_memory_is_a_sentence_and_the_next_run_works(half_billion: Path) -> None:
    found = trouble.out_of_memory(half_billion, context=131_072, parallel=250)
    assert found["code"] == "out_of_memory", found
    assert "CUDA0 has no room" in found["sentence"]
    assert found["next_run_tokens"] == 4


def test_a_gpu_that_is_not_there_is_a_sentence(half_billion: Path) -> None:
    engine = LocalEngine()
    try:
        with pytest.raises(SpecError, match="main_gpu is 15"):
            engine.load(ModelRef(str(half_billion), "0.5B"), EngineOptions(split_mode="none", main_gpu=15))
    finally:
        engine.close()
