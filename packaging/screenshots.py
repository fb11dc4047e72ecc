#!/usr/bin/env python3
"""Takes the pictures of the documents: the real window with the demo model, every page, both themes.

The Models page shows a repository that the tests' own Hub serves: a 42M-parameter model with random weights, in five
quantizations made here.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "shape-42M"
REPOSITORY = "example/shape-42M-GGUF"
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
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as home, hub(Path(home)) as url:
        os.environ.update(WORKBENCH_HOME=f"{home}/workbench", HF_HOME=f"{home}/huggingface", HF_ENDPOINT=url)
        return take(options)


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """The address of a Hub with one repository; its files come slowly enough to be seen coming."""
    from tests.bench.bench_models import pick
    from tests.fakes.hub_server import HubServer, Slow
    from workbench.engine.quantizer import quantize_file

    source = pick("42M")
    files = {f"{NAME}-F16.gguf": source}
    for type_name in ("Q8_0", "Q5_K_M", "Q4_K_M", "Q2_K"):
        files[f"{NAME}-{type_name}.gguf"] = folder / f"{type_name}.gguf"
        quantize_file(source, folder / f"{type_name}.gguf", type_name)
    with HubServer() as server:
        server.add_repo(REPOSITORY, files, license="mit", downloads=1200, likes=34)
        server.misbehave(f"{NAME}-Q8_0.gguf", Slow(2_000_000), times=None)
        yield server.url


def take(options: argparse.Namespace) -> int:
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication, QPushButton, QWidget

    from ui import theme
    from ui.app import open_window
    from ui.widgets.composer import Composer
    from ui.widgets.glossary_dialog import GlossaryDialog
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
    models = window.show_page("models")
    wait(app, lambda: models.results.table_model.rowCount() > 1)
    settle(app, 2)
    grab("models-catalogue")
    models.results.search.setText(REPOSITORY)
    QTest.keyClick(models.results.search, Qt.Key.Key_Return)
    rows = models.state.choice.rows
    wait(app, lambda: models.state.choice.head.repo_id == REPOSITORY and bool(models.state.choice.curve()))
    wait(app, lambda: len(rows()) == 5 and all(row.speed != "—" for row in rows()))
    buttons = models.choice.findChildren(QPushButton)
    next(button for button in buttons if "Q8_0" in button.accessibleName()).click()
    settle(app, 3)
    grab("models")
    models.library_button.click()
    settle(app)
    grab("models-library")
    for page in ("history", "settings"):
        window.show_page(page)
        grab(page)
    window.show_glossary("itl")
    grab("glossary", window.findChild(GlossaryDialog))
    window.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
