"""The settings page's state of the Hub's token and of this machine's speed: what is known, and what is under way."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PySide6.QtCore import QObject, Signal

from ui.bridge import Bridge
from ui.tasks import Tasks
from workbench.core import Workbench
from workbench.errors import WorkbenchError, WorldError
from workbench.hub.speed import MachineSpeed

if TYPE_CHECKING:
    from workbench.hub.tokens import TokenSource

BRIDGE_MS = 100
CANCELLED = "cancelled"
TOKENS_PAGE = "settings/tokens"

TOKEN_PLACES: dict[TokenSource | None, str] = {
    None: "There is none. Public repositories need none; gated and private ones do.",
    "environment": "From the environment variable HF_TOKEN, which counts before the system keyring.",
    "keyring": "From the system keyring.",
    "login": "Stored by `hf auth login`. One that is kept here counts before it.",
}


@dataclass(frozen=True, slots=True)
class TokenView:
    """Where the token comes from, never the token. `source` "unknown": not read so far."""

    source: TokenSource | Literal["unknown"] | None = "unknown"
    note: str = ""
    problem: str = ""
    is_busy: bool = False

    @property
    def text(self) -> str:
        if self.source == "unknown":
            return "Looking for a token" if self.is_busy else "Not known."
        return " ".join(part for part in (TOKEN_PLACES[self.source], self.note) if part)

    @property
    def can_forget(self) -> bool:
        """Behind the environment's token the keyring may hold one."""
        return not self.is_busy and self.source in ("keyring", "environment")


@dataclass(frozen=True, slots=True)
class SpeedView:
    """`share` None: nothing is being measured; else 0 to 1."""

    speed: MachineSpeed | None = None
    problem: str = ""
    share: float | None = None
    is_cancelling: bool = False

    @property
    def is_measuring(self) -> bool:
        return self.share is not None

    @property
    def text(self) -> str:
        if self.is_cancelling:
            return "Cancelling"
        if self.share is not None:
            return f"Measuring, {self.share:.0%} done. Runs and downloads would disturb it."
        if self.speed is None:
            return "Not measured so far. Speeds before a download are predicted from it."
        return speed_text(self.speed)


