"""`kill -9` of a program at random moments: every run whose closing returned is there, whole."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.run_records import finished, running
from workbench.history.store import HistoryStore
from workbench.runs.record import RunRecord

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from tests.integration.test_history_crash import write_runs
write_runs(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


def record_of(name: str, number: int) -> RunRecord:
    """What the writer closes as its run `number`: text and stamps tell runs apart."""
    record = running(f"{name}-{number}", number)
    return finished(record, text=f"answer {name} {number} " + "x" * (number % 7 * 400), tokens=20 + number % 50)


def write_runs(path: str, name: str, limit: int) -> None:
    """Opens and closes runs, and says on standard output what has been promised."""
    store = HistoryStore(Path(path))
    print("ready", flush=True)
    for number in range(limit):
        store.open_run(running(f"{name}-{number}", number))
        print(f"opened {number}", flush=True)
        store.save_progress(f"{name}-{number}", f"partial {number}", "hm")
        print(f"saved {number}", flush=True)
        store.close_run(record_of(name, number))
        print(f"closed {number}", flush=True)
    store.close()
    print("done", flush=True)


def start_writer(path: Path, name: str, limit: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(limit)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_program_loses_no_finished_run(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    dice = random.Random(20)
    promised: dict[str, int] = {}
    for round_number in range(20):
        name = f"round{round_number}"
        writer = start_writer(path, name, 10_000)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.0, 0.15))
        writer.kill()
        said = writer.stdout.read().split("\n")[:-1]  # a line without its end may be cut
        writer.wait()
        writer.stdout.close()
        store = HistoryStore(path)
        promised[name] = check_round(store, name, said)
        store.close()
    print(f"{sum(promised.values())} closed runs in {len(promised)} rounds")
    assert sum(promised.values()) > 5
    store = HistoryStore(path)
    for name, count in promised.items():
        for number in range(count):
            assert store.get(f"{name}-{number}") == record_of(name, number)
    assert store.list(status="running") == []
    store.close()


def check_round(store: HistoryStore, name: str, said: list[str]) -> int:
    """What was promised is kept; the run that was open is interrupted with its text. Number of closed runs."""
    closed = sum(line.startswith("closed") for line in said)
    opened = sum(line.startswith("opened") for line in said)
    saved = sum(line.startswith("saved") for line in said)
    store.mark_interrupted()
    for number in range(closed):
        assert store.get(f"{name}-{number}") == record_of(name, number)
    if opened > closed:
        last = store.get(f"{name}-{opened - 1}")
        # The kill may have come after the commit and before the word of it.
        assert last.status in ("interrupted", "finished")
        if last.status == "finished":
            assert last == record_of(name, opened - 1)
        else:
            assert last.text in ({f"partial {opened - 1}"} if saved == opened else {f"partial {opened - 1}", ""})
            assert last == replace(
                running(last.id, opened - 1), status="interrupted", text=last.text, thinking=last.thinking
            )
    return closed


def test_two_programs_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    writers = [start_writer(path, name, 40) for name in ("left", "right")]
    for writer in writers:
        said, _ = writer.communicate(timeout=100)
        assert said.endswith("done\n")
    store = HistoryStore(path)
    assert store.count(status="finished") == 80
    for name in ("left", "right"):
        assert store.get(f"{name}-39") == record_of(name, 39)
    store.close()


def test_a_second_program_leaves_the_first_ones_run_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    code = (
        "import sys; from pathlib import Path; from tests.fakes.run_records import running\n"
        "from workbench.history.store import HistoryStore\n"
        f"store = HistoryStore(Path({str(path)!r})); store.open_run(running('theirs'))\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    store = HistoryStore(path)
    assert store.mark_interrupted() == 0
    assert store.get("theirs").status == "running"
    other.kill()
    other.communicate()
    assert store.mark_interrupted() == 1
    assert store.get("theirs").status == "interrupted"
    store.close()
