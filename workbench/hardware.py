"""What this machine is, and what the installed build of llama.cpp can use of it, in words and commands."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.graphics import Gpu, find_gpus, mac_chip
from workbench.runs.record import DeviceDescription, EngineBuild
from workbench.units import bytes_text
from workbench.wheels import can_use, wheel_index

CPUINFO = Path("/proc/cpuinfo")
_ON_THE_CPU = frozenset({"CPU", "BLAS"})  # back ends in llama.cpp's registry that reach no other device
_BACKEND_NAMES = {"MTL": "Metal"}  # llama.cpp's name where people say another


@dataclass(frozen=True, slots=True)
class Machine:
    """None: the system does not tell. `physical_cores` is what llama.cpp's default of threads follows.

    `memory_total_bytes` holds what an integrated GPU uses too: it is not counted a second time.
    """

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
class GpuUse:
    """One GPU of the machine beside the build. `loses` is True where installing another build would gain much:
    not for a GPU in the processor, which decodes about as fast as the processor does with the same memory.
    """

    gpu: Gpu
    text: str
    is_used: bool
    loses: bool = False
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine and the build side by side. `problem` says why there is nothing about the build."""

    machine: Machine
    build: EngineBuild | None = None
    problem: str | None = None

    @property
    def uses(self) -> tuple[GpuUse, ...]:
        """Empty when nothing is known of the build."""
        return judge_gpus(self.machine, self.build) if self.build is not None else ()


def describe_machine() -> Machine:
    """Asks the system and NVML; starts a program on a Mac of Intel only. Some 50 ms the first time."""
    import psutil

    return Machine(
        cpu=_cpu_name(),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(),
        memory_total_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        gpus=find_gpus(),
    )


def gpu_advice(machine: Machine, build_supports_gpu: bool) -> str | None:
    """The sentence and command that would put an idle GPU to use; None when there is nothing to gain."""
    gpu = next((gpu for gpu in machine.gpus if _is_worth_a_build(gpu)), None)
    if gpu is None or build_supports_gpu:
        return None
    index = wheel_index(gpu)
    return (
        f"{gpu.name} is present, but this build of llama.cpp cannot use it. "
        f"Install the {index.backend} build ({index.needs}):\n{index.command}"
    )


def judge_gpus(machine: Machine, build: EngineBuild, system: str = sys.platform) -> tuple[GpuUse, ...]:
    """For each GPU of the machine whether the build uses it, and else how to get one that does."""
    return tuple(_judge(gpu, build, system) for gpu in machine.gpus)


def _judge(gpu: Gpu, build: EngineBuild, system: str) -> GpuUse:
    found = [device for device in build.gpus if _is_same(gpu, device)]
    if found:
        return GpuUse(gpu, f"used by this build as {_list([device.name for device in found])}", is_used=True)
    index = wheel_index(gpu, system)
    commands = (index.command, index.build_command(gpu, system))
    worth = _is_worth_a_build(gpu)
    if not can_use(build.backends, gpu, system):
        abilities = _abilities(build.backends)
        text = f"not used: this build {abilities}; a build with {index.backend} would use it ({index.needs})"
        return GpuUse(gpu, text, is_used=False, loses=worth, commands=commands)
    if gpu.shares_memory and build.gpus:
        return GpuUse(gpu, "not used: llama.cpp takes a GPU in the processor only where there is no other", False)
    text = (
        f"not used: this build {_abilities(build.backends)}, but finds no such device. The driver may be too old, or "
        "CUDA_VISIBLE_DEVICES or a container may hide the GPU"
    )
    return GpuUse(gpu, text, is_used=False, loses=worth, commands=commands)


def gpu_text(gpu: Gpu) -> str:
    """Name, memory and driver, and what it does not tell, for one line."""
    return " · ".join((gpu.name, *gpu_facts(gpu)))


def gpu_facts(gpu: Gpu) -> tuple[str, ...]:
    facts = [_memory_text(gpu)]
    if gpu.driver:
        facts.append(f"driver {gpu.driver}")
    if gpu.compute_capability:
        facts.append(f"compute capability {gpu.compute_capability[0]}.{gpu.compute_capability[1]}")
    return (*facts, *gpu.untold)


def _memory_text(gpu: Gpu) -> str:
    if gpu.shares_memory:
        aside = f", {bytes_text(gpu.memory_total_bytes)} set aside" if gpu.memory_total_bytes else ""
        return f"works in the machine's memory{aside}"
    if gpu.memory_total_bytes is None:
        return "memory not known"
    if gpu.memory_free_bytes is None:
        return bytes_text(gpu.memory_total_bytes)
    return f"{bytes_text(gpu.memory_total_bytes)}, {bytes_text(gpu.memory_free_bytes)} free"


def device_text(device: DeviceDescription) -> str:
    """What llama.cpp says of a device, for one line."""
    facts = [f"{device.description or device.kind}"]
    if device.memory_total_bytes is not None:
        # llama.cpp calls all memory of the processor free.
        is_told = device.memory_free_bytes is not None and device.kind != "cpu"
        free = f", {bytes_text(device.memory_free_bytes)} free" if is_told else ""
        facts.append(f"{bytes_text(device.memory_total_bytes)}{free}")
    if device.kind == "igpu":
        facts.append("works in the machine's memory")
    return " · ".join(facts)


def build_text(build: EngineBuild) -> str:
    """What llama.cpp can run on here and what it uses of the processor: a predicate without its subject."""
    text = _abilities(build.backends)
    if build.gpus:
        text += f", {'device' if len(build.gpus) == 1 else 'devices'} {_list([device.name for device in build.gpus])}"
    elif not _ON_THE_CPU.issuperset(build.backends):
        text += ", but finds no device for that"
    features = f"; of the CPU's instruction sets it uses {_list(build.features)}" if build.features else ""
    return f"{text}{features}"


def _is_worth_a_build(gpu: Gpu) -> bool:
    return gpu.vendor == "apple" or (gpu.vendor in ("nvidia", "amd", "intel") and not gpu.shares_memory)


def _is_same(gpu: Gpu, device: DeviceDescription) -> bool:
    """By name: neither side has an address that the other knows. Drivers add words of their own to a name."""
    if gpu.vendor == "apple":
        return True
    ours, theirs = gpu.name.lower(), device.description.lower()
    if ours in theirs or theirs in ours:
        return True
    is_maker = gpu.vendor in theirs or (gpu.vendor == "amd" and "radeon" in theirs)
    return is_maker and gpu.vendor != "nvidia" and gpu.shares_memory == (device.kind == "igpu")


def _abilities(backends: Sequence[str]) -> str:
    """What a build with these back ends can run on; the CPU goes without saying beside another device."""
    if not backends:
        return "has no back end and runs nothing"
    others = [_BACKEND_NAMES.get(name, name) for name in backends if name not in _ON_THE_CPU]
    return f"can use {_list(others)}" if others else "runs on the CPU only"


def _list(names: Sequence[str]) -> str:
    """A, B and C"""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _cpu_name() -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return mac_chip() or platform.processor() or platform.machine() or "unknown processor"


def _gibibytes(size_bytes: int | None) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes is not None else ""
