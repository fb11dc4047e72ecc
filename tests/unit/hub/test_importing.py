from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tests.fakes.gguf_files import header, write_made, write_model
from tests.unit.hub.test_places import Machine
from workbench.errors import ModelFileError, ModelNotFound, StorageFull, UserError
from workbench.hub.importing import How, ImportCancelled, add_file
from workbench.hub.lineage import lineage_file, lineage_of


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "downloads" / "m-Q4_K_M.gguf", file_type=15, kind=12)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_registered_file_stays_where_it_lies_and_is_found_by_name(machine: Machine, model: Path) -> None:
    library = machine.library()
    addition = add_file(library, model)
    assert addition.sentences == ("m-Q4_K_M.gguf was added where it lies. Nothing was copied.",)
    assert [file.origin for file in addition.files] == ["registered"]
    assert list(machine.paths.models.iterdir()) == []
    for again in (library, machine.library()):
        assert again.resolve("m").path == str(model)
    model.unlink()
    assert "is gone from" in (machine.library().list()[0].problem or "")


@pytest.mark.parametrize(("how", "kept"), [("copy", True), ("move", False), ("link", True)])
def test_a_file_can_be_copied_moved_or_linked_into_the_folder(
    machine: Machine, model: Path, how: How, kept: bool
) -> None:
    library, before = machine.library(), digest(model)
    fractions: list[float | None] = []
    (file,) = add_file(library, model, how, fractions.append).files
    assert file.path == machine.paths.models / model.name
    assert (digest(file.path), model.exists(), file.path.is_symlink()) == (before, kept, how == "link")
    assert fractions == ([1.0] if how == "copy" else [])
    assert library.resolve("m").path == str(file.path)
    if how == "copy":
        assert library.resolve("m").sha256 == before
    assert [path.name for path in machine.paths.models.iterdir() if not path.name.startswith(".")] == [model.name]


