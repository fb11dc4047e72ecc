"""The laws of the house: who may import what, how large a module may grow, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("workbench/**/*.py"), *ROOT.glob("ui/**/*.py")])

# Longest a file may be, by the folder it lies in; the first match counts.
SIZE_LAWS = (("ui/main_window.py", 300), ("ui/", 500), ("workbench/", 450))
FUNCTION_LAW = 50


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Every module named in an import, at the top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


FORBIDDEN: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # (path prefix of the importing file, packages it must not name, why)
    ("workbench/", ("ui", "PySide6", "pyqtgraph", "shiboken6"), "the core knows no window"),
    ("workbench/runs/", ("workbench.engine", "workbench.hub", "workbench.history", "workbench.core"), "plain data"),
    ("workbench/engine/", ("workbench.history", "workbench.core", "workbench.cli"), "the engine is below the core"),
    ("ui/state/", ("PySide6.QtWidgets", "PySide6.QtGui", "ui.pages", "ui.widgets"), "state is QtCore only"),
    ("ui/tables/", ("PySide6.QtWidgets", "ui.pages", "ui.widgets"), "tables are QtCore (and QtGui roles) only"),
    ("ui/widgets/", ("workbench.core", "workbench.history", "workbench.hub", "ui.state", "ui.pages"), "no service"),
)
# The modules that may name a library; everything else must not.
ONLY_IN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("llama_cpp", ("workbench/engine/llama.py",)),
    ("sqlite3", ("workbench/history/",)),
    ("huggingface_hub", ("workbench/hub/",)),
    ("genai_prices", ("workbench/economics/prices.py",)),
    ("pyqtgraph", ("ui/widgets/",)),
)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_follow_the_directions(path: Path) -> None:
    name = name_of(path)
    modules = set(imported_modules(ast.parse(path.read_text(encoding="utf-8"))))
    broken = [
        f"{name} imports {module}: {why}"
        for prefix, packages, why in FORBIDDEN
        if name.startswith(prefix)
        for module in modules
        for package in packages
        if is_within(module, package)
    ]
    broken += [
        f"{name} imports {module}: only {', '.join(places)} may"
        for package, places in ONLY_IN
        if not name.startswith(places)
        for module in modules
        if is_within(module, package)
    ]
    if name.startswith("ui/pages/"):
        # A page's parts carry its name: run_knobs is of the page run and of no other.
        page = "ui.pages." + path.stem.split("_")[0]
        broken += [
            f"{name} imports the page {module}"
            for module in modules
            if is_within(module, "ui.pages") and not module.startswith((page + "_", page + ".")) and module != page
            if module != "ui.pages"
        ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    name, text = name_of(path), path.read_text(encoding="utf-8")
    limit = next(limit for prefix, limit in SIZE_LAWS if name.startswith(prefix))
    lines = len(text.splitlines())
    assert lines <= limit, f"{name} has {lines} lines; split it below {limit}"
    long = [
        f"{name}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= FUNCTION_LAW
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{name_of(path)} has no module docstring"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_durations_do_not_come_from_the_wall_clock(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert "time.time" not in calls, f"{name_of(path)} uses time.time(); durations need time.perf_counter_ns"


def test_colours_live_in_the_theme_alone() -> None:
    import re

    colour = re.compile(r"#[0-9a-fA-F]{6}\b")
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in ROOT.glob("ui/**/*.py")
        if path.name != "theme.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if colour.search(line)
    ]
    assert not found, "\n".join(found)


def test_packaging_folder_is_no_package() -> None:
    assert not list((ROOT / "packaging").rglob("__init__.py")), "packaging/ would shadow the library of that name"


@pytest.mark.parametrize("module", ["workbench", "workbench.core", "workbench.cli"])
def test_importing_the_core_loads_no_window_no_engine_no_network(module: str) -> None:
    heavy = ["PySide6", "llama_cpp", "huggingface_hub", "requests", "httpx", "genai_prices", "numpy", "pyqtgraph"]
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"
