"""The real program as a subprocess, with a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "workbench.cli")
# With the endless model: caught in the middle at any time.
ENDLESS = ("--max-tokens", "1000000", "--context", "512", "--overflow", "shift", "--mode", "deterministic")


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return {**kept, "PYTHONFAULTHANDLER": "1", "COLUMNS": "120", **changes}


def run(
    *arguments: str, stdin: str | bytes = "", timeout_s: float = 100, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Runs to the end; output as UTF-8 text."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    result = subprocess.run(
        [*PROGRAM, *arguments], input=data, capture_output=True, timeout=timeout_s, cwd=ROOT, env=environment(**changes)
    )
    out, err = result.stdout.decode(), result.stderr.decode()
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(result.args, result.returncode, out, err)


def run_json(*arguments: str, code: int = 0, stdin: str = "") -> Any:
    """The one JSON document on standard output of a command that ended with `code`."""
    result = run(*arguments, "--json", stdin=stdin)
    assert result.returncode == code, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    return json.loads(result.stdout)


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Starts it in a process group of its own, as a shell does.

    A shell that runs the tests in the background has them ignore Ctrl-C, which a child would inherit.
    """
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def read_some(process: subprocess.Popen[bytes], count: int = 20) -> bytes:
    """Waits for the first `count` bytes of the answer."""
    assert process.stdout is not None
    data = b""
    while len(data) < count:
        more = os.read(process.stdout.fileno(), 4096)
        assert more, (process.communicate()[1] or b"").decode()
        data += more
    return data


def children_of(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def is_running(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 15) -> bool:
    end = time.perf_counter() + timeout_s
    while time.perf_counter() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def interrupt_group(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> None:
    """What a terminal does on Ctrl-C: the signal goes to the program and to its children."""
    os.killpg(process.pid, number)


def all_gone(pids: Sequence[int]) -> bool:
    return not any(is_running(pid) for pid in pids)
