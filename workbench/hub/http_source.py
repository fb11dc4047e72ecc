"""A file of the Hub over HTTP: what the Hub says about it, and its bytes from any offset on."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import HubError
from workbench.hub import session
from workbench.hub.client import HubClient
from workbench.hub.stopping import Stop

if TYPE_CHECKING:
    import httpx2

CONNECT_S = 10.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_LINK_REFUSED = frozenset({400, 401, 403, 404, 410})


class Unusable(Exception):
    """An answer that is not this file: a login page of the network, an expired link, a cache in between."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Changed(Exception):
    """The address gives another content than the one asked for."""


@dataclass(frozen=True)
class RemoteFile:
    """What the Hub says about a file. `etag` is the name of its content; `xet` how its chunk storage calls it."""

    commit: str
    etag: str
    size_bytes: int
    xet: Any = None


@dataclass(frozen=True)
class Body:
    """Bytes from offset `start` on, in the pieces in which they arrive."""

    start: int
    pieces: Iterator[bytes]


class HttpSource:
    """One file at one revision. Raises what the HTTP library and the Hub's client library raise."""

    def __init__(self, client: HubClient, repo_id: str, revision: str, name: str, stall_s: float) -> None:
        from huggingface_hub import hf_hub_url

        client.http()  # the client library is quiet and bound to this environment from here on
        self._client = client
        self._name = name
        self._stall_s = stall_s
        self._url = hf_hub_url(repo_id, name, revision=revision, endpoint=client.endpoint)

    def look(self) -> RemoteFile:
        from huggingface_hub import get_hf_file_metadata

        self._client.http()
        said = get_hf_file_metadata(
            self._url,
            token=self._client.token() or False,
            timeout=self._stall_s,
            headers=self._client.headers(),
            endpoint=self._client.endpoint,
        )
        if said.commit_hash is None or said.etag is None or said.size is None:
            raise Unusable("it names no commit, no hash or no size")
        return RemoteFile(said.commit_hash, said.etag, said.size, said.xet_file_data)

    @contextmanager
    def opened(self, start: int, expected: RemoteFile, stop: Stop) -> Iterator[Body]:
        """The content from `start` on, or from 0 where the server gives only the whole.

        Asks the Hub each time: a signed link of an earlier answer may have expired. Raises Changed and Unusable.
        """
        headers = self._client.headers() | {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with self._stream(headers) as response:
            self._check(response, expected)
            first = _first_byte(response, start, expected.size_bytes)
            with stop.interrupting(lambda: _hang_up(response)):
                yield Body(first, response.iter_bytes())

    @contextmanager
    def _stream(self, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        import httpx2

        timeout = httpx2.Timeout(self._stall_s, connect=min(CONNECT_S, self._stall_s))
        http = self._client.http()
        try:
            with http.stream("GET", self._url, headers=headers, timeout=timeout) as response:
                yield response
        except RuntimeError as error:
            # The client library closes its one session when some other request finds no connection.
            if not http.is_closed:
                raise
            raise Unusable("the session was closed meanwhile") from error

    def _check(self, response: httpx2.Response, expected: RemoteFile) -> None:
        from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

        if response.status_code in _LINK_REFUSED and not session.is_at_endpoint(str(response.url)):
            raise Unusable(f"the storage refused its link (HTTP {response.status_code})")
        if response.status_code == 416:
            raise Changed
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        if response.status_code not in (200, 206):
            raise Unusable(f"the answer is HTTP {response.status_code}")
        named = _named_etag(response)
        if named is not None and named != expected.etag:
            raise Changed


def _named_etag(response: httpx2.Response) -> str | None:
    """The hash that the Hub named on the way; a storage behind it has names of its own, which say nothing here."""
    for answer in (*response.history, response):
        linked = answer.headers.get("X-Linked-Etag")
        if linked:
            return _bare(linked)
    etag = response.headers.get("ETag") if session.is_at_endpoint(str(response.url)) else None
    return _bare(etag) if etag else None


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _first_byte(response: httpx2.Response, start: int, size_bytes: int) -> int:
    """Where the body begins; raises Unusable when it cannot be the rest of a file of this size."""
    is_encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    if response.status_code == 200:
        length = response.headers.get("Content-Length")
        if length is not None and not is_encoded and int(length) != size_bytes:
            raise Unusable(f"it has {int(length):,} bytes instead of {size_bytes:,}")
        return 0
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if is_encoded or found is None or int(found[1]) != start or found[3] not in ("*", str(size_bytes)):
        raise Unusable("it is another part than the one asked for")
    return start


def _hang_up(response: httpx2.Response) -> None:
    """Ends a read that waits in another thread, which then finds the connection closed."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(connection, socket.socket):
        with suppress(OSError):  # the other side was quicker
            # Not the method of an encrypted socket, which would pull the encryption from under the reader.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)


def not_the_file(why: str) -> HubError:
    """The sentence for answers that stay unusable."""
    return HubError(
        f"What arrives is not the file: {why}. A proxy, a mirror or a network that wants a login may be in between; "
        "resume when it is gone.",
        code="hub_not_the_file",
    )
