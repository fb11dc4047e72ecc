"""What this machine is: processor, memory, GPUs, and which build of llama.cpp would use them."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Vendor = Literal["nvidia", "amd", "intel", "apple", "unknown"]

DRM = Path("/sys/class/drm")
CPUINFO = Path("/proc/cpuinfo")
# Numbers of the PCI vendors (https://pci-ids.ucw.cz).
_PCI_VENDORS: dict[str, Vendor] = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}

LLAMA_CPP = "llama-cpp-python>=0.3.36,<0.3.38"
WHEELS = "https://abetlen.github.io/llama-cpp-python/whl"


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    vendor: Vendor
    memory_total_bytes: int | None = None
    driver: str | None = None
    compute_capability: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """None: the system does not tell. `physical_cores` is what llama.cpp's default of threads follows."""

    cpu: str
    physical_cores: int | None
    logical_cores: int | None
    memory_total_bytes: int
    system: str
    python: str
    gpus: tuple[Gpu, ...] = ()

    def as_pairs(self) -> tuple[tuple[str, str], ...]:
        """As `RunRecord.machine` keeps it."""
        cores = f"{self.physical_cores or '?'} physical, {self.logical_cores or '?'} logical"
        gpus = [
            (f"gpu {index}", " · ".join(filter(None, (gpu.name, _gibibytes(gpu.memory_total_bytes), gpu.driver))))
            for index, gpu in enumerate(self.gpus)
        ]
        return (
            ("cpu", self.cpu),
            ("cores", cores),
            ("memory", _gibibytes(self.memory_total_bytes)),
            ("system", self.system),
            ("python", self.python),
            *gpus,
        )


@dataclass(frozen=True, slots=True)
class WheelIndex:
    """Where the llama-cpp-python project publishes wheels with one back end."""

    backend: str
    needs: str
    name: str

    @property
    def command(self) -> str:
        """Puts a published wheel in the place of the build that is there; never starts a build from source."""
        return (
            f'pip install --force-reinstall --no-deps --only-binary=llama-cpp-python "{LLAMA_CPP}" '
            f"--extra-index-url {WHEELS}/{self.name}"
        )


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


def describe_machine() -> Machine:
    """Asks the system and NVML; runs no other program. Some 50 ms the first time."""
    import psutil

    return Machine(
        cpu=_cpu_name(),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(),
        memory_total_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        gpus=_gpus(),
    )


def gpu_advice(machine: Machine, build_supports_gpu: bool) -> str | None:
    """The sentence and command that would put an idle GPU to use; None when there is nothing to gain."""
    gpu = next((gpu for gpu in machine.gpus if gpu.vendor in ("nvidia", "amd", "apple", "intel")), None)
    if gpu is None or build_supports_gpu:
        return None
    index = wheel_index(gpu)
    return (
        f"{gpu.name} is present, but this build of llama.cpp cannot use it. "
        f"Install the {index.backend} build ({index.needs}):\n{index.command}"
    )


def wheel_index(gpu: Gpu | None, system: str = sys.platform) -> WheelIndex:
    """The published wheels that suit a GPU; None is a machine without one."""
    by_name = {index.name: index for index in WHEEL_INDEXES}
    if gpu is None:
        return by_name["cpu"]
    if gpu.vendor == "apple":
        return by_name["metal"]
    if gpu.vendor == "nvidia":
        return by_name[_cuda_wheel(gpu)]
    if gpu.vendor == "amd" and system == "win32":
        return by_name["hip-radeon"]
    if gpu.vendor == "amd" and Path("/opt/rocm").exists():
        return by_name["rocm72"]
    return by_name["vulkan"]


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


def _gpus() -> tuple[Gpu, ...]:
    found = _nvidia_gpus()
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.append(Gpu("Apple GPU", "apple"))
    is_nvidia_known = bool(found)
    found.extend(gpu for gpu in drm_gpus() if gpu.vendor != "nvidia" or not is_nvidia_known)
    return tuple(found)


def _nvidia_gpus() -> list[Gpu]:
    from workbench.metrics.gpu import Nvml

    session = Nvml.open()
    if session is None:
        return []
    try:
        return [
            Gpu(gpu.name, "nvidia", gpu.memory_total_bytes, gpu.driver, gpu.compute_capability)
            for gpu in session.gpus()
        ]
    finally:
        session.close()


def drm_gpus(root: Path = DRM) -> list[Gpu]:
    """GPUs that Linux's display drivers know, without the virtual ones of virtual machines."""
    found = []
    for card in sorted(root.glob("card[0-9]*")):
        vendor = _PCI_VENDORS.get(_read(card / "device" / "vendor") or "")
        if vendor is None or "-" in card.name:  # card0-HDMI-A-1 is a socket of card0
            continue
        memory = _read(card / "device" / "mem_info_vram_total")  # amdgpu only
        name = _read(card / "device" / "product_name") or f"{_MAKERS[vendor]} GPU"
        found.append(Gpu(name, vendor, int(memory) if memory and memory.isdigit() else None))
    return found


_MAKERS: dict[Vendor, str] = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel"}


def _cpu_name() -> str:
    for line in (_read(CPUINFO) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def _gibibytes(size_bytes: int | None) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes is not None else ""


def _read(path: Path) -> str | None:
    """None: the system has no such file, or keeps it from us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None
