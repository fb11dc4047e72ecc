"""A Hugging Face Hub on this machine: speaks the protocol of the real client, and misbehaves on order."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.fakes.hub_body import Request
from tests.fakes.hub_content import (
    LFS_ENDINGS,
    Content,
    HubFile,
    HubRepo,
    SeededContent,
    content_of,
)
from tests.fakes.hub_exchange import Exchange, Listener
from tests.fakes.hub_trouble import (
    Drop,
    IgnoreRange,
    OrderedTrouble,
    Slow,
    Stall,
    Status,
    Trouble,
    Truncated,
    WrongContent,
    WrongLength,
)

__all__ = [
    "Drop", "HubServer", "IgnoreRange", "Request", "SeededContent", "Slow", "Stall", "Status", "Truncated",
    "WrongContent", "WrongLength",
]  # fmt: skip


class HubServer:
    """Serves from `start` (or `with`) to `close`. `url` is the endpoint; `requests` the log, in order of arrival.

    Troubles are ordered with `misbehave` and spent in order; see tests/fakes/hub_trouble.py. Large files come as
    `SeededContent(size, seed)` or as a path. LFS files are redirected to a signed link on another host name, as
    the Hub does; `redirect` "relative" keeps them on this one, None answers without a redirect.
    """

    def __init__(self, redirect: str | None = "cdn", page_size: int = 1000, seed: int = 7) -> None:
        self.repos: dict[str, HubRepo] = {}
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self.tokens: dict[str, str] = {}
        self.redirect = redirect
        self.page_size = page_size
        self.chance = random.Random(seed)
        self.closing = threading.Event()
        self._links: set[str] = set()
        self._troubles: list[OrderedTrouble] = []
        self._lock = threading.Lock()
        self._http = Listener(("127.0.0.1", 0), Exchange)
        self._http.hub = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def cdn_url(self) -> str:
        return f"http://localhost:{self._http.server_port}/cdn"

    def start(self) -> HubServer:
        self._thread.start()
        return self

    def close(self) -> None:
        """Ends all answers under way; raises the first error that was the server's own."""
        self.closing.set()
        if self._thread.ident is not None:
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        if self.errors:
            raise self.errors[0]

    def __enter__(self) -> HubServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, bytes | Path | Content],
        *,
        xet: Iterable[str] = (),
        plain: Iterable[str] = (),
        wrong_sha256: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> HubRepo:
        """`facts` are the fields of HubRepo. Names in `xet` offer Xet; names in `plain` are no LFS files."""
        repo = HubRepo(repo_id, **facts)
        wrong = wrong_sha256 or {}
        repo.commit({
            name: HubFile(content_of(source), _is_lfs(name) and name not in plain, name in xet, wrong.get(name))
            for name, source in files.items()
        })  # fmt: skip
        self.repos[repo_id] = repo
        return repo

    def change_file(self, repo_id: str, name: str, content: bytes | Path | Content, *, in_place: bool = False) -> str:
        """Commits another content; `in_place` changes the commit itself, which Git never does and mirrors do."""
        repo = self.repos[repo_id]
        changed = HubFile(content_of(content), _is_lfs(name))
        if in_place:
            repo.commits[repo.head][name] = changed
            return repo.head
        return repo.commit({**repo.commits[repo.head], name: changed})

    def rename_file(self, repo_id: str, name: str, to: str, *, keep_history: bool = True) -> str:
        repo = self.repos[repo_id]
        files = {to if old == name else old: file for old, file in repo.commits[repo.head].items()}
        if not keep_history:
            repo.commits[repo.head] = files
            return repo.head
        return repo.commit(files)

    def add_token(self, token: str, user: str = "reader") -> str:
        self.tokens[token] = user
        return token

    def misbehave(
        self,
        pattern: str,
        trouble: Trouble,
        *,
        times: int | None = 1,
        skip: int = 0,
        methods: tuple[str, ...] = ("GET",),
    ) -> None:
        """`pattern` is a whole path with wildcards ("/cdn/*") or the end of one ("model.gguf").

        Troubles of the body are met where the content is sent, all others at the first request that fits.
        """
        with self._lock:
            self._troubles.append(OrderedTrouble(pattern, trouble, times, skip, methods))

    def behave(self) -> None:
        with self._lock:
            self._troubles.clear()

    def expire_links(self) -> None:
        """Every signed link given so far answers 403 from here on."""
        with self._lock:
            self._links.clear()

    def served_bytes(self, end_of_path: str = "") -> int:
        """What went out as content of files whose path ends so, broken answers counted as far as they came."""
        with self._lock:
            return sum(r.sent_bytes for r in self.requests if r.path.endswith(end_of_path) and r.status in (200, 206))

    def asked(self, part_of_path: str, method: str | None = None) -> list[Request]:
        with self._lock:
            return [r for r in self.requests if part_of_path in r.path and method in (None, r.method)]

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def troubles_for(self, method: str, path: str, *, sends_content: bool) -> list[Trouble]:
        with self._lock:
            met = [t for t in self._troubles if t.matches(method, path, sends_content)]
            return [t.trouble for t in met if t.take()]

    def link(self, repo_id: str, commit: str, name: str) -> str:
        with self._lock:
            signature = f"{self.chance.getrandbits(64):016x}"
            self._links.add(signature)
        return f"{self.cdn_url}/{repo_id}/{commit}/{quote(name)}?{urlencode({'Signature': signature})}"

    def is_link_good(self, signature: str) -> bool:
        with self._lock:
            return signature in self._links


def _is_lfs(name: str) -> bool:
    return name.endswith(LFS_ENDINGS)
