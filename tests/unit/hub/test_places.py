from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.gguf_files import write_model
from tests.fakes.hub_server import HubServer
from workbench.errors import ModelFileError, ModelNotFound
from workbench.hub import places
from workbench.hub.library import ModelLibrary
from workbench.hub.patience import NoAnswer, Patience
from workbench.hub.places import Place, other_places
from workbench.paths import Paths, Resources

REPO = "Qwen/Qwen3-0.6B-GGUF"


class Machine:
    """A home folder with other programs' models, and a library that finds them."""

    def __init__(self, root: Path) -> None:
        self.home = root / "user"
        self.hub = self.home / ".cache" / "huggingface" / "hub"
        self.ollama = self.home / ".ollama" / "models"
        self.paths = Paths.below(root / "home").create()
        self.root = root

    def library(self, *folders: Path, patience: Patience | None = None) -> ModelLibrary:
        found: Callable[[], tuple[Place, ...]] = lambda: tuple(  # noqa: E731
            place for place in other_places({}, self.home) if place.root.is_relative_to(self.root)
        )
        resources = Resources(self.root, self.root)
        return ModelLibrary(self.paths, resources, folders, find_places=found, patience=patience)

    def cache_file(self, repo_id: str, revision: str, name: str, source: Path, *, is_main: bool = True) -> Path:
        """As huggingface_hub lays it out: the content by its hash, the name as a link to it."""
        repository = self.hub / ("models--" + repo_id.replace("/", "--"))
        blob = repository / "blobs" / hashlib.sha256(source.read_bytes()).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        if not blob.exists():
            shutil.copyfile(source, blob)
        link = repository / "snapshots" / revision / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
        if is_main:
            (repository / "refs").mkdir(exist_ok=True)
            (repository / "refs" / "main").write_text(revision)
        return link

    def ollama_model(self, name: str, source: Path, *layers: dict[str, object]) -> Path:
        """As Ollama lays it out; `name` is namespace/model:tag below the usual host."""
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        blob = self.ollama / "blobs" / f"sha256-{digest}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        if not blob.exists():
            shutil.copyfile(source, blob)
        model = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": 1}
        model_name, tag = name.split(":")
        manifest = self.ollama / "manifests" / "registry.ollama.ai" / model_name / tag
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [model, *layers]}))
        return blob


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def q8(tmp_path: Path) -> Path:
    return write_model(tmp_path / "made" / "Qwen3-0.6B-Q8_0.gguf", file_type=7, kind=8, name="Qwen3 0.6B")


@pytest.fixture
def q4(tmp_path: Path) -> Path:
    return write_model(tmp_path / "made" / "Qwen3-0.6B-Q4_K_M.gguf", file_type=15, kind=12, name="Qwen3 0.6B")


def test_hub_cache_is_found_with_repository_and_revision(machine: Machine, q8: Path, q4: Path) -> None:
    machine.cache_file(REPO, "a" * 40, q8.name, q8)
    link = machine.cache_file(REPO, "a" * 40, q4.name, q4)
    (entry,) = machine.library().list()
    assert (entry.name, entry.repo_id, entry.quantizations) == ("Qwen3-0.6B", REPO, ("Q8_0", "Q4_K_M"))
    assert entry.origins == ("hub_cache",)
    assert entry.files[1].path == link
    assert entry.files[1].revision == "a" * 40
    assert entry.files[1].written_ns == link.stat().st_mtime_ns


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        (REPO, "Q4_K_M"),
        (REPO.lower(), "Q4_K_M"),
        (f"{REPO}:Q8_0", "Q8_0"),
        (f"{REPO}:q8_0", "Q8_0"),
        ("qwen3-0.6b:Q8_0", "Q8_0"),
        ("Qwen3-0.6B-Q8_0", "Q8_0"),
        ("qwen3", "Q4_K_M"),
    ],
)
def test_models_of_the_cache_have_many_names(
    machine: Machine, q8: Path, q4: Path, name: str, quantization: str
) -> None:
    machine.cache_file(REPO, "a" * 40, q8.name, q8)
    machine.cache_file(REPO, "a" * 40, q4.name, q4)
    library = machine.library()
    ref = library.resolve(name)
    assert (ref.name, ref.quantization) == ("Qwen3-0.6B", quantization)
    assert ref.sha256 is None  # the name of a blob is a promise; what runs is hashed
    digest = library.compute_sha256(ref)
    assert (library.resolve(name).sha256, Path(os.path.realpath(ref.path)).name) == (digest, digest)


