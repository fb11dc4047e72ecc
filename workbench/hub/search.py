"""Finds GGUF repositories on the Hub, page by page, and knows the id in what a person pastes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from workbench.errors import HubError
from workbench.hub.client import HubClient
from workbench.hub.repository import RepoSummary, SearchQuery

MAX_PAGE = 100
# With bounds on the size most of what the Hub lists may fall away: how many requests may fill a page, and how many
# a search may make in all (5,000 repositories in the wanted order).
_REQUESTS_PER_PAGE = 5
_MOST_REQUESTS = 50
# JSON has numbers of any length; beyond this one no disk, format or float follows.
_LARGEST_COUNT = 2**63 - 1
_SORTS = {"downloads": "downloads", "likes": "likes", "recent": "lastModified"}
# The least that a line of a list needs: the Hub sends every file name of every repository otherwise.
_EXPAND = ("downloads", "likes", "lastModified", "gated", "private", "tags", "gguf")

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"{_PART}/{_PART}")
_SIZE = re.compile(
    r"(?<![a-z0-9.])(?:(?P<experts>\d{1,3})x)?(?P<number>\d{1,4}(?:[._]\d{1,3})?)(?P<unit>[bm])(?![a-z0-9])",
    re.IGNORECASE,
)
_HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
# First parts of the Hub's addresses that are no author.
_PAGES = frozenset({
    "api", "blog", "chat", "collections", "datasets", "docs", "enterprise", "join", "kernels", "learn", "login",
    "models", "new", "organizations", "papers", "posts", "pricing", "settings", "spaces", "tasks",
})  # fmt: skip


def search(client: HubClient, query: SearchQuery, page_size: int = 20) -> Iterator[tuple[RepoSummary, ...]]:
    """Pages of at most `page_size`; the Hub is asked when a page is taken, so taking one may block for seconds.

    With bounds on the parameters a page may be short or empty without being the last. Raises what `HubClient.ask`
    raises.
    """
    size = max(1, min(page_size, MAX_PAGE))
    has_bounds = query.min_parameters is not None or query.max_parameters is not None
    requested = MAX_PAGE if has_bounds else size
    waiting: list[RepoSummary] = []
    for count, content in enumerate(client.pages("api/models", _parameters(query, requested)), 1):
        waiting += [found for found in _summaries(content, client.endpoint) if _is_within(found, query)]
        while len(waiting) >= size:
            yield tuple(waiting[:size])
            del waiting[:size]
        if has_bounds and count % _REQUESTS_PER_PAGE == 0:
            yield tuple(waiting)
            waiting = []
        if has_bounds and count == _MOST_REQUESTS:
            return
    if waiting:
        yield tuple(waiting)


def repo_id_of(text: str, endpoint: str | None = None) -> str | None:
    """The repository that an id or an address means ("author/name", a page of it, hf://...); None for other words.

    A quantization after a colon, as other programs take it, is left out. `endpoint` is the mirror in use.
    """
    from workbench.hub import session

    pasted = text.strip().strip("<>\"'`")
    path = _path_on_hub(pasted, endpoint or session.endpoint())
    if path is None:
        is_id = "/" in pasted and "://" not in pasted and not pasted.lower().endswith(".gguf")
        return _id_from([*pasted.split("/")]) if is_id and pasted.count("/") == 1 else None
    parts = [unquote(part) for part in path.split("/") if part]
    if parts[:2] == ["api", "models"]:
        parts = parts[2:]
    elif parts[:1] == ["models"] and len(parts) > 2:  # hf://models/author/name
        parts = parts[1:]
    return None if not parts or parts[0].lower() in _PAGES else _id_from(parts[:2])


def summary_of(record: Any) -> RepoSummary | None:
    """The Hub's record of a repository without what has the wrong type; None when it names no repository."""
    if not isinstance(record, Mapping) or not is_repo_id(record.get("id")):
        return None
    gguf = record.get("gguf")
    gguf = gguf if isinstance(gguf, Mapping) else {}
    tags = record.get("tags")
    tags = tuple(tag for tag in tags if _is_clean(tag)) if isinstance(tags, list) else ()
    architecture = gguf.get("architecture")
    return RepoSummary(
        repo_id=record["id"],
        downloads=count(record.get("downloads")),
        likes=count(record.get("likes")),
        updated_at=_moment(record.get("lastModified")),
        license=next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None),
        is_gated=bool(record.get("gated")),
        is_private=bool(record.get("private")),
        parameters=count(gguf.get("total")) or None,
        architecture=architecture if _is_clean(architecture) else None,
        context_trained=count(gguf.get("context_length")) or None,
        tags=tags,
    )


def is_repo_id(text: object) -> bool:
    """Whether the Hub could have given this name; a path that climbs out of a folder is none."""
    return isinstance(text, str) and _REPO_ID.fullmatch(text) is not None and ".." not in text and "--" not in text


def parameters_in(name: str) -> int | None:
    """The size that a name tells: 600,000,000 for Qwen3-0.6B-GGUF, the larger figure of 30B-A3B."""
    sizes = [
        float(found["number"].replace("_", "."))
        * int(found["experts"] or 1)
        * (1e9 if found["unit"].lower() == "b" else 1e6)
        for found in _SIZE.finditer(name)
    ]
    return round(max(sizes)) if sizes else None


def _parameters(query: SearchQuery, limit: int) -> dict[str, str | int | list[str]]:
    filters = ["gguf"] + ([_storable(f"license:{query.license}")] if query.license else [])
    wanted: dict[str, str | int | list[str]] = {
        "filter": filters,
        "sort": _SORTS[query.sort],
        "limit": limit,
        "expand": list(_EXPAND),
    }
    if query.text.strip():
        wanted["search"] = _storable(query.text.strip())
    if query.author:
        wanted["author"] = _storable(query.author)
    return wanted


def _storable(text: str) -> str:
    """Bytes of a command line that are no UTF-8 arrive as lone surrogates, which no address can hold."""
    return text.encode("utf-8", "replace").decode()


def _summaries(content: Any, endpoint: str) -> list[RepoSummary]:
    if not isinstance(content, list):
        raise HubError(f"{endpoint} answered a search with something that is no list. Check HF_ENDPOINT.",
                       code="hub_not_a_hub")  # fmt: skip
    return [summary for summary in map(summary_of, content) if summary is not None]


def _is_within(found: RepoSummary, query: SearchQuery) -> bool:
    low, high = query.min_parameters, query.max_parameters
    if low is None and high is None:
        return True
    size = found.parameters or parameters_in(found.name)
    return size is not None and (low is None or size >= low) and (high is None or size <= high)


def _path_on_hub(text: str, endpoint: str) -> str | None:
    """The path of an address on the Hub or its mirror; None for anything else."""
    if text.lower().startswith("hf://"):
        return text[5:]
    base = urlsplit(endpoint)
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:  # "http://[" and the like
        return None
    if parts.scheme not in ("http", "https"):
        return None
    host = parts.netloc.rpartition("@")[2].lower()
    if host == base.netloc.rpartition("@")[2].lower():
        return parts.path.removeprefix(base.path)
    return parts.path if host in _HUB_HOSTS else None


def _id_from(parts: list[str]) -> str | None:
    if len(parts) != 2:
        return None
    author, name = parts[0], re.split("[:@]", parts[1])[0]
    repo_id = f"{author}/{name.removesuffix('.git')}"
    return repo_id if is_repo_id(repo_id) else None


def count(value: object) -> int | None:
    """A number of bytes, downloads or weights as the Hub gives it; None for what cannot be one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= _LARGEST_COUNT else None


def _is_clean(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _moment(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
