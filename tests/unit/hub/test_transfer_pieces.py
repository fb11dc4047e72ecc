"""The small parts of a transfer: safe names, pauses, speed, stopping, and the sentences for a disk."""

from __future__ import annotations

import errno
import hashlib
import itertools
import threading
import time
from pathlib import Path

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from workbench.errors import HubError, StorageFull, WorldError
from workbench.hub.backoff import Backoff, TransferPolicy, is_passing
from workbench.hub.cached_file import Blob, RepoFolder, is_commit, name_parts
from workbench.hub.client import HubClient
from workbench.hub.http_source import Unusable
from workbench.hub.partial import new_digest, storage_error
from workbench.hub.progress import SpeedMeter
from workbench.hub.stopping import Stop, Stopped


@pytest.mark.parametrize(
    "name",
    ["model.gguf", "sub/folder/model.gguf", "UD-Q4_K_XL/m-00001-of-00002.gguf", "ein Modell äöü.gguf", ".gitattributes",
     "console.gguf", "a..b.gguf", "com10.gguf", "~model.gguf"],
)  # fmt: skip
def test_names_that_stay_in_their_folder_are_taken(name: str) -> None:
    assert "/".join(name_parts(name)) == name


@pytest.mark.parametrize(
    "name",
    ["", "..", ".", "../x", "a/../x", "a/..", "/x", "//x", "a//x", "a/", "\\x", "a\\..\\x", "c:/x", "c:x", "x:stream",
     "aux", "AUX.gguf", "Lpt1.tar.gz", "com9", "nul .gguf", "x ", "x.", "a\nb", "a\x7fb", "ä" * 128],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused_with_a_reason(name: str) -> None:
    with pytest.raises(HubError, match="it is refused") as caught:
        name_parts(name)
    assert caught.value.code == "hub_file_name_unsafe"


@pytest.mark.parametrize(
    "repo_id", ["", "../x", "a/b/c", "a/..", "/a", "a/", "a--b/c", "a b/c", "a\\b/c", "a/" + "b" * 97]
)
def test_what_is_no_repository_id_gets_no_folder(tmp_path: Path, repo_id: str) -> None:
    with pytest.raises(HubError, match="no repository id"):
        RepoFolder(tmp_path, repo_id)


@pytest.mark.parametrize("etag", ["", "../x", "a/b", "a\\b", ".hidden", "a.incomplete", "x" * 200])
def test_what_is_no_hash_names_no_content(tmp_path: Path, etag: str) -> None:
    with pytest.raises(HubError, match="no hash"):
        Blob(RepoFolder(tmp_path, "a/b"), etag)


@pytest.mark.parametrize("revision", ["main", "0" * 39, "g" * 40, "0" * 41, "A" * 40])
def test_only_whole_hashes_are_commits(revision: str) -> None:
    assert is_commit("0123456789abcdef0123456789abcdef01234567")
    assert not is_commit(revision)


def test_small_contents_have_the_hash_of_git_and_large_ones_sha256() -> None:
    git = new_digest("0" * 40, 5)
    assert git is not None
    git.update(b"hello")
    assert git.hexdigest() == "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"  # git hash-object
    large = new_digest("0" * 64, 5)
    assert large is not None
    assert large.name == hashlib.sha256().name
    assert new_digest("a1b2-3", 5) is None
    assert new_digest("g" * 64, 5) is None


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns

    def pass_s(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


def test_speed_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    meter = SpeedMeter(clock)
    meter.begin(0)
    for second in range(1, 21):
        clock.pass_s(1)
        meter.move(second * 1_000)
    for second in range(1, 11):
        clock.pass_s(1)
        meter.move(20_000 + second * 9_000)
    assert meter.bytes_per_s() == pytest.approx(9_000)


def test_speed_does_not_count_what_was_there_before() -> None:
    clock = Clock()
    meter = SpeedMeter(clock)
    meter.begin(1_000_000_000)
    clock.pass_s(2)
    meter.move(1_000_000_500)
    assert meter.bytes_per_s() == pytest.approx(250)


def test_speed_falls_to_nothing_when_nothing_comes() -> None:
    clock = Clock()
    meter = SpeedMeter(clock)
    meter.begin(0)
    clock.pass_s(1)
    meter.move(10_000)
    speeds = []
    for _ in range(8):
        clock.pass_s(1)
        speeds.append(meter.bytes_per_s())
    assert speeds[0] == pytest.approx(5_000)
    assert all(later <= earlier for earlier, later in itertools.pairwise(speeds))
    assert speeds[-1] == 0


def test_speed_is_unknown_before_there_is_something_to_say() -> None:
    clock = Clock()
    meter = SpeedMeter(clock)
    assert meter.bytes_per_s() is None
    meter.begin(0)
    clock.pass_s(0.1)
    meter.move(100_000)
    assert meter.bytes_per_s() is None


def test_many_small_pieces_take_no_memory_and_lose_no_speed() -> None:
    clock = Clock()
    meter = SpeedMeter(clock)
    meter.begin(0)
    for number in range(1, 20_001):
        clock.pass_s(0.001)
        meter.move(number * 10)
    assert meter.bytes_per_s() == pytest.approx(10_000, rel=0.03)
    assert len(meter._points) < 100


def answer(status: int, **headers: str) -> HfHubHTTPError:
    request = httpx2.Request("GET", "http://127.0.0.1/maker/model/resolve/main/x.gguf")
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HfHubHTTPError("trouble", response=httpx2.Response(status, headers=names, request=request))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 524])
def test_stumbling_servers_pass(status: int) -> None:
    assert is_passing(answer(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 501])
