#!/usr/bin/env python3
"""Sets up a virtual environment beside the sources and runs the workbench or all checks in it; standard library only.

python3 packaging/dev.py run      installs the project and opens the workbench
python3 packaging/dev.py check    installs the project for testing and runs every check
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "workbench-install.json"
IS_WINDOWS = os.name == "nt"
BIN = VENV / ("Scripts" if IS_WINDOWS else "bin")
OLDEST_PYTHON = (3, 11)
WHEEL_INDEX = "https://abetlen.github.io/llama-cpp-python/whl"
# Names of the indexes: README of llama-cpp-python 0.3.36.
WHEELS = {
    "cpu": "cpu",
    **{name: name for name in ("cu118", "cu121", "cu122", "cu123", "cu124", "cu125", "cu130", "cu132")},
    "metal": "metal",
    "vulkan": "vulkan",
    "rocm": "hip-radeon" if IS_WINDOWS else "rocm72",
}
CHECKS = (
    ("ruff check", ("ruff", "check")),
    ("ruff format", ("ruff", "format", "--check")),
    ("mypy", ("mypy",)),
    ("lint-imports", ("lint-imports",)),
    ("pytest", ("pytest",)),
)


class Trouble(Exception):
    """A sentence for the person at the terminal."""


def main() -> int:
    options, rest = parse(sys.argv[1:])
    try:
        check_python()
        if options.command == "check":
            install("test", options.wheels)
            return run_checks(rest)
        install("", options.wheels)
        return call(tool("workbench"), *rest)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="packaging/dev.py",
        description="Sets up .venv beside the sources once, then runs the workbench or all checks in it.",
        epilog="Further arguments go to the workbench, or to pytest.",
    )
    parser.add_argument("command", choices=("run", "check"), help="open the workbench, or run every check")
    parser.add_argument(
        "--wheels", choices=tuple(WHEELS), help="a prebuilt llama.cpp from its project's index; else compiled here"
    )
    return parser.parse_known_args(arguments)


def check_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        raise Trouble(
            f"Python {platform.python_version()} is too old: the workbench needs {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} "
            f"or later. Run this file with a newer one, as in: python3.12 packaging/dev.py run"
        )


def install(extra: str, wheels: str | None) -> None:
    """Makes .venv and installs the project into it; does nothing when that was done for this pyproject.toml."""
    wanted = {
        "pyproject": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        "python": platform.python_version(),
        "root": str(ROOT),
    }
    before = read_stamp()
    extras = set(before.get("extras", []))
    is_same = all(before.get(key) == value for key, value in wanted.items())
    if is_same and extra in {"", *extras} and wheels in (None, before.get("wheels")) and tool("workbench").exists():
        return
    make_venv()
    STAMP.unlink(missing_ok=True)
    if wheels is not None:
        install_wheel(wheels)
    else:
        explain_compiling()
    extras |= {extra} - {""}
    suffix = f"[{','.join(sorted(extras))}]" if extras else ""
    print("Installing the project into .venv ...", flush=True)
    if pip("install", "--quiet", "--editable", f"{ROOT}{suffix}"):
        raise Trouble("The installation failed; the lines above say why. Mend that and run the same command again.")
    kept = wheels or (before.get("wheels") if is_same else None)
    STAMP.write_text(json.dumps({**wanted, "extras": sorted(extras), "wheels": kept}), encoding="utf-8")


def read_stamp() -> dict:
    try:
        return dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def make_venv() -> None:
    """Keeps an environment of this Python version; replaces one of another."""
    if python_of_venv() == platform.python_version():
        return
    print(f"Making .venv with Python {platform.python_version()} ...", flush=True)
    try:
        venv.EnvBuilder(with_pip=True, clear=VENV.exists(), symlinks=not IS_WINDOWS).create(VENV)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Trouble(
            f"The virtual environment {VENV} could not be made: {error}. "
            "On Debian and Ubuntu install it with: apt install python3-venv"
        ) from error


def python_of_venv() -> str | None:
    """The version that answers in .venv; None when there is none, or no pip in it."""
    question = "import pip, platform; print(platform.python_version())"
    try:
        answer = subprocess.run([tool("python"), "-c", question], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def install_wheel(wheels: str) -> None:
    print(f"Installing a prebuilt llama.cpp ({wheels}) ...", flush=True)
    options = ("--extra-index-url", f"{WHEEL_INDEX}/{WHEELS[wheels]}", "--only-binary", "llama-cpp-python")
    if pip("install", "--quiet", "--force-reinstall", "--no-deps", *options, llama_requirement()):
        raise Trouble(
            f"There is no prebuilt llama.cpp for --wheels {wheels} that fits this Python and system. "
            "Try --wheels cpu, or leave it away to compile it here."
        )


def llama_requirement() -> str:
    """The requirement as pyproject.toml has it, so that there is one place to change it."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return next(item for item in project["dependencies"] if item.startswith("llama-cpp-python"))


