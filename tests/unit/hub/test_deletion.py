from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.gguf_files import write_made, write_model
from tests.unit.hub.test_places import REPO, Machine
from workbench.errors import UserError, WorldError
from workbench.hub.deletion import Trash
from workbench.hub.deletion_plan import HIDDEN_FOLDER
from workbench.hub.gguf import ModelFile
from workbench.hub.importing import add_file
from workbench.hub.library import ModelLibrary
from workbench.hub.lineage import lineage_of
from workbench.hub.lock import file_lock
from workbench.paths import Resources


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def q4(tmp_path: Path) -> Path:
    return write_model(tmp_path / "made" / "Qwen3-0.6B-Q4_K_M.gguf", file_type=15, kind=12, weights=256 * 1024)


def file_of(library: ModelLibrary, name: str | None = None) -> ModelFile:
    files = [file for entry in library.list() for file in entry.files]
    return next(file for file in files if name is None or file.path.name == name)


def tree(root: Path) -> dict[str, str]:
    """Every file and link below a folder with its content."""
    return {
        str(path.relative_to(root)): os.readlink(path)
        if path.is_symlink()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def used_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_deleted_file_comes_back_whole_or_goes_for_good(machine: Machine, q4: Path) -> None:
    path = machine.paths.models / q4.name
    path.write_bytes(q4.read_bytes())
    library = machine.library()
    before, size = tree(machine.paths.models), used_bytes(path)
    deletion = library.trash.delete([file_of(library)])
    assert not path.exists()
    assert library.list() == []
    assert (deletion.reclaimed_bytes, deletion.names) == (size, (q4.name,))
    deletion.undo()
    assert tree(machine.paths.models) == before
    assert [entry.problem for entry in library.list()] == [None]
    with pytest.raises(UserError, match="cannot be brought back"):
        deletion.undo()
    library.trash.delete([file_of(library)])
    assert library.trash.empty() == size
    assert tree(machine.paths.models) == {}
    assert list((machine.paths.data / "trash").iterdir()) == []
    assert library.list() == []


def test_what_tells_of_the_making_goes_and_comes_back_too(machine: Machine, q4: Path) -> None:
    path = machine.paths.models / q4.name
    path.write_bytes(q4.read_bytes())
    made, library, before = write_made(path), machine.library(), tree(machine.paths.models)
    deletion = library.trash.delete([file_of(library)])
    assert {item for item in tree(machine.paths.models) if not item.startswith(HIDDEN_FOLDER)} == set()
    assert deletion.names == (q4.name,)
    deletion.undo()
    assert tree(machine.paths.models) == before
    assert lineage_of(path) == made
    library.trash.delete([file_of(library)])
    library.trash.empty()
    assert tree(machine.paths.models) == {}


def test_all_parts_of_a_split_go_and_come_back(machine: Machine) -> None:
    for number in (1, 2):
        write_model(machine.paths.models / f"big-Q8_0-0000{number}-of-00002.gguf", kind=8)
    library = machine.library()
    before = tree(machine.paths.models)
    deletion = library.trash.delete([file_of(library)])
    assert (deletion.reclaimed_bytes, deletion.file_count) == (2 * 4096, 2)
    assert library.list() == []
    deletion.undo()
    assert tree(machine.paths.models) == before


def test_hub_file_goes_as_huggingface_hub_counts_it(machine: Machine, q4: Path) -> None:
    from huggingface_hub import scan_cache_dir

    other = write_model(machine.root / "made" / "Qwen3-0.6B-Q8_0.gguf", kind=8, file_type=7)
    machine.cache_file(REPO, "a" * 40, other.name, other)
    link = machine.cache_file(REPO, "a" * 40, q4.name, q4)
    blob = Path(os.path.realpath(link))
    cached = [
        file
        for repo in scan_cache_dir(machine.hub).repos
        for revision in repo.revisions
        for file in revision.files
        if file.file_name == q4.name
    ]
    strategy = scan_cache_dir(machine.hub).delete_files(*cached)
    before, library = tree(machine.hub), machine.library()
    deletion = library.trash.delete([file_of(library, q4.name)])
    assert deletion.reclaimed_bytes == used_bytes_of(strategy.expected_freed_size)
    assert deletion.file_count == 1, "the link and its content are one file"
    assert {move.source for move in deletion.record.moves} == {link, blob} == {*strategy.files, *strategy.blobs}
    assert [file.quantization for file in library.list()[0].files] == ["Q8_0"]
    assert scan_cache_dir(machine.hub).warnings == []
    deletion.undo()
    assert tree(machine.hub) == before
    library.trash.delete([file_of(library, q4.name)])
    library.trash.empty()
    strategy.execute()
    after = tree(machine.hub)
    assert len(after) == len(before) - 2
    assert not any(q4.name in name for name in after)
    assert len(scan_cache_dir(machine.hub).repos) == 1


def used_bytes_of(size_bytes: int) -> int:
    """In whole blocks of the file systems that tests run on."""
    return -(-size_bytes // 4096) * 4096


def test_content_that_another_revision_uses_stays(machine: Machine, q4: Path) -> None:
    old = machine.cache_file(REPO, "a" * 40, q4.name, q4)
    new = machine.cache_file(REPO, "b" * 40, q4.name, q4)
    library = machine.library()
    deletion = library.trash.delete([file_of(library)])
    assert (deletion.reclaimed_bytes, deletion.file_count) == (0, 0)
    assert "revision aaaaaaaa uses it too" in deletion.notes[0]
    assert (new.exists(), old.read_bytes()) == (False, q4.read_bytes())
    assert library.list()[0].files[0].revision == "a" * 40
    last = library.trash.delete([file_of(library)])
    assert (last.reclaimed_bytes, last.file_count) == (used_bytes(q4), 1)
    last.undo()
    deletion.undo()
    assert new.read_bytes() == old.read_bytes() == q4.read_bytes()


def share(machine: Machine, link: Path) -> Path:
    """Moves a blob into the store of the whole cache, by huggingface_hub's own function."""
    from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store

    blob = link.parent / os.readlink(link)
    key = hashlib.sha256(b"xet" + blob.read_bytes()).hexdigest()
    size = blob.stat().st_size
    assert publish_blob_to_shared_store(
        blob_path=os.path.abspath(blob), xet_hash=key, cache_dir=machine.hub, expected_size=size
    )
    return machine.hub / "blobs" / key[:2] / key


def test_content_in_the_store_of_the_whole_cache_goes_with_its_last_user(machine: Machine, q4: Path) -> None:
    link = machine.cache_file(REPO, "a" * 40, q4.name, q4)
    payload = share(machine, link)
    library = machine.library()
    size = used_bytes(payload)
    assert library.sha256_of(file_of(library)) == hashlib.sha256(q4.read_bytes()).hexdigest()
    deletion = library.trash.delete([file_of(library)])
    assert (deletion.reclaimed_bytes, deletion.file_count, library.list()) == (size, 1, [])
    deletion.undo()
    assert link.read_bytes() == q4.read_bytes()
    deletion = library.trash.delete([file_of(library)])
    payload.unlink()  # another program swept the store meanwhile
    deletion.undo()
    assert link.read_bytes() == q4.read_bytes()
    assert link.resolve().stat().st_nlink == 1


def test_content_in_the_store_is_removed_when_the_trash_is_emptied(machine: Machine, q4: Path) -> None:
    first = machine.cache_file(REPO, "a" * 40, q4.name, q4)
    payload = share(machine, first)
    second = machine.cache_file("other/repo", "b" * 40, "other-Q4_K_M.gguf", q4)
    share(machine, second)
    library = machine.library()
    for name, freed in ((first.name, 0), (second.name, used_bytes(payload))):
        assert library.trash.delete([file_of(library, name)]).reclaimed_bytes == freed
        library.trash.empty()
        assert payload.exists() == (freed == 0)


def test_hard_links_and_links_free_nothing(machine: Machine, q4: Path) -> None:
    hard = machine.paths.models / "hard-Q4_K_M.gguf"
    os.link(q4, hard)
    library = machine.library()
    assert library.trash.delete([file_of(library)]).reclaimed_bytes == 0
    hard_in_both = [machine.paths.models / name for name in ("a-Q4_K_M.gguf", "b-Q4_K_M.gguf")]
    source = write_model(machine.root / "x.gguf", kind=12, file_type=15)
    for path in hard_in_both:
        os.link(source, path)
    size = used_bytes(source)
    source.unlink()
    both = [library.describe(path) for path in hard_in_both]
    assert library.trash.delete(both).reclaimed_bytes == size
    link = machine.paths.models / "soft-Q4_K_M.gguf"
    link.symlink_to(q4)
    deletion = library.trash.delete([file_of(library)])
    assert (deletion.reclaimed_bytes, q4.exists(), os.path.lexists(link)) == (0, True, False)
    assert "which it meant, stays" in deletion.notes[0]
    assert deletion.file_count == 0


def test_registered_file_is_only_taken_from_the_list(machine: Machine, q4: Path) -> None:
    library = machine.library()
    add_file(library, q4)
    deletion = library.trash.delete([file_of(library)])
    assert (library.list(), q4.exists(), deletion.reclaimed_bytes) == ([], True, 0)
    assert "stays where it lies" in deletion.notes[0]
    assert deletion.file_count == 0
    deletion.undo()
    assert file_of(library).origin == "registered"


def test_a_file_that_is_gone_is_taken_from_the_list(machine: Machine, q4: Path) -> None:
    library = machine.library()
    path = machine.paths.models / q4.name
    path.write_bytes(q4.read_bytes())
    library.list()
    path.unlink()
    deletion = library.trash.delete([file_of(library)])
    assert (library.list(), deletion.reclaimed_bytes) == ([], 0)


def test_what_belongs_to_others_or_is_used_is_refused(machine: Machine, q4: Path) -> None:
    write_model(machine.home / ".lmstudio" / "models" / "a" / "b" / "studio.gguf", weights=512)
    machine.ollama_model("library/qwen3:1b", q4)
    write_model(machine.root / "models" / "demo-F16.gguf", name="Demo model")
    used = write_model(machine.paths.models / "used-Q8_0.gguf", kind=8)
    loading = write_model(machine.paths.models / "loading-Q8_0.gguf", kind=8, weights=1024)
    loading.with_name(f"{loading.name}.aria2").touch()
    library = machine.library()
    library_with_demo = ModelLibrary(machine.paths, Resources(machine.root, machine.root))
    cases = [
        (file_of(library, "studio.gguf"), "LM Studio"),
        (
            next(file for entry in library.list() for file in entry.files if file.origin == "ollama"),
            "ollama rm qwen3:1b",
        ),
        (file_of(library, used.name), "is loaded"),
        (file_of(library, loading.name), "is being downloaded"),
        (file_of(library_with_demo, "demo-F16.gguf"), "demo model"),
    ]
    before = tree(machine.home), tree(machine.paths.models)
    good = write_model(machine.paths.models / "good.gguf", weights=256)
    for file, reason in cases:
        with pytest.raises(UserError, match=reason):
            library.trash.delete([file_of(library, "good.gguf"), file], in_use=[used])
    assert good.exists()
    good.unlink()
    assert (tree(machine.home), tree(machine.paths.models)) == before


def _hold(path: Path) -> subprocess.Popen[str]:
    script = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_file_that_another_process_downloads_is_not_touched(machine: Machine, q4: Path) -> None:
    link = machine.cache_file(REPO, "a" * 40, q4.name, q4)
    blob = link.parent / os.readlink(link)
    lock = machine.hub / ".locks" / link.parents[2].name / f"{blob.name}.lock"
    lock.parent.mkdir(parents=True)
    (blob.parent / f"{blob.name}.incomplete").write_bytes(b"half")
    library, before = machine.library(), tree(machine.hub)
    with _hold(lock) as child:
        before = tree(machine.hub)
        with pytest.raises(UserError, match="being downloaded, here or by another program"):
            library.trash.delete([file_of(library)])
        assert tree(machine.hub) == before
        assert child.stdin is not None
        child.stdin.close()
    library.trash.delete([file_of(library)])
    library.trash.empty()
    assert (
        blob.parent / f"{os.path.basename(os.readlink(link)) if link.is_symlink() else lock.stem}.incomplete"
    ).exists()


def test_undo_never_overwrites(machine: Machine, q4: Path) -> None:
    path = machine.paths.models / q4.name
    path.write_bytes(q4.read_bytes())
    library = machine.library()
    deletion = library.trash.delete([file_of(library)])
    path.write_bytes(b"something of somebody")
    with pytest.raises(UserError, match="another file at"):
        deletion.undo()
    assert path.read_bytes() == b"something of somebody"
    path.unlink()
    deletion.undo()
    assert path.read_bytes() == q4.read_bytes()


def test_undo_says_when_the_trash_was_removed_by_others(machine: Machine, q4: Path) -> None:
    (machine.paths.models / q4.name).write_bytes(q4.read_bytes())
    library = machine.library()
    deletion = library.trash.delete([file_of(library)])
    deletion.record.moves[0].target.unlink()
    with pytest.raises(WorldError, match=r"not in the trash any more: something else has removed it[.]$"):
        deletion.undo()


def test_undo_brings_back_what_others_left_in_the_trash(machine: Machine, q4: Path) -> None:
    for number in (1, 2):
        write_model(machine.paths.models / f"big-Q8_0-0000{number}-of-00002.gguf", kind=8)
    library = machine.library()
    deletion = library.trash.delete([file_of(library)])
    deletion.record.moves[0].target.unlink()
    with pytest.raises(WorldError, match=r"removed it[.] The rest is back[.]$"):
        deletion.undo()
    assert [path.name for path in machine.paths.models.glob("*.gguf")] == ["big-Q8_0-00002-of-00002.gguf"]


def test_what_could_not_be_removed_can_still_be_brought_back(
    machine: Machine, q4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = delete_and_crash(machine, q4)
    library = machine.library()
    (leftover,) = library.trash.leftovers()
    unlink = Path.unlink

    def failing(self: Path, missing_ok: bool = False) -> None:
        if self.suffix != ".json":
            raise PermissionError(1, "Operation not permitted", str(self))
        unlink(self, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", failing)
        assert leftover.empty() == 0
    assert library.trash.leftovers() == (leftover,)
    leftover.undo()
    assert path.read_bytes() == q4.read_bytes()


def test_a_move_that_fails_changes_nothing(machine: Machine, q4: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        write_model(machine.paths.models / f"big-Q8_0-0000{number}-of-00002.gguf", kind=8)
    library = machine.library()
    file, before, rename = file_of(library), tree(machine.paths.models), os.rename

    def failing(source: Path, target: Path) -> None:
        if "00002-of" in source.name:
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(WorldError, match=r"Permission denied\. Nothing was changed"):
        library.trash.delete([file])
    assert tree(machine.paths.models) == before
    assert library.trash.pending == ()


def delete_and_crash(machine: Machine, q4: Path) -> Path:
    """Another program deletes the only model and ends at once."""
    path = machine.paths.models / q4.name
    path.write_bytes(q4.read_bytes())
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom tests.unit.hub.test_deletion import Machine, file_of\n"
        "library = Machine(Path(sys.argv[1])).library()\nlibrary.trash.delete([file_of(library)])\nos._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(machine.root)], check=False, timeout=60)
    assert not path.exists()
    return path


def test_deletion_of_a_crashed_program_is_offered_and_can_be_undone(machine: Machine, q4: Path) -> None:
    path = delete_and_crash(machine, q4)
    library = machine.library()
    assert len(library.trash.leftovers()) == 1
    assert library.trash.empty() == 0  # nobody asked for it
    (leftover,) = library.trash.leftovers()
    assert (leftover.names, leftover.places) == ((q4.name,), (path.parent,))
    assert machine.library().trash.leftovers() == ()  # not to two programs at once
    leftover.undo()
    assert path.read_bytes() == q4.read_bytes()
    assert library.trash.leftovers() == ()
    library.trash.empty()
    assert list((machine.paths.data / "trash").iterdir()) == []


def test_deletion_of_a_crashed_program_can_be_emptied(machine: Machine, q4: Path) -> None:
    delete_and_crash(machine, q4)
    library = machine.library()
    (leftover,) = library.trash.leftovers()
    assert leftover.empty() == used_bytes(q4)
    library.trash.empty()
    assert tree(machine.paths.models) == {}
    assert list((machine.paths.data / "trash").iterdir()) == []


def test_what_a_running_program_deleted_is_not_offered_to_another(machine: Machine, q4: Path) -> None:
    path = machine.paths.models / q4.name
    path.write_bytes(q4.read_bytes())
    library, other = machine.library(), machine.library()
    deletion = library.trash.delete([file_of(library)])
    assert other.trash.leftovers() == ()
    assert other.trash.empty() == 0
    deletion.undo()
    assert path.exists()


def test_leftovers_with_a_damaged_record_are_left_alone(machine: Machine) -> None:
    folder = machine.paths.data / "trash" / "abc"
    folder.mkdir(parents=True)
    for name, content in (("a", "{"), ("b", '{"version": 1}'), ("c", "[]"), ("d", '{"version": 1, "moves": [3]}')):
        (folder / f"{name}.json").write_text(content)
    trash = Trash(machine.paths.data / "trash", machine.library().index)
    assert trash.leftovers() == ()
    trash.empty()
    assert len(list(folder.glob("*.json"))) == 4
    with file_lock(folder / "session.lock"):
        pass