def test_quantizations_of_a_repository_are_siblings_by_name_and_by_path(machine: Machine, q8: Path, q4: Path) -> None:
    link = machine.cache_file(REPO, "a" * 40, f"Q8_0/{q8.name}", q8)
    machine.cache_file(REPO, "a" * 40, q4.name, q4)
    library = machine.library()
    ref = library.resolve(str(link))
    assert library.siblings(ref) == ["Q8_0", "Q4_K_M"]
    assert library.resolve(str(link), "Q4_K_M").quantization == "Q4_K_M"
    unknown = ModelLibrary(machine.paths, Resources(machine.root, machine.root))
    assert unknown.siblings(unknown.resolve(str(link))) == ["Q8_0", "Q4_K_M"]


def test_quantizations_with_another_number_of_parameters_are_siblings_in_one_repository(
    machine: Machine, q8: Path, tmp_path: Path
) -> None:
    tied = write_model(tmp_path / "made" / "Qwen3-0.6B-F16.gguf", weights=4096)
    machine.cache_file(REPO, "a" * 40, q8.name, q8)
    machine.cache_file(REPO, "a" * 40, tied.name, tied)
    (entry,) = machine.library().list()
    assert entry.quantizations == ("F16", "Q8_0")


def test_same_name_in_two_repositories_is_told_apart_and_asked_about(
    machine: Machine, q4: Path, tmp_path: Path
) -> None:
    other = write_model(tmp_path / "other" / q4.name, file_type=15, kind=12, name="Tuned by somebody else")
    machine.cache_file(REPO, "a" * 40, q4.name, q4)
    machine.cache_file("else/where", "b" * 40, q4.name, other)
    library = machine.library()
    assert [entry.name for entry in library.list()] == ["Qwen3-0.6B (else/where)", f"Qwen3-0.6B ({REPO})"]
    assert library.resolve(REPO).name == f"Qwen3-0.6B ({REPO})"
    with pytest.raises(ModelNotFound, match=r"begin with 'qwen3'.*else/where.*Give more"):
        library.resolve("qwen3")


def test_repository_with_two_models_asks_which(machine: Machine, q4: Path, tmp_path: Path) -> None:
    draft = write_model(tmp_path / "made" / "draft-Q8_0.gguf", kind=8, weights=512)
    machine.cache_file(REPO, "a" * 40, q4.name, q4)
    machine.cache_file(REPO, "a" * 40, draft.name, draft)
    with pytest.raises(ModelNotFound, match=r"are of 'Qwen/Qwen3-0\.6B-GGUF': draft, Qwen3-0\.6B"):
        machine.library().resolve(REPO)


def test_repository_that_is_not_here_says_how_to_get_it(machine: Machine) -> None:
    with pytest.raises(ModelNotFound, match=r"workbench models pull Qwen/Qwen3-0\.6B-GGUF"):
        machine.library().resolve(REPO)


