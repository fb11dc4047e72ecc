"""Fetches the headers of model files on the Hub with range requests, into sparse files of the full size.

llama.cpp plans a model from such a file as from the whole one: it reads no weight for that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote

from workbench.errors import HubError, ModelFileError, StorageFull, WorldError
from workbench.hub.gguf import GgufHeader, parse_header
from workbench.hub.repository import RemoteFiles, RepoFile
from workbench.hub.sibling_header import compose
from workbench.paths import DISK_FULL

if TYPE_CHECKING:
    from workbench.hub.client import HubClient

# The largest vocabularies known take some 15 MB.
MAX_HEADER_BYTES = 24 * 1000 * 1000
_BLOCK_BYTES = 64 * 1024
# A header of 8 MB would take hours at this rate.
SLOW_AFTER_S, LEAST_BYTES_PER_S = 10.0, 1000
_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<size>\d+)")


def plan_key(source: RemoteFiles) -> str:
    """Names the content: by the files' own hashes where the Hub tells them, else by repository and revision."""
    hashes = [file.sha256 for file in source.files]
    if len(hashes) == 1 and hashes[0] and re.fullmatch(r"[0-9a-f]{64}", hashes[0]):
        return hashes[0]
    names = hashes if all(hashes) else [source.repo_id, source.revision, *(file.name for file in source.files)]
    return hashlib.sha256("\n".join(map(str, names)).encode()).hexdigest()


def header_paths(folder: Path, count: int) -> tuple[Path, ...]:
    """Where the headers of a model lie, named so that llama.cpp finds the later parts."""
    if count == 1:
        return (folder / "model.gguf",)
    return tuple(folder / f"model-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1))


def fetch_headers(
    client: HubClient, source: RemoteFiles, folder: Path, siblings: Sequence[Path] = ()
) -> tuple[Path, ...]:
    """The header files of all parts in `folder`, fetched where they are missing; blocks.

    `siblings` are headers of other quantizations: the vocabulary of a single file is taken from the first whose
    is shown to be the same, and only the rest is fetched.

    Raises HubError and its kinds, ModelFileError for what is no GGUF model (code "header_too_large" past 24 MB),
    StorageFull.
    """
    paths = header_paths(folder, len(source.files))
    for path, file in zip(paths, source.files, strict=True):
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            _fetch(client, source, file, path, siblings if len(paths) == 1 else ())
    return paths


def _fetch(client: HubClient, source: RemoteFiles, file: RepoFile, path: Path, siblings: Sequence[Path]) -> None:
    remote = _RemoteFile(client, source, file)
    composed = (compose(sibling, file.size_bytes, remote.between) for sibling in siblings)
    content = next((content for content in composed if content is not None), None)
    if content is None:
        header = read_remote_header(remote, file)
        content = bytes(remote.content[: header.data_offset])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_sparse(path, content, file.size_bytes)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFull(f"The disk of {path.parent} is full. Free some space and try again.") from error
        raise WorldError(f"{path.parent} cannot be written: {error.strerror or error}.") from error


def read_remote_header(remote: _RemoteFile, file: RepoFile) -> GgufHeader:
    """Raises HubError and its kinds, ModelFileError."""
    try:
        return parse_header(cast(BinaryIO, remote), file.size_bytes, file.name.rsplit("/", 1)[-1])
    except ModelFileError as error:
        if len(remote.content) < MAX_HEADER_BYTES or error.code != "model_file_truncated":
            raise
        raise ModelFileError(
            f"The header of {file.name} is longer than {MAX_HEADER_BYTES // 1_000_000} MB, which no known model needs. "
            "What memory it takes can be told once it is downloaded.",
            code="header_too_large",
        ) from error


class _RemoteFile:
    """Reads forward through a file on the Hub, one range request for each `read`, and keeps what came."""

    def __init__(self, client: HubClient, source: RemoteFiles, file: RepoFile) -> None:
        self._client, self._file = client, file
        self._repo_id = source.repo_id
        self._url = f"{client.endpoint}/{source.repo_id}/resolve/{quote(source.revision, safe='')}/{quote(file.name)}"
        self.content = bytearray()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Only to where it stands; the reader begins with it."""
        assert (offset, whence) == (len(self.content), 0)
        return offset

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; fewer at the end of the file and at the limit for headers."""
        start = len(self.content)
        end = min(start + count, self._file.size_bytes, MAX_HEADER_BYTES)
        if start >= end:
            return b""
        part = self.between(start, end)
        self.content += part
        return part

    def between(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`; they are not kept."""
        return self._client.ask(partial(self._request, start, end), self._repo_id)

    def _request(self, start: int, end: int) -> bytes:
        from huggingface_hub import hf_raise_for_status

        # A compressed answer would count other bytes than those of the file.
        headers = {**self._client.headers(), "range": f"bytes={start}-{end - 1}", "accept-encoding": "identity"}
        with self._client.http().stream("GET", self._url, headers=headers) as response:
            if response.is_error:
                response.read()
                hf_raise_for_status(response)
            first = self._first_byte(response)
            if first > start:
                raise self._wrong(f"sent bytes from {first:,} on where those from {start:,} were asked for")
            received = _take(response, end - first)
        if len(received) < end - first:
            raise self._wrong(f"sent {first + len(received):,} of {end:,} bytes and ended")
        return bytes(received[start - first :])

    def _first_byte(self, response: Any) -> int:
        """Where the answer begins. A server that ignores ranges sends the whole file, of which the rest is not read."""
        if response.status_code != 206:
            return 0
        match = _RANGE.match(response.headers.get("content-range", ""))
        if match is None:
            raise self._wrong("does not say which part of the file it sent")
        if int(match["size"]) != self._file.size_bytes:
            raise self._wrong(f"has {int(match['size']):,} bytes where {self._file.size_bytes:,} were announced")
        return int(match["start"])

    def _wrong(self, what: str) -> HubError:
        return HubError(
            f"The Hub {what}: {self._file.name} of {self._repo_id}. Look at the repository again, and try once more.",
            code="hub_range_broken",
        )


def _take(response: Any, count: int) -> bytearray:
    """Raises HubError for a server that sends a few bytes now and then, for which no timeout ever comes."""
    received, began = bytearray(), time.monotonic()
    for block in response.iter_raw(_BLOCK_BYTES):
        received += block
        passed_s = time.monotonic() - began
        if passed_s > SLOW_AFTER_S and len(received) < passed_s * LEAST_BYTES_PER_S:
            raise HubError(
                f"The Hub sends less than {LEAST_BYTES_PER_S / 1000:.0f} kB/s, too slow to look at a model first. "
                "Try again later.",
                code="hub_slow",
            )
        if len(received) >= count:
            break
    return received[:count]


def _write_sparse(path: Path, content: bytes, size_bytes: int) -> None:
    """`content`, then a hole up to `size_bytes`; whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=".header-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _mark_sparse(file.fileno())
            file.write(content)
            file.truncate(size_bytes)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mark_sparse(descriptor: int) -> None:
    """NTFS fills a file with zeros up to its size unless it was told before."""
    if os.name == "nt":
        import ctypes
        import msvcrt

        set_sparse = 0x900C4
        handle = msvcrt.get_osfhandle(descriptor)  # type: ignore[attr-defined,unused-ignore]
        done = ctypes.c_ulong(0)
        control = ctypes.windll.kernel32.DeviceIoControl  # type: ignore[attr-defined,unused-ignore]
        with contextlib.suppress(OSError):
            control(ctypes.c_void_p(handle), set_sparse, None, 0, None, 0, ctypes.byref(done), None)
