from __future__ import annotations

import errno
import multiprocessing
import shutil
import threading
from pathlib import Path

import pytest

from tests.fakes.gguf_files import write_model
from workbench.errors import ModelFileError, ModelNotFound, StorageFull
from workbench.hub.library import ModelLibrary, Progress
from workbench.paths import Paths, Resources


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    write_model(tmp_path / "assets" / "models" / "demo-F16.gguf", name="Demo model")
    return tmp_path / "assets"


@pytest.fixture
def library(tmp_path: Path, assets: Path) -> ModelLibrary:
    return ModelLibrary(Paths.below(tmp_path / "home").create(), Resources(tmp_path / "profiles", assets))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "home" / "data" / "models"


def copy(source: Path, target: Path, name: str, progress: Progress | None) -> None:
    """Stands for llama.cpp's quantizer."""
    if progress is not None:
        progress(1.0)
    shutil.copyfile(source, target)


def test_demo_model_is_always_there(library: ModelLibrary) -> None:
    (demo,) = library.list()
    assert (demo.name, demo.demo, demo.quantizations) == ("Demo model", True, ("F16",))
    assert demo.makeable == ("Q8_0", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
    assert all(file.demo for file in demo.files)
    for name in (None, "demo", "DEMO MODEL", "Demo m"):
        ref = library.resolve(name)
        assert (ref.name, ref.quantization) == ("Demo model", "F16")
        assert ref.sha256 is not None


def test_missing_demo_model_is_a_sentence(library: ModelLibrary, assets: Path) -> None:
    (assets / "models" / "demo-F16.gguf").unlink()
    assert library.list() == []
    with pytest.raises(ModelNotFound, match="Install"):
        library.resolve(None)


def test_makeable_quantization_is_made_once_where_the_reference_says(library: ModelLibrary) -> None:
    ref = library.resolve("demo", "q4_k_m")
    assert ref.quantization == "Q4_K_M"
    assert not Path(ref.path).exists()
    calls: list[str] = []
    fractions: list[float | None] = []

    def quantize(source: Path, target: Path, name: str, progress: Progress | None) -> None:
        calls.append(name)
        copy(source, target, name, progress)

    library.ensure(ref, quantize, fractions.append)
    library.ensure(ref, quantize)
    assert (calls, fractions) == (["Q4_K_M"], [1.0])
    (demo,) = library.list()
    assert "Q4_K_M" not in demo.makeable
    assert [file.path for file in demo.files][1] == Path(ref.path)
    assert library.resolve(None).quantization == "F16"
    assert demo.choices == ("F16", "Q8_0", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
    assert library.siblings(ref) == list(demo.choices)


def test_failed_quantization_leaves_nothing(library: ModelLibrary) -> None:
    ref = library.resolve(None, "Q2_K")

    def broken(source: Path, target: Path, name: str, progress: Progress | None) -> None:
        target.write_bytes(b"half a file")

    with pytest.raises(ModelFileError):
        library.ensure(ref, broken)
    assert [path.suffix for path in Path(ref.path).parent.iterdir()] == [".lock"]


def test_full_disk_is_told(library: ModelLibrary) -> None:
    def full(source: Path, target: Path, name: str, progress: Progress | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageFull):
        library.ensure(library.resolve(None, "Q2_K"), full)


def test_damaged_quantization_is_made_again(library: ModelLibrary) -> None:
    ref = library.resolve(None, "Q2_K")
    library.ensure(ref, copy)
    Path(ref.path).write_bytes(b"what a power cut left")
    assert "Q2_K" in library.list()[0].makeable
    library.ensure(library.resolve(None, "Q2_K"), copy)
    assert "Q2_K" in library.list()[0].quantizations


def test_updated_demo_model_makes_new_quantizations(library: ModelLibrary, assets: Path) -> None:
    old = library.resolve(None, "Q8_0")
    library.ensure(old, copy)
    write_model(assets / "models" / "demo-F16.gguf", name="Demo model", weights=4096)
    new = library.resolve(None, "Q8_0")
    assert new.path != old.path
    assert not Path(new.path).exists()


def test_threads_make_a_quantization_once(library: ModelLibrary) -> None:
    ref = library.resolve(None, "Q8_0")
    calls: list[str] = []

    def slow(source: Path, target: Path, name: str, progress: Progress | None) -> None:
        calls.append(name)
        copy(source, target, name, progress)

    threads = [threading.Thread(target=library.ensure, args=(ref, slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["Q8_0"]


def _ensure_in_child(home: Path, assets: Path, log: Path) -> None:
    library = ModelLibrary(Paths.below(home), Resources(assets, assets))

    def logged(source: Path, target: Path, name: str, progress: Progress | None) -> None:
        with log.open("a") as file:
            file.write("made\n")
        copy(source, target, name, progress)

    library.ensure(library.resolve(None, "Q8_0"), logged)


def test_processes_make_a_quantization_once(tmp_path: Path, assets: Path) -> None:
    Paths.below(tmp_path / "home").create()
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_ensure_in_child, args=(tmp_path / "home", assets, log)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert log.read_text() == "made\n"


def test_quantizations_of_a_model_are_one_entry(library: ModelLibrary, models: Path) -> None:
    write_model(models / "Qwen3-0.6B-Q8_0.gguf", file_type=7, kind=8)
    write_model(models / "Qwen3-0.6B-Q4_K_M.gguf", file_type=15, kind=12)
    write_model(models / "below" / "smol.gguf", file_type=1)
    entries = library.list()
    assert [entry.name for entry in entries] == ["Demo model", "Qwen3-0.6B", "smol"]
    assert entries[1].quantizations == ("Q8_0", "Q4_K_M")
    assert library.resolve("qwen3-0.6b").quantization == "Q4_K_M"
    assert library.resolve("qwen", "q8_0").path == str(models / "Qwen3-0.6B-Q8_0.gguf")
    assert library.resolve("Qwen3-0.6B-Q8_0.gguf").quantization == "Q8_0"
    assert library.siblings(library.resolve("qwen")) == ["Q8_0", "Q4_K_M"]


def test_models_of_one_name_and_other_size_are_told_apart(library: ModelLibrary, models: Path) -> None:
    write_model(models / "small" / "m-Q8_0.gguf", kind=8)
    write_model(models / "large" / "m-Q8_0.gguf", kind=8, weights=4096)
    assert [entry.name for entry in library.list()][1:] == ["m (large)", "m (small)"]


def test_unknown_names_get_near_ones(library: ModelLibrary, models: Path) -> None:
    write_model(models / "Qwen3-0.6B-Q8_0.gguf", kind=8)
    write_model(models / "Qwen3-1.7B-Q8_0.gguf", kind=8)
    with pytest.raises(ModelNotFound, match=r"Did you mean Qwen3-0\.6B"):
        library.resolve("Qwen2-0.6B")
    with pytest.raises(ModelNotFound, match=r"Several models begin with 'qwen'.*0\.6B.*1\.7B"):
        library.resolve("qwen")
    with pytest.raises(ModelNotFound, match="There are: Demo model"):
        library.resolve("zzz")
    with pytest.raises(ModelNotFound, match="no quantization Q3_K_S"):
        library.resolve("Qwen3-0.6B", "Q3_K_S")


def test_paths_resolve_with_and_without_the_library(library: ModelLibrary, tmp_path: Path) -> None:
    path = write_model(tmp_path / "elsewhere" / "far-Q8_0.gguf", file_type=7, kind=8)
    write_model(tmp_path / "elsewhere" / "far-Q4_K_M.gguf", file_type=15, kind=12)
    ref = library.resolve(str(path))
    assert (ref.path, ref.name, ref.quantization) == (str(path), "far", "Q8_0")
    assert library.resolve(str(path), "Q4_K_M").path == str(path.with_name("far-Q4_K_M.gguf"))
    assert library.siblings(ref) == ["Q8_0", "Q4_K_M"]
    with pytest.raises(ModelNotFound, match="there are: Q8_0, Q4_K_M"):
        library.resolve(str(path), "Q2_K")
    with pytest.raises(ModelNotFound, match="Check the path"):
        library.resolve(str(tmp_path / "absent.gguf"))
    (tmp_path / "note.gguf").write_text("this is not a model at all")
    with pytest.raises(ModelFileError, match="not a GGUF"):
        library.resolve(str(tmp_path / "note.gguf"))


def test_path_of_the_demo_model_is_the_demo_model(library: ModelLibrary, assets: Path) -> None:
    ref = library.resolve(str(assets / "models" / "demo-F16.gguf"), "Q2_K")
    assert ref == library.resolve(None, "Q2_K")
    assert library.resolve(ref.path) == ref


def test_split_model_counts_once_with_the_sums_of_its_parts(library: ModelLibrary, models: Path) -> None:
    parts = [write_model(models / f"big-Q8_0-0000{n}-of-00002.gguf", file_type=7, kind=8) for n in (1, 2)]
    entry = library.list()[1]
    (file,) = entry.files
    assert (entry.name, file.parts, file.parameters) == ("big", tuple(parts), 4096)
    assert file.size_bytes == sum(part.stat().st_size for part in parts)
    assert library.resolve("big").path == str(parts[0])
    assert library.resolve(str(parts[1])).path == str(parts[0])
    parts[1].unlink()
    problem = library.list()[1].problem
    assert problem is not None
    assert "big-Q8_0-00002-of-00002.gguf is missing" in problem
    for name in ("big", str(parts[0])):
        with pytest.raises(ModelFileError, match="missing"):
            library.resolve(name)


def test_projectors_adapters_and_hidden_files_are_no_models(library: ModelLibrary, models: Path) -> None:
    write_model(models / "mmproj-model-f16.gguf")
    write_model(models / "eyes.gguf", architecture="clip")
    write_model(models / "lora.gguf", extra={"general.type": "adapter"})
    write_model(models / ".hidden.gguf")
    assert len(library.list()) == 1


def test_broken_file_is_listed_with_its_problem_beside_its_siblings(library: ModelLibrary, models: Path) -> None:
    write_model(models / "m-Q8_0.gguf", file_type=7, kind=8)
    (models / "m-Q4_K_M.gguf").write_bytes(b"GGUF" + bytes(3))
    (models / "alone.gguf").write_bytes(b"nothing here that is a model")
    entries = {entry.name: entry for entry in library.list()}
    assert set(entries) == {"Demo model", "m", "alone"}
    assert entries["m"].problem is not None
    assert entries["m"].files[-1].quantization == "Q4_K_M"
    assert library.resolve("m").quantization == "Q8_0"
    with pytest.raises(ModelFileError):
        library.resolve("m", "Q4_K_M")
    with pytest.raises(ModelFileError):
        library.resolve("alone")


def test_folders_of_the_settings_are_searched_and_missed(library: ModelLibrary, tmp_path: Path) -> None:
    write_model(tmp_path / "mine" / "deep" / "own.gguf")
    library.set_folders([str(tmp_path / "mine"), str(tmp_path / "gone")])
    assert [entry.name for entry in library.list()] == ["Demo model", "own"]
    (problem,) = library.problems
    assert "gone" in problem


def test_hash_is_known_only_after_it_was_computed(library: ModelLibrary, models: Path) -> None:
    write_model(models / "m.gguf")
    ref = library.resolve("m")
    assert (ref.sha256, library.sha256(ref)) == (None, None)
    digest = library.compute_sha256(ref)
    assert library.sha256(ref) == digest
    assert library.resolve("m").sha256 == digest


def test_trained_context_of_a_file_still_to_be_made_is_that_of_its_source(library: ModelLibrary) -> None:
    assert library.trained_context(library.resolve(None, "Q2_K")) == 2048


def test_file_that_vanished_cannot_be_made(library: ModelLibrary, models: Path) -> None:
    path = write_model(models / "m.gguf")
    ref = library.resolve("m")
    path.unlink()
    with pytest.raises(ModelNotFound, match="gone"):
        library.ensure(ref, copy)


def test_a_damaged_quantization_is_resolved_like_one_that_is_missing(library: ModelLibrary) -> None:
    ref = library.resolve("demo", "Q2_K")
    library.ensure(ref, copy)
    whole = Path(ref.path).read_bytes()
    Path(ref.path).write_bytes(whole[: len(whole) // 2])
    again = library.resolve("demo", "Q2_K")
    assert again.path == ref.path
    assert library.trained_context(again) == library.trained_context(library.resolve("demo"))
    library.ensure(again, copy)
    assert Path(ref.path).read_bytes() == whole


@pytest.mark.parametrize("name", ["a" * 5000, "/" + "a" * 5000, "~nobody-here/model.gguf"])
def test_a_name_that_can_be_no_file_is_a_short_sentence(library: ModelLibrary, name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        library.resolve(name)
    assert len(caught.value.message) < 600


def test_a_path_that_is_no_utf8_is_a_sentence(library: ModelLibrary, models: Path) -> None:
    path = models / "odd-\udcff.gguf"
    write_model(path)
    (found,) = [entry for entry in library.list() if not entry.demo]
    assert found.problem is not None
    assert "UTF-8" in found.problem
    with pytest.raises(ModelFileError, match="UTF-8"):
        library.resolve(str(path))
