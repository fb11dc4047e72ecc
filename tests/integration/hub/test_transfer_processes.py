"""Transfers in processes of their own: killed, running side by side, and out of disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub.utils import WeakFileLock

from tests.fakes.hub_server import Drop, HubServer, SeededContent, Slow
from tests.integration.hub.fetching import NAME, REPO, fetch, file_at, sha256, start_process
from workbench.errors import StorageFull, WorldError
from workbench.hub.cached_file import Blob, RepoFolder
from workbench.hub.client import HubClient
from workbench.hub.partial import Partial, new_digest
from workbench.hub.stopping import Stop, Stopped

SIZE = 40_000_000
CONTENT = SeededContent(SIZE, seed=11)


@pytest.fixture(autouse=True)
def repo(hub: HubServer) -> None:
    hub.add_repo(REPO, {NAME: CONTENT})


def blob_at(hub: HubServer, cache: Path) -> Blob:
    return Blob(RepoFolder(cache, REPO), str(file_at(hub).sha256))


def wait_for_part(part: Path, size: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not part.exists() or part.stat().st_size < size:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)


def test_cut_50_times_and_killed_5_times_the_content_is_right(hub: HubServer, cache: Path) -> None:
    chance = random.Random(5)
    part = blob_at(hub, cache).partial
    for cut in range(50):
        hub.misbehave(NAME, Drop(chance.randint(1, 1_200_000)), skip=cut)
    for skip in range(60):
        hub.misbehave(NAME, Slow(bytes_per_s=20_000_000), skip=skip)
    for number in range(1, 6):
        process = start_process(file_at(hub))
        wait_for_part(part, SIZE * number // 8, process)
        process.kill()
        process.communicate()
        part_bytes = part.read_bytes()
        assert part_bytes == CONTENT.read(0, len(part_bytes))
    process = start_process(file_at(hub))
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert sha256(Path(printed.strip())) == file_at(hub).sha256
    answers = hub.asked("/cdn/", "GET")
    cut_short = [r for r in answers if r.sent_bytes < SIZE - int(r.headers.get("range", "bytes=0-")[6:-1])]
    assert len(cut_short) >= 50
    # What a killed process had not read yet is sent again: at most the buffers of its connection.
    assert hub.served_bytes() - SIZE < 5 * 8_000_000
    assert sum("range" not in r.headers for r in answers) == 1


def test_a_second_process_waits_and_then_finds_the_file(hub: HubServer, cache: Path) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=30_000_000), times=None)
    processes = [start_process(file_at(hub)) for _ in range(3)]
    paths = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(paths) == 1
    assert sha256(Path(paths.pop())) == file_at(hub).sha256
    assert hub.served_bytes() == SIZE


def test_a_file_that_another_program_downloads_is_not_touched(hub: HubServer, client: HubClient, cache: Path) -> None:
    blob = blob_at(hub, cache)
    blob.lock_file.parent.mkdir(parents=True)
    blob.partial.parent.mkdir(parents=True)
    blob.partial.write_bytes(b"theirs")
    stop = Stop()
    threading.Timer(0.6, stop.ask).start()
    with WeakFileLock(blob.lock_file), pytest.raises(Stopped):
        fetch(client, file_at(hub), stop=stop)
    assert blob.partial.read_bytes() == b"theirs"
    assert hub.served_bytes() == 0


def test_a_killed_process_leaves_no_lock(hub: HubServer, client: HubClient, cache: Path) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=20_000_000))
    process = start_process(file_at(hub))
    wait_for_part(blob_at(hub, cache).partial, 1_000_000, process)
    process.kill()
    process.communicate()
    began = time.monotonic()
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert time.monotonic() - began < 5


THEIRS = """
import sys
from huggingface_hub import hf_hub_download
hf_hub_download(sys.argv[1], sys.argv[2])
"""


def test_what_a_killed_hf_download_left_is_taken_over(hub: HubServer, client: HubClient, cache: Path) -> None:
    hub.misbehave(NAME, Slow(bytes_per_s=30_000_000))
    process = subprocess.Popen(
        [sys.executable, "-c", THEIRS, REPO, NAME],
        env=os.environ | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    )
    blob = blob_at(hub, cache)
    deadline = time.monotonic() + 30
    while not (parts := list(blob.path.parent.glob("*.incomplete"))) or parts[0].stat().st_size < 10_000_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    kept = parts[0].stat().st_size
    os.utime(parts[0], (0, parts[0].stat().st_mtime - 3600))
    assert sha256(fetch(client, file_at(hub))) == file_at(hub).sha256
    assert hub.asked("/cdn/", "GET")[1].headers["range"] == f"bytes={kept}-"
    assert not parts[0].exists()


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from tests.integration.hub.fetching import main
from workbench.errors import StorageFull
try:
    main()
except StorageFull as error:
    print(error.code, error.message)
"""


