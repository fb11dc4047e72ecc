"""Decode speed of runs with and without a download going on beside them; prints one JSON object.

    python -m tests.bench.download_beside_run [--models 0.5B demo] [--mb-per-s 12 60] [--rounds 7] [--folder FOLDER]

Runs go through `Workbench` and the engine's child, downloads through the same program's `DownloadQueue`, as in the
window. The file comes from a local server in a process of its own that sends as slowly as a line would. That server
takes processor time on the same machine, which a server elsewhere does not: so the same download is also made by a
small program that only reads and drops the bytes. What separates the two is the cost of this program's downloading:
HTTP client, SHA-256, writing, forcing to disk, progress. The measured runs of a round follow one another; a ratio is
that of a run to the mean of the runs of its round that had nothing beside them. `*_cpu` is the time on a processor
per second, 1 being one whole core.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from tests.bench import bench_models
from tests.bench.hub_download import NAME, REPO, write_content
from workbench.core import Knobs, Workbench
from workbench.hub.repository import RepoFile
from workbench.hub.transfers import DownloadOrder
from workbench.runs.spec import RunSpec

# Tokens of a run, and runs one after another that make a section of some 1.5 s.
LENGTHS = {"0.5B": (72, 1), "42M": (300, 1), "demo": (1400, 4)}
NO_END = ((0, -1e9), (1, -1e9), (2, -1e9))
PROMPT = "Why does context length cost memory?"
NOTHING, OURS, DROPPED = "nothing", "download", "read_and_dropped"
Arrived = Callable[[], int]
# Reads what an address gives and throws it away; says how much it was once a line comes in.
READER = """
import socket, sys, threading
host, port, path = sys.argv[1:]
line = socket.create_connection((host, int(port)))
line.sendall(f"GET {path} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nConnection: close\\r\\n\\r\\n".encode())
got, buffer = 0, bytearray(1 << 20)
def answer():
    for _ in sys.stdin:
        print(got, flush=True)
threading.Thread(target=answer, daemon=True).start()
while count := line.recv_into(buffer):
    got += count
