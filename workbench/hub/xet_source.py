"""A file of the Hub from its chunk storage (Xet), through the library that its makers publish."""

from __future__ import annotations

import importlib.util
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from workbench.hub import session
from workbench.hub.client import HubClient
from workbench.hub.http_source import Body, RemoteFile
from workbench.hub.stopping import Stop

_LOOKS_EVERY_S = 0.5
_OFF = frozenset({"1", "ON", "YES", "TRUE"})


class XetFailed(Exception):
    """The chunk storage did not deliver; plain HTTP has the same bytes."""


def is_offered(client: HubClient, file: RemoteFile) -> bool:
    """Whether the Hub has the file there, and neither settings, environment nor installation are against it."""
    return (
        file.xet is not None
        and client.use_xet
        and os.environ.get("HF_HUB_DISABLE_XET", "").upper() not in _OFF
        and importlib.util.find_spec("hf_xet") is not None
    )


@contextmanager
def opened(client: HubClient, file: RemoteFile, start: int, stop: Stop, stall_s: float) -> Iterator[Body]:
    """The content from `start` on, in order. Raises XetFailed for whatever goes wrong, a stall of `stall_s` too."""
    try:
        from hf_xet import XetFileInfo  # type: ignore[import-untyped]

        group = client.xet_session().new_download_stream_group(
            token_refresh_url=file.xet.refresh_route,
            token_refresh_headers=_token_headers(client, file.xet.refresh_route),
            custom_headers={"user-agent": session.USER_AGENT},
        )
        stream = group.download_stream(XetFileInfo(file.xet.file_hash, file.size_bytes), start=start)
    except Exception as error:
        raise XetFailed(type(error).__name__) from error
    pump = _Pump(stream)
    try:
        with stop.interrupting(pump.wake):
            yield Body(start, pump.pieces(stall_s))
    finally:
        pump.leave()
        group.abort()


def _token_headers(client: HubClient, url: str) -> dict[str, str]:
    headers = client.headers()
    if not session.is_at_endpoint(url):
        headers.pop("authorization", None)
    return headers


class _Pump:
    """Reads a stream in a thread of its own, so that nobody else waits for it longer than he wants to.

    Nothing wakes the library while it waits for its storage (tried: cancel of the stream, abort of its group), so a
    thread that waits there is left behind; it ends with the answer or the connection.
    """

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream = stream
        # A piece can be as large as a block of the storage, some 64 MB: one waits, no more.
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=1)
        self._is_left = False
        threading.Thread(target=self._read, name="download-xet", daemon=True).start()

    def pieces(self, stall_s: float) -> Iterator[bytes]:
        while True:
            try:
                item = self._queue.get(timeout=stall_s)
            except queue.Empty:
                raise XetFailed(f"nothing came for {stall_s:.0f} s") from None
            if isinstance(item, BaseException):
                raise XetFailed(type(item).__name__) from item
            if item is None:
                return
            yield item

    def wake(self) -> None:
        """Ends a wait for the next piece."""
        with suppress(queue.Full):  # then nobody waits
            self._queue.put_nowait(None)

    def leave(self) -> None:
        self._is_left = True

    def _read(self) -> None:
        try:
            for piece in self._stream:
                self._put(piece)
                if self._is_left:
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads the pieces
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: bytes | BaseException | None) -> None:
        while not self._is_left:
            with suppress(queue.Full):
                self._queue.put(item, timeout=_LOOKS_EVERY_S)
                return
