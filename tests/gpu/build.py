"""Builds llama-cpp-python with CUDA where this runs, for that GPU's architecture alone, without a network.

    python3 tests/gpu/build.py [--carry build/gpu] [--site build/gpu-site] [--cpu] [--configure-only] [--bring FOLDER]

Needs Python 3.11, CMake, a C++ compiler and, but for `--cpu`, the CUDA compiler; takes what `tests/gpu/pack.py` packed.
Only the standard library is used. The packages go into the folder `--site`, which belongs on PYTHONPATH. `--bring` also
packs the build into pieces of 15 MiB, from which `--brought` makes the folder again without compiling.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

SOURCE = "llama-cpp-source.tar.xz"
BUILT = "llama-cpp-built.tar.xz"
# Where else packages may lie when this is run by a Python that is not the one with PyTorch.
EXTRA_PACKAGES = tuple(Path("/opt").glob("*/.venv/lib/python3*/site-packages"))
PIECE_BYTES = 15 * 1024**2
# `llama` pulls in ggml and its back ends; the rest of the tree (common, tools) is not built.
TARGETS = ("llama", "ggml")


def main() -> None:
    chosen = arguments()
    started = time.monotonic()
    chosen.site.mkdir(parents=True, exist_ok=True)
    if chosen.brought:
        unpack_pieces(chosen.brought, chosen.site)
    else:
        source = unpack(chosen.carry / SOURCE, chosen.work)
        configure(source, chosen)
        if chosen.configure_only:
            return
        run("cmake", "--build", str(build_folder(source)), "--parallel", str(chosen.jobs), "--target", *TARGETS)
        install(source, chosen.site)
        if chosen.bring:
            pack_pieces(chosen.site, chosen.bring)
    wheels = chosen.carry / "wheels"
    if wheels.is_dir() and not chosen.no_wheels:
        install_wheels(wheels, chosen.site)
    print(json.dumps({"site": str(chosen.site), "seconds": round(time.monotonic() - started, 1)}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--carry", type=Path, default=Path("build/gpu"))
    parser.add_argument("--site", type=Path, default=Path("build/gpu-site"))
    parser.add_argument("--work", type=Path, default=Path("/tmp/gpu-build-work"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cpu", action="store_true", help="without CUDA, to try the script")
    parser.add_argument("--architecture", help="as 90; else that of the GPU that is there")
    parser.add_argument("--portable", action="store_true", help="for other processors than this one too (AVX2)")
    parser.add_argument("--configure-only", action="store_true")
    parser.add_argument("--no-wheels", action="store_true")
    parser.add_argument("--bring", type=Path, help="where the pieces of the build go")
    parser.add_argument("--brought", type=Path, help="where the pieces of an earlier build lie")
    return parser.parse_args()


def run(*command: str) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True)


def unpack(archive: Path, work: Path) -> Path:
    """The folder of the source package."""
    work.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as packed:
        packed.extractall(work, filter="data")
    return next(work.glob("llama_cpp_python-*"))


def build_folder(source: Path) -> Path:
    return source / "build"


def configure(source: Path, chosen: argparse.Namespace) -> None:
    flags = ["-DCMAKE_BUILD_TYPE=Release", "-DLLAVA_BUILD=OFF", "-DGGML_CCACHE=OFF", "-DSKBUILD_PLATLIB_DIR=unused"]
    flags += [f"-DGGML_NATIVE={'OFF' if chosen.portable else 'ON'}"]
    if not chosen.cpu:
        architecture = chosen.architecture or found_architecture()
        flags += ["-DGGML_CUDA=ON", f"-DCMAKE_CUDA_ARCHITECTURES={architecture}", *cublas_flags(), *driver_flags()]
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run("cmake", "-S", str(source), "-B", str(build_folder(source)), *generator, *flags)


def found_architecture() -> str:
    """That of the first GPU; what asks the compiler to look for itself where the driver's tool is missing."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "native"
    return answer.split()[0].replace(".", "")