def test_what_the_real_client_downloaded_is_found(machine: Machine, q8: Path, q4: Path) -> None:
    from huggingface_hub import hf_hub_download

    with HubServer() as hub:
        hub.add_repo(REPO, {q8.name: q8, q4.name: q4, "README.md": b"read me"})
        paths = [
            Path(hf_hub_download(REPO, name, cache_dir=machine.hub, endpoint=hub.url))
            for name in (q8.name, q4.name, "README.md")
        ]
    library = machine.library()
    (entry,) = library.list()
    assert [file.path for file in entry.files] == paths[:2]
    assert {file.revision for file in entry.files} == {paths[0].parent.name}
    assert library.verify(entry.files[1]).is_proven
    before = library.trash.delete([entry.files[0]])
    assert [file.path for file in library.list()[0].files] == paths[1:2]
    before.undo()
    assert hf_hub_download(REPO, q8.name, cache_dir=machine.hub, local_files_only=True) == str(paths[0])


def test_the_revision_of_main_comes_first_and_shared_content_once(machine: Machine, q8: Path, q4: Path) -> None:
    machine.cache_file(REPO, "f" * 40, q8.name, q8)
    old = write_model(machine.root / "old" / q4.name, file_type=15, kind=12, name="before")
    machine.cache_file(REPO, "f" * 40, q4.name, old)
    machine.cache_file(REPO, "0" * 40, q8.name, q8)
    current = machine.cache_file(REPO, "0" * 40, q4.name, q4)
    (entry,) = machine.library().list()
    assert [(file.quantization, (file.revision or "")[0]) for file in entry.files] == [
        ("Q8_0", "0"), ("Q4_K_M", "0"), ("Q4_K_M", "f"),
    ]  # fmt: skip
    assert machine.library().resolve(REPO, "Q4_K_M").path == str(current)


def test_partial_downloads_projectors_and_other_files_are_not_listed(machine: Machine, q8: Path) -> None:
    link = machine.cache_file(REPO, "a" * 40, q8.name, q8)
    blobs = link.parents[2] / "blobs"
    (blobs / f"{'e' * 64}.incomplete").write_bytes(b"GGUF")
    for name in ("mmproj-F16.gguf", "README.md"):
        machine.cache_file(REPO, "a" * 40, name, q8)
    (entry,) = machine.library().list()
    assert [file.path for file in entry.files] == [link]


def test_link_without_content_says_to_download_again(machine: Machine, q8: Path, q4: Path) -> None:
    machine.cache_file(REPO, "a" * 40, q8.name, q8)
    os.unlink(os.path.realpath(machine.cache_file(REPO, "a" * 40, q4.name, q4)))
    library = machine.library()
    (entry,) = library.list()
    assert entry.is_usable
    assert entry.choices == ("Q8_0",)
    assert entry.problem is not None
    assert "gone from the Hugging Face cache" in entry.problem
    with pytest.raises(ModelFileError, match="Download it again"):
        library.resolve(REPO, "Q4_K_M")


def test_split_in_the_cache_is_one_model(machine: Machine, tmp_path: Path) -> None:
    names = [f"big-Q8_0-0000{number}-of-00002.gguf" for number in (1, 2)]
    extra = [{"split.no": number, "split.count": 2, "split.tensors.count": 2} for number in (0, 1)]
    parts = [
        write_model(tmp_path / "made" / name, kind=8, extra=dict(more)) for name, more in zip(names, extra, strict=True)
    ]
    links = [machine.cache_file(REPO, "a" * 40, part.name, part) for part in parts]
    (entry,) = machine.library().list()
    assert entry.files[0].parts == tuple(links)
    os.unlink(links[0])
    assert "00001-of-00002.gguf is missing" in (machine.library().list()[0].problem or "")


