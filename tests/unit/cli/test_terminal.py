"""Text on a screen and in a pipe, and a run that is stopped from the keyboard."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.fakes.scripted_engine import Script, ScriptedEngine
from workbench.cli import session
from workbench.cli.terminal import PipedText, RunView, ScreenText, printable
from workbench.core import Knobs, Workbench
from workbench.engine import api
from workbench.runs import events
from workbench.runs.record import RunRecord
from workbench.runs.spec import Message, ModelRef, RunSpec


def ended(text: str) -> RunRecord:
    return RunRecord(
        "r", "finished", "2026-11-21T00:00:00+00:00", RunSpec(ModelRef("/m", "m"), (Message("user", "x"),)), text=text
    )


def screen(width: int = 20) -> tuple[ScreenText, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, highlight=False, markup=False)
    return ScreenText(console, is_streaming=True), out


def test_rows_are_printed_when_no_further_token_can_change_them() -> None:
    text, out = screen(width=12)
    for word in ("alpha ", "beta ", "gamma"):
        text.add(word, is_thinking=False)
        text.flush()
    assert out.getvalue().split() == ["alpha", "beta"]
    assert text.tail.plain == "gamma"
    text.end(ended("alpha beta gamma"))
    assert out.getvalue().split() == ["alpha", "beta", "gamma"]


def test_every_letter_arrives_whatever_the_batches() -> None:
    answer = "One line.\n\nA second paragraph that is longer than the screen is wide.\n  indented\nlast"
    text, out = screen(width=16)
    for letter in answer:
        text.add(letter, is_thinking=False)
        text.flush()
    text.end(ended(answer))
    assert out.getvalue().split() == answer.split()
    assert "\n\n" in out.getvalue()


def test_escape_sequences_of_a_model_never_reach_the_terminal() -> None:
    text, out = screen()
    text.add("a\x1b[2Jb\x07\x9bc\td\n", is_thinking=False)
    text.end(ended("x"))
    assert "\x1b" not in out.getvalue()
    assert printable("a\x1b[2J\x00\u0085b\t\n") == "a[2Jb\t\n"


def test_brackets_are_text_and_no_markup() -> None:
    text, out = screen(width=40)
    text.add("[bold]list[0][/bold] :smile:", is_thinking=False)
    text.end(ended("x"))
    assert out.getvalue().strip() == "[bold]list[0][/bold] :smile:"


def test_thinking_is_apart_from_the_answer() -> None:
    text, out = screen(width=40)
    text.add("hm", is_thinking=True)
    text.add("42", is_thinking=False)
    text.end(ended("42"))
    assert out.getvalue() == "hm\n\n42\n"


def test_an_answer_that_was_not_streamed_is_printed_at_the_end() -> None:
    text, out = screen(width=40)
    text.end(ended("the winner"))
    assert out.getvalue() == "the winner\n"
    piped = io.StringIO()
    PipedText(piped, is_streaming=True).end(ended("the winner"))
    assert piped.getvalue() == "the winner\n"


def test_a_pipe_gets_no_thinking_and_the_text_as_it_is() -> None:
    out = io.StringIO()
    text = PipedText(out, is_streaming=True)
    text.add("hm", is_thinking=True)
    text.add("4\x1b[0m2", is_thinking=False)
    text.end(ended("4\x1b[0m2"))
    assert out.getvalue() == "4\x1b[0m2\n"


class StubbornEngine(ScriptedEngine):
    """Lives in a process of its own, ignores a cancel, and ends only with that process."""

    def __init__(self) -> None:
        super().__init__()
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.pid = self.process.pid
        self.cancels = 0

    def cancel(self, request_id: str) -> None:
        self.cancels += 1

    def run(self, requests: api.Sequence[api.EngineRequest]) -> Iterator[api.EngineEvent]:
        (request,) = requests
        self.process.wait()
        yield api.RequestCancelled(request.id, "killed", time.perf_counter_ns())


class Presses:
    """Presses Ctrl-C so many times once the run has begun, a moment apart."""

    def __init__(self, count: int) -> None:
        self._count = count

    def show(self, new: list[events.RunEvent]) -> None:
        if any(isinstance(event, events.PassStarted) for event in new):
            threading.Thread(target=self._press).start()

    def note_cancel(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _press(self) -> None:
        for _ in range(self._count):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_second_ctrl_c_kills_an_engine_that_does_not_stop(workbench_home: Path) -> None:
    engine = StubbornEngine()
    workbench = Workbench.open(make_engine=lambda paths, settings: engine)
    handler = signal.getsignal(signal.SIGINT)
    try:
        record = session.follow(workbench, workbench.build_spec(Knobs(prompt="hello")), Presses(2))
    finally:
        engine.process.kill()
        engine.process.wait()
        workbench.close()
    assert (record.status, record.cancelled_by) == ("cancelled", "killed")
    assert engine.cancels >= 1
    assert engine.process.returncode == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_one_ctrl_c_stops_a_run_between_tokens(workbench_home: Path) -> None:
    engine = ScriptedEngine([Script(words=["w "] * 3000, prefill_ms=1, itl_ms=10, real_time=True)])
    workbench = Workbench.open(make_engine=lambda paths, settings: engine)
    try:
        record = session.follow(workbench, workbench.build_spec(Knobs(prompt="hello")), Presses(1))
    finally:
        workbench.close()
    assert (record.status, record.cancelled_by) == ("cancelled", "flag")


def test_a_view_in_a_pipe_writes_the_answer_and_nothing_else(
    workbench_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = ScriptedEngine([Script(thoughts=["hm"], words=["4", "2"])])
    workbench = Workbench.open(make_engine=lambda paths, settings: engine)
    try:
        spec = workbench.build_spec(Knobs(prompt="hello", mode="thoughtful"))
        session.follow(workbench, spec, RunView(workbench))
    finally:
        workbench.close()
    captured = capsys.readouterr()
    assert captured.out == "42\n"
    assert captured.err == ""
