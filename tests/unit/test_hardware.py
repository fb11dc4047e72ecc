from __future__ import annotations

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.graphics import Gpu
from workbench.hardware import Machine, build_text, describe_machine, device_text, gpu_advice, gpu_text, judge_gpus
from workbench.runs.record import DeviceDescription, EngineBuild
from workbench.wheels import LLAMA_CPP, WHEEL_INDEXES, wheel_index

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


CPU = DeviceDescription("CPU", "Test CPU", "cpu", 2**34, 2**34)
H200 = Gpu("NVIDIA H200", "nvidia", 150_000_000_000, "580.65", (9, 0), 149_000_000_000)
IRIS = Gpu("Intel Iris Xe Graphics", "intel", None, "i915", shares_memory=True)


def build(*backends: str, gpus: tuple[DeviceDescription, ...] = ()) -> EngineBuild:
    return EngineBuild("llama.cpp", backends, ("AVX2", "FMA"), (*gpus, CPU))


def test_a_gpu_that_the_build_uses_is_named_as_llama_cpp_names_it() -> None:
    found = DeviceDescription("CUDA0", "NVIDIA H200", "gpu", 150_000_000_000, 149_000_000_000)
    (use,) = judge_gpus(machine(H200), build("CUDA", "CPU", gpus=(found,)))
    assert (use.is_used, use.loses, use.commands) == (True, False, ())
    assert use.text == "used by this build as CUDA0"
    assert device_text(found) == "NVIDIA H200 · 150 GB, 149 GB free"
    assert device_text(CPU) == "Test CPU · 17.2 GB"


def test_an_idle_gpu_gets_the_commands_for_a_wheel_and_for_one_architecture() -> None:
    (use,) = judge_gpus(machine(H200), build("CPU"), "linux")
    assert use.loses
    assert use.text.startswith(
        "not used: this build runs on the CPU only; a build with CUDA 13.0 would use it (NVIDIA GPU"
    )
    wheel, compiled = use.commands
    assert wheel == wheel_index(H200, "linux").command
    assert compiled.startswith('CMAKE_ARGS="-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=90" ')
    assert f"{sys.executable} -m pip install " in compiled, "another pip would install for another program"
    assert "--no-binary=llama-cpp-python" in compiled
    (use,) = judge_gpus(machine(H200), build("CPU"), "win32")
    assert use.commands[1].startswith('$env:CMAKE_ARGS="-DGGML_CUDA=on')


def test_a_build_that_has_the_back_end_and_finds_nothing_says_what_may_be_wrong() -> None:
    (use,) = judge_gpus(machine(H200), build("CUDA", "CPU"), "linux")
    assert use.loses
    assert use.text.startswith("not used: this build can use CUDA, but finds no such device. The driver may be too old")
    assert "CUDA_VISIBLE_DEVICES" in use.text


def test_a_gpu_in_the_processor_is_no_loss() -> None:
    (use,) = judge_gpus(machine(IRIS), build("CPU"), "linux")
    assert (use.is_used, use.loses) == (False, False)
    assert use.commands[1].startswith('CMAKE_ARGS="-DGGML_VULKAN=on"')
    assert gpu_advice(machine(IRIS), build_supports_gpu=False) is None
    card = DeviceDescription("Vulkan0", "AMD Radeon RX 7900 XTX (RADV NAVI31)", "gpu", 2**34, 2**34)
    radeon = Gpu("AMD Radeon RX 7900 XTX", "amd", 2**34)
    first, second = judge_gpus(machine(radeon, IRIS), build("Vulkan", "CPU", gpus=(card,)), "linux")
    assert first.is_used
    assert second.text == "not used: llama.cpp takes a GPU in the processor only where there is no other"


def test_apple_silicon_is_counted_once_and_reached_through_metal() -> None:
    apple = Gpu("Apple M4 Pro", "apple", None, "macOS", shares_memory=True)
    (use,) = judge_gpus(machine(apple), build("CPU"), "darwin")
    assert use.loses
    assert use.commands[1].startswith('CMAKE_ARGS="-DGGML_METAL=on"')
    metal = DeviceDescription("MTL0", "Apple M4 Pro", "igpu", 2**34, 2**34)
    (use,) = judge_gpus(machine(apple), build("MTL", "CPU", gpus=(metal,)), "darwin")
    assert use.text == "used by this build as MTL0"
    assert device_text(metal).endswith("works in the machine's memory")
    assert gpu_text(apple) == "Apple M4 Pro · works in the machine's memory · driver macOS"


def test_texts_name_memory_driver_and_what_is_not_told() -> None:
    refusing = replace(H200, untold=("power: not permitted to this user",))
    assert gpu_text(refusing) == (
        "NVIDIA H200 · 150 GB, 149 GB free · driver 580.65 · compute capability 9.0 · power: not permitted to this user"
    )
    assert gpu_text(Gpu("GPU", "unknown")) == "GPU · memory not known"


@pytest.mark.parametrize(
    ("backends", "devices", "text"),
    [
        (("CPU",), (), "runs on the CPU only"),
        (("BLAS", "CPU"), (), "runs on the CPU only"),
        (("CUDA", "CPU"), ("CUDA0",), "can use CUDA, device CUDA0"),
        (("CUDA", "CPU"), ("CUDA0", "CUDA1"), "can use CUDA, devices CUDA0 and CUDA1"),
        (("CUDA", "Vulkan", "CPU"), ("CUDA0", "CUDA1", "Vulkan0"),
         "can use CUDA and Vulkan, devices CUDA0, CUDA1 and Vulkan0"),
        (("MTL", "BLAS", "CPU"), ("MTL0",), "can use Metal, device MTL0"),
        (("CUDA", "CPU"), (), "can use CUDA, but finds no device for that"),
        ((), (), "has no back end and runs nothing"),
    ],
)  # fmt: skip
def test_what_a_build_runs_on_is_a_sentence(backends: tuple[str, ...], devices: tuple[str, ...], text: str) -> None:
    found = build(*backends, gpus=tuple(DeviceDescription(name, "GPU", "gpu") for name in devices))
    assert build_text(found) == f"{text}; of the CPU's instruction sets it uses AVX2 and FMA"
    assert build_text(replace(found, features=("NEON",))).endswith("it uses NEON")
    assert build_text(replace(found, features=())) == text
