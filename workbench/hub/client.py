"""The way to the Hub: where it is, with which token, and how long an answer may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from workbench.errors import HubError, HubOffline, WorkbenchError
from workbench.hub import refusals, session
from workbench.hub.tokens import find_token

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

__all__ = ["HubClient", "cache_dir"]

Answer = TypeVar("Answer")
# A name server or a row of addresses that nobody answers at can take longer than any socket's own limit.
CONNECTED_WITHIN_S = 10.0
RETRY_AFTER_S = (0.3, 1.0)
# A page of a list takes some 100 KB. Whoever sends far more, far slower or without an end is no Hub.
LARGEST_PAGE_BYTES = 64 * 1024 * 1024
MOST_PAGES = 500
PAGE_WITHIN_S = 30.0
SLOW_AFTER_S, LEAST_BYTES_PER_S = 10.0, 256
_OF_THE_BODY = frozenset({"content-encoding", "content-length", "transfer-encoding"})
cache_dir = session.cache_dir


class HubClient:
    """Cheap to make: the library loads with the first question. Any thread may call.

    `use_xet` False: files come over plain HTTP even where the Hub offers its chunk storage.
    """

    def __init__(self, use_xet: bool = True) -> None:
        self.use_xet = use_xet

    @property
    def endpoint(self) -> str:
        """The Hub or its mirror, without a slash at the end."""
        return session.endpoint()

    @property
    def is_offline(self) -> bool:
        """Whether the environment forbids the network; says nothing about a cable."""
        return session.offline_variable() is not None

    def token(self) -> str | None:
        """From the environment, else the system keyring, else what `hf auth login` stored."""
        found = find_token()
        return found.text if found else None

    def headers(self) -> dict[str, str]:
        """For a request to the endpoint. The session takes the token out where another host is asked."""
        token = self.token()
        return {"user-agent": session.USER_AGENT} | ({"authorization": f"Bearer {token}"} if token else {})

    def api(self) -> HfApi:
        """The library's own interface, bound to this endpoint and token."""
        hub = session.library()
        api: HfApi = hub.HfApi(
            endpoint=self.endpoint, token=self.token() or False, headers={"user-agent": session.USER_AGENT}
        )
        return api

    def http(self) -> httpx2.Client:
        """The session that all requests go through; adds no token by itself."""
        return session.http()

    def xet_session(self) -> Any:
        """The chunk storage's session, which sends no reports."""
        return session.xet_session()

    def translate(self, error: BaseException, repo_id: str | None = None) -> WorkbenchError:
        """What a failure means for a person and what to do about it; an error of ours comes back as it is."""
        return refusals.translate(error, self.endpoint, repo_id)

    def ask(
        self, question: Callable[[], Answer], repo_id: str | None = None, within_s: float | None = None
    ) -> Answer:  # fmt: skip
        """The answer to a short question (a page of a list, a repository's record); blocks, `within_s` at most.

        Asks again, twice at most, when the Hub stumbles. Raises what `translate` makes of a failure, and HubOffline
        when no connection stands after 10 s, even while the system still waits for a name server.
        """
        for pause_s in (*RETRY_AFTER_S, None):
            try:
                return self._watched(question, within_s)
            except Exception as error:
                if pause_s is None or not refusals.is_passing(error):
                    raise self.translate(error, repo_id) from error
                threading.Event().wait(pause_s)
        raise AssertionError("the last try returns or raises")

    def pages(
        self, path: str, params: Mapping[str, str | int | Sequence[str]], repo_id: str | None = None
    ) -> Iterator[Any]:
        """The decoded JSON of each page below the endpoint; a page is asked for when it is taken.

        Raises HubError also for a page or a list without an end.
        """
        url: str | None = f"{self.endpoint}/{path}"
        asked: set[str] = set()
        while url is not None:
            content, following = self.ask(partial(self._page, url, params), repo_id, PAGE_WITHIN_S)
            yield content
            asked.add(url)
            url, params = self._below_endpoint(following), {}
            if url in asked or len(asked) >= MOST_PAGES:
                raise HubError(refusals.without_end(self.endpoint), code="hub_not_a_hub")

    def _page(self, url: str, params: Mapping[str, Any]) -> tuple[Any, str | None]:
        http = self.http()
        with http.stream("GET", url, params=dict(params) or None, headers=self.headers()) as opened:
            response = self._whole(opened)
        from huggingface_hub import hf_raise_for_status

        hf_raise_for_status(response)
        return response.json(), response.links.get("next", {}).get("url")

    def _whole(self, opened: httpx2.Response) -> httpx2.Response:
        """The answer with its content, which may be a few bytes that unpack to gigabytes, or never end."""
        import httpx2

        content, began = bytearray(), time.monotonic()
        for piece in opened.iter_bytes():
            content += piece
            if len(content) > LARGEST_PAGE_BYTES:
                raise HubError(refusals.without_end(self.endpoint), code="hub_not_a_hub")
            passed_s = time.monotonic() - began
            if passed_s > SLOW_AFTER_S and opened.num_bytes_downloaded < passed_s * LEAST_BYTES_PER_S:
                raise HubError(refusals.slow(self.endpoint), code="hub_slow")
        unpacked = [(name, value) for name, value in opened.headers.items() if name.lower() not in _OF_THE_BODY]
        return httpx2.Response(opened.status_code, headers=unpacked, content=bytes(content), request=opened.request)

    def _below_endpoint(self, url: str | None) -> str | None:
        """A mirror passes on links to the Hub itself: the list goes on where it began."""
        if not url:
            return None
        parts = urlsplit(url)
        base = urlsplit(self.endpoint)
        path = parts.path if session.is_at_endpoint(url) else f"{base.path}{parts.path}"
        return f"{base.scheme}://{base.netloc}{path}" + (f"?{parts.query}" if parts.query else "")

    def _watched(self, question: Callable[[], Answer], within_s: float | None) -> Answer:
        if session.connected.get() is not None:
            return question()  # a question within a question has its watcher
        heard = threading.Event()
        context = copy_context()
        context.run(session.connected.set, heard)
        future: Future[Answer] = Future()
        work = partial(context.run, _answer, question, future)
        threading.Thread(target=work, name="hub-question", daemon=True).start()
        wait([future], timeout=CONNECTED_WITHIN_S)
        if not future.done() and not heard.is_set():
            raise HubOffline(refusals.unreachable(self.endpoint, f"no connection within {CONNECTED_WITHIN_S:.0f} s"))
        if within_s is not None and wait([future], timeout=max(0.0, within_s - CONNECTED_WITHIN_S)).not_done:
            raise HubError(refusals.slow(self.endpoint), code="hub_slow")  # its thread ends with the connection
        return future.result()


def _answer(question: Callable[[], Answer], future: Future[Answer]) -> None:
    try:
        future.set_result(question())
    except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
        future.set_exception(error)