"""


@dataclass(frozen=True)
class Section:
    """Measured runs with what went on beside them; `tps` is their mean."""

    beside: str
    mb_per_s: int
    tps: float
    arrived_mb_per_s: float
    own_cpu: float
    server_cpu: float


@dataclass
class Bench:
    workbench: Workbench
    server: psutil.Process
    pipe: Connection
    url: str
    order: DownloadOrder

    def section(self, spec: RunSpec, runs: int, beside: str, mb_per_s: int) -> Section:
        with self._beside(beside, mb_per_s) as arrived:
            own, before = psutil.Process(), arrived()
            own_s, server_s, began = cpu_s(own), cpu_s(self.server), time.perf_counter()
            rates = [self._decode_tps(spec) for _ in range(runs)]
            took_s = time.perf_counter() - began
            shares = (cpu_s(own) - own_s) / took_s, (cpu_s(self.server) - server_s) / took_s
            came = (arrived() - before) / took_s / 1e6
        return Section(beside, mb_per_s, statistics.mean(rates), came, *shares)

    def _decode_tps(self, spec: RunSpec) -> float:
        record = self.workbench.run(spec, lambda event: None)
        assert record.metrics.tps is not None, record.error
        return record.metrics.tps

    @contextmanager
    def _beside(self, beside: str, mb_per_s: int) -> Iterator[Arrived]:
        """What goes on beside the run, past its beginning."""
        if beside == NOTHING:
            time.sleep(0.3)
            yield lambda: 0
            return
        self.pipe.send(mb_per_s * 1_000_000)
        self.pipe.recv()
        ways: dict[str, Callable[[], AbstractContextManager[Arrived]]] = {OURS: self._download, DROPPED: self._drop}
        with ways[beside]() as arrived:
            limit = time.monotonic() + 20
            while arrived() < mb_per_s * 200_000:
                if time.monotonic() > limit:
                    raise TimeoutError("no bytes arrive")
                time.sleep(0.02)
            yield arrived

    @contextmanager
    def _download(self) -> Iterator[Arrived]:
        queue = self.workbench.models.downloads
        number = queue.add(self.order)

        def arrived() -> int:
            view = next(view for view in queue.views() if view.id == number)
            assert view.state in ("queued", "running"), view
            return view.done_bytes

        yield arrived
        queue.cancel(number)
        queue.forget(number)
        time.sleep(0.3)  # its thread removes what arrived

    @contextmanager
    def _drop(self) -> Iterator[Arrived]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        path = f"/{REPO}/resolve/{self.order.revision}/{NAME}"
        reader = subprocess.Popen([sys.executable, "-S", "-c", READER, host, port, path], text=True, bufsize=1,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert reader.stdin is not None
        assert reader.stdout is not None
        into, out = reader.stdin, reader.stdout

        def arrived() -> int:
            into.write("\n")
            return int(out.readline())

        with reader:
            yield arrived
            reader.kill()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def serve(path: Path, pipe: Connection) -> None:
    """Sends at the rate that was named last."""
    from tests.fakes.hub_server import HubServer, Slow

    with HubServer(redirect=None) as server:
        repo = server.add_repo(REPO, {NAME: path})
        file = repo.commits[repo.head][NAME]
        pipe.send((server.url, repo.head, file.sha256, file.size))
        while (bytes_per_s := pipe.recv()) is not None:
            server.behave()
            server.misbehave("*", Slow(bytes_per_s), times=None)
            pipe.send("set")


def spec_of(workbench: Workbench, model: str) -> RunSpec:
    path = str(bench_models.pick(model))
    knobs = Knobs(PROMPT, model=path, mode="fast", context_length=2048, temperature=0.0, max_tokens=LENGTHS[model][0])
    spec = workbench.build_spec(knobs)
    return replace(spec, sampling=replace(spec.sampling, logit_bias=NO_END))


def warm_up(workbench: Workbench, spec: RunSpec) -> None:
    """Until the model is loaded and its file is hashed, which goes on beside the first runs."""
    limit = time.monotonic() + 30
    workbench.run(spec, lambda event: None)
    while workbench.library.sha256(spec.model) is None and time.monotonic() < limit:
        time.sleep(0.1)
    workbench.run(spec, lambda event: None)


def measure(bench: Bench, model: str, rates: list[int], rounds: int) -> dict[str, Any]:
    spec = spec_of(bench.workbench, model)
    warm_up(bench.workbench, spec)
    made = [
        [bench.section(spec, LENGTHS[model][1], *step) for step in steps(rates, number)] for number in range(rounds)
    ]
    quiet = [section for sections in made for section in sections if section.beside == NOTHING]
    report: dict[str, Any] = {"model": model, "tokens": LENGTHS[model][0], "rounds": rounds,
                              "quiet_tps": spread([section.tps for section in quiet]),
                              "quiet_own_cpu": median(section.own_cpu for section in quiet)}  # fmt: skip
    for rate in rates:
        for beside in (OURS, DROPPED):
            report[f"{beside}_{rate}"] = compared(made, beside, rate)
        ratios = [tps_of(each, OURS, rate) / tps_of(each, DROPPED, rate) for each in made]
        report[f"download_to_dropped_{rate}"] = spread(ratios)
    return report


def steps(rates: list[int], number: int) -> list[tuple[str, int]]:
    """One round: nothing beside it before, between and after; what comes first changes from round to round."""
    found: list[tuple[str, int]] = [(NOTHING, 0)]
    for rate in rates if number // 2 % 2 == 0 else rates[::-1]:
        pair = [(OURS, rate), (DROPPED, rate)]
        found += [*(pair if number % 2 == 0 else pair[::-1]), (NOTHING, 0)]
    return found


def compared(made: list[list[Section]], beside: str, rate: int) -> dict[str, Any]:
    mine = [
        section for sections in made for section in sections if (section.beside, section.mb_per_s) == (beside, rate)
    ]
    ratios = [tps_of(each, beside, rate) / tps_of(each, NOTHING, 0) for each in made]
    return {
        "ratio": spread(ratios),
        "tps": spread([section.tps for section in mine]),
        "arrived_mb_per_s": median(section.arrived_mb_per_s for section in mine),
        "own_cpu": median(section.own_cpu for section in mine),
        "server_cpu": median(section.server_cpu for section in mine),
    }


def tps_of(sections: list[Section], beside: str, rate: int) -> float:
    return statistics.mean(each.tps for each in sections if (each.beside, each.mb_per_s) == (beside, rate))


def median(values: Iterator[float]) -> float:
    return round(statistics.median(values), 3)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "lowest": round(min(values), 3),
            "highest": round(max(values), 3)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["0.5B", "demo"], choices=list(LENGTHS))
    parser.add_argument("--mb-per-s", nargs="+", type=int, default=[12, 60])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size-mb", type=int, default=800)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="download-beside-run-", dir=options.folder))
    try:
        reports = measured(folder, options)
    finally:
        shutil.rmtree(folder)
    print(json.dumps({"bench": "download_beside_run", "models": reports}, indent=1))


def measured(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    path = folder / "served.gguf"
    write_content(path, options.size_mb * 1_000_000)
    ours, other = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(path, other), daemon=True)
    server.start()
    url, revision, digest, size = ours.recv()
    os.environ |= {"HF_ENDPOINT": url, "HF_HOME": str(folder / "hub"), "HF_HUB_DISABLE_XET": "1",
                   "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}  # fmt: skip
    os.sync()
    workbench = Workbench.open(folder / "home")
    try:
        order = DownloadOrder(REPO, revision, "Q4_K_M", (RepoFile(NAME, size, digest),))
        bench = Bench(workbench, psutil.Process(server.pid), ours, url, order)
        workbench.models.downloads.listen(lambda view: None)
        return [measure(bench, model, options.mb_per_s, options.rounds) for model in options.models]
    finally:
        workbench.close()
        ours.send(None)
        server.join(10)


if __name__ == "__main__":
    main()
