from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.integration.engine.asking import Asker
from workbench.engine.quantizer import quantize_file
from workbench.errors import EngineCrashed, ModelFileError, ModelNotFound, UserError


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize("type_name", ["Q8_0", "Q4_K_M", "Q2_K", "IQ4_XS", "BF16"])
def test_the_demo_model_is_quantized_and_runs(asker: Asker, demo: Path, tmp_path: Path, type_name: str) -> None:
    target = tmp_path / f"demo-{type_name}.gguf"
    fractions: list[float] = []
    size = quantize_file(demo, target, type_name, on_progress=fractions.append, threads=1)
    assert target.stat().st_size == size
    assert size < demo.stat().st_size * 1.01
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert not leftovers(tmp_path)
    report = asker.load(target)
    assert report.quantization == type_name
    assert asker.ask("What is TTFT?", max_tokens=8).ids


def test_a_cancel_leaves_nothing_behind(demo: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    with pytest.raises(UserError) as caught:
        quantize_file(
            demo, tmp_path / "x.gguf", "IQ4_XS", on_progress=lambda part: cancel.set(), cancel=cancel, threads=1
        )
    assert caught.value.code == "cancelled"
    assert list(tmp_path.glob("x*")) == []


def test_an_old_file_stays_until_the_new_one_is_whole(demo: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.gguf"
    target.write_bytes(b"old")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(demo.read_bytes()[:100_000])
    with pytest.raises(ModelFileError, match="incomplete"):
        quantize_file(broken, target, "Q8_0")
    assert target.read_bytes() == b"old"
    assert not leftovers(tmp_path)


def test_types_and_sources_that_do_not_work_are_sentences(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no quantization"):
        quantize_file(demo, tmp_path / "x.gguf", "Q9_Z")
    with pytest.raises(ModelNotFound):
        quantize_file(tmp_path / "nowhere.gguf", tmp_path / "x.gguf", "Q8_0")
    with pytest.raises(UserError, match="importance matrix") as caught:
        quantize_file(demo, tmp_path / "x.gguf", "IQ2_XXS", threads=1)
    assert caught.value.code == "quantization_needs_matrix"
    quantize_file(demo, tmp_path / "small.gguf", "Q4_K_M", threads=1)
    with pytest.raises(UserError, match="F16, BF16 or Q8_0") as caught:
        quantize_file(tmp_path / "small.gguf", tmp_path / "x.gguf", "Q2_K", threads=1)
    assert caught.value.code == "quantize_source_unsuitable"
    assert not (tmp_path / "x.gguf").exists()


def test_a_worker_that_dies_is_a_sentence(demo: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(EngineCrashed):
        quantize_file(demo, tmp_path / "x.gguf", "Q8_0", command=("/bin/true",))
    assert time.monotonic() - start < 5