def test_a_disk_that_takes_no_more_ends_with_a_sentence_and_keeps_what_came(
    hub: HubServer, client: HubClient, cache: Path
) -> None:
    file, limit = file_at(hub), 10_000_000
    said = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), "main", file.name, str(file.size_bytes), str(file.sha256)],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=60,
        env=os.environ | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}, check=True,
    )  # fmt: skip
    assert said.stdout.startswith("storage_full The file system of ")
    assert "takes no file larger than 10.0 MB" in said.stdout
    part = blob_at(hub, cache).partial
    assert part.stat().st_size == limit
    assert sha256(fetch(client, file)) == file.sha256
    assert [r.headers.get("range") for r in hub.asked("/cdn/", "GET")] == [None, f"bytes={limit}-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_says_that_the_download_can_be_resumed(tmp_path: Path) -> None:
    part = tmp_path / "part.incomplete"
    part.symlink_to("/dev/full")
    with Partial(part, None) as partial, pytest.raises(StorageFull, match="free some space and resume") as caught:
        partial.append(b"x" * 1000)
    assert str(tmp_path) in caught.value.message


def test_a_folder_that_cannot_be_written_gives_a_sentence(hub: HubServer, client: HubClient, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the cache should be")
    with pytest.raises(WorldError, match="cannot be written") as caught:
        fetch(client, file_at(hub))
    assert caught.value.code == "folder_not_writable"


def test_hashing_follows_what_was_there_and_what_comes(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(CONTENT.read(0, 5_000_000))
    name = SeededContent(9_000_000, seed=11)
    digest = new_digest("0" * 64, 9_000_000)
    with Partial(part, digest) as partial:
        for start in range(5_000_000, 9_000_000, 100_000):
            partial.append(name.read(start, 100_000))
        found = partial.hexdigest(Stop())
    assert found == sha256(part)


MEASURED = """
import resource, sys
from tests.integration.hub import fetching
large = sys.argv[1:]
sys.argv[1:] = ["main", "small.gguf", "400000", ""]
fetching.main()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sys.argv[1:] = large
fetching.main()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_file(hub: HubServer, tmp_path: Path) -> None:
    size = 300_000_000
    path, content = tmp_path / "large.gguf", SeededContent(size, 5)
    with path.open("wb") as out:
        for start in range(0, size, 1 << 20):
            out.write(content.read(start, 1 << 20))
    hub.add_repo(REPO, {NAME: path, "small.gguf": b"GGUF" * 100_000})
    file = file_at(hub)
    said = subprocess.run(
        [sys.executable, "-c", MEASURED, "main", file.name, str(file.size_bytes), str(file.sha256)],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=60, check=True,
        env=os.environ | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"},
    )  # fmt: skip
    _, fetched, grown_kb = said.stdout.split()
    assert sha256(Path(fetched)) == file.sha256
    assert int(grown_kb) < 60_000