def test_ollama_models_are_found_by_the_names_ollama_shows(
    machine: Machine, q8: Path, q4: Path, tmp_path: Path
) -> None:
    license_file = tmp_path / "license"
    license_file.write_text("\n  Apache License 2.0\nmore")
    digest = hashlib.sha256(license_file.read_bytes()).hexdigest()
    layer: dict[str, object] = {"mediaType": "application/vnd.ollama.image.license", "digest": f"sha256:{digest}"}
    blob = machine.ollama_model("library/qwen3:0.6b", q4, layer)
    shutil.copyfile(license_file, machine.ollama / "blobs" / f"sha256-{digest}")
    machine.ollama_model("library/qwen3:latest", q4)
    machine.ollama_model("library/qwen3:0.6b-q8_0", q8)
    library = machine.library()
    (entry,) = library.list()
    assert (entry.name, entry.quantizations, entry.origins) == ("qwen3:0.6b", ("Q8_0", "Q4_K_M"), ("ollama",))
    small = entry.files[1]
    assert (small.path, small.label, small.aliases) == (blob, "qwen3:0.6b", ("qwen3:latest",))
    assert small.license == "Apache License 2.0"
    assert small.is_read_only
    for name in ("qwen3:0.6b", "qwen3:latest", "qwen3", str(blob)):
        assert library.resolve(name).path == str(blob)
    assert library.siblings(library.resolve("qwen3")) == ["Q8_0", "Q4_K_M"]
    assert library.sha256_of(small) == hashlib.sha256(q4.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"layers": [', "no whole JSON"),
        ("[" * 100_000, "no whole JSON|nested too deeply"),
        ('{"layers": 3}', "no list of layers"),
        ('{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../x"}]}', "no SHA-256"),
        ('{"layers": []}' + " " * 2_000_000, "more than"),
        (b"\xff\xfe\xff", "no whole JSON"),
    ],
)
def test_bad_ollama_manifest_is_a_sentence_and_hides_nothing(
    machine: Machine, q4: Path, content: str | bytes, reason: str
) -> None:
    machine.ollama_model("library/good:1b", q4)
    bad = machine.ollama / "manifests" / "registry.ollama.ai" / "library" / "bad" / "latest"
    bad.parent.mkdir()
    bad.write_bytes(content.encode() if isinstance(content, str) else content)
    library = machine.library()
    assert [entry.name for entry in library.list()] == ["good:1b"]
    (problem,) = library.problems
    assert re.search(reason, problem)


def test_ollama_model_without_content_says_what_to_run(machine: Machine, q4: Path) -> None:
    machine.ollama_model("someone/tuned:1b", q4).unlink()
    (entry,) = machine.library().list()
    assert entry.name == "someone/tuned:1b"
    assert "ollama pull someone/tuned:1b" in (entry.problem or "")


def test_ollama_model_without_weights_or_with_an_adapter_is_not_offered(machine: Machine, q4: Path) -> None:
    adapter: dict[str, object] = {"mediaType": "application/vnd.ollama.image.adapter", "digest": f"sha256:{'a' * 64}"}
    machine.ollama_model("library/tuned:1b", q4, adapter)
    remote = machine.ollama / "manifests" / "registry.ollama.ai" / "library" / "cloud" / "latest"
    remote.parent.mkdir()
    remote.write_text('{"layers": []}')
    (entry,) = machine.library().list()
    assert (entry.name, entry.is_usable) == ("tuned:1b", False)


def test_lm_studio_folders_are_found_where_its_settings_say(machine: Machine, q8: Path, q4: Path) -> None:
    studio = machine.home / ".lmstudio"
    write_model(studio / "models" / "lmstudio-community" / "Qwen3-0.6B-GGUF" / q8.name, file_type=7, kind=8)
    chosen = machine.root / "elsewhere"
    shutil.copytree(q4.parent, chosen / "Qwen" / "Qwen3-0.6B-GGUF")
    (studio / "settings.json").write_text(json.dumps({"downloadsFolder": str(chosen)}))
    (machine.home / ".lmstudio-home-pointer").write_text(f"{studio}\n")
    library = machine.library()
    files = [file for entry in library.list() for file in entry.files]
    assert {file.repo_id for file in files} == {"lmstudio-community/Qwen3-0.6B-GGUF", "Qwen/Qwen3-0.6B-GGUF"}
    assert all(file.origin == "lm_studio" and file.is_read_only for file in files)


