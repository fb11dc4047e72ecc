"""Ctrl-C, a closed pipe and `kill -9` in the middle of a run: what is left of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.program import (
    ENDLESS,
    all_gone,
    children_of,
    environment,
    interrupt_group,
    read_some,
    run,
    run_json,
    start,
    wait_until,
)  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_ctrl_c_cancels_and_keeps_the_text(endless_model: Path) -> None:
    process = start("run", "go", "--model", str(endless_model), *ENDLESS)
    read_some(process)
    children = children_of(process.pid)
    assert children, "the engine is a child process"
    interrupt_group(process)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert b"Cancelled" in errors
    assert wait_until(lambda: all_gone(children))
    (row,) = run_json("history", "list")
    assert row["status"] == "cancelled"
    assert row["text"].startswith("abc abc")
    assert run_json("history", "show", row["id"])["cancelled_by"] == "flag"


def test_ctrl_c_with_json_still_prints_the_object(endless_model: Path) -> None:
    process = start("run", "go", "--model", str(endless_model), *ENDLESS, "--json")
    assert wait_until(lambda: bool(children_of(process.pid)))
    assert wait_until(lambda: [row["status"] for row in run_json("history", "list")] == ["running"])
    interrupt_group(process)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    import json

    assert json.loads(out)["status"] == "cancelled"


def test_a_request_to_terminate_cancels_too(endless_model: Path) -> None:
    process = start("run", "go", "--model", str(endless_model), *ENDLESS)
    read_some(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert run_json("history", "list")[0]["status"] == "cancelled"


def test_a_reader_that_leaves_ends_the_run_quietly(endless_model: Path) -> None:
    process = start("run", "go", "--model", str(endless_model), *ENDLESS)
    read_some(process)
    children = children_of(process.pid)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(20) == 130
    assert errors == b""
    assert wait_until(lambda: all_gone(children))
    assert run_json("history", "list")[0]["status"] == "cancelled"


def test_kill_9_leaves_a_row_with_the_text_so_far_and_no_child(endless_model: Path) -> None:
    process = start("run", "go", "--model", str(endless_model), *ENDLESS)
    read_some(process, 2000)
    time.sleep(1.0)  # the text so far is saved four times a second
    children = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert wait_until(lambda: all_gone(children)), "the engine outlives its program"
    (row,) = run_json("history", "list")
    assert row["status"] == "interrupted"
    assert row["text"].startswith("abc abc")


def test_kill_9_loses_no_finished_run(endless_model: Path) -> None:
    finished = run_json("run", "What is TTFT?", "--max-tokens", "10")
    process = start("run", "go", "--model", str(endless_model), *ENDLESS)
    read_some(process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    rows = {row["id"]: row for row in run_json("history", "list")}
    assert rows[finished["run_id"]]["status"] == "finished"
    assert rows[finished["run_id"]]["text"] == finished["text"]


def test_a_killed_engine_is_exit_code_6_with_the_text_so_far(endless_model: Path) -> None:
    process = start("run", "go", "--model", str(endless_model), *ENDLESS)
    text = read_some(process)
    for pid in children_of(process.pid):
        os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 6, errors.decode()
    assert b"Traceback" not in errors
    (row,) = run_json("history", "list")
    assert row["status"] == "failed"
    assert row["text"].startswith(text.decode()[:8])


def test_lists_into_a_closed_pipe_are_quiet() -> None:
    import subprocess

    from tests.e2e.program import PROGRAM, ROOT

    run_json("run", "hello", "--max-tokens", "3")
    reader = subprocess.Popen([*PROGRAM, "profiles", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              cwd=ROOT, env=environment())  # fmt: skip
    assert reader.stdout is not None
    reader.stdout.close()
    _, errors = reader.communicate(timeout=20)
    assert b"Traceback" not in errors
    assert b"BrokenPipe" not in errors
    assert run("history", "list").returncode == 0
