"""Which build of llama.cpp can use which GPU, and the commands that install or compile it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.graphics import Gpu, Vendor

LLAMA_CPP = "llama-cpp-python>=0.3.36,<0.3.38"
WHEELS = "https://abetlen.github.io/llama-cpp-python/whl"
# By the name that a back end has in llama.cpp's registry.
_USES: dict[Vendor, frozenset[str]] = {
    "nvidia": frozenset({"CUDA", "Vulkan"}),
    "amd": frozenset({"ROCm", "Vulkan"}),
    "intel": frozenset({"SYCL", "Vulkan", "OpenVINO"}),
    "apple": frozenset({"MTL", "Metal"}),
    "unknown": frozenset({"Vulkan"}),
}


@dataclass(frozen=True, slots=True)
class WheelIndex:
    """Where the llama-cpp-python project publishes wheels with one back end, and what compiles the same."""

    backend: str
    needs: str
    name: str

    @property
    def command(self) -> str:
        """Puts a published wheel in the place of the build that is there; never starts a build from source."""
        return f'{_pip()} --only-binary=llama-cpp-python "{LLAMA_CPP}" --extra-index-url {WHEELS}/{self.name}'

    def build_command(self, gpu: Gpu | None = None, system: str = sys.platform) -> str:
        """Compiles for this machine, for a GPU of NVIDIA for that one architecture only; takes minutes to an hour."""
        flags = self._flags(gpu)
        pip = f'{_pip()} --no-cache-dir --no-binary=llama-cpp-python "{LLAMA_CPP}"'
        if not flags:
            return pip
        return f'$env:CMAKE_ARGS="{flags}"; {pip}' if system == "win32" else f'CMAKE_ARGS="{flags}" {pip}'

    def _flags(self, gpu: Gpu | None) -> str:
        if self.name.startswith("cu"):
            capability = gpu.compute_capability if gpu is not None else None
            architecture = f"{capability[0]}{capability[1]}" if capability else "native"
            return f"-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES={architecture}"
        return {
            "metal": "-DGGML_METAL=on", "vulkan": "-DGGML_VULKAN=on", "rocm72": "-DGGML_HIP=on",
            "hip-radeon": "-DGGML_HIP=on",
        }.get(self.name, "")  # fmt: skip


# As the README of llama-cpp-python 0.3.36 lists them. The drivers are those that came with each CUDA release: an
# older one of the same major version runs only what needs no just-in-time compilation, and these wheels do need it.
WHEEL_INDEXES = (
    WheelIndex("CPU", "any processor", "cpu"),
    WheelIndex("CUDA 13.2", "NVIDIA GPU of compute capability 7.5 or newer, driver for CUDA 13.2", "cu132"),
    WheelIndex("CUDA 13.0", "NVIDIA GPU of compute capability 7.5 or newer, driver 580 or newer", "cu130"),
    WheelIndex("CUDA 12.5", "NVIDIA GPU of compute capability 6.0 or newer, driver 555 or newer", "cu125"),
    WheelIndex("CUDA 12.4", "NVIDIA GPU of compute capability 6.0 or newer, driver 550 or newer", "cu124"),
    WheelIndex("CUDA 12.3", "NVIDIA GPU of compute capability 6.0 or newer, driver 545 or newer", "cu123"),
    WheelIndex("CUDA 12.2", "NVIDIA GPU of compute capability 6.0 or newer, driver 535 or newer", "cu122"),
    WheelIndex("CUDA 12.1", "NVIDIA GPU of compute capability 6.0 or newer, driver 530 or newer", "cu121"),
    WheelIndex("CUDA 11.8", "NVIDIA GPU of compute capability 6.0 to 8.9, driver 520 or newer", "cu118"),
    WheelIndex("Metal", "Mac with macOS 11 or newer", "metal"),
    WheelIndex("Vulkan", "GPU of any maker with a Vulkan driver, Linux or Windows", "vulkan"),
    WheelIndex("ROCm", "AMD GPU, Linux with ROCm 7.2", "rocm72"),
    WheelIndex("HIP", "AMD Radeon GPU, Windows", "hip-radeon"),
)
# Least driver, least and greatest compute capability, wheel; the newest CUDA first.
_CUDA_WHEELS = (
    (580, (7, 5), (99, 0), "cu130"),
    (555, (6, 0), (99, 0), "cu125"),
    (550, (6, 0), (99, 0), "cu124"),
    (545, (6, 0), (99, 0), "cu123"),
    (535, (6, 0), (99, 0), "cu122"),
    (530, (6, 0), (99, 0), "cu121"),
    (520, (6, 0), (8, 9), "cu118"),
)


def _pip() -> str:
    """That of the Python which runs this: another pip would install for another program."""
    program = sys.executable
    quoted = f'& "{program}"' if sys.platform == "win32" else shlex.quote(program)
    return f"{quoted} -m pip install --force-reinstall --no-deps"


def wheel_index(gpu: Gpu | None, system: str = sys.platform) -> WheelIndex:
    """The published wheels that suit a GPU; None is a machine without one."""
    by_name = {index.name: index for index in WHEEL_INDEXES}
    if gpu is None:
        return by_name["cpu"]
    if gpu.vendor == "apple" or system == "darwin":
        return by_name["metal"]
    if gpu.vendor == "nvidia":
        return by_name[_cuda_wheel(gpu)]
    if gpu.vendor == "amd" and system == "win32":
        return by_name["hip-radeon"]
    if gpu.vendor == "amd" and Path("/opt/rocm").exists():
        return by_name["rocm72"]
    return by_name["vulkan"]


def can_use(backends: Iterable[str], gpu: Gpu, system: str = sys.platform) -> bool:
    """Whether a build with these back ends has one for the GPU; a Mac reaches every GPU through Metal."""
    return bool(_USES["apple" if system == "darwin" else gpu.vendor] & frozenset(backends))


def _cuda_wheel(gpu: Gpu) -> str:
    """Vulkan serves cards and drivers that no CUDA wheel serves."""
    major = (gpu.driver or "").partition(".")[0]
    if not major.isdigit():
        return "cu124"
    capability = gpu.compute_capability or (7, 0)  # unknown: only a wheel that serves old and new cards
    return next(
        (name for least, low, high, name in _CUDA_WHEELS if int(major) >= least and low <= capability <= high),
        "vulkan",
    )
