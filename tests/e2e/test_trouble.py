"""Damaged files, full disks and outputs that take nothing: a sentence, one JSON object and the documented code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.program import (
    ENDLESS,
    PROGRAM,
    ROOT,
    children_of,
    environment,
    read_some,
    run,
    run_json,
    start,
    wait_until,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and tmpfs are Linux")


@pytest.mark.parametrize(
    "arguments", [("history", "list"), ("history", "list", "--json"), ("run", "hello", "--max-tokens", "2", "--json")]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_takes_nothing_is_a_sentence(arguments: tuple[str, ...], unbuffered: str) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [*PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=60, cwd=ROOT,
            env=environment(PYTHONUNBUFFERED=unbuffered),
        )  # fmt: skip
    said = result.stderr.decode()
    assert result.returncode == (0 if arguments == ("history", "list") else 8), said
    assert "bug" not in said


def test_a_damaged_run_is_marked_and_the_others_are_delivered(workbench_home: Path) -> None:
    ids = [run_json("run", "hello", "--max-tokens", "2")["run_id"] for _ in range(2)]
    with contextlib.closing(sqlite3.connect(workbench_home / "data" / "history.sqlite3")) as connection, connection:
        connection.execute("UPDATE contents SET load = '{}' WHERE number = 1")
    newer, older = run_json("history", "list", code=8)
    assert (newer["id"], newer["error"]) == (ids[1], None)
    assert (older["id"], older["error"]["code"]) == (ids[0], "history_damaged")
    exported = run("history", "export")
    assert exported.returncode == 8
    assert [json.loads(line)["id"] for line in exported.stdout.splitlines()] == [ids[1]]
    assert ids[0] in exported.stderr
    assert run_json("history", "show", ids[0], code=8)["error"]["code"] == "history_damaged"


def test_a_broken_settings_file_is_told_once_and_doctor_remembers(workbench_home: Path) -> None:
    (workbench_home / "data").mkdir()
    (workbench_home / "data" / "settings.json").write_text("{bad", encoding="utf-8")
    result = run("history", "list", "--json")
    assert (result.returncode, result.stdout) == (0, "[]\n")
    assert "settings.json.broken-1" in result.stderr
    assert run("history", "list", "--json").stderr == ""
    (workbench_home / "data" / "settings.json").write_text('{"api_price": "no/such"}', encoding="utf-8")
    texts = [item["text"] for item in run_json("doctor", code=1)["findings"] if item["area"] == "settings"]
    assert any("broken-1" in text for text in texts)
    assert any("no/such" in text for text in texts)


def test_ctrl_c_at_once_is_one_object() -> None:
    process = start("run", "hello", "--json")
    time.sleep(0.35)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    if process.returncode != 130:
        # Python itself was still starting, before any line of ours: it dies of the signal and has said nothing.
        assert (process.returncode, out) == (-signal.SIGINT, b""), errors.decode()
        return
    assert b"Traceback" not in errors
    assert out == b"" or json.loads(out)["status"] == "cancelled"


def test_a_full_disk_loses_the_row_and_not_the_answer(tmp_path: Path) -> None:
    home = tmp_path / "small"
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(home)], capture_output=True).returncode:
        pytest.skip("mounting needs more rights")
    try:
        assert run("history", "list", WORKBENCH_HOME=str(home)).returncode == 0
        with contextlib.suppress(OSError), (home / "fill").open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                pass
        result = run("run", "hello", "--max-tokens", "2", "--json", WORKBENCH_HOME=str(home))
        found = json.loads(result.stdout)
        assert (result.returncode, found["status"], result.stderr) == (8, "finished", "")
        assert "not in the history" in found["note"]
        assert run("history", "list", WORKBENCH_HOME=str(home)).returncode == 0
        os.unlink(home / "fill")
        assert run("history", "list", WORKBENCH_HOME=str(home)).returncode == 0
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def test_ctrl_c_again_and_again_leaves_the_one_object(endless_model: Path) -> None:
    process = start("run", "go", "--model", str(endless_model), *ENDLESS, "--json")
    assert wait_until(lambda: bool(children_of(process.pid)))
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    out = os.read(process.stdout.fileno(), 1)  # the output has begun
    with contextlib.suppress(ProcessLookupError):
        for _ in range(20):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors.decode()
    assert errors == b""
    assert json.loads(out + rest)["status"] == "cancelled"


def test_a_run_at_work_is_not_deleted(endless_model: Path) -> None:
    process = start("run", "go", "--model", str(endless_model), *ENDLESS)
    read_some(process)
    refused = run("history", "delete", "last", "--yes")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert refused.returncode == 2
    assert "is at work" in refused.stderr
    assert run_json("history", "list")[0]["status"] == "cancelled"


def test_a_process_substitution_is_a_document() -> None:
    command = f"{' '.join(PROGRAM)} run hello --json --max-tokens 2 --document <(echo piped)"
    result = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, cwd=ROOT, env=environment(),
                            stdin=subprocess.DEVNULL)  # fmt: skip
    assert json.loads(result.stdout)["spec"]["messages"][-1]["document"] == "piped\n"
    assert run("run", "hello", "--document", "/dev/zero").returncode == 2