def test_refusals_do_not_pass(status: int) -> None:
    assert not is_passing(answer(status))


def test_broken_lines_pass_and_programming_errors_do_not() -> None:
    assert is_passing(httpx2.ReadError("reset"))
    assert is_passing(httpx2.ReadTimeout("silent"))
    assert is_passing(httpx2.ConnectError("refused"))
    assert is_passing(Unusable("a login page"))
    assert not is_passing(ValueError("ours"))


class NotingStop(Stop):
    """Notes pauses instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)


def backoff(policy: TransferPolicy) -> tuple[Backoff, NotingStop, list[str | None]]:
    stop, notes = NotingStop(), list[str | None]()
    return Backoff(HubClient(), "maker/model", policy, stop, notes.append), stop, notes


def test_pauses_double_with_chance_in_them_up_to_the_longest() -> None:
    waiting, stop, notes = backoff(TransferPolicy(attempts=9, first_pause_s=1, longest_pause_s=20))
    for _ in range(8):
        waiting.pause(httpx2.ReadError("reset"))
    for pause_s, full_s in zip(stop.pauses, [1, 2, 4, 8, 16, 20, 20, 20], strict=True):
        assert full_s / 2 <= pause_s <= full_s
    assert [note[: note.index(" in ")] for note in notes if note is not None][-3:] == [
        f"the connection broke: retry {number} of 8" for number in (6, 7, 8)
    ]
    with pytest.raises(HubError, match="broke"):
        waiting.pause(httpx2.ReadError("reset"))


def test_a_byte_sets_the_pauses_back() -> None:
    waiting, stop, _ = backoff(TransferPolicy(attempts=3, first_pause_s=1, after_progress_s=0.2))
    for _ in range(10):
        waiting.pause(httpx2.ReadError("reset"))
        waiting.moved()
    assert stop.pauses[1:] == [0.2] * 9


def test_the_pause_that_a_server_asks_for_is_kept_to_the_second() -> None:
    waiting, stop, notes = backoff(TransferPolicy(first_pause_s=1))
    waiting.pause(answer(429, Retry_After="37"))
    waiting.pause(answer(503, Retry_After="5"))
    assert stop.pauses == [37, 5]
    assert notes == [
        "the server is busy: retry 1 of 7 in 37 s",
        "the server is in trouble (HTTP 503): retry 2 of 7 in 5 s",
    ]


def test_a_stop_is_heard_by_who_waits_and_by_who_reads() -> None:
    stop, cut = Stop(), threading.Event()
    threading.Timer(0.05, stop.ask).start()
    began = time.monotonic()
    with stop.interrupting(cut.set), pytest.raises(Stopped):
        stop.wait(10)
    assert time.monotonic() - began < 2
    assert cut.is_set()
    with pytest.raises(Stopped):
        stop.interrupting(cut.set).__enter__()


def test_what_left_is_not_interrupted() -> None:
    stop, cut = Stop(), threading.Event()
    with stop.interrupting(cut.set):
        pass
    stop.ask()
    assert not cut.is_set()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_a_folder_without_rights(tmp_path: Path, number: int) -> None:
    full = storage_error(OSError(number, "x"), tmp_path / "part")
    assert isinstance(full, StorageFull)
    assert "What has arrived is kept" in full.message
    refused = storage_error(PermissionError(errno.EACCES, "Permission denied"), tmp_path / "part")
    assert isinstance(refused, WorldError)
    assert refused.code == "folder_not_writable"
    assert refused.message.startswith(f"{tmp_path} cannot be written: Permission denied.")
