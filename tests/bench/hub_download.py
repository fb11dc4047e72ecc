"""Download speed on loopback against hf_hub_download of the client library (plain HTTP); prints one JSON object.

    python -m tests.bench.hub_download [--size-mb 1000] [--rounds 3] [--folder FOLDER]

The server runs in a process of its own and sends from memory. Each round fetches the same file once with each side,
each in a fresh process with an empty cache on the same disk, in turns; the clock runs around the call, imports are
paid before. This program's side is the whole path: queue, listener, SHA-256 of every byte, and the file forced to
the disk; the library's side does neither of the last two. The ratio of a round is theirs over ours in seconds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

REPO, NAME = "maker/model-GGUF", "model-Q4_K_M.gguf"
SIDES = ("ours", "theirs")


def serve(path: Path, pipe: Connection) -> None:
    from tests.fakes.hub_server import HubServer

    with HubServer(redirect=None) as server:
        repo = server.add_repo(REPO, {NAME: path})
        file = repo.commits[repo.head][NAME]
        pipe.send((server.url, repo.head, file.sha256, file.size))
        pipe.recv()


def fetch_ours(revision: str, digest: str, size: int) -> float:
    from workbench.hub.client import HubClient, cache_dir
    from workbench.hub.download import DownloadQueue
    from workbench.hub.repository import RepoFile
    from workbench.hub.transfers import DownloadOrder

    client = HubClient(use_xet=False)
    client.http()
    queue = DownloadQueue(client, cache_dir().parent / "downloads.json")
    queue.listen(lambda view: None)
    order = DownloadOrder(REPO, revision, "Q4_K_M", (RepoFile(NAME, size, digest),))
    began = time.perf_counter()
    view = queue.wait(queue.add(order))
    seconds = time.perf_counter() - began
    queue.close()
    assert view.path is not None, view.error
    return seconds


def fetch_theirs(revision: str, digest: str, size: int) -> float:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars, get_session

    disable_progress_bars()
    get_session()
    began = time.perf_counter()
    path = Path(hf_hub_download(REPO, NAME, revision=revision))
    seconds = time.perf_counter() - began
    assert path.stat().st_size == size
    return seconds


def child(side: str, revision: str, digest: str, size: int) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = (fetch_ours if side == "ours" else fetch_theirs)(revision, digest, size)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "seconds": round(seconds, 3),
        "mb_per_s": round(size / seconds / 1e6, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1e3),
        "grown_mb": round((usage.ru_maxrss - before_kb) / 1e3),
    }
    print(json.dumps(figures))


def measure(side: str, url: str, folder: Path, arguments: list[str]) -> dict[str, Any]:
    home = Path(tempfile.mkdtemp(prefix=f"{side}-", dir=folder))
    surroundings = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
                    "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}  # fmt: skip
    command = [sys.executable, "-m", "tests.bench.hub_download", "--side", side, *arguments]
    said = subprocess.run(command, env=os.environ | surroundings, capture_output=True, text=True, check=True)
    shutil.rmtree(home)
    os.sync()  # what one side left to be written is not to be paid by the other
    figures: dict[str, Any] = json.loads(said.stdout)
    return figures


def write_content(path: Path, size: int) -> None:
    from tests.fakes.hub_server import SeededContent

    content = SeededContent(size, seed=1)
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(content.read(start, 1 << 20))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size-mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--side", choices=SIDES)
    options, rest = parser.parse_known_args()
    if options.side:
        child(options.side, rest[0], rest[1], int(rest[2]))
        return
    folder = Path(tempfile.mkdtemp(prefix="hub-download-", dir=options.folder))
    path = folder / "served.gguf"
    write_content(path, options.size_mb * 1_000_000)
    ours, other = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(path, other), daemon=True)
    server.start()
    try:
        url, *arguments = ours.recv()
        rounds = []
        for number in range(options.rounds):
            order = SIDES if number % 2 == 0 else SIDES[::-1]
            rounds.append({side: measure(side, url, folder, [str(text) for text in arguments]) for side in order})
        ours.send("end")
        server.join(10)
    finally:
        shutil.rmtree(folder)
    ratios = [each["theirs"]["seconds"] / each["ours"]["seconds"] for each in rounds]
    print(json.dumps({"size_mb": options.size_mb, "ratio_median": round(statistics.median(ratios), 3),
                      "ratios": [round(ratio, 3) for ratio in ratios], "rounds": rounds}, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
