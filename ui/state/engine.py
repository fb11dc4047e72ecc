"""What the status bar says: the engine's state, and the machine's load at a low rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from ui.bridge import Bridge
from workbench import units
from workbench.core import EngineState as CoreEngineState
from workbench.core import Workbench

if TYPE_CHECKING:
    from workbench.metrics.telemetry import Probe

INTERVAL_MS = 2000


class EngineState(QObject):
    """`changed` comes after the texts are new. The machine is read only between `start` and `stop`."""

    changed = Signal()
    machine_changed = Signal()

    def __init__(self, workbench: Workbench, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = Bridge(self)
        self._bridge.drained.connect(self._on_drained)
        self._current = workbench.engine_state
        self._machine = ""
        self._probe: Probe | None = None
        workbench.on_engine_state(self._bridge.post)
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self._read_machine)

    def start(self) -> None:
        if self._probe is None:
            from workbench.metrics.telemetry import Probe  # 30 ms, after the first paint

            self._probe = Probe()
        self._timer.start()
        self._read_machine()
        # A load is that between two readings, so the second one comes early.
        QTimer.singleShot(500, self, self._read_machine)

    def stop(self) -> None:
        self._timer.stop()

    def close(self) -> None:
        self.stop()
        if self._probe is not None:
            self._probe.close()
            self._probe = None
        self._bridge.close()

    @property
    def current(self) -> CoreEngineState:
        return self._current

    @property
    def text(self) -> str:
        """Engine ready, CPU, 2 threads"""
        return self._current.text

    @property
    def tone(self) -> str:
        return {"failed": "bad", "ready": "good", "running": "accent", "loading": "accent"}.get(
            self._current.status, "dim"
        )

    @property
    def build_text(self) -> str:
        """llama.cpp 0.5.0, ggml 0.25.3 (0c1e570); empty before an engine has told."""
        load = self._current.load
        return load.short_build if load is not None else ""

    @property
    def machine_text(self) -> str:
        """CPU 96 %, RAM 3.1 of 24 GB"""
        return self._machine

    def _on_drained(self, events: list[Any]) -> None:
        self._current = events[-1]
        self.changed.emit()

    def _read_machine(self) -> None:
        if self._probe is None:
            return
        sample = self._probe.read(None)
        used, used_unit = units.bytes_parts(sample.machine_memory_used_bytes)
        total, unit = units.bytes_parts(sample.machine_memory_total_bytes)
        used_text = used if used_unit == unit else f"{used} {used_unit}"
        cpu = sample.machine_cpu_percent
        said = [f"CPU {cpu:.0f} %"] if cpu is not None else []
        self._machine = "    ".join([*said, f"RAM {used_text} of {total} {unit}"])
        self.machine_changed.emit()
