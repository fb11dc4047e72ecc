"""Where this runs: whether there is a GPU for the benches and tests, and the line about machine, driver and build."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path
from typing import Any


def reason_to_skip() -> str | None:
    """Why nothing here can be proven; None with an NVIDIA GPU and a build for it. Takes milliseconds."""
    if sys.platform == "win32":
        return "the GPU tests are written for Linux"
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return "there is no NVIDIA driver on this machine"
    spec = importlib.util.find_spec("llama_cpp")
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    if not any((folder / "lib").glob("*ggml-cuda*") for folder in folders):
        return "the installed llama.cpp was built without CUDA (tests/gpu/build.py builds one)"
    from workbench.metrics.gpu import Nvml

    session = Nvml.open()
    if session is None:
        return "NVIDIA's driver is installed, but does not answer"
    try:
        return None if session.gpus() else "NVIDIA's driver finds no GPU"
    finally:
        session.close()


def describe() -> dict[str, Any]:
    """Machine, driver and build, as the documents name them."""
    from workbench.core import read_hardware
    from workbench.hardware import gpu_text

    hardware = read_hardware()
    build = hardware.build
    return {
        "cpu": hardware.machine.cpu,
        "cores": hardware.machine.physical_cores,
        "system": hardware.machine.system,
        "gpus": [gpu_text(gpu) for gpu in hardware.machine.gpus],
        "build": build.description if build else hardware.problem,
        "backends": build.backends if build else (),
        "devices": [f"{device.name}: {device.description}" for device in (build.devices if build else ())],
    }