@pytest.mark.parametrize("content", ["{", "[]", '{"downloadsFolder": 7}', '{"downloadsFolder": "relative"}'])
def test_strange_settings_of_lm_studio_change_nothing(machine: Machine, content: str) -> None:
    studio = machine.home / ".lmstudio"
    studio.mkdir(parents=True)
    (studio / "settings.json").write_text(content)
    roots = [place.root for place in other_places({}, machine.home) if place.origin == "lm_studio"]
    assert roots == [studio / "models", machine.home / ".cache" / "lm-studio" / "models"]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, "~/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HF_HOME": "/hf"}, "/hf/hub"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HF_HUB_CACHE": "/cache", "HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/cache"),
    ],
)
def test_hub_cache_is_where_huggingface_hub_has_it(environ: dict[str, str], folder: str, tmp_path: Path) -> None:
    expected = Path(folder.replace("~", str(tmp_path)))
    assert places.hub_cache_folder(environ, tmp_path) == expected


def test_one_content_is_told_once_wherever_it_lies(machine: Machine, q4: Path) -> None:
    link = machine.cache_file(REPO, "a" * 40, q4.name, q4)
    own = machine.paths.models / "my-Q4_K_M.gguf"
    own.symlink_to(os.path.realpath(link))
    hard = machine.paths.models / "hard-Q4_K_M.gguf"
    os.link(os.path.realpath(link), hard)
    machine.ollama_model("library/qwen3:0.6b", q4)  # a copy, known by the names of both blobs
    library = machine.library()
    (entry,) = library.list()
    (file,) = entry.files
    assert file.path == link
    assert {path.name for path in file.also_at[:2]} == {own.name, hard.name}
    assert len(file.also_at) == 3
    assert library.resolve(str(own)).path == str(link)


def test_copy_is_told_once_when_its_hash_is_known(machine: Machine, q4: Path) -> None:
    link = machine.cache_file(REPO, "a" * 40, q4.name, q4)
    copy = machine.paths.models / "copied-Q4_K_M.gguf"
    shutil.copyfile(q4, copy)
    library = machine.library()
    assert [entry.name for entry in library.list()] == ["copied", "Qwen3-0.6B"]
    library.compute_sha256(library.resolve(str(copy)))
    (entry,) = library.list()
    assert (entry.files[0].path, entry.files[0].also_at) == (link, (copy,))


def test_folder_of_the_settings_over_that_of_a_tool_stays_the_tools(machine: Machine, q4: Path) -> None:
    machine.cache_file(REPO, "a" * 40, q4.name, q4)
    (entry,) = machine.library(machine.home).list()
    assert [file.origin for file in entry.files] == ["hub_cache"]


def test_own_quantization_joins_the_repository_it_belongs_to(machine: Machine, q8: Path, q4: Path) -> None:
    machine.cache_file(REPO, "a" * 40, q8.name, q8)
    shutil.copyfile(q4, machine.paths.models / q4.name)
    library = machine.library()
    (entry,) = library.list()
    assert entry.origins == ("hub_cache", "own")
    assert library.siblings(library.resolve(str(machine.paths.models / q4.name))) == ["Q8_0", "Q4_K_M"]


def test_loops_and_strange_files_harm_nothing(machine: Machine, q4: Path) -> None:
    folder = machine.paths.models
    (folder / "loop").symlink_to(folder)
    (folder / "self.gguf").symlink_to(folder / "self.gguf")
    (folder / "nowhere.gguf").symlink_to(folder / "absent")
    os.mkfifo(folder / "pipe.gguf")
    (folder / "folder.gguf").mkdir()
    (folder / "x-00001-of-00000.gguf").write_bytes(q4.read_bytes())
    (folder / "x-00001-of-99999.gguf").write_bytes(q4.read_bytes() + b"x")
    shutil.copyfile(q4, folder / q4.name)
    entries = {entry.name: entry for entry in machine.library().list()}
    assert {name for name, entry in entries.items() if entry.is_usable} == {"Qwen3-0.6B", "x"}
    assert "where no file is" in (entries["nowhere"].problem or "")
    assert "no file that can be read" in (entries["pipe"].problem or "")
    assert (entries["self"].problem or "").startswith("self.gguf is a link")


