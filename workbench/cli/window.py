"""`workbench` alone: the window, or a demo prompt in the terminal where there can be none."""

from __future__ import annotations

import importlib
import sys

from workbench.cli.exit_codes import ExitCode

DEMO_PROMPT = "What is TTFT?"
WINDOW_LIBRARIES = ("PySide6", "shiboken6", "ui")


def open_window() -> int:
    """Blocks until the window is closed; its exit code."""
    # The core knows no window: it is found by name, when it is asked for.
    try:
        reason = importlib.import_module("ui.display").display_problem()
        if reason is None:
            return int(importlib.import_module("ui.app").main())
    except ImportError as error:
        # A library of Qt that this system lacks; an import that fails in our own code is a bug.
        if (error.name or "").partition(".")[0] not in WINDOW_LIBRARIES:
            raise
        reason = f"The window cannot be opened: {error}."
    print(f"{reason}\nRunning a demo prompt here instead: {DEMO_PROMPT}", file=sys.stderr)
    print('More: workbench run "your prompt", workbench chat, workbench --help.\n', file=sys.stderr)
    return _run_demo()


def _run_demo() -> ExitCode:
    from workbench.cli.run import run_knobs
    from workbench.core import Knobs

    return run_knobs(Knobs(prompt=DEMO_PROMPT, model="demo"))
