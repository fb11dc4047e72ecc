"""What the About dialog says: versions, folders, machine."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from PySide6.QtCore import qVersion

from workbench import __version__
from workbench.core import EngineState
from workbench.paths import Paths

Rows = tuple[tuple[str, str], ...]
SHORTCUTS: Rows = (
    ("Ctrl+1 to Ctrl+9", "go to a page"),
    ("Ctrl+F, Ctrl+B, Ctrl+I, Ctrl+O", "on Models: search, library, details, import files"),
    ("F1", "this list"),
    ("Shift+F1", "the glossary, at the term under the mouse or in focus"),
    ("F11", "presenter view: figures in double size"),
    ("Ctrl+,", "settings"),
    ("Ctrl+Q", "quit; a run under way is stopped and kept"),
)


def about_sections(paths: Paths, engine: EngineState) -> tuple[tuple[str, Rows], ...]:
    """Headings and rows. Never imports llama_cpp: its version comes from the installed package's metadata."""
    load = engine.load
    versions = (
        ("Workbench", __version__),
        ("huggingface_hub", _version("huggingface-hub")),
        ("llama-cpp-python", _version("llama-cpp-python")),
        ("llama.cpp", load.engine_build if load else "known once a model was loaded"),
        ("PySide6, Qt", f"{_version('PySide6-Essentials')}, {qVersion()}"),
        ("Python", platform.python_version()),
        ("Licence", "MIT"),
    )
    folders = (("Data", str(paths.data)), ("Models", str(paths.models)), ("Cache", str(paths.cache)),
               ("Logs", str(paths.logs)))  # fmt: skip
    machine = [("System", f"{platform.system()} {platform.release()}, {platform.machine()}")]
    machine.append(("Processor cores", str(os.cpu_count() or "unknown")))
    machine += [(device.name, device.description) for device in (load.devices if load else ())]
    return (("Versions", versions), ("Shortcuts", SHORTCUTS), ("Folders", folders), ("Machine", tuple(machine)))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
