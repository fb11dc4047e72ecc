"""What the library remembers between two looks: files that are gone, changed, registered, and their headers."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.gguf_files import write_model
from workbench.errors import ModelFileError
from workbench.hub.descriptions import DescriptionCache
from workbench.hub.importing import add_file
from workbench.hub.index import KnownFile, LibraryIndex
from workbench.hub.library import ModelLibrary
from workbench.hub.patience import Patience
from workbench.paths import Paths, Resources


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.below(tmp_path / "home").create()


def library_of(paths: Paths, *folders: Path, patience: Patience | None = None) -> ModelLibrary:
    return ModelLibrary(paths, Resources(paths.data, paths.data), folders, patience=patience)


def test_a_file_that_is_gone_is_told_until_it_is_back_or_forgotten(paths: Paths) -> None:
    path = write_model(paths.models / "m-Q8_0.gguf", kind=8, file_type=7)
    write_model(paths.models / "m-Q4_K_M.gguf", kind=12, file_type=15)
    library_of(paths).list()
    content = path.read_bytes()
    path.unlink()
    library = library_of(paths)
    (entry,) = library.list()
    gone = next(file for file in entry.files if file.path == path)
    assert gone.problem == f"m-Q8_0.gguf is gone from {paths.models}. Put it back, or remove it from the list."
    assert (entry.choices, entry.is_usable) == (("Q4_K_M",), True)
    with pytest.raises(ModelFileError, match="is gone from"):
        library.resolve("m", "Q8_0")
    path.write_bytes(content)
    assert library.list()[0].problem is None
    path.unlink()
    library.forget(gone)
    assert [file.quantization for file in library.list()[0].files] == ["Q4_K_M"]


def test_files_of_a_folder_that_is_not_there_are_not_missed_one_by_one(paths: Paths, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    write_model(drive / "m.gguf")
    library_of(paths, drive).list()
    drive.rename(tmp_path / "unplugged")
    library = library_of(paths, drive)
    assert library.list() == []
    (problem,) = library.problems
    assert str(drive) in problem
    (tmp_path / "unplugged").rename(drive)
    assert library.list()[0].problem is None
    assert library_of(paths).list() == []  # a folder that the settings name no more is not looked into


def test_folder_that_hangs_is_a_sentence_and_its_files_are_not_missed(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = tmp_path / "network"
    write_model(dead / "far.gguf")
    write_model(paths.models / "near.gguf")
    library = library_of(paths, dead, patience=Patience(limit_s=0.2))
    assert len(library.list()) == 2
    walk, release = os.walk, threading.Event()

    def hanging_walk(top: str, **options: object) -> Iterator[tuple[str, list[str], list[str]]]:
        if top == str(dead):
            release.wait(20)
        yield from walk(top, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "walk", hanging_walk)
    try:
        assert [(entry.name, entry.problem) for entry in library.list()] == [("near", None)]
        (problem,) = library.problems
        assert f"{dead} does not answer" in problem
    finally:
        release.set()


def test_a_changed_file_warns_and_still_runs_until_the_change_is_accepted(paths: Paths) -> None:
    path = write_model(paths.models / "m-Q8_0.gguf", kind=8)
    library_of(paths).list()
    write_model(path, kind=8, weights=4096)
    library = library_of(paths)
    (entry,) = library.list()
    (file,) = entry.files
    assert file.warning is not None
    assert "had 2.43 kB and has 4.61 kB" in file.warning
    assert library.resolve("m").path == str(path)
    assert library_of(paths).list()[0].files[0].warning == file.warning
    library.accept(file)
    assert library_of(paths).list()[0].files[0].warning is None
    os.utime(path, ns=(1, 10**18))
    assert "was written again on 2001-09-09" in (library.list()[0].files[0].warning or "")


def test_a_damaged_index_is_kept_aside_and_the_library_goes_on(paths: Paths) -> None:
    write_model(paths.models / "m.gguf")
    library_of(paths).list()
    index = paths.data / "library.json"
    for content in ("{", "[]", '{"version": 1, "files": [{"parts": []}]}', "\x00" * 50, '{"version": 1, "files": 3}'):
        index.write_text(content)
        library = library_of(paths)
        assert [entry.problem for entry in library.list()] == [None]
        assert "library.json was damaged" in library.problems[0]
    assert len(list(paths.data.glob("library.json.broken-*"))) == 5
    assert json.loads(index.read_text())["version"] == 1


def test_an_index_of_a_newer_program_is_left_alone(paths: Paths) -> None:
    write_model(paths.models / "m.gguf")
    index = paths.data / "library.json"
    index.write_text('{"version": 99, "files": "of another shape"}')
    library = library_of(paths)
    assert len(library.list()) == 1
    assert "newer version" in library.problems[0]
    assert index.read_text() == '{"version": 99, "files": "of another shape"}'


def test_what_cannot_be_written_is_told_and_kept_for_this_start(paths: Paths, tmp_path: Path) -> None:
    index = LibraryIndex(tmp_path / "file" / "library.json")
    (tmp_path / "file").write_text("no folder")
    known = KnownFile(("/m.gguf",), "registered", "/", 1, 1, "m")
    index.update({"/m.gguf": known})
    assert index.known() == {"/m.gguf": known}
    assert "cannot be written" in index.problems[0]


def _remember(file: Path, number: int) -> None:
    index = LibraryIndex(file)
    for count in range(10):
        path = f"/models/{number}-{count}.gguf"
        index.update({path: KnownFile((path,), "registered", "/models", 1, 1, path)})


def test_processes_lose_nothing_of_one_another(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_remember, args=(tmp_path / "library.json", number)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert len(LibraryIndex(tmp_path / "library.json").known()) == 30


def test_one_process_sees_what_another_registered(paths: Paths, tmp_path: Path) -> None:
    first, second = library_of(paths), library_of(paths)
    path = write_model(tmp_path / "far" / "m.gguf")
    assert (first.list(), second.list()) == ([], [])
    add_file(first, path)
    assert [entry.name for entry in second.list()] == ["m"]


def test_headers_are_read_once_and_again_after_a_change(paths: Paths, tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m-Q8_0.gguf",
        kind=8,
        extra={"tokenizer.chat_template": "{% if enable_thinking %}<think>{% endif %}"},
    )
    cache = DescriptionCache(tmp_path / "headers.json")
    described = cache.of(path)
    assert (described.thinking, described.chat_templates) == ("enable_thinking", ("default",))
    cache.save()
    stamp = path.stat()
    path.write_bytes(b"x" * stamp.st_size)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert DescriptionCache(tmp_path / "headers.json").of(path) == described
    os.utime(path)
    with pytest.raises(ModelFileError):
        DescriptionCache(tmp_path / "headers.json").of(path)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"version": 1, "files": {"/m": [1]}}', '{"version": 1, "files": {"/m": 2}}']
)
def test_a_damaged_cache_of_headers_costs_nothing_but_time(tmp_path: Path, content: str) -> None:
    path = write_model(tmp_path / "m-Q8_0.gguf", kind=8)
    (tmp_path / "headers.json").write_text(content)
    cache = DescriptionCache(tmp_path / "headers.json")
    assert cache.of(path).parameters == 2048
    cache.save()
    assert str(path) in json.loads((tmp_path / "headers.json").read_text())["files"]


@pytest.mark.parametrize("figure", ["-7", "1e999", "9" * 400])
@pytest.mark.parametrize("name", ["parameters", "context_trained", "bits_per_weight"])
def test_remembered_headers_with_figures_that_cannot_be_are_read_again(tmp_path: Path, name: str, figure: str) -> None:
    path = write_model(tmp_path / "m.gguf")
    cache = DescriptionCache(tmp_path / "headers.json")
    described = cache.of(path)
    cache.save()
    kept = json.loads((tmp_path / "headers.json").read_text())
    kept["files"][str(path)][2][name] = 12345
    text = json.dumps(kept).replace("12345", figure)
    (tmp_path / "headers.json").write_text(text)
    assert DescriptionCache(tmp_path / "headers.json").of(path) == described


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        (None, None),
        ("{{ messages }}", "none"),
        ("{% if enable_thinking is defined %}{% endif %}", "enable_thinking"),
        ("{% if thinking %}{% endif %}", "thinking"),
        ("{{ reasoning_effort }}", "reasoning_effort"),
        ("{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}", "always_on"),
        ("{{ content.split('</think>')[-1] }}{% if add_generation_prompt %}{{ '<|Assistant|>' }}{% endif %}", "none"),
        ("{{ '<think>' }}", "none"),
    ],
)
def test_thinking_switch_is_read_from_the_template(paths: Paths, template: str | None, kind: str | None) -> None:
    extra = {"tokenizer.chat_template": template} if template else {}
    write_model(paths.models / "m.gguf", extra=dict(extra))
    assert library_of(paths).list()[0].files[0].thinking == kind


def test_a_real_split_has_its_metadata_in_the_first_part_only(paths: Paths) -> None:
    first = write_model(paths.models / "m-00001-of-00002.gguf", extra={"split.no": 0, "split.count": 2})
    second = paths.models / "m-00002-of-00002.gguf"
    content = write_model(second, extra={"split.no": 1, "split.count": 2}).read_bytes()
    second.write_bytes(content.replace(b"general.architecture", b"general.architecturf"))
    (entry,) = library_of(paths).list()
    assert (entry.problem, entry.files[0].parameters) == (None, 4096)
    first.rename(paths.models / "renamed.gguf")
    second.unlink()
    found = {entry.name: entry.problem for entry in library_of(paths).list()}
    assert "has lost its name" in (found["renamed"] or "")
