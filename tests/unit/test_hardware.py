from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from workbench.hardware import (
    LLAMA_CPP,
    WHEEL_INDEXES,
    Gpu,
    Machine,
    describe_machine,
    drm_gpus,
    gpu_advice,
    wheel_index,
)

ROOT = Path(__file__).parents[2]


def machine(*gpus: Gpu) -> Machine:
    return Machine("Test CPU", 4, 8, 2**34, "Linux 6.1 x86_64", "3.11.7", gpus)


def test_this_machine_is_described() -> None:
    found = describe_machine()
    assert found.cpu
    assert found.logical_cores
    assert found.memory_total_bytes > 2**28
    assert dict(found.as_pairs())["memory"].endswith("GiB")


def test_pairs_name_every_gpu() -> None:
    pairs = dict(machine(Gpu("H200", "nvidia", 2**37, "580.65"), Gpu("AMD GPU", "amd")).as_pairs())
    assert pairs["gpu 0"] == "H200 · 128.0 GiB · 580.65"
    assert pairs["gpu 1"] == "AMD GPU"
    assert pairs["cores"] == "4 physical, 8 logical"


@pytest.mark.parametrize(
    ("gpu", "system", "name"),
    [
        (None, "linux", "cpu"),
        (Gpu("H200", "nvidia", None, "580.65.06", (9, 0)), "linux", "cu130"),
        (Gpu("P100", "nvidia", None, "580.65.06", (6, 0)), "linux", "cu125"),  # CUDA 13 dropped it
        (Gpu("T4", "nvidia", None, "550.54", (7, 5)), "linux", "cu124"),
        (Gpu("T4", "nvidia", None, "535.10", (7, 5)), "linux", "cu122"),
        (Gpu("T4", "nvidia", None, "525.10", (7, 5)), "linux", "cu118"),
        (Gpu("H100", "nvidia", None, "525.10", (9, 0)), "linux", "vulkan"),
        (Gpu("K80", "nvidia", None, "470.10", (3, 7)), "linux", "vulkan"),
        (Gpu("unknown", "nvidia"), "linux", "cu124"),
        (Gpu("Radeon", "amd"), "win32", "hip-radeon"),
        (Gpu("Arc", "intel"), "linux", "vulkan"),
        (Gpu("Apple GPU", "apple"), "darwin", "metal"),
    ],
)
def test_each_gpu_gets_the_wheels_that_run_on_it(gpu: Gpu | None, system: str, name: str) -> None:
    assert wheel_index(gpu, system).name == name


def test_advice_has_the_command_and_only_where_it_helps() -> None:
    with_gpu = machine(Gpu("H200", "nvidia", None, "580.65", (9, 0)))
    advice = gpu_advice(with_gpu, build_supports_gpu=False)
    assert advice is not None
    assert "H200 is present" in advice
    assert "--extra-index-url https://abetlen.github.io/llama-cpp-python/whl/cu130" in advice
    assert gpu_advice(with_gpu, build_supports_gpu=True) is None
    assert gpu_advice(machine(), build_supports_gpu=False) is None


def test_commands_ask_for_the_version_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert LLAMA_CPP in project["dependencies"]
    assert all(LLAMA_CPP in index.command for index in WHEEL_INDEXES)


def test_display_drivers_tell_of_cards_not_of_sockets(tmp_path: Path) -> None:
    for name, vendor in (("card0", "0x1002"), ("card0-HDMI-A-1", "0x1002"), ("card1", "0x8086"), ("card2", "0x1af4")):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "device" / "vendor").write_text(f"{vendor}\n")
    (tmp_path / "card0" / "device" / "mem_info_vram_total").write_text("17163091968\n")
    assert drm_gpus(tmp_path) == [Gpu("AMD GPU", "amd", 17_163_091_968), Gpu("Intel GPU", "intel")]
    assert drm_gpus(tmp_path / "absent") == []
