"""Two demo models beside each other: each with its own quantizations, and names that mean one of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fakes.gguf_files import write_model
from workbench.errors import ModelNotFound, UserError
from workbench.hub.deletion import Deletion
from workbench.hub.grouping import DEMO_MAKEABLE
from workbench.hub.library import ModelLibrary, Progress
from workbench.paths import Paths, Resources


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    models = tmp_path / "assets" / "models"
    write_model(models / "demo-F16.gguf", name="Demo model", weights=4096)
    write_model(models / "demo-small-F16.gguf", name="Small demo model")
    return tmp_path / "assets"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.below(tmp_path / "home").create()


@pytest.fixture
def library(paths: Paths, assets: Path) -> ModelLibrary:
    return ModelLibrary(paths, Resources(assets, assets))


def copy(source: Path, target: Path, name: str, progress: Progress | None) -> None:
    """Stands for llama.cpp's quantizer."""
    shutil.copyfile(source, target)


def test_both_are_listed_the_main_one_first(library: ModelLibrary) -> None:
    main, small = library.list()
    assert (main.name, small.name) == ("Demo model", "Small demo model")
    assert main.demo
    assert small.demo
    assert main.makeable == small.makeable == DEMO_MAKEABLE
    assert [file.origin for entry in (main, small) for file in entry.files] == ["demo", "demo"]


@pytest.mark.parametrize("name", [None, "demo", "DEMO", "Demo model", "demo-F16"])
def test_the_main_one_is_the_default(library: ModelLibrary, assets: Path, name: str | None) -> None:
    ref = library.resolve(name)
    assert (ref.name, ref.path) == ("Demo model", str(assets / "models" / "demo-F16.gguf"))


@pytest.mark.parametrize("name", ["demo-small", "Demo-Small", "Small demo model", "small", "demo-small-F16"])
def test_the_small_one_has_names_of_its_own(library: ModelLibrary, assets: Path, name: str) -> None:
    ref = library.resolve(name)
    assert (ref.name, ref.path) == ("Small demo model", str(assets / "models" / "demo-small-F16.gguf"))


def test_each_makes_its_own_quantizations(library: ModelLibrary, assets: Path) -> None:
    made = {}
    for name, source in (("demo", "demo-F16.gguf"), ("demo-small", "demo-small-F16.gguf")):
        ref = library.resolve(f"{name}:Q8_0")
        assert library.trained_context(ref) == 2048
        library.ensure(ref, copy)
        made[name] = Path(ref.path)
        assert made[name].read_bytes() == (assets / "models" / source).read_bytes()
        assert made[name].name == f"{name}-Q8_0.gguf"
        assert library.siblings(ref) == ["F16", *DEMO_MAKEABLE]
        again = library.resolve(str(made[name]))
        assert (again.name, again.quantization) == (library.resolve(name).name, "Q8_0")
    main, small = library.list()
    assert [file.path for file in main.files][1:] == [made["demo"]]
    assert [file.path for file in small.files][1:] == [made["demo-small"]]
    assert "Q8_0" not in main.makeable + small.makeable


def test_a_missing_sibling_is_no_model_and_nothing_else(library: ModelLibrary, assets: Path) -> None:
    (assets / "models" / "demo-small-F16.gguf").unlink()
    (main,) = library.list()
    assert main.name == "Demo model"
    with pytest.raises(ModelNotFound, match="demo-small"):
        library.resolve("demo-small")
    with pytest.raises(ModelNotFound, match="demo-small"):
        library.resolve("demo-small:Q8_0")
    assert library.resolve("demo", "Q8_0").quantization == "Q8_0"


def test_a_missing_main_one_leaves_the_sibling(library: ModelLibrary, assets: Path) -> None:
    (assets / "models" / "demo-F16.gguf").unlink()
    assert [entry.name for entry in library.list()] == ["Small demo model"]
    with pytest.raises(ModelNotFound, match="Install"):
        library.resolve()
    assert library.resolve("demo-small").name == "Small demo model"


def test_siblings_that_call_themselves_alike_are_told_apart(library: ModelLibrary, assets: Path) -> None:
    write_model(assets / "models" / "demo-small-F16.gguf", name="Demo model")
    assert [entry.name for entry in library.list()] == ["Demo model", "Demo model (demo-small)"]
    assert library.resolve("Demo model").path.endswith("demo-F16.gguf")
    assert library.resolve("Demo model (demo-small)").path.endswith("demo-small-F16.gguf")


def test_a_model_of_a_person_does_not_take_the_short_name(library: ModelLibrary, paths: Paths) -> None:
    write_model(paths.models / "demo-small-Q8_0.gguf", file_type=7, kind=8, weights=8192, name="Mine")
    assert library.resolve("demo-small").path.endswith("demo-small-F16.gguf")
    assert library.resolve("demo-small:Q8_0").path.startswith(str(paths.derived_models))


def test_only_what_was_made_can_be_deleted(library: ModelLibrary) -> None:
    ref = library.resolve("demo-small:Q2_K")
    library.ensure(ref, copy)
    source, made = library.list()[1].files
    with pytest.raises(UserError, match="comes with the program"):
        library.trash.delete([source])
    deletion = library.trash.delete([made])
    assert isinstance(deletion, Deletion)
    assert not Path(ref.path).exists()
    assert "Q2_K" in library.list()[1].makeable
