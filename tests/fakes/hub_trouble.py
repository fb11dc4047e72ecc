"""What can go wrong between a client and the fake Hub, ordered by a test for a path and a number of requests."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Drop:
    """The connection closes after this many bytes of the body, or after a random number between two."""

    after: int | tuple[int, int]
    reset: bool = False  # True: with RST, which throws away what the client has not read yet

    def bytes(self, chance: random.Random) -> int:
        return self.after if isinstance(self.after, int) else chance.randint(*self.after)


@dataclass(frozen=True)
class Stall:
    """Silence for `seconds`: before the headers (None), or after this many bytes of the body."""

    seconds: float
    after: int | None = None


@dataclass(frozen=True)
class Status:
    """An answer with this status instead of the content."""

    code: int
    retry_after: str | None = None
    error_code: str | None = None
    message: str = "Trouble ordered by a test"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class WrongLength:
    """Content-Length says this many bytes more (or fewer, with all bytes sent) than there are."""

    difference: int


@dataclass(frozen=True)
class WrongContent:
    """The right length, with one byte turned at this offset of the file (when the answer covers it)."""

    at: int = 0


@dataclass(frozen=True)
class Truncated:
    """A sound answer that ends after this many bytes, as a bad cache in between gives it."""

    size: int


@dataclass(frozen=True)
class Slow:
    bytes_per_s: int


@dataclass(frozen=True)
class IgnoreRange:
    """The whole file with 200, whatever part was asked for."""


Trouble = Drop | Stall | Status | WrongLength | WrongContent | Truncated | Slow | IgnoreRange
BODY = (Drop, WrongLength, WrongContent, Truncated, Slow, IgnoreRange)


@dataclass
class OrderedTrouble:
    """`times` None: for ever. `skip` requests go well before it begins."""

    pattern: str
    trouble: Trouble
    times: int | None = 1
    skip: int = 0
    methods: tuple[str, ...] = ("GET",)
    met: int = field(default=0, init=False)

    def matches(self, method: str, path: str, sends_content: bool) -> bool:
        needs_content = isinstance(self.trouble, BODY) or (
            isinstance(self.trouble, Stall) and self.trouble.after is not None
        )
        if method not in self.methods or needs_content != sends_content:
            return False
        return fnmatchcase(path, self.pattern) or path.endswith("/" + self.pattern)

    def take(self) -> bool:
        """Counts one request; True when it is to suffer."""
        self.met += 1
        return self.met > self.skip and (self.times is None or self.met <= self.skip + self.times)
