"""How smooth the window stays while 20,000 tokens stream in at 2,000 tok/s; prints one JSON object.

    python -m tests.bench.window_stream [--tokens 20000] [--tps 2000] [--idle-s 10] [--real 0.5B 42M demo]

Scripted part: the real window with a scripted engine; a heartbeat every millisecond on the main thread finds
every stall. Idle part: CPU time of the process while nothing happens. `--real`: decode speed of real models with
the window open against the same run in a terminal process, by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("WORKBENCH_HOME", tempfile.mkdtemp(prefix="window-stream-"))

import psutil
from PySide6.QtCore import QEventLoop, Qt, QTimer
from PySide6.QtWidgets import QApplication

from tests.bench import bench_models
from tests.fakes.scripted_engine import Script, ScriptedEngine
from ui.app import open_window
from ui.main_window import MainWindow
from ui.pages.run import RunPage
from workbench.core import Workbench

WORDS = ("time", "token", "context", "latency", "memory", "a", "of", "the", "budget", "quantization", "q", "model")
SHAPES = ("paragraph", "paragraphs", "list", "code", "no_spaces")
REAL_PROMPT = "Why does context length cost memory?"


class Heartbeat:
    """Gaps between beats of the main thread in milliseconds, beyond the beat itself."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(1)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps.append(max(0.0, (now - self._last) * 1000 - 1.0))
        self._last = now


def pump(until: Callable[[], bool], limit_s: float, look_ms: int = 20) -> None:
    """Runs the event loop as the program does, and looks only now and then whether it is time to end it."""
    loop = QEventLoop()
    check = QTimer()
    check.setInterval(look_ms)
    check.timeout.connect(lambda: loop.quit() if until() or time.monotonic() > end else None)
    end = time.monotonic() + limit_s
    check.start()
    loop.exec()
    if not until():
        raise TimeoutError("the window did not get there in time")


def tokens_of(shape: str, count: int) -> list[str]:
    draw = random.Random(7)
    words = [draw.choice(WORDS) + " " for _ in range(count)]
    if shape == "paragraphs":
        words = [word.rstrip() + ".\n\n" if index % 80 == 79 else word for index, word in enumerate(words)]
    elif shape == "list":
        words = ["\n- **" + word.rstrip() + "** " if index % 16 == 0 else word for index, word in enumerate(words)]
    elif shape == "code":
        words = [word.rstrip() + "()\n" if index % 8 == 7 else word for index, word in enumerate(words)]
        words[0], words[-1] = "```python\n", "\n```\n"
    elif shape == "no_spaces":
        words = [word.rstrip() for word in words]
    return words


def page_of(window: MainWindow) -> RunPage:
    page = window.page("run")
    assert isinstance(page, RunPage)
    return page


def stream(app: QApplication, home: Path, shape: str, count: int, tps: float) -> dict[str, object]:
    tokens = tokens_of(shape, count)
    engine = ScriptedEngine(scripts=[Script(words=tokens, itl_ms=1000 / tps, prefill_ms=50, real_time=True)])
    window = open_window(app, Workbench.open(home, make_engine=lambda *_: engine))
    page = page_of(window)
    pump(lambda: bool(page.state.view.choices.models), 20)
    pump(lambda: page.state.load is not None, 20)
    rest(3.0)
    before = psutil.Process().memory_info().rss
    pulse = Heartbeat()
    page.state.set_knob("max_tokens", count)
    page.composer.set_text("go")
    started = time.perf_counter()
    pulse.start()
    page.composer.button.click()
    pump(lambda: not page.state.view.is_running and bool(page.state.view.turns), 60 + 3 * count / tps)
    pulse.stop()
    took = time.perf_counter() - started
    view = page.transcript.answers[-1].view
    text = "".join(tokens)
    gaps = sorted(pulse.gaps)
    busy = [gap for gap in gaps if gap > 0.5]
    result: dict[str, object] = {
        "shape": shape,
        "tokens": count,
        "tps_asked": tps,
        "seconds": round(took, 2),
        "stall_ms": {
            "p50": round(statistics.median(gaps), 2),
            "p99": round(gaps[int(len(gaps) * 0.99)], 1),
            "p99_of_stalls": round(busy[int(len(busy) * 0.99)], 1) if busy else 0.0,
            "worst": round(gaps[-1], 1),
            "beats": len(gaps),
        },
        "source_identical": view.source() == text,
        "plain_text_identical": view.plain_text() == text,
        "memory_before_mb": round(before / 1e6, 1),
        "memory_after_mb": round(psutil.Process().memory_info().rss / 1e6, 1),
    }
    window.close()
    window.deleteLater()
    return result


