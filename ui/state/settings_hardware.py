"""The settings page's state of the hardware: every device, what the installed llama.cpp uses of it, and what would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QObject, Signal

from ui.tasks import Tasks
from workbench import units
from workbench.errors import WorkbenchError
from workbench.hardware import GpuUse, Hardware, build_text, device_text, gpu_facts

Tone = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device or the build: its facts and, in the tone, what is to be said of it. `commands` are pairs of what a
    command does and the command itself.
    """

    title: str
    text: str = ""
    verdict: str = ""
    tone: Tone = ""
    commands: tuple[tuple[str, str], ...] = ()


class SettingsHardware(QObject):
    changed = Signal()

    def __init__(self, read: Callable[[], Hardware], tasks: Tasks, parent: QObject | None = None) -> None:
        """`read` asks the machine and llama.cpp; it blocks."""
        super().__init__(parent)
        self._read, self._tasks = read, tasks
        self.rows: tuple[DeviceRow, ...] = ()
        self.is_reading = False

    def refresh(self) -> None:
        """Asks the system and llama.cpp in the background; `changed` at the beginning and the end."""
        if self.is_reading:
            return
        self.is_reading = True
        self.changed.emit()
        self._tasks.run(self._read, self._on_read, self._on_failed)

    def as_text(self) -> str:
        """All of it, for a bug report."""
        return "\n".join(f"{row.title}: {'. '.join(filter(None, (row.text, row.verdict)))}" for row in self.rows)

    def _on_read(self, hardware: Hardware) -> None:
        self.is_reading, self.rows = False, rows_of(hardware)
        self.changed.emit()

    def _on_failed(self, error: WorkbenchError) -> None:
        self.is_reading, self.rows = False, (DeviceRow("This machine", verdict=error.message, tone="bad"),)
        self.changed.emit()


def rows_of(hardware: Hardware) -> tuple[DeviceRow, ...]:
    """Processor, GPUs, the build, then what the build finds."""
    machine, build = hardware.machine, hardware.build
    cores = f"{machine.physical_cores or '?'} cores, {machine.logical_cores or '?'} threads"
    memory = units.bytes_text(machine.memory_total_bytes)
    rows = [DeviceRow(machine.cpu, f"Processor · {cores} · {memory} of memory")]
    if build is None:
        rows += [DeviceRow(gpu.name, " · ".join(gpu_facts(gpu))) for gpu in machine.gpus]
        return (*rows, DeviceRow("llama.cpp", verdict=hardware.problem or "It does not start.", tone="bad"))
    rows += [_gpu_row(use) for use in hardware.uses]
    if not machine.gpus:
        rows.append(DeviceRow("No GPU", "The system names none. Models run on the processor."))
    rows.append(DeviceRow("llama.cpp", _sentence(build_text(build))))
    rows += [DeviceRow(f"{device.name}, as llama.cpp sees it", device_text(device)) for device in build.devices]
    return tuple(rows)


def _gpu_row(use: GpuUse) -> DeviceRow:
    facts = " · ".join(gpu_facts(use.gpu))
    tone: Tone = "good" if use.is_used else "warn" if use.loses else ""
    commands = tuple(zip(("Install a build", "Compile one here"), use.commands, strict=False))
    return DeviceRow(use.gpu.name, f"{facts[:1].upper()}{facts[1:]}", _sentence(use.text), tone, commands)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
