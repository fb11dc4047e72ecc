"""The chunk storage behind the fake Hub: contents cut into blocks of chunks, as the real Xet client reads them.

One block holds up to 64 chunks of 64 KiB, stored without compression; a chunk has a head of eight bytes: version,
length as stored, kind of compression, length (little-endian, three bytes each length).
"""

from __future__ import annotations

import hashlib
from typing import Any

from tests.fakes.hub_content import Content

CHUNK_BYTES = 64 * 1024
BLOCK_CHUNKS = 64
BLOCK_BYTES = CHUNK_BYTES * BLOCK_CHUNKS
_HEAD_BYTES = 8


def block_name(xet_hash: str, number: int) -> str:
    return hashlib.sha256(f"{xet_hash} {number}".encode()).hexdigest()


def stored_block(content: Content, number: int) -> bytes:
    """A block as it lies in the storage."""
    start, end = number * BLOCK_BYTES, min((number + 1) * BLOCK_BYTES, content.size)
    parts = []
    for at in range(start, end, CHUNK_BYTES):
        chunk = content.read(at, min(CHUNK_BYTES, end - at))
        length = len(chunk).to_bytes(3, "little")
        parts.append(b"\0" + length + b"\0" + length + chunk)
    return b"".join(parts)


def reconstruction(content: Content, xet_hash: str, base_url: str, start: int, end: int) -> dict[str, Any]:
    """Which chunks of which blocks make up the bytes from `start` to before `end`."""
    terms, places = [], {}
    first_chunk = start // CHUNK_BYTES
    last_chunk = (min(end, content.size) - 1) // CHUNK_BYTES
    for number in range(first_chunk // BLOCK_CHUNKS, last_chunk // BLOCK_CHUNKS + 1):
        base = number * BLOCK_CHUNKS
        begin, stop = max(first_chunk - base, 0), min(last_chunk - base + 1, BLOCK_CHUNKS)
        bytes_from = (base + begin) * CHUNK_BYTES
        bytes_to = min((base + stop) * CHUNK_BYTES, content.size)
        name, chunks = block_name(xet_hash, number), {"start": begin, "end": stop}
        terms.append({"hash": name, "unpacked_length": bytes_to - bytes_from, "range": chunks})
        stored_from = begin * (CHUNK_BYTES + _HEAD_BYTES)
        stored_to = stored_from + bytes_to - bytes_from + (stop - begin) * _HEAD_BYTES
        places[name] = [{
            "range": chunks,
            "url": f"{base_url}/{xet_hash}/{number}",
            "url_range": {"start": stored_from, "end": stored_to - 1},
        }]  # fmt: skip
    return {"offset_into_first_range": start - first_chunk * CHUNK_BYTES, "terms": terms, "fetch_info": places}