class SettingsHub(QObject):
    """`token_changed` and `speed_changed`: the view of that name is another one. `token_kept`: the field may empty."""

    token_changed = Signal()
    speed_changed = Signal()
    token_kept = Signal()

    def __init__(self, workbench: Workbench, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._workbench, self._tasks = workbench, tasks
        self._cancel: threading.Event | None = None
        self.token, self.speed = TokenView(), SpeedView()
        self._bridge = Bridge(self, BRIDGE_MS)
        self._bridge.drained.connect(self._on_drained)

    def refresh(self) -> None:
        """Reads both in the background: the keyring may ask for its password, and another page may have measured."""
        models = self._workbench.models
        if not self.token.is_busy:
            self._show_token(is_busy=True)
            self._tasks.run(_token_source, self._on_source_read, self._on_token_failed)
        if not self.speed.is_measuring:
            self._tasks.run(lambda: models.machine_speed(measure=False), self._on_speed_read, self._on_speed_failed)

    def close(self) -> None:
        """The window closes: a measurement ends."""
        self.cancel()
        self._bridge.close()

    @property
    def tokens_page(self) -> str:
        """Where an account's tokens are made."""
        return f"{self._workbench.models.endpoint}/{TOKENS_PAGE}"

    def cache_folder(self) -> Path:
        """Where downloads lie; need not exist."""
        from workbench.hub.session import cache_dir

        return cache_dir()

    # --- the token -----------------------------------------------------------------------------------------

    def save_token(self, token: str) -> None:
        """Into the system keyring. The text is held by the work alone and gone with it."""
        if token.strip() and not self.token.is_busy:
            self._show_token(is_busy=True, note="", problem="")
            self._tasks.run(lambda: _save(token), self._on_token_saved, self._on_token_failed)

    def forget_token(self) -> None:
        if not self.token.is_busy:
            self._show_token(is_busy=True, note="", problem="")
            self._tasks.run(_forget, self._on_token_forgotten, self._on_token_failed)

    def _on_source_read(self, source: TokenSource | None) -> None:
        self._show_token(is_busy=False, source=source, problem="")

    def _on_token_saved(self, source: TokenSource | None) -> None:
        note = "The keyring holds the one that was saved." if source == "environment" else ""
        self._show_token(is_busy=False, source=source, note=note)
        self.token_kept.emit()

    def _on_token_forgotten(self, found: tuple[bool, TokenSource | None]) -> None:
        was_there, source = found
        note = "The one in the keyring is forgotten." if was_there else "The keyring holds none."
        self._show_token(is_busy=False, source=source, note=note)

    def _on_token_failed(self, error: WorkbenchError) -> None:
        self._show_token(is_busy=False, problem=error.message)

    def _show_token(self, **changes: Any) -> None:
        self.token = replace(self.token, **changes)
        self.token_changed.emit()

    # --- the speed -----------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Some seconds in the background; `speed` follows it."""
        if self.speed.is_measuring:
            return
        models, bridge, cancel = self._workbench.models, self._bridge, threading.Event()
        self._cancel = cancel
        self._show_speed(share=0.0, problem="")
        self._tasks.run(
            lambda: models.measure_machine(bridge.post, cancel), self._on_measured, self._on_measuring_failed
        )

    def cancel(self) -> None:
        if self._cancel is not None and self.speed.is_measuring:
            self._cancel.set()
            self._show_speed(is_cancelling=True)

    def _on_drained(self, shares: list[float]) -> None:
        if self.speed.is_measuring:
            self._show_speed(share=shares[-1])

    def _on_measured(self, speed: MachineSpeed) -> None:
        self._show_speed(speed=speed, share=None, is_cancelling=False)

    def _on_measuring_failed(self, error: WorkbenchError) -> None:
        said = "" if error.code == CANCELLED else error.message
        self._show_speed(problem=said, share=None, is_cancelling=False)

    def _on_speed_read(self, speed: MachineSpeed | None) -> None:
        if not self.speed.is_measuring:
            self._show_speed(speed=speed)

    def _on_speed_failed(self, error: WorkbenchError) -> None:
        self._show_speed(problem=error.message)

    def _show_speed(self, **changes: Any) -> None:
        self.speed = replace(self.speed, **changes)
        self.speed_changed.emit()


def speed_text(speed: MachineSpeed) -> str:
    """When and what was measured, one line for decode and one for prefill."""
    day = datetime.fromisoformat(speed.measured_at).astimezone().date().isoformat()
    reads = ", ".join(f"{item.type} {item.bytes_per_s / 1e9:.3g}" for item in speed.types)
    computes = ", ".join(f"{item.type} {item.flops / 1e9:,.0f}" for item in speed.types)
    threads = f"{speed.threads} thread{'' if speed.threads == 1 else 's'}"
    return (
        f"Measured {day} with {threads}, took {speed.took_s:.1f} s.\n"
        f"Decode: {reads} GB/s of weights.\nPrefill: {computes} GFLOP/s."
    )


def _token_source() -> TokenSource | None:
    from workbench.hub.tokens import token_source

    return token_source()


def _save(token: str) -> TokenSource | None:
    from workbench.hub.tokens import save_token, token_source

    try:
        save_token(token)
    except WorkbenchError:
        raise
    except Exception as error:  # noqa: BLE001 - may quote what it was given, which must not reach the log
        raise WorldError(
            f"The system keyring failed ({type(error).__name__}). Set the environment variable HF_TOKEN instead.",
            code="keyring_unusable",
        ) from None
    return token_source()


def _forget() -> tuple[bool, TokenSource | None]:
    from workbench.hub.tokens import forget_token, token_source

    return forget_token(), token_source()
