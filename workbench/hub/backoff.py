"""How long a transfer waits after a failure, and when it has tried enough."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from workbench.errors import WorkbenchError
from workbench.hub.client import HubClient
from workbench.hub.http_source import Unusable, not_the_file
from workbench.hub.refusals import wait_asked_s
from workbench.hub.stopping import Stop
from workbench.units import ms_parts

_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
# Trying again changes nothing about these.
_LASTING = frozenset({"hub_certificate", "hub_endpoint_invalid", "proxy_unusable"})
_MENTIONED_FROM_S = 0.8


@dataclass(frozen=True, slots=True)
class TransferPolicy:
    """`attempts` counts failures in a row without a single byte; `stall_s` is the longest silence of a line."""

    stall_s: float = 30.0
    attempts: int = 8
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    after_progress_s: float = 0.2


class Backoff:
    """Pauses double from failure to failure, with chance in them so that many clients do not come back as one."""

    def __init__(self, client: HubClient, repo_id: str, policy: TransferPolicy, stop: Stop,
                 noted: Callable[[str | None], None]) -> None:  # fmt: skip
        self._client, self._repo_id, self._policy = client, repo_id, policy
        self._stop, self._noted = stop, noted
        self._failures = 0
        self._has_moved = False

    def moved(self) -> None:
        """A byte arrived: the count of failures begins anew."""
        if not self._has_moved:
            self._noted(None)
        self._failures, self._has_moved = 0, True

    def pause(self, error: Exception) -> None:
        """Sleeps. Raises Stopped when asked meanwhile, and the sentence for `error` when waiting cannot help."""
        self._stop.check()
        sentence = not_the_file(error.why) if isinstance(error, Unusable) else self._translated(error)
        if not self._has_moved:
            self._failures += 1
        if sentence.code in _LASTING or not is_passing(error) or self._failures >= self._policy.attempts:
            raise sentence from error
        asked_s = _asked_s(error)
        pause_s = asked_s if asked_s is not None else self._own_pause_s()
        self._has_moved = False
        if pause_s >= _MENTIONED_FROM_S:
            retry = f"retry {max(1, self._failures)} of {self._policy.attempts - 1}"
            self._noted(f"{_reason(error)}: {retry} in {_spell(pause_s)}")
        self._stop.wait(pause_s)

    def _own_pause_s(self) -> float:
        if self._has_moved:
            return self._policy.after_progress_s
        grown_s = self._policy.first_pause_s * 2.0 ** max(0, self._failures - 1)
        return min(self._policy.longest_pause_s, grown_s) * random.uniform(0.5, 1.0)

    def _translated(self, error: Exception) -> WorkbenchError:
        return self._client.translate(error, self._repo_id)


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later: lines break, servers stumble; a missing file stays missing."""
    import httpx2

    if isinstance(error, Unusable | httpx2.TimeoutException | httpx2.NetworkError | httpx2.RemoteProtocolError):
        return True
    response = getattr(error, "response", None)
    return response is not None and response.status_code in _PASSING_STATUS


def _asked_s(error: Exception) -> float | None:
    response = getattr(error, "response", None)
    return wait_asked_s(response.headers) if response is not None else None


def _spell(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 59.5 else " ".join(ms_parts(seconds * 1000))


def _reason(error: Exception) -> str:
    import httpx2

    if isinstance(error, Unusable):
        return "what arrives is not the file"
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return "no connection"
    if isinstance(error, httpx2.TimeoutException):
        return "the line is silent"
    response = getattr(error, "response", None)
    if response is not None and response.status_code == 429:
        return "the server is busy"
    return f"the server is in trouble (HTTP {response.status_code})" if response is not None else "the connection broke"