def idle(app: QApplication, home: Path, seconds: float) -> dict[str, object]:
    window = open_window(app, Workbench.open(home, make_engine=lambda *_: ScriptedEngine()))
    page = page_of(window)
    pump(lambda: bool(page.state.view.choices.models) and page.state.load is not None, 20)
    rest(3.0)
    process = psutil.Process()
    before, start = process.cpu_times(), time.perf_counter()
    rest(seconds)
    after, took = process.cpu_times(), time.perf_counter() - start
    used = after.user + after.system - before.user - before.system
    window.close()
    return {"seconds": round(took, 1), "cpu_percent": round(100 * used / took, 2)}


def real(app: QApplication, home: Path, model: str, runs: int, tokens: int) -> dict[str, object]:
    """A model in the settled window and in the terminal by turns, the same prompt, mode, seed and length."""
    path = str(bench_models.pick(model))
    window = open_window(app, Workbench.open(home))
    page = page_of(window)
    pump(lambda: bool(page.state.view.choices.models) and page.state.load is not None, 60)
    rest(4.0)
    for name, value in {"mode": "thoughtful", "model": path, "max_tokens": tokens, "context_length": 1024}.items():
        page.state.set_knob(name, value)
    rest(1.0)
    command = [sys.executable, "-m", "workbench.cli", "run", REAL_PROMPT, "--mode", "thoughtful", "--json"]
    command += ["--model", path, "--max-tokens", str(tokens), "--context", "1024"]
    window_tps, terminal_tps = [], []
    for _ in range(runs + 1):
        window_tps.append(_window_run(page))
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        terminal_tps.append(float(json.loads(done.stdout)["tps"]))
    window.close()
    window.deleteLater()
    pairs = list(zip(window_tps[1:], terminal_tps[1:], strict=True))  # the first one loads the weights
    return {
        "window_tps": round(statistics.median(pair[0] for pair in pairs), 1),
        "terminal_tps": round(statistics.median(pair[1] for pair in pairs), 1),
        "ratio_median": round(statistics.median(pair[0] / pair[1] for pair in pairs), 3),
        "pairs": [[round(value, 1) for value in pair] for pair in pairs],
    }


def _window_run(page: RunPage) -> float:
    page.state.new_chat()
    page.composer.set_text(REAL_PROMPT)
    page.composer.button.click()
    pump(lambda: not page.state.view.is_running, 120, look_ms=200)
    return page.state.figures.metrics.tps or 0.0


def rest(seconds: float) -> None:
    """What the window does by itself after its start (price tables, chart library) is over then."""
    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--tps", type=float, default=2_000.0)
    parser.add_argument("--shapes", default="paragraph")
    parser.add_argument("--idle-s", type=float, default=10.0)
    parser.add_argument("--real", nargs="*", default=[], choices=("demo", "42M", "0.5B"), metavar="MODEL")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--real-tokens", type=int, default=128)
    options = parser.parse_args()
    app = QApplication([sys.argv[0]])
    home = Path(os.environ["WORKBENCH_HOME"])
    shapes = SHAPES if options.shapes == "all" else tuple(filter(None, options.shapes.split(",")))
    report: dict[str, object] = {
        "streams": [stream(app, home / f"stream-{shape}", shape, options.tokens, options.tps) for shape in shapes]
    }
    if options.idle_s:
        report["idle"] = idle(app, home / "idle", options.idle_s)
    if options.real:
        report["real"] = {
            model: real(app, home / f"real-{model}", model, options.pairs, options.real_tokens)
            for model in options.real
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
