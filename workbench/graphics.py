"""The GPUs of this machine, by whatever its system tells without further packages; nothing of what could use them.

| system | source | tells |
| --- | --- | --- |
| all, NVIDIA | NVML, see `workbench/metrics/gpu.py` | all of it |
| Linux | /sys/class/drm, names from pci.ids where it is installed | memory for AMD only |
| macOS | sysctl machdep.cpu.brand_string, on Intel `system_profiler SPDisplaysDataType -json` | name, memory |
| Windows | registry, the class of display adapters (qwMemorySize) | name, memory, driver |
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Vendor = Literal["nvidia", "amd", "intel", "apple", "unknown"]

DRM = Path("/sys/class/drm")
PCI_IDS = (Path("/usr/share/hwdata/pci.ids"), Path("/usr/share/misc/pci.ids"))
# https://learn.microsoft.com/windows-hardware/drivers/install/system-defined-device-setup-classes-available-to-vendors
WINDOWS_DISPLAY_CLASS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
# Numbers of the PCI vendors (https://pci-ids.ucw.cz).
_PCI_VENDORS: dict[str, Vendor] = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
_MAKERS: dict[Vendor, str] = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "apple": "Apple"}
# A GPU in the processor has less than this of its own, if anything; the rest is the machine's memory.
_OWN_MEMORY_BYTES = 2**30
_PROFILER_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """`shares_memory`: it works in the machine's memory, which is then not there a second time; its
    `memory_total_bytes` is what was set aside for it, None on a Mac, where it is all of it.
    """

    name: str
    vendor: Vendor
    memory_total_bytes: int | None = None
    driver: str | None = None
    compute_capability: tuple[int, int] | None = None
    memory_free_bytes: int | None = None
    shares_memory: bool = False
    untold: tuple[str, ...] = ()


def find_gpus(system: str = sys.platform) -> tuple[Gpu, ...]:
    """Asks NVML and the system. On a Mac of Intel this starts a program, for some 0.2 s."""
    found = nvidia_gpus()
    is_nvidia_known = bool(found)
    others: Sequence[Gpu] = ()
    if system == "darwin":
        # Every run asks; the profiler would tell no more of a GPU that is a part of the processor.
        chip = mac_chip()
        others = [apple_gpu(chip)] if chip and chip.startswith("Apple") else mac_gpus(_run_profiler())
    elif system == "win32":
        others = windows_gpus(_display_adapters())
    else:
        others = drm_gpus()
    return (*found, *(gpu for gpu in others if gpu.vendor != "nvidia" or not is_nvidia_known))


def nvidia_gpus() -> list[Gpu]:
    from workbench.metrics.gpu import Nvml

    session = Nvml.open()
    if session is None:
        return []
    try:
        return [
            Gpu(
                gpu.name, "nvidia", gpu.memory_total_bytes, gpu.driver, gpu.compute_capability, gpu.memory_free_bytes,
                untold=gpu.untold,
            )
            for gpu in session.gpus()
        ]  # fmt: skip
    finally:
        session.close()


# -- Linux


def drm_gpus(root: Path = DRM, pci_ids: Sequence[Path] = PCI_IDS) -> list[Gpu]:
    """GPUs that Linux's display drivers know, without the virtual ones of virtual machines."""
    found = []
    for card in sorted(root.glob("card[0-9]*")):
        device = card / "device"
        vendor = _PCI_VENDORS.get(_read(device / "vendor") or "")
        if vendor is None or "-" in card.name:  # card0-HDMI-A-1 is a socket of card0
            continue
        total, used = _number(device / "mem_info_vram_total"), _number(device / "mem_info_vram_used")  # amdgpu only
        found.append(
            Gpu(
                name=_read(device / "product_name") or _pci_name(device, pci_ids) or f"{_MAKERS[vendor]} GPU",
                vendor=vendor,
                memory_total_bytes=total,
                driver=_driver(device),
                memory_free_bytes=None if total is None or used is None else max(0, total - used),
                shares_memory=_is_in_processor(device, vendor),
            )
        )
    return found


def _is_in_processor(device: Path, vendor: Vendor) -> bool:
    """Intel puts them on bus 0. AMD's driver writes its table of figures in version 2 or 3 for processors, 1 for cards
    (struct metrics_table_header in the kernel's kgd_pp_interface.h).
    """
    if vendor == "intel":
        return device.resolve().name.startswith("0000:00:")
    try:
        with (device / "gpu_metrics").open("rb") as table:
            return vendor == "amd" and table.read(4)[2:3] in (b"\2", b"\3")
    except OSError:
        return False


def _driver(device: Path) -> str | None:
    """Its name, and its version where it has one of its own; drivers of the kernel have the kernel's."""
    link = device / "driver"
    if not link.exists():
        return None
    return " ".join(filter(None, (link.resolve().name, _read(link / "module" / "version"))))


