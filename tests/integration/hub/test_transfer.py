"""One file into the shared cache: where it lies, who else finds it, and what leaves this machine for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from tests.fakes.hub_server import HubServer, SeededContent, Slow
from tests.integration.hub.fetching import NAME, REPO, Recorder, fetch, file_at, sha256
from workbench.errors import HubError, HubOffline
from workbench.hub.cached_file import RepoFolder
from workbench.hub.client import HubClient
from workbench.hub.repository import RepoFile

CONTENT = SeededContent(3_000_000, seed=3)


@pytest.fixture(autouse=True)
def repo(hub: HubServer) -> None:
    hub.add_repo(REPO, {NAME: CONTENT, "README.md": b"# A model\n", "sub/part-00001.gguf": b"GGUF" * 100})


def test_file_lands_in_the_layout_of_the_shared_cache(hub: HubServer, client: HubClient, cache: Path) -> None:
    path = fetch(client, file_at(hub))
    commit, digest = hub.repos[REPO].head, file_at(hub).sha256
    folder = cache / "models--maker--model-GGUF"
    assert path == folder / "snapshots" / commit / NAME
    assert sha256(path) == digest
    assert Path(os.readlink(path)) == Path("../../blobs") / str(digest)
    assert (folder / "refs" / "main").read_text() == commit
    assert sorted(p.name for p in (folder / "blobs").iterdir()) == [digest]


@pytest.mark.parametrize("redirect", ["cdn", "relative", None])
@pytest.mark.parametrize("name", [NAME, "README.md", "sub/part-00001.gguf"])
def test_every_way_the_hub_serves_a_file_gives_its_content(
    hub: HubServer, client: HubClient, redirect: str | None, name: str
) -> None:
    hub.redirect = redirect
    path = fetch(client, file_at(hub, name))
    assert sha256(path) == hub.repos[REPO].commits[hub.repos[REPO].head][name].true_sha256


@pytest.mark.parametrize("by_commit", [False, True])
def test_the_hub_library_finds_the_file_without_network(
    hub: HubServer, client: HubClient, cache: Path, by_commit: bool
) -> None:
    path = fetch(client, file_at(hub), hub.repos[REPO].head if by_commit else "main")
    asked = len(hub.requests)
    assert hf_hub_download(REPO, NAME, cache_dir=cache, local_files_only=True) == str(path)
    assert len(hub.requests) == asked


@pytest.mark.parametrize("name", [NAME, "README.md"])
def test_a_file_that_the_hub_library_fetched_is_found(
    hub: HubServer, client: HubClient, cache: Path, name: str
) -> None:
    client.http()  # its session, so that the library reaches the server of this test
    there = hf_hub_download(REPO, name, cache_dir=cache, endpoint=hub.url)
    asked = len(hub.asked("/resolve/", "GET"))
    assert str(fetch(client, file_at(hub, name), hub.repos[REPO].head)) == there
    assert str(fetch(client, file_at(hub, name), "main")) == there
    assert len(hub.asked("/resolve/", "GET")) == asked


def test_the_same_content_under_another_name_is_linked_not_fetched(hub: HubServer, client: HubClient) -> None:
    first = fetch(client, file_at(hub))
    hub.rename_file(REPO, NAME, "renamed.gguf")
    served = hub.served_bytes()
    second = fetch(client, file_at(hub, "renamed.gguf"))
    assert second != first
    assert second.resolve() == first.resolve()
    assert hub.served_bytes() == served


def test_a_file_of_the_wrong_size_in_the_cache_is_fetched_again(hub: HubServer, client: HubClient) -> None:
    path = fetch(client, file_at(hub), hub.repos[REPO].head)
    path.resolve().write_bytes(b"short")
    assert sha256(fetch(client, file_at(hub), hub.repos[REPO].head)) == file_at(hub).sha256


def test_asked_to_check_a_damaged_file_of_the_right_size_is_fetched_again(hub: HubServer, client: HubClient) -> None:
    revision = hub.repos[REPO].head
    blob = fetch(client, file_at(hub), revision).resolve()
    damaged = bytearray(blob.read_bytes())
    damaged[1000] ^= 1
    blob.write_bytes(damaged)
    assert sha256(fetch(client, file_at(hub), revision)) != file_at(hub).sha256
    assert sha256(fetch(client, file_at(hub), revision, check_content=True)) == file_at(hub).sha256


def test_nothing_is_sent_but_the_questions_for_the_file(
    hub: HubServer, client: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")  # the client library looks for agents and names them
    fetch(client, file_at(hub))
    assert {request.path.split("/")[1] for request in hub.requests} == {"maker", "cdn"}
    for request in hub.requests:
        assert set(request.headers) <= {"host", "accept", "accept-encoding", "connection", "user-agent"}
        assert request.headers["user-agent"].startswith("inference-workbench/")
        assert ";" not in request.headers["user-agent"]


def test_the_token_goes_to_the_hub_and_not_to_its_storage(
    hub: HubServer, client: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = hub.add_token("hf_secret")
    hub.add_repo(REPO, {NAME: CONTENT}, private=True, members=(token,))
    monkeypatch.setenv("HF_TOKEN", token)
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert all(r.headers["authorization"] == f"Bearer {token}" for r in hub.asked("/resolve/"))
    assert hub.asked("/cdn/")
    assert not any("authorization" in r.headers for r in hub.asked("/cdn/"))


def test_offline_says_so_and_asks_nobody(hub: HubServer, client: HubClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline, match="HF_HUB_OFFLINE is set"):
        fetch(client, file_at(hub))
    assert hub.requests == []


def test_offline_a_file_in_the_cache_counts(hub: HubServer, client: HubClient, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = hub.repos[REPO].head
    path = fetch(client, file_at(hub), revision)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(client, file_at(hub), revision) == path


def test_where_links_cannot_be_made_the_file_itself_lies_in_the_snapshot(
    hub: HubServer, client: HubClient, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    revision = hub.repos[REPO].head
    path = fetch(client, file_at(hub), revision)
    assert not path.is_symlink()
    assert sha256(path) == file_at(hub).sha256
    served = hub.served_bytes()
    assert fetch(client, file_at(hub), revision) == path
    assert hf_hub_download(REPO, NAME, cache_dir=cache, local_files_only=True) == str(path)
    assert hub.served_bytes() == served


def test_a_part_that_a_killed_hf_download_left_is_taken_over(hub: HubServer, client: HubClient, cache: Path) -> None:
    file = file_at(hub)
    part = RepoFolder(cache, REPO).path / "blobs" / f"{file.sha256}.0a1b2c3d.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT.read(0, 2_500_000))
    os.utime(part, (part.stat().st_atime, part.stat().st_mtime - 3600))
    assert sha256(fetch(client, file)) == file.sha256
    assert hub.served_bytes() == 500_000
    assert not part.exists()


def test_a_part_written_to_a_moment_ago_is_left_to_its_writer(hub: HubServer, client: HubClient, cache: Path) -> None:
    file = file_at(hub)
    part = RepoFolder(cache, REPO).path / "blobs" / f"{file.sha256}.0a1b2c3d.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT.read(0, 2_500_000))
    fetch(client, file)
    assert part.stat().st_size == 2_500_000


@pytest.mark.parametrize(
    "name",
    ["../../../../outside.gguf", "/outside.gguf", "sub/../../outside.gguf", "..\\outside.gguf", "C:\\outside.gguf",
     "C:outside.gguf", "con.gguf", "sub/NUL", "name.gguf.", "sub//model.gguf", "./model.gguf", "a\0b.gguf"],
)  # fmt: skip
def test_names_that_could_leave_the_folder_are_refused_before_anything_is_asked(
    hub: HubServer, client: HubClient, cache: Path, name: str
) -> None:
    with pytest.raises(HubError, match="it is refused") as caught:
        fetch(client, RepoFile(name, 4, "0" * 64))
    assert caught.value.code == "hub_file_name_unsafe"
    assert hub.requests == []
    assert not cache.exists()


def test_on_a_slow_line_progress_moves_many_times_a_second(hub: HubServer, client: HubClient) -> None:
    watcher = Recorder()
    hub.misbehave(NAME, Slow(bytes_per_s=2_500_000), times=None)
    fetch(client, file_at(hub), watcher=watcher)
    gaps = [later - earlier for earlier, later in zip(watcher.times, watcher.times[1:], strict=False)]
    assert len(watcher.moves) > 10
    assert max(gaps) < 0.5


def test_every_byte_is_on_disk_as_soon_as_it_came(hub: HubServer, client: HubClient, cache: Path) -> None:
    part = RepoFolder(cache, REPO).path / "blobs" / f"{file_at(hub).sha256}.incomplete"
    behind: list[int] = []
    watcher = Recorder(on_moved=lambda have: behind.append(have - part.stat().st_size))
    fetch(client, file_at(hub), watcher=watcher)
    assert set(behind) == {0}
