"""How long things take to be there: help, the painted window, the child with the demo model; prints one JSON object.

    python -m tests.bench.startup [--runs 7]

Every figure is the median of whole processes or whole loads, with minimum and maximum beside it, after one warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Opens the real window as `workbench` does and prints the monotonic stamp at which its first paint was over. The
# filter sees the paint first, so its timer fires before anything that the window does after its first paint.
PAINT = """
import sys, time
from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QApplication
from ui.app import open_window
from workbench.core import Workbench

class Watch(QObject):
    stamp = None
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint and self.stamp is None:
            self.stamp = 0
            QTimer.singleShot(0, self.painted)
        return False
    def painted(self):
        self.stamp = time.perf_counter_ns()
        QTimer.singleShot(500, app.quit)

app = QApplication(sys.argv)
workbench = Workbench.open()
watch = Watch()
window = open_window(app, workbench)
window.installEventFilter(watch)
app.exec()
print(watch.stamp)
window.close()
"""


def spread(measure: Callable[[], float], runs: int) -> dict[str, float]:
    measure()
    values = [measure() for _ in range(runs)]
    return {
        "median_s": round(statistics.median(values), 3),
        "min_s": round(min(values), 3),
        "max_s": round(max(values), 3),
        "runs": runs,
    }


def help_time() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "workbench.cli", "--help"], check=True, capture_output=True)
    return time.perf_counter() - start


def paint_time() -> float:
    start = time.perf_counter_ns()
    done = subprocess.run([sys.executable, "-c", PAINT], check=True, capture_output=True, text=True)
    return (int(done.stdout.split()[-1]) - start) / 1e9


def cold_start() -> float:
    """Child start, weights and context of the demo model, as the engine reports them, beside the wall time."""
    from workbench.core import Knobs, Workbench
    from workbench.engine.process import LocalEngine

    workbench = Workbench.open()
    try:
        spec = workbench.build_spec(Knobs(prompt="hello"))
        engine = LocalEngine()
        start = time.perf_counter()
        engine.load(spec.model, spec.engine)
        elapsed = time.perf_counter() - start
        engine.close()
        return elapsed
    finally:
        workbench.close()


def first_answer() -> float:
    """From nothing to the first token of the demo model in the terminal: start, load, prompt."""
    command = [sys.executable, "-m", "workbench.cli", "run", "What is TTFT?", "--max-tokens", "1", "--json"]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    results: dict[str, Any] = {"bench": "startup"}
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = str(Path(home))
        for name, measure in (
            ("help", help_time),
            ("window_painted", paint_time),
            ("child_and_demo_model", cold_start),
            ("terminal_first_token", first_answer),
        ):
            results[name] = spread(measure, options.runs)
    print(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