def toolkits() -> list[Path]:
    compiler = shutil.which("nvcc")
    named = [Path(compiler).resolve().parents[1]] if compiler else []
    return [*named, Path("/usr/local/cuda"), *Path("/usr/local").glob("cuda-*")]


def driver_flags() -> list[str]:
    """The toolkit's stub of the driver's library, else the library itself, else a build that goes without."""
    if any((home / "lib64" / "stubs" / "libcuda.so").exists() for home in toolkits()):
        return []
    places = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib")
    library = next((path for place in places if (path := Path(place) / "libcuda.so.1").exists()), None)
    return [f"-DCUDA_cuda_driver_LIBRARY={library}"] if library else ["-DGGML_CUDA_NO_VMM=ON"]


def cublas_flags() -> list[str]:
    """A compiler without the library of matrix products takes the one that PyTorch has brought, where it is there."""
    if any((home / "lib64" / "libcublas.so").exists() for home in toolkits()):
        return []
    folders = [Path(place) / "nvidia" for place in [*sys.path, *map(str, EXTRA_PACKAGES)] if place]
    for library in (found for folder in folders if folder.is_dir() for found in folder.glob("*/lib/libcublas.so.*")):
        more = next(library.parent.glob("libcublasLt.so.*"))
        flags = f"-I{library.parents[1] / 'include'}"
        print(f"cuBLAS is taken from {library}")
        return [
            f"-DCUDA_cublas_LIBRARY={library}", f"-DCUDA_cublasLt_LIBRARY={more}", f"-DCMAKE_CUDA_FLAGS={flags}",
            f"-DCMAKE_CXX_FLAGS={flags}",
        ]  # fmt: skip
    return []


def install(source: Path, site: Path) -> None:
    """The Python files, the libraries beside them, and what `importlib.metadata` asks for."""
    package = site / "llama_cpp"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(source / "llama_cpp", package)
    libraries = package / "lib"
    libraries.mkdir(exist_ok=True)
    for path in sorted(build_folder(source).rglob("lib*.so*")):
        shutil.copy2(path, libraries / path.name, follow_symlinks=False)
    # Beside the others, where they look first: the loader may not know the toolkit's folder.
    runtime = next((path for home in toolkits() for path in home.glob("lib64/libcudart.so.*.*")), None)
    if runtime is not None and list(libraries.glob("libggml-cuda*")):
        shutil.copy2(runtime, libraries / ".".join(runtime.name.split(".")[:3]))
    version = source.name.removeprefix("llama_cpp_python-")
    about = site / f"llama_cpp_python-{version}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: llama_cpp_python\nVersion: {version}\n")
    print("libraries:", {path.name: path.stat().st_size for path in libraries.iterdir() if not path.is_symlink()})


def install_wheels(wheels: Path, site: Path) -> None:
    """Those whose package this Python does not have; a machine may come with most of them."""
    names = sorted({path.name.split("-")[0] for path in wheels.glob("*.whl")})
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--find-links", str(wheels)]
    run(*pip, "--target", str(site), "--upgrade", *names)


def pack_pieces(site: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / BUILT
    with tarfile.open(whole, "w:xz", preset=1) as out:
        for path in sorted(site.glob("llama_cpp*")):
            out.add(path, path.name)
    with whole.open("rb") as stream:
        number = 0
        while piece := stream.read(PIECE_BYTES):
            (folder / f"{BUILT}.{number:02d}").write_bytes(piece)
            number += 1
    whole.unlink()


def unpack_pieces(folder: Path, site: Path) -> None:
    whole = site / BUILT
    with whole.open("wb") as stream:
        for piece in sorted(folder.glob(f"{BUILT}.*")):
            stream.write(piece.read_bytes())
    with tarfile.open(whole) as packed:
        packed.extractall(site, filter="data")
    whole.unlink()


if __name__ == "__main__":
    main()
