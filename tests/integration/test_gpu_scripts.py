"""The scripts of `tests/gpu` where there is no GPU: they run, so that none is spent on their mistakes."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.gpu import asking, build, pack, shapes, speed, trouble
from workbench.engine.process import LocalEngine
from workbench.runs.spec import EngineOptions, ModelRef

NAME = "llama_cpp_python-0.3.36"
FILES = {
    "CMakeLists.txt": True,
    "pyproject.toml": True,
    "llama_cpp/llama.py": True,
    "docs/index.md": False,
    "vendor/llama.cpp/CMakeLists.txt": True,
    "vendor/llama.cpp/ggml/CMakeLists.txt": True,
    "vendor/llama.cpp/ggml/src/ggml.c": True,
    "vendor/llama.cpp/ggml/src/ggml-cuda/mmq.cu": True,
    "vendor/llama.cpp/ggml/src/ggml-cpu/ops.cpp": True,
    "vendor/llama.cpp/ggml/src/ggml-vulkan/ggml-vulkan.cpp": False,
    "vendor/llama.cpp/src/llama.cpp": True,
    "vendor/llama.cpp/models/vocab.gguf": False,
    "vendor/llama.cpp/tools/server/server.cpp": False,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def test_the_packed_source_has_what_a_cuda_build_needs_and_little_else(tmp_path: Path) -> None:
    sdist = tmp_path / f"{NAME}.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for name in FILES:
            source = tmp_path / "file"
            source.write_text(name)
            archive.add(source, f"{NAME}/{name}")
    target = tmp_path / "out" / pack.SOURCE
    assert pack.pack_source(sdist, target) == target.stat().st_size
    source = build.unpack(target, tmp_path / "work")
    assert source.name == NAME
    assert {name for name in FILES if (source / name).is_file()} == {name for name, kept in FILES.items() if kept}


def test_a_build_is_installed_and_travels_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, site, again = tmp_path / NAME, tmp_path / "site", tmp_path / "again"
    (source / "llama_cpp").mkdir(parents=True)
    (source / "llama_cpp" / "__init__.py").write_text("")
    (build.build_folder(source) / "bin").mkdir(parents=True)
    library = build.build_folder(source) / "bin" / "libllama.so.0.5.0"
    library.write_bytes(bytes(range(256)) * 64)
    library.with_name("libllama.so").symlink_to(library.name)
    for folder in (site, again):
        folder.mkdir()
    build.install(source, site)
    assert (site / "llama_cpp" / "lib" / "libllama.so").read_bytes() == library.read_bytes()
    assert "Version: 0.3.36" in (site / f"{NAME}.dist-info" / "METADATA").read_text()
    monkeypatch.setattr(build, "PIECE_BYTES", 100)
    build.pack_pieces(site, tmp_path / "pieces")
    assert len(list((tmp_path / "pieces").iterdir())) > 1
    build.unpack_pieces(tmp_path / "pieces", again)
    assert (again / "llama_cpp" / "lib" / "libllama.so").read_bytes() == library.read_bytes()


@pytest.mark.parametrize("name", ["smoke", "smoke-experts"])
def test_a_shape_is_a_model_that_runs_and_whose_memory_is_predicted(models: Path, name: str) -> None:
    path = shapes.make(name, models)
    (row,) = speed.rows(
        path, shapes.SHAPES[name].layers, layers=["all"], kv_types=["q8_0"], contexts=[1024], tokens=4
    )  # fmt: skip
    assert "failed" not in row, row
    assert row["prompt_tokens"] > 512
    assert row["decode_tps"] > 0
    errors = [part["error"] for part in row["memory"]["parts"].values() if part["error"] is not None]
    assert all(abs(error) < 0.05 for error in errors), row["memory"]["parts"]


def test_shapes_have_the_sizes_of_their_models(models: Path) -> None:
    """Parameters, counted from the tensors; the small models' own numbers."""
    billions = {"0.5B": 0.494, "3B": 3.09, "8B": 8.03, "30B-A3B": 30.5}
    for name, expected in billions.items():
        total = 0
        for _tensor, rows, _kind in shapes._tensors(shapes.SHAPES[name]):
            size = 1
            for length in rows:
                size *= length
            total += size
        assert total / 1e9 == pytest.approx(expected, rel=0.01), name


def test_cancelling_a_prefill_in_time_and_by_force_leaves_an_engine_that_runs(models: Path) -> None:
    path = shapes.make("smoke", models)
    kept = trouble.cancel_during_prefill(path, prompt_tokens=3000, grace_s=2.0)
    assert (kept["way"], kept["child_is_gone"], kept["next_run_tokens"]) == ("flag", False, 4)
    killed = trouble.cancel_during_prefill(path, prompt_tokens=3000, grace_s=0.0)
    # A processor may heed the flag before the signal arrives; the child is then gone a moment later, or not at all.
    assert killed["way"] == "flag" or (killed["way"], killed["child_is_gone"]) == ("killed", True)
    assert killed["next_run_tokens"] == 4


def test_several_gpus_are_ignored_where_there_is_none(models: Path) -> None:
    """A spec from another machine runs here."""
    engine = LocalEngine()
    try:
        options = EngineOptions(context_length=512, split_mode="none", main_gpu=3, tensor_split=(1.0, 2.0))
        engine.load(ModelRef(str(shapes.make("smoke", models)), "smoke"), options)
        assert len(asking.ask(engine, "hello", 4).stamps_ns) == 4
    finally:
        engine.close()
