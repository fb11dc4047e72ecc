#!/usr/bin/env python3
"""Takes the pictures of the documents: the real window with the demo model, every page, both themes.

    .venv/bin/python packaging/screenshots.py --out docs/images
    .venv/bin/python packaging/screenshots.py --out build/shots --sizes 1024x640 1280x800 1920x1080 2560x1440

Needs no display. Each picture is `<page>-<theme>-<width>.png`. Figures in them are of the machine it ran on.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = (
    ("fast", "What does context length cost?"),
    ("thoughtful", "What is 47 + 38 + 15?"),
    ("thoughtful", "Why does context length cost memory?"),
)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--sizes", nargs="+", default=["1280x800"], help="width x height, as in 1280x800")
    parser.add_argument("--themes", nargs="+", default=["dark", "light"], choices=("dark", "light"))
    return parser.parse_args()


def wait(app: object, is_done: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.perf_counter() + seconds
    while not is_done():
        app.processEvents()  # type: ignore[attr-defined]
        time.sleep(0.01)
        if time.perf_counter() > deadline:
            raise SystemExit("the window did not get there in time")


def settle(app: object, seconds: float = 0.5) -> None:
    until = time.perf_counter() + seconds
    wait(app, lambda: time.perf_counter() > until)


def main() -> int:
    options = parse()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home
        return take(options)


def take(options: argparse.Namespace) -> int:
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication, QWidget

    from ui import theme
    from ui.app import open_window
    from ui.widgets.composer import Composer
    from ui.widgets.prompt_view import PromptDialog
    from workbench.core import Workbench

    options.out.mkdir(parents=True, exist_ok=True)
    app = QApplication(sys.argv[:1])
    workbench = Workbench.open()
    window = open_window(app, workbench)
    sizes = [tuple(map(int, text.split("x"))) for text in options.sizes]

    def grab(name: str, widget: QWidget | None = None) -> None:
        for width, height in sizes:
            window.resize(width, height)
            for choice in options.themes:
                theme.current().set_choice(choice)
                settle(app)
                path = options.out / f"{name}-{choice}-{width}.png"
                (widget or window).grab().save(str(path))
                print(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)

    def ask(mode: str, question: str) -> None:
        page = window.show_page("run")
        page.state.set_knob("mode", mode)
        composer = page.findChild(Composer)
        composer.set_text(question)
        before = workbench.history.count(status="finished")
        QTest.keyClick(composer.edit, Qt.Key.Key_Return)
        wait(app, lambda: workbench.history.count(status="finished") > before)
        settle(app)

    wait(app, lambda: workbench.engine_state.status == "ready")
    grab("run-empty")
    ask(*QUESTIONS[0])
    grab("run-fast")
    for question in QUESTIONS[1:]:
        ask(*question)
    grab("run-thoughtful")
    window.page("run").show_prompt()
    dialog = window.page("run").findChild(PromptDialog)
    grab("run-prompt", dialog)
    dialog.close()
    for page in ("history", "settings"):
        window.show_page(page)
        grab(page)
    window.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
