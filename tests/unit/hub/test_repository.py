"""The files of a repository become quantizations: splits joined, folders read, the rest set apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.hub.gguf import ModelFile
from workbench.hub.names import preferred
from workbench.hub.quantizations import PREFERRED, is_safe_name, quantization_in, sort_files
from workbench.hub.repository import RepoFile, Repository, RepoSummary

GB = 1_000_000_000


def files(*names: str, size: int = GB) -> list[RepoFile]:
    return [RepoFile(name, size) for name in names]


def labels(*names: str) -> list[str]:
    return [quantization.label for quantization in sort_files(files(*names), None).quantizations]


def test_a_usual_repository_is_sorted_by_bits_with_its_compromise_marked() -> None:
    sizes = {"Q8_0": 4280, "Q4_K_M": 2497, "Q2_K": 1669, "BF16": 8051, "Q6_K": 3306}
    given_files = [RepoFile(f"Qwen3-4B-{name}.gguf", mb * 1_000_000) for name, mb in sizes.items()]
    found = sort_files([*given_files, RepoFile("README.md", 900)], 4_022_468_096)
    assert [q.label for q in found.quantizations] == ["Q2_K", "Q4_K_M", "Q6_K", "Q8_0", "BF16"]
    bits = [q.bits_per_weight for q in found.quantizations]
    assert bits == pytest.approx([3.319, 4.966, 6.575, 8.512, 16.012], abs=0.002)
    assert [(q.label, q.reason) for q in found.quantizations if q.is_recommended] == [
        ("Q4_K_M", "Best compromise of size and quality for most uses.")
    ]
    assert [file.name for file in found.others] == ["README.md"]


def test_split_files_are_one_entry_in_order() -> None:
    names = [f"Model-Q4_K_M-{part:05d}-of-00011.gguf" for part in range(11, 0, -1)]
    (found,) = sort_files(files(*names), None).quantizations
    assert [file.name for file in found.files] == sorted(names)
    assert found.size_bytes == 11 * GB


def test_a_split_with_a_part_missing_is_set_apart_and_others_stay() -> None:
    found = sort_files(
        files("M-Q8_0-00001-of-00003.gguf", "M-Q8_0-00003-of-00003.gguf", "M-Q4_0.gguf", "M-Q2_K-00001-of-00000.gguf"),
        None,
    )
    assert [q.label for q in found.quantizations] == ["Q4_0"]
    assert len(found.others) == 3


def test_folders_per_quantization_and_mixtures_are_read() -> None:
    found = sort_files(
        files(
            "Q4_K_M/Model-Q4_K_M-00001-of-00002.gguf",
            "Q4_K_M/Model-Q4_K_M-00002-of-00002.gguf",
            "UD-Q4_K_XL/Model-UD-Q4_K_XL-00001-of-00001.gguf",
            "BF16/Model-00001-of-00002.gguf",
            "BF16/Model-00002-of-00002.gguf",
        ),
        None,
    )
    assert {q.label: len(q.files) for q in found.quantizations} == {"Q4_K_M": 2, "UD-Q4_K_XL": 1, "BF16": 2}
    assert found.others == ()


def test_projectors_matrices_drafts_and_adapters_are_no_models() -> None:
    found = sort_files(
        files(
            "model-Q4_K_M.gguf",
            "mmproj-model-F16.gguf",
            "mmproj/BF16.gguf",
            "imatrix_unsloth.gguf",
            "model-lora-F16.gguf",
            "model-MTP-Q8_0.gguf",
            "eagle3/model-Q8_0.gguf",
            "model.safetensors",
            ".cache/model-Q4_0.gguf",
        ),
        None,
    )
    assert [q.label for q in found.quantizations] == ["Q4_K_M"]
    assert [file.name for file in found.projectors] == ["mmproj-model-F16.gguf", "mmproj/BF16.gguf"]
    assert len(found.others) == 6


def test_a_word_in_every_name_is_the_name_of_the_model() -> None:
    assert labels("Model-MTP-Q4_K_M.gguf", "Model-MTP-Q8_0.gguf") == ["Q4_K_M", "Q8_0"]


def test_the_same_type_twice_is_told_apart() -> None:
    assert labels("small-Q8_0.gguf", "large-Q8_0.gguf", "large-Q4_0.gguf") == [
        "Q4_0",
        "Q8_0 (large)",
        "Q8_0 (small)",
    ]
    assert labels("a/model-Q8_0.gguf", "b/model-Q8_0.gguf") == ["Q8_0 (a)", "Q8_0 (b)"]
    assert labels("model-Q8_0.gguf", "MODEL-q8_0.gguf") == ["Q8_0 (MODEL-q8_0.gguf)", "Q8_0 (model-Q8_0.gguf)"]


def test_bits_are_not_known_where_a_repository_holds_several_models() -> None:
    found = sort_files(files("small-Q8_0.gguf", "large-Q8_0.gguf"), 1_000_000_000)
    assert [q.bits_per_weight for q in found.quantizations] == [None, None]
    assert not any(q.is_recommended for q in found.quantizations), "nobody can say which of two models is meant"


def test_figures_that_cannot_be_are_not_shown() -> None:
    (found,) = sort_files(files("model-Q8_0.gguf"), 1000).quantizations
    assert found.bits_per_weight is None


@pytest.mark.parametrize(
    ("offered", "chosen", "words"),
    [
        (("Q4_K_M", "Q8_0"), "Q4_K_M", "Best compromise"),
        (("UD-Q4_K_M", "Q5_K_M"), "UD-Q4_K_M", "Best compromise"),
        (("Q8_0", "Q2_K"), "Q8_0", "Nearest to the usual compromise"),
        (("Q2_K", "Q5_0"), "Q5_0", "Nearest"),
        (("Q8_0",), "Q8_0", "The only one"),
    ],
)
def test_recommendation_follows_a_clear_order(offered: tuple[str, ...], chosen: str, words: str) -> None:
    found = sort_files(files(*(f"model-{name}.gguf" for name in offered)), None).quantizations
    recommended = [q for q in found if q.is_recommended]
    assert [q.quantization for q in recommended] == [chosen]
    assert words in (recommended[0].reason or "")


def test_the_library_prefers_in_the_same_order() -> None:
    local = [ModelFile(Path(f"{name}.gguf"), "m", "llama", name, None, 1) for name in reversed(PREFERRED)]
    order = []
    while local:
        order.append(preferred(local))
        local.remove(order[-1])
    assert tuple(file.quantization for file in order) == PREFERRED


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen3-4B-Q4_K_M.gguf", ("Qwen3-4B", "Q4_K_M")),
        ("qwen2.5-0.5b-instruct-fp16.gguf", ("qwen2.5-0.5b-instruct", "F16")),
        ("gpt-oss-20b-mxfp4.gguf", ("gpt-oss-20b", "MXFP4")),
        ("model-UD-IQ2_XXS.gguf", ("model", "UD-IQ2_XXS")),
        ("nomic-embed-text-v1.5.f32.gguf", ("nomic-embed-text-v1.5", "F32")),
        ("model.Q5_K_S-00001-of-00004.gguf", ("model", "Q5_K_S")),
        ("model-Q4_K_M-imat.gguf", ("model-imat", "Q4_K_M")),
        ("Q6_K/model.gguf", ("model", "Q6_K")),
        ("model.gguf", ("model", None)),
    ],
)
def test_quantization_is_read_from_names(name: str, expected: tuple[str, str | None]) -> None:
    base, quantization = quantization_in(name)
    assert (base.rstrip("-._ "), quantization) == expected


@pytest.mark.parametrize(
    "name",
    ["../up.gguf", "/etc/passwd", "a/../../b.gguf", "a//b", "./a", "C:/x.gguf", "a\\b.gguf", "a\nb", "a\u202egguf",
     "con", "folder/NUL.gguf", "end./x", "end ", "", "x" * 2000, "a?b", "a*b"],
)  # fmt: skip
def test_names_that_leave_the_folder_or_fool_a_reader_are_unsafe(name: str) -> None:
    assert not is_safe_name(name)


def test_usual_names_are_safe() -> None:
    assert is_safe_name("UD-Q4_K_XL/Modèle v1.5 (final)-00001-of-00002.gguf")


NAMES = st.text("abQ48_K-M.0/1of gu", min_size=1, max_size=40).map(lambda text: text + ".gguf")


@given(st.lists(st.builds(RepoFile, NAMES, st.integers(0, 10**12)), unique_by=lambda file: file.name, max_size=12))
def test_no_name_breaks_the_sorting_and_no_file_is_lost_or_doubled(given_files: list[RepoFile]) -> None:
    found = sort_files(given_files, 1_000_000)
    quantized = [file for quantization in found.quantizations for file in quantization.files]
    out = [*quantized, *found.projectors, *found.others]
    assert sorted(file.name for file in out) == sorted(file.name for file in given_files)
    shown = [quantization.label.casefold() for quantization in found.quantizations]
    assert len(set(shown)) == len(shown) or any(name != name.lower() for name in (f.name for f in given_files))
    assert sum(quantization.is_recommended for quantization in found.quantizations) <= 1


def test_a_repository_finds_its_quantization_by_label_or_type() -> None:
    found = sort_files(files("a/m-Q8_0.gguf", "b/m-Q8_0.gguf", "m-Q4_0.gguf"), None)
    repository = Repository(RepoSummary("maker/m"), "0" * 40, found.quantizations)
    assert repository.named("q4_0") is not None
    by_label = repository.named("q8_0 (B)")
    assert by_label is not None
    assert by_label.files[0].name == "b/m-Q8_0.gguf"
    assert repository.named("Q3_K_S") is None
