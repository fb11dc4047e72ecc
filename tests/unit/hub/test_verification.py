from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.gguf_files import write_model
from tests.unit.hub.test_places import REPO, Machine
from workbench.hub.gguf import ModelFile
from workbench.hub.hashing import HashCancelled, hash_file, hash_files
from workbench.hub.library import ModelLibrary
from workbench.hub.verification import Verification


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def only_file(library: ModelLibrary) -> ModelFile:
    ((file,),) = [entry.files for entry in library.list()]
    return file


def outcome(result: Verification) -> dict[str, bool | None]:
    return {check.name: check.passed for check in result.checks}


def damage(path: Path) -> None:
    """One byte of the weights, with size and time of the last write as they were."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_file_of_the_hub_is_compared_with_the_hash_of_the_hub(machine: Machine, tmp_path: Path) -> None:
    source = write_model(tmp_path / "made" / "m-Q8_0.gguf", kind=8)
    link = machine.cache_file(REPO, "a" * 40, source.name, source)
    library = machine.library()
    fractions: list[float | None] = []
    result = library.verify(only_file(library), fractions.append)
    assert outcome(result) == {"parts": True, "header": True, "size": True, "content": True}
    assert (result.is_proven, result.sha256, fractions[-1]) == (True, hash_file(source), 1.0)
    damage(link.resolve())
    result = library.verify(only_file(library))
    assert (result.is_sound, outcome(result)["content"]) == (False, False)
    assert "download it again" in result.checks[-1].sentence


def test_a_model_of_ollama_is_compared_with_its_digest(machine: Machine, tmp_path: Path) -> None:
    blob = machine.ollama_model("library/m:1b", write_model(tmp_path / "made" / "m-Q8_0.gguf", kind=8))
    library = machine.library()
    assert library.verify(only_file(library)).is_proven
    damage(blob)
    assert "Ollama says" in library.verify(only_file(library)).checks[-1].sentence


def test_an_own_file_is_compared_with_its_first_hash(machine: Machine) -> None:
    path = write_model(machine.paths.models / "m-Q8_0.gguf", kind=8)
    library = machine.library()
    first = library.verify(only_file(library))
    assert (first.is_sound, first.is_proven, outcome(first)["content"]) == (True, False, None)
    assert library.verify(only_file(machine.library())).is_proven
    damage(path)
    again = machine.library()
    result = again.verify(only_file(again))
    assert outcome(result)["content"] is False
    assert f"was {first.sha256}" in result.checks[-1].sentence


def test_a_changed_size_and_a_cut_are_told_apart(machine: Machine) -> None:
    path = write_model(machine.paths.models / "m-Q8_0.gguf", kind=8)
    library = machine.library()
    file = only_file(library)
    content = path.read_bytes()
    path.write_bytes(content + b"more")
    assert outcome(library.verify(file)) == {"parts": True, "header": True, "size": False, "content": None}
    path.write_bytes(content[:-100])
    result = library.verify(file)
    assert outcome(result)["header"] is False
    assert "is cut off" in result.checks[1].sentence


def test_parts_are_counted_and_their_order_is_looked_at(machine: Machine) -> None:
    names = [machine.paths.models / f"big-Q8_0-0000{number}-of-00002.gguf" for number in (1, 2)]
    for number, path in enumerate(names):
        write_model(path, kind=8, extra={"split.no": number, "split.count": 2, "split.tensors.count": 2})
    library = machine.library()
    file = only_file(library)
    result = library.verify(file)
    assert (outcome(result)["header"], result.sha256) == (True, hash_files(names))
    contents = [path.read_bytes() for path in names]
    for path, content in zip(names, reversed(contents), strict=True):
        path.write_bytes(content)
    assert "mixed up" in library.verify(file).checks[1].sentence
    names[1].unlink()
    result = library.verify(file)
    assert (outcome(result), result.sha256) == ({"parts": False}, None)
    assert "Missing: big-Q8_0-00002-of-00002.gguf" in result.checks[0].sentence


def test_verifying_accepts_a_change_that_is_proven(machine: Machine) -> None:
    path = write_model(machine.paths.models / "m-Q8_0.gguf", kind=8)
    library = machine.library()
    library.verify(only_file(library))
    os.utime(path, ns=(1, 10**18))
    assert only_file(library).warning is not None
    assert library.verify(only_file(library)).is_proven
    assert only_file(library).warning is None


def test_verifying_can_be_cancelled(machine: Machine) -> None:
    write_model(machine.paths.models / "m-Q8_0.gguf", kind=8)
    library = machine.library()
    with pytest.raises(HashCancelled):
        library.verify(only_file(library), cancel=lambda: True)


@pytest.mark.parametrize("size_bytes", [300, 5_000_000])
def test_a_file_that_changes_while_it_is_read_is_not_sound_and_its_hash_is_not_kept(
    machine: Machine, size_bytes: int
) -> None:
    path = write_model(machine.paths.models / "m-Q8_0.gguf", kind=8)
    library = machine.library()
    file = only_file(library)

    def change(fraction: float | None) -> None:
        os.truncate(path, size_bytes)

    result = library.verify(file, change)
    assert (result.is_sound, result.sha256) == (False, None)
    assert "changed while it was read" in result.checks[-1].sentence