def _pci_name(device: Path, pci_ids: Sequence[Path]) -> str | None:
    vendor, product = _read(device / "vendor"), _read(device / "device")
    source = next((path for path in pci_ids if path.is_file()), None)
    if source is None or not vendor or not product:
        return None
    is_vendor = False
    try:
        with source.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not line.startswith(("\t", "#")):
                    is_vendor = line.startswith(vendor.removeprefix("0x"))
                elif is_vendor and line.startswith("\t" + product.removeprefix("0x")):
                    return f"{_MAKERS[_PCI_VENDORS[vendor]]} {line.strip().partition(' ')[2].strip()}"
    except OSError:
        return None
    return None


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text and text.isdigit() else None


def _read(path: Path) -> str | None:
    """None: the system has no such file, or keeps it from us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


# -- macOS


def mac_chip() -> str | None:
    """ "Apple M4 Pro"; None elsewhere."""
    try:
        ask = ctypes.CDLL(None).sysctlbyname
    except (AttributeError, OSError, TypeError):
        return None
    text, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
    if ask(b"machdep.cpu.brand_string", text, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return None
    return text.value.decode("utf-8", "replace") or None


def apple_gpu(chip: str) -> Gpu:
    """The GPU of a processor from Apple, which has the processor's name and memory."""
    return Gpu(chip, "apple", None, "macOS", shares_memory=True)


def mac_gpus(profile: str) -> list[Gpu]:
    """From the JSON of the system profiler; empty where it is no such JSON."""
    try:
        adapters = json.loads(profile)["SPDisplaysDataType"]
    except (ValueError, KeyError, TypeError):
        return []
    found = adapters if isinstance(adapters, list) else []
    return [_mac_gpu(adapter) for adapter in found if isinstance(adapter, dict)]


def _mac_gpu(adapter: Mapping[str, Any]) -> Gpu:
    name = str(adapter.get("sppci_model") or adapter.get("_name") or "GPU")
    maker = f"{adapter.get('spdisplays_vendor', '')} {name}".lower()
    vendor: Vendor = next((key for key, text in _MAKERS.items() if text.lower() in maker), "unknown")
    own = _bytes_of(adapter.get("spdisplays_vram"))
    shared = _bytes_of(adapter.get("spdisplays_vram_shared"))
    return Gpu(name, vendor, own or shared, "macOS", shares_memory=own is None)


def _bytes_of(text: object) -> int | None:
    """ "1536 MB" and "8 GB", which Apple means in powers of two."""
    match = re.fullmatch(r"(\d+)\s*(MB|GB)", str(text or ""))
    return int(match[1]) * {"MB": 2**20, "GB": 2**30}[match[2]] if match else None


def _run_profiler() -> str:
    command = ["/usr/sbin/system_profiler", "SPDisplaysDataType", "-json"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_PROFILER_TIMEOUT_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


# -- Windows


def windows_gpus(adapters: Sequence[Mapping[str, Any]]) -> list[Gpu]:
    """From the registry's values of display adapters, without virtual ones and those of remote desktops."""
    found = []
    for adapter in adapters:
        match = re.search(r"ven_([0-9a-f]{4})", str(adapter.get("MatchingDeviceId", "")).lower())
        vendor = _PCI_VENDORS.get(f"0x{match[1]}") if match else None
        if vendor is None:
            continue
        memory = adapter.get("HardwareInformation.qwMemorySize")
        size = int.from_bytes(memory, "little") if isinstance(memory, bytes) else memory
        size = size if isinstance(size, int) and size > 0 else None
        found.append(
            Gpu(
                name=str(adapter.get("DriverDesc") or f"{_MAKERS[vendor]} GPU"),
                vendor=vendor,
                memory_total_bytes=size,
                driver=str(adapter["DriverVersion"]) if adapter.get("DriverVersion") else None,
                shares_memory=vendor != "nvidia" and size is not None and size < _OWN_MEMORY_BYTES,
            )
        )
    return found


def _display_adapters() -> list[dict[str, Any]]:
    try:
        import winreg
    except ImportError:
        return []
    registry: Any = winreg
    try:
        root = registry.OpenKey(registry.HKEY_LOCAL_MACHINE, WINDOWS_DISPLAY_CLASS)
    except OSError:
        return []
    return [dict(values) for values in _subkeys(registry, root)]


def _subkeys(registry: Any, root: Any) -> Iterator[Iterator[tuple[str, Any]]]:
    """The values of each adapter. One of the keys may be read by nobody but the system."""
    for index in range(registry.QueryInfoKey(root)[0]):
        try:
            key = registry.OpenKey(root, registry.EnumKey(root, index))
        except OSError:
            continue
        yield (registry.EnumValue(key, place)[:2] for place in range(registry.QueryInfoKey(key)[1]))