def test_names_that_are_not_utf8_are_told_in_every_place(machine: Machine, q4: Path) -> None:
    odd = os.fsdecode(b"odd-\xff.gguf")
    machine.cache_file(REPO, "a" * 40, odd, q4)
    write_model(machine.home / ".lmstudio" / "models" / "a" / "b" / odd, file_type=15)
    folder = os.fsencode(machine.ollama / "manifests" / "registry.ollama.ai" / "library")
    os.makedirs(folder + b"/odd\xff")
    Path(os.fsdecode(folder + b"/odd\xff/latest")).write_text("{")
    library = machine.library()
    problems = [entry.problem or "" for entry in library.list()]
    assert len(problems) == 2
    for sentence in (*problems, *library.problems):
        sentence.encode()


def test_unreadable_places_are_sentences_for_a_user_without_rights(machine: Machine, q4: Path) -> None:
    shutil.copyfile(q4, machine.paths.models / q4.name)
    closed = machine.root / "closed"
    write_model(closed / "deep" / "m.gguf")
    file = write_model(machine.root / "open" / "secret-Q8_0.gguf", kind=8)
    machine.ollama_model("library/m:1b", q4)
    (machine.ollama / "manifests").chmod(0)
    closed.chmod(0)
    file.chmod(0)

    def look() -> tuple[dict[str, str | None], tuple[str, ...]]:
        library = machine.library(closed, file.parent)
        return {entry.name: entry.problem for entry in library.list()}, library.problems

    try:
        entries, problems = _without_rights(look, machine.root)
    finally:
        closed.chmod(0o755)
        (machine.ollama / "manifests").chmod(0o755)
    assert entries["Qwen3-0.6B"] is None
    assert "Permission denied" in (entries["secret"] or "")
    assert any(str(closed) in problem and "Permission denied" in problem for problem in problems)
    assert any("manifests" in problem for problem in problems)


def _without_rights(look: Callable[[], tuple[dict[str, str | None], tuple[str, ...]]], root: Path):  # type: ignore[no-untyped-def]
    """What `look` finds when it is not root, in a child of this process."""
    if os.geteuid() != 0:
        return look()
    for folder in (root, *root.parents):
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for folder in (root / "home").rglob("*"):
        os.chown(folder, 65534, 65534)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            os.write(writer, json.dumps(look()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as stream:
        return json.loads(stream.read())


def test_folder_that_never_answers_is_given_up_and_not_asked_again(machine: Machine, q4: Path) -> None:
    shutil.copyfile(q4, machine.paths.models / q4.name)
    release = threading.Event()
    patience = Patience(limit_s=0.1)

    def hang(beat: Callable[[], None]) -> str:
        beat()
        release.wait(20)
        return "at last"

    started = time.monotonic()
    with pytest.raises(NoAnswer, match=r"/dead does not answer"):
        patience.ask("/dead", hang)
    waited = time.monotonic() - started
    with pytest.raises(NoAnswer):
        patience.ask("/dead", hang)
    assert time.monotonic() - started - waited < 0.05
    release.set()
    time.sleep(0.05)
    assert patience.ask("/dead", hang) == "at last"


def test_slow_work_that_moves_is_waited_for_and_its_error_is_raised_here() -> None:
    patience = Patience(limit_s=0.2)

    def slow(beat: Callable[[], None]) -> int:
        for _ in range(8):
            time.sleep(0.05)
            beat()
        return 7

    assert patience.ask("/slow", slow) == 7

    def broken(beat: Callable[[], None]) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        patience.ask("/slow", broken)
