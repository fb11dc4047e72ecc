from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import graphics
from workbench.graphics import Gpu, apple_gpu, drm_gpus, find_gpus, mac_chip, mac_gpus, windows_gpus


def test_linux_tells_cards_from_gpus_in_the_processor(tmp_path: Path) -> None:
    ids = tmp_path / "pci.ids"
    ids.write_text(graphics.PCI_IDS)
    found = drm_gpus(graphics.write_drm(tmp_path / "drm"), [tmp_path / "absent", ids])
    assert found == [
        Gpu("AMD Navi 31 [Radeon RX 7900 XTX]", "amd", 25_753_026_560, "amdgpu", None, 24_753_026_560),
        Gpu("AMD Raphael", "amd", 536_870_912, "amdgpu", None, 506_870_912, shares_memory=True),
        Gpu("Intel TigerLake-LP GT2 [Iris Xe Graphics]", "intel", None, "i915", shares_memory=True),
    ]


def test_linux_without_a_list_of_names_still_tells_the_maker(tmp_path: Path) -> None:
    root = graphics.write_drm(tmp_path / "drm")
    assert [gpu.name for gpu in drm_gpus(root, [])] == ["AMD GPU", "AMD GPU", "Intel GPU"]
    (root / "devices" / "0000:03:00.0" / "product_name").write_text("Radeon Pro W7900\n")
    (root / "drivers" / "amdgpu" / "module").mkdir()
    (root / "drivers" / "amdgpu" / "module" / "version").write_text("6.12.12\n")
    first = drm_gpus(root, [])[0]
    assert (first.name, first.driver) == ("Radeon Pro W7900", "amdgpu 6.12.12")
    assert drm_gpus(tmp_path / "absent") == []


def test_a_list_of_names_that_cannot_be_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = tmp_path / "pci.ids"
    ids.write_text(graphics.PCI_IDS)

    open_file = Path.open

    def refusing(self: Path, *arguments: Any, **named: Any) -> Any:
        if self == ids:
            raise PermissionError(13, "Permission denied", str(self))
        return open_file(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", refusing)
    assert drm_gpus(graphics.write_drm(tmp_path / "drm"), [ids])[0].name == "AMD GPU"


def test_macs_have_one_memory_or_a_card() -> None:
    profile = graphics.mac_profile(graphics.APPLE, graphics.MAC_CARD, graphics.MAC_PROCESSOR)
    assert mac_gpus(profile) == [
        Gpu("Apple M4 Pro", "apple", None, "macOS", shares_memory=True),
        Gpu("AMD Radeon Pro 5500M", "amd", 8 * 2**30, "macOS"),
        Gpu("Intel UHD Graphics 630", "intel", 1536 * 2**20, "macOS", shares_memory=True),
    ]
    assert mac_gpus(graphics.mac_profile(graphics.APPLE)) == [apple_gpu("Apple M4 Pro")]
    assert sys.platform == "darwin" or mac_chip() is None
    empty = ("[]", "null", "3", '["x"]')
    for nothing in ("", "no JSON", "{}", "[]", *(f'{{"SPDisplaysDataType": {value}}}' for value in empty)):
        assert mac_gpus(nothing) == []


def test_windows_names_real_adapters_only() -> None:
    assert windows_gpus(graphics.ADAPTERS) == [
        Gpu("AMD Radeon RX 7900 XT", "amd", 21_458_059_264, "32.0.1"),
        Gpu("Intel(R) Iris(R) Xe Graphics", "intel", 134_217_728, "31.0.101", shares_memory=True),
        Gpu("NVIDIA GeForce", "nvidia"),
    ]


def test_systems_that_are_not_this_one_answer_with_nothing_rather_than_fail() -> None:
    """The programs and registries that they would ask are not here."""
    for system in ("linux", "darwin", "win32"):
        assert isinstance(find_gpus(system), tuple)
