"""The questions of `workbench doctor`, put to the machine, the child of the engine, the folders and the stores."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from workbench import __version__
from workbench.cli import session
from workbench.cli.models_shelf import leftover_sentence
from workbench.core import EngineState, Knobs, Workbench, read_hardware
from workbench.economics.unit import unknown_choices
from workbench.errors import WorkbenchError
from workbench.hardware import GpuUse, Hardware, Machine, build_text, device_text, gpu_facts
from workbench.paths import Paths
from workbench.runs.record import LoadReport
from workbench.units import bytes_text, count_text, ms_text

LOW_DISK_BYTES = 1_000_000_000
LOAD_TIMEOUT_S = 120.0
CONTEXT_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy` says what to do about a problem; a note needs nothing done."""

    area: str
    state: Literal["fine", "note", "problem"]
    text: str
    remedy: str | None = None


@dataclass
class Report:
    """Everything that was found."""

    hardware: Hardware
    findings: list[Finding] = field(default_factory=list)
    load: LoadReport | None = None

    @property
    def machine(self) -> Machine:
        return self.hardware.machine

    @property
    def is_fine(self) -> bool:
        return all(finding.state != "problem" for finding in self.findings)

    def as_object(self) -> dict[str, Any]:
        from workbench.cli.json_output import engine_object

        return {
            "fine": self.is_fine,
            "version": __version__,
            "llama_cpp_python": llama_version(),
            "machine": asdict(self.machine),
            "build": asdict(self.hardware.build) if self.hardware.build else None,
            "gpu_use": [asdict(use) for use in self.hardware.uses],
            "engine": engine_object(self.load),
            "findings": [asdict(finding) for finding in self.findings],
        }


def examine() -> Report:
    """Asks everything; a part that fails is a finding and does not stop the others. Loads the demo model."""
    report = Report(read_hardware())
    report.findings += _program()
    report.findings += _machine(report.machine)
    report.findings += _build(report.hardware)
    try:
        with session.opened() as workbench:
            report.findings += _folders(workbench.paths)
            report.findings += _stores(workbench)
            report.load, failure = _load_demo(workbench)
            report.findings += _engine(report, failure)
    except WorkbenchError as error:
        report.findings.append(Finding("start", "problem", error.message, "Mend this first: nothing runs without it."))
    return report


def llama_version() -> str | None:
    try:
        return importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return None


def _program() -> Iterator[Finding]:
    yield Finding("program", "fine", f"Inference Workbench {__version__}, Python {sys.version.split()[0]}")
    version = llama_version()
    if version is None:
        yield Finding("program", "problem", "llama-cpp-python is not installed.", "pip install llama-cpp-python")
    else:
        yield Finding("program", "fine", f"llama-cpp-python {version}")


def _machine(machine: Machine) -> Iterator[Finding]:
    for name, value in machine.as_pairs():
        if name != "python" and not name.startswith("gpu"):
            yield Finding("machine", "fine", f"{name}: {value}")
    for index, gpu in enumerate(machine.gpus):
        yield Finding("machine", "fine", f"gpu {index}: {' · '.join((gpu.name, *gpu_facts(gpu)))}")
    if not machine.gpus:
        yield Finding("machine", "note", "no GPU: models run on the processor")


def _build(hardware: Hardware) -> Iterator[Finding]:
    """What the installed llama.cpp has and finds, and each GPU that it leaves idle with the commands to change that."""
    if hardware.build is None:
        remedy = "Install llama-cpp-python again; the newest log in the log folder says more."
        yield Finding("build", "problem", hardware.problem or "llama.cpp does not start.", remedy)
        return
    yield Finding("build", "fine", f"llama.cpp {build_text(hardware.build)}")
    for device in hardware.build.devices:
        yield Finding("build", "fine", f"{device.name} ({device.kind}): {device_text(device)}")
    for use in hardware.uses:
        yield _use(use)


def _use(use: GpuUse) -> Finding:
    text = f"{use.gpu.name}: {use.text}"
    if not use.loses:
        return Finding("build", "fine" if use.is_used else "note", text)
    wheel, compiled = use.commands
    return Finding("build", "problem", text, f"{wheel}\nor compiled here: {compiled}")


