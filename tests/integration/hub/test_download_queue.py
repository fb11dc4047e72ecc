"""The queue of downloads: order, pause, resume, cancel, what it tells, and what outlives the program."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from huggingface_hub.utils import WeakFileLock

from tests.fakes.hub_server import Drop, HubServer, SeededContent, Slow, Stall, Status, WrongContent
from tests.integration.hub.fetching import NAME, QUICK, REPO, file_at, order_for, sha256
from workbench.errors import HubError, UserError
from workbench.hub.backoff import TransferPolicy
from workbench.hub.cached_file import Blob, RepoFolder
from workbench.hub.client import HubClient
from workbench.hub.disk_space import missing_bytes
from workbench.hub.download import DownloadQueue
from workbench.hub.repository import RepoFile
from workbench.hub.transfers import UNDER_WAY, DownloadOrder, DownloadView

SIZE = 3_000_000
OTHERS = tuple(f"other-{number}.gguf" for number in range(4))
PARTS = ("big-00001-of-00002.gguf", "big-00002-of-00002.gguf")


@pytest.fixture(autouse=True)
def repo(hub: HubServer) -> None:
    names = (NAME, *OTHERS, *PARTS)
    files = {name: SeededContent(SIZE + number, seed=number) for number, name in enumerate(names)}
    hub.add_repo(REPO, {**files, "README.md": b"# A model\n"})


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "downloads.json"


@pytest.fixture
def make_queue(client: HubClient, state_file: Path) -> Iterator[Callable[..., DownloadQueue]]:
    queues: list[DownloadQueue] = []

    def make(parallel: int = 2, reserve_bytes: int = 0, policy: TransferPolicy = QUICK) -> DownloadQueue:
        queues.append(DownloadQueue(client, state_file, parallel, policy=policy, reserve_bytes=reserve_bytes))
        return queues[-1]

    yield make
    for queue in queues:
        queue.close()


def view_of(queue: DownloadQueue, id: str) -> DownloadView:
    return next(view for view in queue.views() if view.id == id)


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def part_of(hub: HubServer, cache: Path, name: str = NAME) -> Path:
    return Blob(RepoFolder(cache, REPO), str(file_at(hub, name).sha256)).partial


def test_a_download_ends_with_the_right_file(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    queue = make_queue()
    view = queue.wait(queue.add(order_for(hub)), 10)
    assert (view.state, view.done_bytes, view.fraction, view.error) == ("finished", SIZE, 1.0, None)
    assert view.path is not None
    assert sha256(view.path) == file_at(hub).sha256


def test_all_parts_of_a_split_file_arrive_and_the_first_is_named(
    hub: HubServer, make_queue: Callable[..., DownloadQueue]
) -> None:
    queue = make_queue()
    view = queue.wait(queue.add(order_for(hub, *PARTS)), 10)
    assert view.path is not None
    assert view.path.name == PARTS[0]
    assert [sha256(view.path.with_name(part)) for part in PARTS] == [file_at(hub, part).sha256 for part in PARTS]
    assert view.done_bytes == view.order.size_bytes


def test_no_more_run_at_once_than_allowed_and_the_rest_follows(
    hub: HubServer, make_queue: Callable[..., DownloadQueue]
) -> None:
    hub.misbehave("*.gguf", Slow(bytes_per_s=6_000_000), times=None)
    queue = make_queue(parallel=2)
    ids = [queue.add(order_for(hub, name, label=name)) for name in OTHERS]
    most = 0
    while any(view.state in UNDER_WAY for view in queue.views()):
        most = max(most, sum(view.state in ("running", "verifying") for view in queue.views()))
        time.sleep(0.02)
    assert most == 2
    assert [view_of(queue, id).state for id in ids] == ["finished"] * 4
    assert [view.id for view in queue.views()] == ids


def test_more_room_starts_what_waits(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    hub.misbehave(NAME, Stall(20, 1_000))
    queue = make_queue(parallel=1, policy=TransferPolicy(stall_s=15))
    queue.add(order_for(hub))
    second = queue.add(order_for(hub, OTHERS[0]))
    assert queue.wait(second, 0.2).state == "queued"
    queue.parallel = 2
    assert queue.wait(second, 10).state == "finished"


def test_pause_keeps_what_came_and_resume_asks_only_for_the_rest(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], cache: Path
) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=3_000_000))
    queue = make_queue()
    id = queue.add(order_for(hub))
    wait_until(lambda: view_of(queue, id).done_bytes > 500_000)
    queue.pause(id)
    assert view_of(queue, id).state == "paused"
    time.sleep(0.3)
    kept = part_of(hub, cache).stat().st_size
    assert 500_000 < kept < SIZE
    assert view_of(queue, id).bytes_per_s is None
    queue.resume(id)
    view = queue.wait(id, 10)
    assert view.state == "finished"
    assert view.resumed == 1
    assert hub.asked("/cdn/", "GET")[1].headers["range"] == f"bytes={kept}-"
    assert view.path is not None
    assert sha256(view.path) == file_at(hub).sha256


def test_pause_and_resume_in_quick_turns_end_whole(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=6_000_000), times=None)
    queue = make_queue()
    id = queue.add(order_for(hub))
    for _ in range(25):
        queue.pause(id)
        queue.resume(id)
        time.sleep(0.01)
    view = queue.wait(id, 20)
    assert view.state == "finished"
    assert view.path is not None
    assert sha256(view.path) == file_at(hub).sha256


def test_a_paused_one_makes_room_for_the_next(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    hub.misbehave(NAME, Stall(20, 1_000_000))
    queue = make_queue(parallel=1, policy=TransferPolicy(stall_s=15))
    first, second = queue.add(order_for(hub)), queue.add(order_for(hub, OTHERS[0], label="other"))
    wait_until(lambda: view_of(queue, first).done_bytes == 1_000_000)
    assert view_of(queue, second).state == "queued"
    queue.pause(first)
    assert queue.wait(second, 5).state == "finished"


def test_cancel_removes_what_came(hub: HubServer, make_queue: Callable[..., DownloadQueue], cache: Path) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=3_000_000))
    queue = make_queue()
    id = queue.add(order_for(hub))
    wait_until(lambda: view_of(queue, id).done_bytes > 500_000)
    queue.cancel(id)
    assert view_of(queue, id).state == "cancelled"
    wait_until(lambda: not part_of(hub, cache).exists())
    assert not part_of(hub, cache).with_suffix("").exists()


def test_cancel_of_a_paused_one_removes_what_came(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], cache: Path
) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=3_000_000))
    queue = make_queue()
    id = queue.add(order_for(hub))
    wait_until(lambda: view_of(queue, id).done_bytes > 500_000)
    queue.pause(id)
    queue.cancel(id)
    wait_until(lambda: not part_of(hub, cache).exists())


def test_cancel_leaves_the_part_to_a_program_that_writes_it(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], cache: Path
) -> None:
    blob = Blob(RepoFolder(cache, REPO), str(file_at(hub).sha256))
    blob.lock_file.parent.mkdir(parents=True)
    blob.partial.parent.mkdir(parents=True)
    blob.partial.write_bytes(b"theirs")
    queue = make_queue()
    with WeakFileLock(blob.lock_file):
        id = queue.add(order_for(hub))
        wait_until(lambda: "another program" in (view_of(queue, id).note or ""))
        queue.cancel(id)
        time.sleep(0.8)
        assert blob.partial.read_bytes() == b"theirs"


def test_a_failed_one_says_why_and_can_be_resumed(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    hub.misbehave(NAME, Drop(1_000_000))
    hub.misbehave(f"/{REPO}/*", Status(503), times=None, skip=1)
    queue = make_queue()
    id = queue.add(order_for(hub))
    view = queue.wait(id, 10)
    assert (view.state, view.error_code, view.done_bytes) == ("failed", "hub_in_trouble", 1_000_000)
    assert view.error is not None
    assert "HTTP 503" in view.error
    hub.behave()
    queue.resume(id)
    view = queue.wait(id, 10)
    assert (view.state, view.error, view.error_code) == ("finished", None, None)
    assert hub.served_bytes() == SIZE


def test_wrong_content_fails_and_leaves_nothing(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], cache: Path
) -> None:
    hub.misbehave(NAME, WrongContent(), times=None)
    queue = make_queue()
    view = queue.wait(queue.add(order_for(hub)), 10)
    assert (view.state, view.error_code, view.path, view.done_bytes) == ("failed", "download_broken", None, 0)
    assert list(cache.rglob("*.gguf")) == []
    assert not part_of(hub, cache).exists()


def test_what_is_in_the_cache_is_done_at_once(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    queue = make_queue()
    first = queue.wait(queue.add(order_for(hub)), 10)
    asked = len(hub.requests)
    again = queue.wait(queue.add(order_for(hub)), 10)
    assert (again.state, again.path, again.done_bytes) == ("finished", first.path, SIZE)
    assert len(hub.requests) == asked
    assert len(queue.views()) == 1


def test_asking_twice_for_the_same_gives_the_same_download(
    hub: HubServer, make_queue: Callable[..., DownloadQueue]
) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=3_000_000))
    queue = make_queue()
    id = queue.add(order_for(hub))
    assert queue.add(order_for(hub)) == id
    queue.pause(id)
    assert queue.add(order_for(hub)) == id
    assert queue.wait(id, 10).state == "finished"


def test_unsafe_names_are_refused_when_they_are_ordered(
    hub: HubServer, make_queue: Callable[..., DownloadQueue]
) -> None:
    queue = make_queue()
    with pytest.raises(HubError, match="refused"):
        queue.add(DownloadOrder(REPO, hub.repos[REPO].head, "x", (RepoFile("../../x.gguf", 1, "0" * 64),)))
    with pytest.raises(HubError, match="no repository id"):
        queue.add(DownloadOrder("../..", hub.repos[REPO].head, "x", (RepoFile("x.gguf", 1, "0" * 64),)))
    assert queue.views() == ()


def test_a_download_without_room_fails_before_its_first_byte(
    hub: HubServer, make_queue: Callable[..., DownloadQueue]
) -> None:
    queue = make_queue(reserve_bytes=1 << 60)
    view = queue.wait(queue.add(order_for(hub)), 10)
    assert (view.state, view.error_code) == ("failed", "storage_full")
    assert view.error is not None
    assert "needs 3.00 MB more on the disk of" in view.error
    assert hub.requests == []


def test_what_is_missing_counts_parts_and_whole_files(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], cache: Path
) -> None:
    order = order_for(hub, *PARTS)
    assert missing_bytes(order) == order.size_bytes
    queue = make_queue()
    queue.wait(queue.add(order_for(hub, PARTS[0])), 10)
    part_of(hub, cache, PARTS[1]).write_bytes(bytes(1000))
    assert missing_bytes(order) == order.files[1].size_bytes - 1000


def test_listeners_hear_every_state_and_no_more_than_ten_moves_a_second(
    hub: HubServer, make_queue: Callable[..., DownloadQueue]
) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=2_000_000))
    queue = make_queue()
    heard: list[DownloadView] = []
    queue.listen(heard.append)
    began = time.monotonic()
    id = queue.add(order_for(hub))
    queue.wait(id, 10)
    wait_until(lambda: heard[-1].state == "finished")
    seconds = time.monotonic() - began
    states = [view.state for view in heard]
    changes = [state for state, _ in itertools.groupby(states)]
    assert changes == ["queued", "running", "verifying", "finished"]
    moves = [view.done_bytes for view in heard]
    assert moves == sorted(moves)
    assert 5 < len(heard) < 10 * seconds + 12
    speeds = [view.bytes_per_s for view in heard if view.bytes_per_s is not None]
    assert 1_000_000 < speeds[-1] < 3_000_000
    assert any(view.remaining_s is not None and 0 < view.remaining_s < 3 for view in heard)


def test_listeners_hear_the_speed_fall_while_a_line_is_silent(
    hub: HubServer, make_queue: Callable[..., DownloadQueue]
) -> None:
    hub.misbehave(NAME, Stall(20, 1_000_000))
    queue = make_queue(policy=TransferPolicy(stall_s=15))
    heard: list[DownloadView] = []
    id = queue.add(order_for(hub))
    wait_until(lambda: view_of(queue, id).done_bytes == 1_000_000)
    queue.listen(heard.append)
    time.sleep(2.3)
    assert len(heard) >= 2
    speeds = [view.bytes_per_s for view in heard if view.bytes_per_s is not None]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[0] > speeds[-1]


def test_a_listener_that_fails_harms_no_download(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], caplog: pytest.LogCaptureFixture
) -> None:
    queue = make_queue()

    def fail(view: DownloadView) -> None:
        raise ValueError("broken listener")

    queue.listen(fail)
    assert queue.wait(queue.add(order_for(hub)), 10).state == "finished"
    assert "A listener of the downloads failed." in caplog.text


def test_a_listener_that_left_hears_nothing(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    queue = make_queue()
    heard: list[DownloadView] = []
    queue.listen(heard.append)()
    queue.wait(queue.add(order_for(hub)), 10)
    assert heard == []


def test_waiting_ends_with_its_time(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    hub.misbehave(NAME, Stall(20, 1_000_000))
    queue = make_queue(policy=TransferPolicy(stall_s=15))
    view = queue.wait(queue.add(order_for(hub)), 0.3)
    assert view.state == "running"


def test_forget_takes_it_out_of_the_list_and_touches_no_file(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], state_file: Path
) -> None:
    hub.misbehave(NAME, Status(404, error_code="EntryNotFound"), times=None, methods=("HEAD",))
    queue = make_queue()
    id = queue.add(order_for(hub))
    assert queue.wait(id, 10).state == "failed"
    queue.forget(id)
    assert queue.views() == ()
    assert json.loads(state_file.read_text())["downloads"] == []
    with pytest.raises(UserError, match="no download"):
        queue.resume(id)


def test_one_that_is_under_way_cannot_be_forgotten(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    hub.misbehave(NAME, Stall(20, 1_000_000))
    queue = make_queue(policy=TransferPolicy(stall_s=15))
    id = queue.add(order_for(hub))
    with pytest.raises(UserError, match="under way"):
        queue.forget(id)


def test_close_is_quick_even_on_a_silent_line_and_the_next_queue_goes_on(
    hub: HubServer, make_queue: Callable[..., DownloadQueue]
) -> None:
    hub.misbehave(NAME, Stall(30, 1_000_000))
    queue = make_queue(policy=TransferPolicy(stall_s=25))
    id = queue.add(order_for(hub))
    wait_until(lambda: view_of(queue, id).done_bytes == 1_000_000)
    began = time.monotonic()
    queue.close()
    assert time.monotonic() - began < 2.5
    wait_until(lambda: not any(thread.name == "download" for thread in threading.enumerate()))
    following = make_queue()
    view = view_of(following, id)
    assert (view.state, view.done_bytes, view.error) == ("paused", 1_000_000, None)
    following.resume(id)
    view = following.wait(id, 10)
    assert view.path is not None
    assert sha256(view.path) == file_at(hub).sha256
    assert hub.served_bytes() == SIZE


def test_finished_and_cancelled_ones_do_not_come_back(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    queue = make_queue()
    queue.wait(queue.add(order_for(hub)), 10)
    hub.misbehave(OTHERS[0], Stall(20, 100))
    queue.cancel(queue.add(order_for(hub, OTHERS[0])))
    queue.close()
    assert make_queue().views() == ()


def test_a_failed_one_comes_back_with_its_reason(hub: HubServer, make_queue: Callable[..., DownloadQueue]) -> None:
    hub.misbehave(NAME, Status(404, error_code="EntryNotFound"), times=None, methods=("HEAD",))
    queue = make_queue()
    id = queue.add(order_for(hub))
    queue.wait(id, 10)
    queue.close()
    view = view_of(make_queue(), id)
    assert (view.state, view.error_code) == ("failed", "hub_file_unknown")


KILLED = """
import json, sys, time
from pathlib import Path
from tests.integration.hub.fetching import QUICK
from workbench.hub.client import HubClient
from workbench.hub.download import DownloadQueue
from workbench.hub.repository import RepoFile
from workbench.hub.transfers import DownloadOrder
order = json.loads(sys.argv[2])
files = tuple(RepoFile(**file) for file in order.pop("files"))
queue = DownloadQueue(HubClient(use_xet=False), Path(sys.argv[1]), policy=QUICK)
print(queue.add(DownloadOrder(**order, files=files)), flush=True)
time.sleep(60)
"""


def start_queue(hub: HubServer, state_file: Path) -> tuple[subprocess.Popen[str], str]:
    """A program with a queue of its own, at the file of the tests; and the id of its download."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(state_file), json.dumps(asdict(order_for(hub)))],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"},
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_downloads_of_a_killed_program_come_back_paused_and_go_on(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], state_file: Path, cache: Path
) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=1_000_000))
    process, id = start_queue(hub, state_file)
    wait_until(lambda: part_of(hub, cache).exists() and part_of(hub, cache).stat().st_size > 300_000)
    assert make_queue().views() == ()  # it lives, and its downloads are its own
    process.kill()
    process.communicate()
    queue = make_queue()
    view = view_of(queue, id)
    assert view.state == "paused"
    assert view.done_bytes == part_of(hub, cache).stat().st_size > 300_000
    queue.resume(id)
    view = queue.wait(id, 10)
    assert view.path is not None
    assert sha256(view.path) == file_at(hub).sha256
    assert hub.asked("/cdn/", "GET")[1].headers["range"] != "bytes=0-"


