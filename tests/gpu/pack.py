"""Packs what a machine without a network needs to build llama.cpp with CUDA and to run `tests/gpu`, here, with one.

    python -m tests.gpu.pack [--sdist FILE] [--python 3.12] [--out build/gpu]

The source package of llama-cpp-python has 77 MB; of the llama.cpp inside it a CUDA build needs `ggml src include common
cmake vendor` and the top CMakeLists.txt, without the back ends of other makers: about 5 MB. Beside it go wheels of the
headless program's dependencies for that Python, which llama-cpp-python itself is not one of.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

VERSION = "0.3.36"
SOURCE = "llama-cpp-source.tar.xz"
PYTHON_PART = ("CMakeLists.txt", "pyproject.toml", "LICENSE.md", "README.md", "llama_cpp")
LLAMA_PART = ("CMakeLists.txt", "LICENSE", "licenses", "ggml", "src", "include", "common", "cmake", "vendor")
# Folders of ggml/src that neither the processor nor CUDA needs.
OTHER_BACKENDS = (
    "ggml-cann", "ggml-et", "ggml-hexagon", "ggml-hip", "ggml-metal", "ggml-musa", "ggml-opencl", "ggml-openvino",
    "ggml-sycl", "ggml-virtgpu", "ggml-vulkan", "ggml-webgpu", "ggml-zdnn", "ggml-zendnn",
)  # fmt: skip
# What the engine, the model maker, llama-cpp-python's convenience class and pytest import; nothing of the window.
PACKAGES = (
    "numpy", "gguf", "tqdm", "pyyaml", "requests", "charset-normalizer", "idna", "urllib3", "certifi", "psutil",
    "nvidia-ml-py", "platformdirs", "jinja2", "markupsafe", "diskcache", "typing-extensions", "filelock", "packaging",
    "pytest", "pluggy", "iniconfig", "pygments", "pytest-timeout",
)  # fmt: skip


def is_needed(name: str) -> bool:
    """Of a path inside the source package, whose first part is the package's own folder."""
    parts = PurePosixPath(name).parts[1:]
    if not parts or parts[0] != "vendor":
        return bool(parts) and parts[0] in PYTHON_PART
    inside = parts[2:]  # vendor/llama.cpp
    if not inside or inside[0] not in LLAMA_PART:
        return False
    return not (inside[:2] == ("ggml", "src") and len(inside) > 2 and inside[2] in OTHER_BACKENDS)


def pack_source(sdist: Path, target: Path) -> int:
    """Writes the trimmed archive; its size in bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(sdist) as source, tarfile.open(target, "w:xz", preset=6) as out:
        for member in source:
            if member.isfile() and is_needed(member.name):
                out.addfile(member, source.extractfile(member))
            elif member.issym() and is_needed(member.name):
                out.addfile(member)
    return target.stat().st_size


def fetch_sdist(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python"]
    subprocess.run([*command, f"llama-cpp-python=={VERSION}", "--dest", str(folder)], check=True)
    return next(folder.glob("llama_cpp_python-*.tar.gz"))


def fetch_wheels(folder: Path, python: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    platforms = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python]
    command += [word for name in platforms for word in ("--platform", name)]
    subprocess.run([*command, "--implementation", "cp", "--dest", str(folder), *PACKAGES], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sdist", type=Path, help="the source package, where it was downloaded before")
    parser.add_argument("--python", default="3.12", help="the Python of the machine that the wheels are for")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--no-wheels", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = pack_source(chosen.sdist or fetch_sdist(Path(folder)), chosen.out / SOURCE)
    print(f"{chosen.out / SOURCE}: {size / 1e6:.1f} MB")
    if not chosen.no_wheels:
        fetch_wheels(chosen.out / "wheels", chosen.python)
    total = sum(path.stat().st_size for path in chosen.out.rglob("*") if path.is_file())
    print(f"{chosen.out}: {total / 1e6:.1f} MB in all")


if __name__ == "__main__":
    main()
