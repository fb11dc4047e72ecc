"""The content of one answer of the fake Hub, with what goes wrong in it."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tests.fakes.hub_content import Content, DiskContent, blocks
from tests.fakes.hub_trouble import Drop, Slow, Stall, Trouble, Truncated, WrongContent, WrongLength


@dataclass
class Request:
    """One request as it arrived. `headers` by lower-case name; `sent_bytes` of the body went out so far."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    status: int | None = None
    sent_bytes: int = 0
    at_s: float = field(default_factory=time.monotonic)


@dataclass
class Wire:
    """What an answer is written to."""

    connection: socket.socket
    out: BinaryIO
    request: Request
    closing: threading.Event
    chance: random.Random


class Body:
    """The content of one answer, with what goes wrong in it."""

    def __init__(self, wire: Wire, content: Content, start: int, count: int, troubles: list[Trouble]) -> None:
        self._wire, self._content, self._start, self._count = wire, content, start, count
        self.claimed = count
        self.is_cut = False
        self._drop: Drop | None = None
        self._drop_at: int | None = None
        self._stall: Stall | None = None
        self._bytes_per_s: int | None = None
        self._wrong_at: int | None = None
        for trouble in troubles:
            self._take(trouble)

    def _take(self, trouble: Trouble) -> None:
        match trouble:
            case Drop():
                self._drop, self._drop_at = trouble, trouble.bytes(self._wire.chance)
            case Stall():
                self._stall = trouble
            case Slow(bytes_per_s):
                self._bytes_per_s = bytes_per_s
            case WrongContent(at):
                self._wrong_at = at
            case Truncated(size):
                self._count = self.claimed = min(self._count, size)
            case WrongLength(difference):
                self.claimed = max(0, self._count + difference)
                self._count = min(self._count, self.claimed)

    def send(self) -> None:
        is_plain = (self._drop_at, self._stall, self._bytes_per_s, self._wrong_at) == (None,) * 4
        if is_plain and isinstance(self._content, DiskContent) and hasattr(os, "sendfile"):
            return self._send_from_disk(self._content.path)
        began, sent = time.monotonic(), 0
        piece = 256 * 1024 if self._bytes_per_s is None else max(1, min(64 * 1024, self._bytes_per_s // 20))
        for block in blocks(self._content, self._start, self._count, piece):
            if self._wire.closing.is_set():
                return self._cut(reset=True)
            block = self._spoil(block, self._start + sent)
            for part in self._until_stall(block, sent):
                if self._drop_at is not None and sent + len(part) >= self._drop_at:
                    self._write(part[: self._drop_at - sent])
                    return self._cut(reset=self._drop is not None and self._drop.reset)
                self._write(part)
                sent += len(part)
            if self._bytes_per_s is not None:
                self._wire.closing.wait(max(0.0, sent / self._bytes_per_s - (time.monotonic() - began)))
        if self.claimed > self._count:
            self._cut(reset=False)

    def _until_stall(self, block: bytes, sent: int) -> Iterable[bytes]:
        stall = self._stall
        if stall is None or stall.after is None or not sent <= stall.after < sent + len(block):
            yield block
            return
        yield block[: stall.after - sent]
        self._wire.closing.wait(stall.seconds)
        yield block[stall.after - sent :]

    def _spoil(self, block: bytes, offset: int) -> bytes:
        if self._wrong_at is None or not offset <= self._wrong_at < offset + len(block):
            return block
        spoiled = bytearray(block)
        spoiled[self._wrong_at - offset] ^= 0xFF
        return bytes(spoiled)

    def _write(self, part: bytes) -> None:
        self._wire.out.write(part)
        self._wire.request.sent_bytes += len(part)

    def _send_from_disk(self, path: Path) -> None:
        out, sent = self._wire.connection.fileno(), 0
        with path.open("rb") as file:
            while sent < self._count and not self._wire.closing.is_set():
                count = os.sendfile(out, file.fileno(), self._start + sent, min(self._count - sent, 4 << 20))
                if count == 0:
                    break
                sent += count
                self._wire.request.sent_bytes += count

    def _cut(self, *, reset: bool) -> None:
        connection = self._wire.connection
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.shutdown(socket.SHUT_WR)
        self.is_cut = True