def test_two_programs_keep_each_others_downloads_in_the_list(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], state_file: Path
) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=100_000), times=None)
    process, theirs = start_queue(hub, state_file)
    hub.misbehave(OTHERS[0], Stall(20, 1_000))
    queue = make_queue(policy=TransferPolicy(stall_s=15))
    ours = queue.add(order_for(hub, OTHERS[0]))
    kept = {row["id"] for row in json.loads(state_file.read_text())["downloads"]}
    process.kill()
    process.communicate()
    assert kept == {ours, theirs}
    queue.close()
    assert {view.id for view in make_queue().views()} == {ours, theirs}


def _list_with(**changes: object) -> str:
    """A sound list of one download, with something else in some places."""
    file = {"name": "x.gguf", "size_bytes": 10, "sha256": None, "is_xet": False}
    order = {"repo_id": "a/b", "revision": "main", "label": "x", "files": [file]}
    row = {"id": "x", "order": order, "error_code": None, "error": None, "owner": None}
    for part in (file, order, row):
        part.update({name: value for name, value in changes.items() if name in part})
    return json.dumps({"version": changes.get("version", 1), "downloads": [row]})


@pytest.mark.parametrize(
    "content",
    [
        "{not json", '{"downloads": [{"id": "x"}]}', "[]", "", "[" * 100_000, _list_with(size_bytes=-7),
        _list_with(size_bytes=float("inf")), _list_with(size_bytes=10**400), _list_with(sha256=7),
        _list_with(repo_id=None), _list_with(error=5), _list_with(owner="x"), _list_with(owner=["a", "b"]),
        _list_with(owner=[-7, 1.0]), _list_with(version=2), _list_with(owner=[10**400, 1.0]),
    ],
)  # fmt: skip
def test_a_broken_list_is_set_aside(
    make_queue: Callable[..., DownloadQueue], state_file: Path, content: str, hub: HubServer
) -> None:
    state_file.parent.mkdir(parents=True)
    state_file.write_text(content)
    queue = make_queue()
    assert queue.views() == ()
    assert state_file.with_name("downloads.json.broken-1").read_text() == content
    assert queue.wait(queue.add(order_for(hub)), 10).state == "finished"


def test_nothing_of_the_token_is_in_the_list(
    hub: HubServer, make_queue: Callable[..., DownloadQueue], state_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.add_token("hf_secret_of_the_test"))
    hub.misbehave(NAME, Stall(20, 1_000))
    queue = make_queue(policy=TransferPolicy(stall_s=15))
    id = queue.add(order_for(hub))
    wait_until(lambda: view_of(queue, id).done_bytes > 0)
    queue.pause(id)
    assert "hf_secret" not in state_file.read_text()
