"""What systems say of their GPUs: a tree of Linux's display drivers, the profiler of macOS, the registry of Windows.

Written after the formats that the systems document; the names of machines and the numbers are made up.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

PCI_IDS = """# A comment
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t164e  Raphael
\t744c  Navi 31 [Radeon RX 7900 XTX]
\t\t1002 0e3b  A board of it
8086  Intel Corporation
\t9a49  TigerLake-LP GT2 [Iris Xe Graphics]
"""


def write_drm(root: Path) -> Path:
    """An AMD card, the GPU of an AMD processor, one of Intel, a virtual one, and sockets."""
    devices = {
        "card0": ("0000:03:00.0", "0x1002", "0x744c", "amdgpu", b"\x78\x00\x01\x03", 25_753_026_560, 1_000_000_000),
        "card1": ("0000:0c:00.0", "0x1002", "0x164e", "amdgpu", b"\x80\x00\x02\x01", 536_870_912, 30_000_000),
        "card2": ("0000:00:02.0", "0x8086", "0x9a49", "i915", None, None, None),
        "card3": ("0000:00:05.0", "0x1af4", "0x1050", "virtio-pci", None, None, None),
    }
    for card, (address, vendor, product, driver, metrics, total, used) in devices.items():
        device = root / "devices" / address
        device.mkdir(parents=True)
        (root / card).mkdir()
        (root / card / "device").symlink_to(device)
        (root / f"{card}-HDMI-A-1").mkdir()
        (root / "drivers" / driver).mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(root / "drivers" / driver)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "device").write_text(f"{product}\n")
        if metrics is not None:
            (device / "gpu_metrics").write_bytes(metrics + os.urandom(100))
            (device / "mem_info_vram_total").write_text(f"{total}\n")
            (device / "mem_info_vram_used").write_text(f"{used}\n")
    return root


def mac_profile(*adapters: dict[str, str]) -> str:
    return json.dumps({"SPDisplaysDataType": list(adapters)})


APPLE = {
    "_name": "Apple M4 Pro", "sppci_model": "Apple M4 Pro", "spdisplays_vendor": "sppci_vendor_Apple",
    "sppci_cores": "16", "spdisplays_mtlgpufamilysupport": "spdisplays_metal3",
}  # fmt: skip
MAC_CARD = {
    "_name": "kHW_AMDRadeonPro5500MItem", "sppci_model": "AMD Radeon Pro 5500M", "spdisplays_vram": "8 GB",
    "spdisplays_vendor": "sppci_vendor_amd",
}  # fmt: skip
MAC_PROCESSOR = {
    "_name": "kHW_IntelUHDGraphics630Item", "sppci_model": "Intel UHD Graphics 630",
    "spdisplays_vram_shared": "1536 MB", "spdisplays_vendor": "Intel",
}  # fmt: skip

ADAPTERS: list[dict[str, Any]] = [
    {
        "DriverDesc": "AMD Radeon RX 7900 XT", "MatchingDeviceId": "PCI\\VEN_1002&DEV_744C", "DriverVersion": "32.0.1",
        "HardwareInformation.qwMemorySize": (21_458_059_264).to_bytes(8, "little"),
    },
    {
        "DriverDesc": "Intel(R) Iris(R) Xe Graphics", "MatchingDeviceId": "pci\\ven_8086&dev_9a49",
        "DriverVersion": "31.0.101", "HardwareInformation.qwMemorySize": 134_217_728,
    },
    {"DriverDesc": "Microsoft Remote Display Adapter", "MatchingDeviceId": "terminpt_bus"},
    {"DriverDesc": "NVIDIA GeForce", "MatchingDeviceId": "pci\\ven_10de&dev_2684"},
]  # fmt: skip
