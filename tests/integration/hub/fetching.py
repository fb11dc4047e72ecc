"""Fetches files with short pauses and notes what a transfer tells; run as a module, in a process that can be killed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.hub_server import HubServer
from workbench.hub.backoff import TransferPolicy
from workbench.hub.client import HubClient
from workbench.hub.repository import RepoFile
from workbench.hub.stopping import Stop
from workbench.hub.transfer import Transfer
from workbench.hub.transfers import DownloadOrder

REPO = "maker/model-GGUF"
NAME = "model-Q4_K_M.gguf"
QUICK = TransferPolicy(stall_s=0.5, attempts=4, first_pause_s=0.02, longest_pause_s=0.1, after_progress_s=0.01)


@dataclass
class Recorder:
    """What a transfer told, in order. `on_moved` may act on it."""

    starts: list[int] = field(default_factory=list)
    moves: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    notes: list[str | None] = field(default_factory=list)
    resumes: int = 0
    verified: int = 0
    on_moved: Callable[[int], None] | None = None

    def began(self, have_bytes: int) -> None:
        self.starts.append(have_bytes)

    def moved(self, have_bytes: int) -> None:
        self.moves.append(have_bytes)
        self.times.append(time.monotonic())
        if self.on_moved is not None:
            self.on_moved(have_bytes)

    def resumed(self) -> None:
        self.resumes += 1

    def noted(self, note: str | None) -> None:
        self.notes.append(note)

    def verifying(self) -> None:
        self.verified += 1


def file_at(hub: HubServer, name: str = NAME, repo_id: str = REPO) -> RepoFile:
    """The file as the Hub's list of files has it."""
    file = hub.repos[repo_id].commits[hub.repos[repo_id].head][name]
    return RepoFile(name, file.size, file.sha256 if file.is_lfs else None, file.is_xet)


def order_for(hub: HubServer, *names: str, repo_id: str = REPO, label: str = "Q4_K_M") -> DownloadOrder:
    files = tuple(file_at(hub, name, repo_id) for name in names or (NAME,))
    return DownloadOrder(repo_id, hub.repos[repo_id].head, label, files)


def fetch(
    client: HubClient,
    file: RepoFile,
    revision: str = "main",
    *,
    watcher: Recorder | None = None,
    stop: Stop | None = None,
    policy: TransferPolicy = QUICK,
    check_content: bool = False,
) -> Path:
    return Transfer(client, REPO, revision, file, watcher or Recorder(), stop or Stop(), policy, check_content).run()


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def start_process(file: RepoFile, revision: str = "main") -> subprocess.Popen[str]:
    """The same in a process of its own, in this process's surroundings; prints the path."""
    arguments = [revision, file.name, str(file.size_bytes), file.sha256 or ""]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.hub.fetching", *arguments],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"},
    )  # fmt: skip


def main() -> None:
    revision, name, size, digest = sys.argv[1:]
    print(fetch(HubClient(use_xet=False), RepoFile(name, int(size), digest or None), revision))


if __name__ == "__main__":
    main()