@pytest.mark.parametrize("how", ["copy", "move", "move to another disk", "link"])
def test_what_tells_of_the_making_comes_along(
    machine: Machine, model: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_made(model)
    write_made(machine.paths.models / model.name)  # of a model that was removed by hand
    library = machine.library()
    with monkeypatch.context() as patched:
        if how == "move to another disk":
            patched.setattr(os, "rename", refuse_other_disk)
        (file,) = add_file(library, model, how.split()[0]).files  # type: ignore[arg-type]
    assert lineage_of(file.path) == made
    assert lineage_file(model).exists() == (not how.startswith("move"))
    assert sorted(path.name for path in machine.paths.models.iterdir() if path.name != ".adding.lock") == [
        model.name,
        lineage_file(model).name,
    ]
    library.trash.delete(list(library.list()[0].files))
    library.trash.empty()
    assert not os.path.lexists(lineage_file(file.path))
    assert lineage_of(model) == (None if how.startswith("move") else made)


def refuse_other_disk(source: Path, target: Path) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_all_parts_come_along_whichever_is_named(machine: Machine, tmp_path: Path) -> None:
    parts = [write_model(tmp_path / "far" / f"big-Q8_0-0000{number}-of-00002.gguf", kind=8) for number in (1, 2)]
    (file,) = add_file(machine.library(), parts[1], "copy").files
    assert [digest(part) for part in file.parts] == [digest(part) for part in parts]
    parts[0].unlink()
    with pytest.raises(ModelFileError, match=r"00001-of-00002\.gguf is missing"):
        add_file(machine.library(), parts[1])


def test_what_is_no_model_is_refused_with_what_it_is(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    write_model(folder / "mmproj-F16.gguf")
    write_model(folder / "eyes.gguf", architecture="clip")
    write_model(folder / "lora.gguf", extra={"general.type": "adapter"})
    write_model(folder / "imatrix.gguf", extra={"general.type": "imatrix"})
    (folder / "vocabulary.gguf").write_bytes(header({"general.architecture": "llama"}, {}) + bytes(64))
    (folder / "page.gguf").write_text("<html>this is what a broken link downloaded</html>")
    whole = write_model(folder / "cut.gguf").read_bytes()
    (folder / "cut.gguf").write_bytes(whole[:-100])
    reasons = {
        "mmproj-F16": "is a projector", "eyes": "is a projector", "lora": "is a LoRA adapter", "imatrix": "'imatrix'",
        "vocabulary": "no weights", "page": "not a GGUF", "cut": "is cut off",
    }  # fmt: skip
    library = machine.library()
    for name, reason in reasons.items():
        with pytest.raises(ModelFileError, match=reason):
            add_file(library, folder / f"{name}.gguf")
    with pytest.raises(UserError, match=r"Nothing in .* can be added"):
        add_file(library, folder)
    with pytest.raises(ModelNotFound, match="nothing at"):
        add_file(library, folder / "absent.gguf")
    assert library.list() == []


def test_a_folder_adds_what_it_can_and_says_what_it_cannot(machine: Machine, model: Path) -> None:
    write_model(model.parent / "below" / "other-Q8_0.gguf", kind=8, file_type=7)
    (model.parent / "note.gguf").write_text("a text of somebody that is no model")
    library = machine.library()
    addition = add_file(library, model.parent)
    assert {file.path.name for file in addition.files} == {"m-Q4_K_M.gguf", "other-Q8_0.gguf"}
    assert len(addition.sentences) == 3
    assert any("note.gguf" in sentence for sentence in addition.sentences)
    empty = machine.root / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"no \.gguf file in"):
        add_file(library, empty)


@pytest.mark.parametrize("how", ["register", "copy", "move", "link"])
def test_the_same_content_twice_is_noticed(machine: Machine, model: Path, how: How) -> None:
    library = machine.library()
    add_file(library, model)
    copy = machine.root / "elsewhere-Q4_K_M.gguf"
    shutil.copyfile(model, copy)
    hard = machine.root / "hard-Q4_K_M.gguf"
    os.link(model, hard)
    for path in (model, copy, hard):
        addition = add_file(library, path, how)
        assert addition.files == ()
        assert "is in the library already" in addition.sentences[0]
        assert path.exists()
    different = write_model(machine.root / "different-Q4_K_M.gguf", file_type=15, kind=12, name="Tinx")
    assert different.stat().st_size == model.stat().st_size
    assert len(add_file(library, different, how).files) == 1


def test_a_name_that_is_taken_is_never_overwritten(machine: Machine, model: Path) -> None:
    there = machine.paths.models / model.name
    there.write_bytes(b"another file that is no model at all")
    for how in ("copy", "move", "link"):
        with pytest.raises(UserError, match="another file at"):
            add_file(machine.library(), model, how)
    assert there.read_bytes() == b"another file that is no model at all"
    assert model.exists()


def test_cancelled_and_failed_copies_leave_nothing(
    machine: Machine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = machine.library()
    with pytest.raises(ImportCancelled):
        add_file(library, model, "copy", cancel=lambda: True)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 1000))
    with pytest.raises(StorageFull, match="Add it where it lies"):
        add_file(library, model, "copy")
    assert [path for path in machine.paths.models.iterdir() if path.name != ".adding.lock"] == []
    assert model.exists()


def test_a_blob_without_a_name_gets_one(machine: Machine, model: Path, tmp_path: Path) -> None:
    blob = tmp_path / "sha256-abc"
    shutil.copyfile(model, blob)
    library = machine.library()
    (file,) = add_file(library, blob, "copy").files
    assert file.path.name == "Tiny-Q4_K_M.gguf"


def test_a_link_is_not_moved(machine: Machine, model: Path) -> None:
    link = machine.root / "link-Q4_K_M.gguf"
    link.symlink_to(model)
    with pytest.raises(UserError, match="is a link"):
        add_file(machine.library(), link, "move")


def _copy_in(root: Path, model: Path) -> None:
    try:
        add_file(Machine(root).library(), model, "copy")
    except UserError as error:
        assert "another file at" in error.message  # noqa: PT017 - the child's own check


def test_processes_that_add_the_same_file_leave_one_whole_copy(machine: Machine, model: Path) -> None:
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_copy_in, args=(machine.root, model)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    files = [path for path in machine.paths.models.iterdir() if path.name != ".adding.lock"]
    assert [(path.name, digest(path)) for path in files] == [(model.name, digest(model))]
