from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import psutil
import pytest

from tests.fakes import tiny_models
from tests.fakes.importance_files import columns_of, write_legacy_matrix, write_matrix
from tests.fakes.tiny_adapters import random_pairs, write_adapter
from tests.integration.engine.asking import Asker
from workbench.engine.file_types import MAKEABLE, NEEDS_MATRIX, QuantizeOptions
from workbench.engine.quantizer import plan_quantization, quantize_file
from workbench.errors import EngineCrashed, ModelFileError, ModelNotFound, StorageFull, UserError

# What llama.cpp rounds in its log, and the padding of tensors.
PLAN_ERROR_BYTES = 16 * 1024


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def types_in(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with rows of 256, so that every type fits, and quick to quantize."""
    return tiny_models.write_llama(
        tmp_path_factory.mktemp("small") / "small-F16.gguf", vocabulary=320, width=256, layers=1, feed_forward=256
    )


@pytest.fixture(scope="module")
def matrix(small: Path) -> str:
    return str(write_matrix(small.with_name("small.imatrix.gguf"), columns_of(small)))


@pytest.mark.parametrize("type_name", ["Q8_0", "Q4_K_M", "Q2_K", "IQ4_XS", "BF16"])
def test_the_demo_model_is_quantized_and_runs(asker: Asker, demo: Path, tmp_path: Path, type_name: str) -> None:
    target = tmp_path / f"demo-{type_name}.gguf"
    fractions: list[float] = []
    planned = plan_quantization(demo, type_name)
    done = quantize_file(demo, target, type_name, on_progress=fractions.append, threads=1)
    assert target.stat().st_size == done.size_bytes
    assert done.size_bytes <= planned.size_bytes <= done.size_bytes + PLAN_ERROR_BYTES
    assert "llama.cpp" in done.engine_build
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert not leftovers(tmp_path)
    report = asker.load(target)
    assert report.quantization == type_name
    assert asker.ask("What is TTFT?", max_tokens=8).ids


@pytest.mark.parametrize("type_name", MAKEABLE)
def test_every_type_is_made_with_a_matrix_in_the_planned_size_and_loads(
    asker: Asker, small: Path, matrix: str, tmp_path: Path, type_name: str
) -> None:
    options = QuantizeOptions(matrix=matrix)
    assert plan_quantization(small, type_name).needs_matrix == (type_name in NEEDS_MATRIX)
    planned = plan_quantization(small, type_name, options=options)
    target = tmp_path / "x.gguf"
    done = quantize_file(small, target, type_name, options=options, threads=1)
    assert done.size_bytes <= planned.size_bytes <= done.size_bytes + PLAN_ERROR_BYTES
    assert asker.load(target).quantization == type_name
    assert asker.ask("Hello", max_tokens=2).ids


@pytest.mark.parametrize("type_name", sorted(NEEDS_MATRIX))
def test_types_that_need_a_matrix_are_refused_without_one_before_anything_is_written(
    small: Path, tmp_path: Path, type_name: str
) -> None:
    with pytest.raises(UserError, match="needs an importance matrix") as caught:
        quantize_file(small, tmp_path / "made" / "x.gguf", type_name, threads=1)
    assert caught.value.code == "quantization_needs_matrix"
    assert list((tmp_path / "made").iterdir()) == []


def test_both_formats_of_the_same_matrix_give_the_same_weights(small: Path, tmp_path: Path) -> None:
    columns = columns_of(small)
    ours = {}
    for name, write in [("m.gguf", write_matrix), ("m.dat", write_legacy_matrix)]:
        # Sums over 5,120 tokens and over 10 calls differ by a factor only, which no weight depends on: made equal here.
        made = write(tmp_path / name, columns)
        quantize_file(small, tmp_path / f"{name}.out", "Q4_K_M", options=QuantizeOptions(matrix=str(made)), threads=1)
        ours[name] = {t.name: t.data.tobytes() for t in gguf.GGUFReader(tmp_path / f"{name}.out").tensors}
    quantize_file(small, tmp_path / "none", "Q4_K_M", threads=1)
    plain = {t.name: t.data.tobytes() for t in gguf.GGUFReader(tmp_path / "none").tensors}
    differing = [name for name in plain if plain[name] != ours["m.gguf"][name]]
    assert sorted(differing) == sorted(columns)
    for name in columns:
        close = sum(a == b for a, b in zip(ours["m.gguf"][name], ours["m.dat"][name], strict=True))
        assert close / len(plain[name]) > 0.99, name


def test_the_matrix_is_named_in_the_file_as_llama_cpp_names_it(small: Path, matrix: str, tmp_path: Path) -> None:
    target = tmp_path / "x.gguf"
    quantize_file(small, target, "Q4_0", options=QuantizeOptions(matrix=matrix), threads=1)
    fields = gguf.GGUFReader(target).fields
    assert fields["quantize.imatrix.file"].contents() == Path(matrix).name
    assert fields["quantize.imatrix.entries_count"].contents() == len(columns_of(small))
    assert fields["quantize.imatrix.chunks_count"].contents() == 10


def break_matrix(what: str, path: Path, small: Path, demo: Path) -> None:
    columns = columns_of(small)
    if what == "another model":
        write_matrix(path, columns_of(demo))
    elif what == "another model, legacy":
        write_legacy_matrix(path, columns_of(demo))
    elif what == "deeper model":
        deeper = {name.replace("blk.0", f"blk.{n}"): size for name, size in columns.items() for n in range(4)}
        write_matrix(path, deeper)
    elif what == "a model":
        path.write_bytes(demo.read_bytes())
    elif what == "an adapter":
        write_adapter(path, random_pairs(small))
    elif what == "text":
        path.write_text("nothing of the kind " * 20)
    elif what == "empty":
        path.touch()
    elif what == "cut":
        write_matrix(path, columns)
        path.write_bytes(path.read_bytes()[:-100])
    elif what == "cut, legacy":
        write_legacy_matrix(path, columns)
        path.write_bytes(path.read_bytes()[:-2000])
    elif what in ("not a number", "negative"):
        write_legacy_matrix(path, columns)
        data = bytearray(path.read_bytes())
        # After the count, the first name, its calls and its number of values.
        start = 4 + 4 + len(next(iter(columns))) + 8
        data[start : start + 4] = struct.pack("<f", float("nan") if what == "not a number" else -1.0)
        path.write_bytes(data)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("another model", "matrix of another model: it has 768 values"),
        ("another model, legacy", "matrix of another model: it has 768 values"),
        ("deeper model", "matrix of another model: .* does not have"),
        ("a model", "no importance matrix"),
        ("an adapter", "no importance matrix"),
        ("text", "neither of the two formats"),
        ("empty", "neither of the two formats"),
        ("cut", "bytes are missing"),
        ("cut, legacy", "cut off"),
        ("not a number", "no means of squares"),
        ("negative", "no means of squares"),
    ],
)
def test_a_matrix_of_no_use_is_a_sentence(small: Path, demo: Path, tmp_path: Path, what: str, says: str) -> None:
    path = tmp_path / "broken-matrix"
    break_matrix(what, path, small, demo)
    with pytest.raises(ModelFileError, match=says) as caught:
        quantize_file(
            small, tmp_path / "made" / "x.gguf", "IQ2_XXS", options=QuantizeOptions(matrix=str(path)), threads=1
        )
    assert caught.value.code == "matrix_unusable"
    assert list((tmp_path / "made").iterdir()) == []


def test_a_matrix_that_is_missing_or_has_gaps_is_a_sentence(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no importance matrix"):
        quantize_file(small, tmp_path / "x.gguf", "Q4_0", options=QuantizeOptions(matrix=str(tmp_path / "no.dat")))
    columns = columns_of(small)
    columns.pop("blk.0.ffn_down.weight")
    gaps = write_matrix(tmp_path / "gaps.gguf", columns)
    with pytest.raises(ModelFileError, match=r"nothing for blk\.0\.ffn_down\.weight"):
        quantize_file(small, tmp_path / "x.gguf", "IQ1_S", options=QuantizeOptions(matrix=str(gaps)), threads=1)
    # A type that needs none takes what there is.
    quantize_file(small, tmp_path / "x.gguf", "Q4_0", options=QuantizeOptions(matrix=str(gaps)), threads=1)


def test_options_reach_llama_cpp(small: Path, tmp_path: Path) -> None:
    def made(**options: object) -> dict[str, str]:
        target = tmp_path / "x.gguf"
        quantize_file(small, target, "Q4_K_M", options=QuantizeOptions(**options), threads=1)  # type: ignore[arg-type]
        return types_in(target)

    assert made()["token_embd.weight"] == "Q6_K"
    assert made(embedding_type="Q8_0")["token_embd.weight"] == "Q8_0"
    plain, pure = made(), made(pure=True)
    assert set(plain.values()) == {"F32", "Q4_K", "Q6_K"}
    assert set(pure.values()) == {"F32", "Q4_K"}
    with pytest.raises(UserError, match="no type for one tensor"):
        made(output_type="Q4_K_M")


def test_the_output_tensor_has_a_type_of_its_own_or_stays(models: Path, tmp_path: Path) -> None:
    source, target = models / "says.gguf", tmp_path / "x.gguf"
    for options, expected in [
        (QuantizeOptions(), "Q8_0"),
        (QuantizeOptions(output_type="F16"), "F16"),
        (QuantizeOptions(keep_output=True), "F32"),
    ]:
        quantize_file(source, target, "Q8_0", options=options, threads=1)
        assert types_in(target)["output.weight"] == expected


def test_a_split_source_becomes_one_file_with_all_its_tensors(demo: Path, tmp_path: Path, asker: Asker) -> None:
    names = [f"part-{number:05}-of-00003.gguf" for number in range(1, 4)]
    split(demo, [tmp_path / name for name in names])
    target = tmp_path / "joined-Q8_0.gguf"
    quantize_file(tmp_path / names[0], target, "Q8_0", threads=1)
    quantize_file(demo, tmp_path / "whole.gguf", "Q8_0", threads=1)
    joined = {t.name: t.data.tobytes() for t in gguf.GGUFReader(target).tensors}
    assert joined == {t.name: t.data.tobytes() for t in gguf.GGUFReader(tmp_path / "whole.gguf").tensors}
    assert asker.load(target).quantization == "Q8_0"
    assert asker.ask("What is TTFT?", max_tokens=4).ids
    (tmp_path / names[2]).unlink()
    with pytest.raises(ModelNotFound, match="00003"):
        quantize_file(tmp_path / names[0], tmp_path / "y.gguf", "Q8_0", threads=1)


def split(model: Path, parts: list[Path]) -> None:
    """As llama.cpp's own tool splits: the metadata in the first part, the tensors over all."""
    reader = gguf.GGUFReader(model)
    tensors = list(reader.tensors)
    for number, path in enumerate(parts):
        writer = gguf.GGUFWriter(str(path), "llama")
        if number == 0:
            for name, field in reader.fields.items():
                if not name.startswith("GGUF.") and name != "general.architecture":
                    kind = field.types[0]
                    inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
                    writer.add_key_value(name, field.contents(), kind, inner)
        else:
            writer.kv_data[0].clear()
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", len(parts))
        writer.add_int32("split.tensors.count", len(tensors))
        for tensor in tensors[number :: len(parts)]:
            writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def test_a_cancel_leaves_nothing_behind_and_ends_the_child(demo: Path, tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    cancel = threading.Event()
    with pytest.raises(UserError) as caught:
        quantize_file(
            demo,
            tmp_path / "made" / "x.gguf",
            "IQ4_XS",
            on_progress=lambda part: cancel.set(),
            cancel=cancel,
            threads=1,
        )
    assert caught.value.code == "cancelled"
    assert list((tmp_path / "made").iterdir()) == []
    assert set(psutil.Process().children()) <= before


def test_a_killed_child_is_a_sentence_and_leaves_nothing(demo: Path, tmp_path: Path) -> None:
    before = set(psutil.Process().children())

    def kill(fraction: float) -> None:
        for child in set(psutil.Process().children()) - before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(EngineCrashed, match="stopped unexpectedly"):
        quantize_file(demo, tmp_path / "made" / "x.gguf", "IQ4_XS", on_progress=kill, threads=1)
    assert list((tmp_path / "made").iterdir()) == []


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
    with pytest.raises(UserError, match="no quantization"):
        quantize_file(demo, tmp_path / "x.gguf", "NVFP4")
    with pytest.raises(ModelNotFound):
        quantize_file(tmp_path / "nowhere.gguf", tmp_path / "x.gguf", "Q8_0")
    with pytest.raises(ModelFileError, match="is a LoRA adapter, not a model"):
        quantize_file(write_adapter(tmp_path / "a.gguf", random_pairs(demo)), tmp_path / "x.gguf", "Q8_0")
    assert not (tmp_path / "x.gguf").exists()


@pytest.mark.parametrize("threads", [0, -1, 999_999])
def test_a_number_of_threads_that_no_machine_has_is_a_sentence(demo: Path, tmp_path: Path, threads: int) -> None:
    with pytest.raises(UserError, match="from 1 to 1,024"):
        quantize_file(demo, tmp_path / "made" / "x.gguf", "Q8_0", threads=threads)
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes are Linux")
def test_paths_that_are_no_utf_8_are_sentences(demo: Path, tmp_path: Path) -> None:
    odd = tmp_path / "\udcff.gguf"
    odd.write_bytes(demo.read_bytes())
    for source, target, matrix in ((odd, tmp_path / "x", None), (demo, odd, None), (demo, tmp_path / "x", str(odd))):
        with pytest.raises(UserError, match="not UTF-8"):
            quantize_file(source, target, "Q8_0", options=QuantizeOptions(matrix=matrix), threads=1)
    assert not (tmp_path / "x").exists()
    assert odd.read_bytes() == demo.read_bytes()


def test_requantizing_needs_a_word_and_gets_a_warning(demo: Path, tmp_path: Path) -> None:
    small, target = tmp_path / "small.gguf", tmp_path / "x.gguf"
    quantize_file(demo, small, "Q4_K_M", threads=1)
    with pytest.raises(UserError, match="allow requantizing") as caught:
        quantize_file(small, target, "Q2_K", threads=1)
    assert caught.value.code == "quantize_source_unsuitable"
    assert not target.exists()
    (note,) = quantize_file(small, target, "Q2_K", options=QuantizeOptions(allow_requantize=True), threads=1).notes
    assert "Q4_K_M already" in note
    quantize_file(demo, small, "Q8_0", threads=1)
    assert quantize_file(small, target, "Q4_0", threads=1).notes == ()


def test_rows_that_a_type_cannot_divide_are_told(models: Path, tmp_path: Path) -> None:
    (note,) = quantize_file(models / "tiny.gguf", tmp_path / "x.gguf", "Q4_K_M", threads=1).notes
    assert "cannot divide" in note


def test_a_worker_that_dies_is_a_sentence(demo: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(EngineCrashed):
        quantize_file(demo, tmp_path / "x.gguf", "Q8_0", command=("/bin/true",))
    assert time.monotonic() - start < 5


@pytest.fixture
def disk(demo: Path, tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with room for the demo model once."""
    if sys.platform != "linux":
        pytest.skip("tmpfs is Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={demo.stat().st_size // 1024 + 5120}k"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting needs more rights")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_too_little_space_is_told_before_anything_is_written(demo: Path, disk: Path) -> None:
    with pytest.raises(StorageFull, match=r"F32 of .* takes \d+\.\d MB, and only \d+\.\d MB are free"):
        quantize_file(demo, disk / "x.gguf", "F32", threads=1)
    assert list(disk.iterdir()) == []
    assert quantize_file(demo, disk / "x.gguf", "Q8_0", threads=1).size_bytes == (disk / "x.gguf").stat().st_size


def test_a_disk_that_fills_up_meanwhile_is_told_and_nothing_is_left(demo: Path, disk: Path) -> None:
    filler = disk / "filler"

    def fill(fraction: float) -> None:
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while file.write(bytes(65_536)):
                pass

    with pytest.raises(StorageFull, match="became full"):
        quantize_file(demo, disk / "x.gguf", "F16", on_progress=fill, threads=1)
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_folder_that_cannot_be_written_is_a_sentence(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        quantize_file(demo, tmp_path / "file" / "x.gguf", "Q8_0", threads=1)