def _folders(paths: Paths) -> Iterator[Finding]:
    # The folders were written to when the workbench was opened.
    for name, folder in (("data", paths.data), ("cache", paths.cache), ("log", paths.logs)):
        yield Finding("folders", "fine", f"{name} folder {folder} can be written")
    for folder in dict.fromkeys((paths.data, paths.cache)):
        yield _disk(folder)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        return Finding(
            "folders", "problem", f"Only {bytes_text(free)} are free for {folder}.", "Free some space on this disk."
        )
    return Finding("folders", "fine", f"{bytes_text(free)} free for {folder}")


def _stores(workbench: Workbench) -> Iterator[Finding]:
    runs = _counted(workbench.history.count(), "run")
    yield Finding("history", "fine", f"{runs} in {workbench.paths.history_file}")
    if workbench.interrupted_runs:
        was, its = ("was", "its") if workbench.interrupted_runs == 1 else ("were", "their")
        runs = _counted(workbench.interrupted_runs, "run")
        yield Finding("history", "note", f"{runs} {was} interrupted by a crash; {its} text so far is kept.")
    for sentence in workbench.settings.problems:
        yield Finding("settings", "problem", sentence, f"Look at {workbench.paths.settings_file}.")
    for kept in sorted(workbench.paths.data.glob("settings.json.broken-*")):
        yield Finding("settings", "note", f"A settings file that could not be read is kept as {kept}.")
    yield from _price_choices(workbench)
    for problem in workbench.profiles.problems():
        yield Finding("profiles", "problem", problem.message, f"Mend or remove {problem.path}.")
    entries = workbench.library.list()
    yield Finding("models", "fine", f"{_counted(len(entries), 'model')}: {', '.join(item.name for item in entries)}")
    for sentence in workbench.library.problems:
        yield Finding("models", "problem", sentence, "Change the models folders in the settings.")
    left = workbench.library.trash.leftovers()
    if left:
        yield Finding("models", "note", leftover_sentence(left))
    for entry in entries:
        if entry.problem is not None:
            yield Finding("models", "problem", f"{entry.name}: {entry.problem}", "Fetch the file again, or remove it.")


def _counted(count: int, thing: str) -> str:
    return f"{count_text(count)} {thing}{'' if count == 1 else 's'}"


def _price_choices(workbench: Workbench) -> Iterator[Finding]:
    workbench.prices.load()
    current = workbench.settings.current
    unknown = unknown_choices(current.api_price, current.gpu_price, workbench.prices, workbench.profiles)
    for setting, name in zip(("api_price", "gpu_price"), unknown, strict=True):
        if name is not None:
            text = f"The setting {setting} names {name}, which is not known; the automatic choice is taken instead."
            yield Finding("settings", "problem", text, f"Change {setting} in {workbench.paths.settings_file}.")


def _load_demo(workbench: Workbench) -> tuple[LoadReport | None, str | None]:
    """What the child says of itself once the demo model is loaded, or why it is not."""
    ended = threading.Event()
    states: list[EngineState] = []

    def listen(state: EngineState) -> None:
        states.append(state)
        if state.status in ("ready", "failed"):
            ended.set()

    try:
        spec = workbench.build_spec(Knobs(prompt="hello", model="demo", context_length=CONTEXT_LENGTH))
    except WorkbenchError as error:
        return None, error.message
    workbench.on_engine_state(listen)
    workbench.warm(spec)
    if not ended.wait(LOAD_TIMEOUT_S):
        return None, f"The engine did not answer within {LOAD_TIMEOUT_S:.0f} s."
    return states[-1].load, None if states[-1].status == "ready" else states[-1].text


def _engine(report: Report, failure: str | None) -> Iterator[Finding]:
    load = report.load
    if load is None:
        remedy = "Install llama-cpp-python again; the newest log in the log folder says more."
        yield Finding("engine", "problem", failure or "The engine does not start.", remedy)
        return
    cold = ms_text(load.cold_start_ms)
    yield Finding("engine", "fine", f"{load.engine_build}; the demo model loaded in {cold}")
    for warning in load.warnings:
        if not any(use.loses and warning.startswith(use.gpu.name) for use in report.hardware.uses):
            yield Finding("engine", "note", warning)