def explain_compiling() -> None:
    """Says what will take long, or raises when llama.cpp would have to be compiled and cannot be."""
    if subprocess.run([tool("python"), "-c", "import llama_cpp.llama_cpp"], capture_output=True).returncode == 0:
        return
    if has_wheel():
        return
    if not has_compiler():
        wheels = ", ".join(f"--wheels {name}" for name in ("cpu", "cu124", "metal", "vulkan", "rocm"))
        raise Trouble(
            "llama.cpp has to be compiled, and this machine has no C++ compiler. "
            f"{how_to_get_build_tools()} Or take a prebuilt llama.cpp with one of: {wheels}."
        )
    print("llama.cpp is compiled now: about 9 minutes on two cores, once.", flush=True)


def has_wheel() -> bool:
    """Whether pip has built llama.cpp before, or finds it built in an index, so that none is compiled."""
    pip_command = [tool("python"), "-m", "pip"]
    kept = subprocess.run([*pip_command, "cache", "list", "llama_cpp_python"], capture_output=True, text=True)
    if "llama_cpp_python" in kept.stdout:
        return True
    # pip leaves its cache aside when it is told to take published wheels only.
    options = ("--dry-run", "--quiet", "--no-deps", "--only-binary", "llama-cpp-python")
    return subprocess.run([*pip_command, "install", *options, llama_requirement()], capture_output=True).returncode == 0


def has_compiler() -> bool:
    """CMake is not asked for: pip fetches it for the build where there is none."""
    named = os.environ.get("CXX")
    return bool(named) or any(map(shutil.which, ("c++", "g++", "clang++", "cl"))) or has_visual_studio()


def has_visual_studio() -> bool:
    programs = os.environ.get("PROGRAMFILES(X86)")
    if not IS_WINDOWS or not programs:
        return False
    vswhere = Path(programs) / "Microsoft Visual Studio" / "Installer" / "vswhere.exe"
    if not vswhere.exists():
        return False
    component = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64"
    found = subprocess.run(
        [vswhere, "-products", "*", "-requires", component, "-property", "installationPath"],
        capture_output=True,
        text=True,
    )
    return bool(found.stdout.strip())


def how_to_get_build_tools() -> str:
    if IS_WINDOWS:
        return "Install Visual Studio Build Tools with the C++ workload."
    if sys.platform == "darwin":
        return "Install one with: xcode-select --install"
    commands = {
        "apt-get": "apt-get install g++ cmake",
        "dnf": "dnf install gcc-c++ cmake",
        "pacman": "pacman -S gcc cmake make",
        "zypper": "zypper install gcc-c++ cmake",
        "apk": "apk add g++ cmake make",
    }
    command = next((text for name, text in commands.items() if shutil.which(name)), None)
    return f"Install it with: {command}" if command else "Install g++ and cmake."


def run_checks(pytest_options: list[str]) -> int:
    """Every check runs, whatever the ones before it said."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    failed = []
    for name, (program, *options) in CHECKS:
        print(f"\n== {name}", flush=True)
        if call(tool(program), *options, *(pytest_options if name == "pytest" else ())):
            failed.append(name)
    print(f"\nFailed: {', '.join(failed)}" if failed else "\nEvery check passed.", flush=True)
    return 1 if failed else 0


def pip(*arguments: str) -> int:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    return call(tool("python"), "-m", "pip", *arguments, environment=environment)


def call(program: Path, *arguments: str, environment: dict[str, str] | None = None) -> int:
    return subprocess.run([program, *arguments], cwd=ROOT, env=environment).returncode


def tool(name: str) -> Path:
    return BIN / (name + ".exe" if IS_WINDOWS else name)


if __name__ == "__main__":
    sys.exit(main())
