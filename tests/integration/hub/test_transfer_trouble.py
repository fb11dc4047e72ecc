"""Bad lines, bad servers and bad contents: what is kept, what is asked again, and what the sentence says."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.fakes.hub_server import (
    Drop,
    HubServer,
    IgnoreRange,
    SeededContent,
    Slow,
    Stall,
    Status,
    Truncated,
    WrongContent,
    WrongLength,
)
from tests.fakes.hub_trouble import Trouble
from tests.integration.hub.fetching import NAME, QUICK, REPO, Recorder, fetch, file_at, sha256
from workbench.errors import DownloadBroken, HubAccessDenied, HubError, HubOffline
from workbench.hub.backoff import TransferPolicy
from workbench.hub.cached_file import Blob, RepoFolder
from workbench.hub.client import HubClient
from workbench.hub.repository import RepoFile
from workbench.hub.stopping import Stop, Stopped

SIZE = 3_000_000
CONTENT = SeededContent(SIZE, seed=3)


@pytest.fixture(autouse=True)
def repo(hub: HubServer) -> None:
    hub.add_repo(REPO, {NAME: CONTENT, "README.md": b"# A model\n"})


def blob_of(cache: Path, file: RepoFile) -> Blob:
    assert file.sha256 is not None
    return Blob(RepoFolder(cache, REPO), file.sha256)


def assert_nothing_kept(cache: Path, file: RepoFile) -> None:
    blob = blob_of(cache, file)
    assert not blob.path.exists()
    assert not blob.partial.exists()
    assert not list(cache.rglob(NAME))


def test_lines_that_always_break_within_10_mb_still_finish_and_lose_nothing(hub: HubServer, client: HubClient) -> None:
    size, cuts_at = 60_000_000, (500_000, 8_000_000)
    hub.add_repo(REPO, {NAME: SeededContent(size, seed=9)})
    hub.misbehave(NAME, Drop(cuts_at), times=None)
    watcher = Recorder()
    assert sha256(fetch(client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    answers = hub.asked("/cdn/", "GET")
    assert len(answers) >= size // cuts_at[1]
    assert hub.served_bytes() == size
    assert [r.headers.get("range") for r in answers[:1]] == [None]
    assert all(r.status == 206 and r.headers["range"] != "bytes=0-" for r in answers[1:])
    assert watcher.moves == sorted(watcher.moves)
    assert watcher.resumes == len(answers) - 1


def test_a_line_that_breaks_with_a_reset_goes_on_where_it_was(hub: HubServer, client: HubClient) -> None:
    hub.misbehave(NAME, Drop((100_000, 900_000), reset=True), times=5)
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert all(r.status == 206 for r in hub.asked("/cdn/", "GET")[2:])


@pytest.mark.parametrize("after", [None, 1_000_000])
def test_a_stalled_line_is_left_and_taken_up_again(hub: HubServer, client: HubClient, after: int | None) -> None:
    hub.misbehave(NAME if after else "/cdn/*", Stall(30, after))
    began = time.monotonic()
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert 0.4 < time.monotonic() - began < 5
    assert hub.asked("/cdn/", "GET")[1].headers.get("range") == (f"bytes={after}-" if after else None)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asked", ["1", lambda: formatdate(time.time() + 2, usegmt=True)], ids=["seconds", "date"])
def test_a_busy_server_gets_the_pause_that_it_asks_for(
    hub: HubServer, client: HubClient, asked: object, method: str
) -> None:
    retry_after = asked() if callable(asked) else str(asked)
    hub.misbehave(NAME, Status(429, retry_after=retry_after), methods=(method,))
    watcher = Recorder()
    began = time.monotonic()
    assert sha256(fetch(client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    assert 0.9 < time.monotonic() - began < 4
    assert any(note is not None and note.startswith("the server is busy: retry 1 of ") for note in watcher.notes)
    assert watcher.notes[-1] is None


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_stumbling_server_is_asked_again(hub: HubServer, client: HubClient, status: int, method: str) -> None:
    hub.misbehave(NAME, Status(status), times=2, methods=(method,))
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256


def test_a_server_that_stays_in_trouble_ends_with_a_sentence_and_keeps_what_came(
    hub: HubServer, client: HubClient, cache: Path
) -> None:
    hub.misbehave(NAME, Drop(1_000_000))
    hub.misbehave(f"/{REPO}/*", Status(500), times=None, skip=1)
    with pytest.raises(HubError, match="in trouble") as caught:
        fetch(client, file_at(hub))
    assert caught.value.code == "hub_in_trouble"
    assert blob_of(cache, file_at(hub)).partial.read_bytes() == CONTENT.read(0, 1_000_000)
    assert len(hub.asked("/resolve/", "GET")) == 1 + QUICK.attempts
    hub.behave()
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert hub.served_bytes() == SIZE


def test_progress_sets_the_count_of_failures_back(hub: HubServer, client: HubClient) -> None:
    for number in range(12):  # three failures in a row, then some bytes, again and again
        hub.misbehave("/cdn/*", Status(500), times=3, skip=number * 4)
    hub.misbehave(NAME, Drop(200_000), times=None)
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert sum(r.status == 500 for r in hub.asked("/cdn/")) > QUICK.attempts


def test_no_network_gives_up_after_the_attempts(
    hub: HubServer, client: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_at(hub)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody answers at the port for discarding
    with pytest.raises(HubOffline, match="cannot be reached"):
        fetch(client, file)


@pytest.mark.parametrize("trouble", [Truncated(1_000_000), WrongLength(500), WrongLength(-500)])
def test_an_answer_of_the_wrong_length_is_not_taken_for_the_file(
    hub: HubServer, client: HubClient, cache: Path, trouble: Trouble
) -> None:
    hub.misbehave(NAME, trouble)
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert hub.asked("/cdn/", "GET")[1].headers.get("range") is None


def test_answers_of_the_wrong_length_for_ever_end_with_a_sentence(
    hub: HubServer, client: HubClient, cache: Path
) -> None:
    hub.misbehave(NAME, Truncated(1_000), times=None)
    with pytest.raises(HubError, match="not the file: it has 1,000 bytes instead of 3,000,000") as caught:
        fetch(client, file_at(hub))
    assert caught.value.code == "hub_not_the_file"
    assert not blob_of(cache, file_at(hub)).path.exists()


def test_wrong_content_is_thrown_away_and_fetched_once_more(hub: HubServer, client: HubClient) -> None:
    hub.misbehave(NAME, WrongContent(at=1_234_567))
    watcher = Recorder()
    assert sha256(fetch(client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    assert hub.served_bytes() == 2 * SIZE
    assert watcher.starts == [0, 0]
    assert any("once more from the start" in (note or "") for note in watcher.notes)


def test_content_that_stays_wrong_ends_with_a_sentence_and_nothing_kept(
    hub: HubServer, client: HubClient, cache: Path
) -> None:
    hub.misbehave(NAME, WrongContent(), times=None)
    with pytest.raises(DownloadBroken, match="arrived wrong twice: the hash of the content is"):
        fetch(client, file_at(hub))
    assert len(hub.asked("/cdn/", "GET")) == 2
    assert_nothing_kept(cache, file_at(hub))


def test_wrong_bytes_in_a_resumed_part_are_noticed(hub: HubServer, client: HubClient, cache: Path) -> None:
    blob = blob_of(cache, file_at(hub))
    blob.partial.parent.mkdir(parents=True)
    blob.partial.write_bytes(bytes(1_000_000))
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert hub.served_bytes() == 2_000_000 + SIZE


def test_small_files_are_verified_by_the_hash_of_git(hub: HubServer, client: HubClient, cache: Path) -> None:
    file = file_at(hub, "README.md")
    assert file.sha256 is None
    hub.misbehave("README.md", WrongContent(), times=None)
    with pytest.raises(DownloadBroken):
        fetch(client, file)
    hub.behave()
    assert fetch(client, file).read_bytes() == b"# A model\n"


def test_a_part_longer_than_the_file_is_thrown_away(hub: HubServer, client: HubClient, cache: Path) -> None:
    blob = blob_of(cache, file_at(hub))
    blob.partial.parent.mkdir(parents=True)
    blob.partial.write_bytes(bytes(SIZE + 1))
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256


def test_a_whole_part_needs_no_byte_more(hub: HubServer, client: HubClient, cache: Path) -> None:
    blob = blob_of(cache, file_at(hub))
    blob.partial.parent.mkdir(parents=True)
    blob.partial.write_bytes(CONTENT.read(0, SIZE))
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert hub.served_bytes() == 0


def test_a_server_that_ignores_ranges_gives_the_right_content(hub: HubServer, client: HubClient) -> None:
    hub.misbehave(NAME, IgnoreRange(), times=None)
    hub.misbehave(NAME, Drop(1_000_000))
    hub.misbehave(NAME, Drop(500_000), skip=1)  # within what is known already: that is kept
    hub.misbehave(NAME, Drop(2_000_000), skip=2)
    watcher = Recorder()
    assert sha256(fetch(client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    assert [r.status for r in hub.asked("/cdn/")] == [200] * 4
    assert watcher.moves == sorted(watcher.moves)


def test_links_that_expire_are_renewed(hub: HubServer, client: HubClient) -> None:
    hub.misbehave(NAME, Drop(1_000_000), times=2)
    hub.misbehave("/cdn/*", Status(403, message="Request has expired"), skip=1)
    watcher = Recorder(on_moved=lambda _: hub.expire_links())
    assert sha256(fetch(client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    links = [r.query["Signature"] for r in hub.asked("/cdn/")]
    assert len(links) == 4
    assert len({link[0] for link in links}) == 4


def test_a_file_that_changes_under_its_name_meanwhile_is_noticed(
    hub: HubServer, client: HubClient, cache: Path
) -> None:
    file = file_at(hub)
    changed = threading.Event()

    def change(have: int) -> None:
        if not changed.is_set():
            changed.set()
            hub.change_file(REPO, NAME, SeededContent(SIZE, seed=4), in_place=True)

    hub.misbehave(NAME, Drop(1_000_000))
    with pytest.raises(DownloadBroken, match="has changed on the Hub") as caught:
        fetch(client, file, watcher=Recorder(on_moved=change))
    assert caught.value.code == "hub_file_changed"
    assert_nothing_kept(cache, file)
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256


def test_a_file_that_changed_before_the_download_is_noticed(hub: HubServer, client: HubClient, cache: Path) -> None:
    file = file_at(hub)
    hub.change_file(REPO, NAME, SeededContent(SIZE, seed=4))
    with pytest.raises(DownloadBroken, match="has changed on the Hub"):
        fetch(client, file, "main")
    assert hub.served_bytes() == 0
    assert_nothing_kept(cache, file)


def test_a_renamed_file_gives_a_sentence_at_once(hub: HubServer, client: HubClient) -> None:
    file = file_at(hub)
    hub.rename_file(REPO, NAME, "other.gguf")
    with pytest.raises(HubError, match="does not have this file") as caught:
        fetch(client, file, "main")
    assert caught.value.code == "hub_file_unknown"
    assert len(hub.requests) == 1


def test_a_gated_repository_gives_the_page_to_visit(hub: HubServer, client: HubClient) -> None:
    hub.add_repo(REPO, {NAME: CONTENT}, gated="manual")
    with pytest.raises(HubAccessDenied, match=f"{hub.url}/{REPO}"):
        fetch(client, file_at(hub))
    assert len(hub.requests) == 1


def test_a_private_repository_gives_a_sentence(hub: HubServer, client: HubClient) -> None:
    hub.add_repo(REPO, {NAME: CONTENT}, private=True)
    with pytest.raises(HubAccessDenied, match="no such repository"):
        fetch(client, file_at(hub))


def test_a_stop_ends_a_line_that_is_silent_and_keeps_what_came(hub: HubServer, client: HubClient, cache: Path) -> None:
    hub.misbehave(NAME, Stall(30, 1_000_000))
    stop = Stop()
    arrived = threading.Event()
    watcher = Recorder(on_moved=lambda have: arrived.set() if have == 1_000_000 else None)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            fetch(client, file_at(hub), watcher=watcher, stop=stop, policy=TransferPolicy(stall_s=20))
        except Stopped as stopped:
            ended.append(stopped)

    thread = threading.Thread(target=run)
    thread.start()
    assert arrived.wait(10)
    began = time.monotonic()
    stop.ask()
    thread.join(10)
    assert time.monotonic() - began < 1
    assert len(ended) == 1
    assert blob_of(cache, file_at(hub)).partial.stat().st_size == 1_000_000


def test_a_stop_ends_a_pause_between_attempts(hub: HubServer, client: HubClient) -> None:
    hub.misbehave(NAME, Status(429, retry_after="600"), times=None)
    stop = Stop()
    threading.Timer(0.3, stop.ask).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        fetch(client, file_at(hub), stop=stop)
    assert time.monotonic() - began < 2


def test_a_slow_line_is_no_stall(hub: HubServer, client: HubClient) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=2_000_000), times=None)  # longer than the stall limit, never silent
    watcher = Recorder()
    assert sha256(fetch(client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    assert watcher.resumes == 0


def test_the_commit_that_a_server_names_cannot_lead_out_of_the_cache(
    hub: HubServer, client: HubClient, cache: Path
) -> None:
    repo = hub.repos[REPO]
    repo.commits["../../../out"] = repo.commits[repo.head]
    repo.head = "../../../out"
    with pytest.raises(HubError, match="which is none"):
        fetch(client, file_at(hub), "main")
    assert hub.served_bytes() == 0
