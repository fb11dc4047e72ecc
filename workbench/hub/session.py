"""The one HTTP session of the Hub's client library: what it may send, where to, and how long it waits.

`huggingface_hub` reads its environment once, at its import, and sends by default: the name of an AI agent in the user
agent (and first a request for a list of agents to look for), a mark on downloads, an id with each request, and reports
of its chunk storage. None of that leaves through here.
"""

from __future__ import annotations

import logging
import os
import threading
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import __version__
from workbench.errors import UserError

if TYPE_CHECKING:
    import httpx2

PUBLIC_ENDPOINT = "https://huggingface.co"
USER_AGENT = f"inference-workbench/{__version__}"
CONNECT_S = 5.0
READ_S = 10.0
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})
_SENT_UNASKED = ("x-amzn-trace-id", "x-request-id", "x-hf-download-counter")
# Set while a request runs in a watched thread; the event says that a connection was made.
connected: ContextVar[threading.Event | None] = ContextVar("connected", default=None)


def endpoint() -> str:
    """The Hub or the mirror that HF_ENDPOINT names, without a slash at the end."""
    named = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/")
    return named or PUBLIC_ENDPOINT


def offline_variable() -> str | None:
    """The variable that forbids the network, or None."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        value = os.environ.get(name)
        if value:
            return name if value.upper() in _TRUE else None
    return None


def home() -> Path:
    """Where the tools of Hugging Face keep what they share."""
    named = os.environ.get("HF_HOME")
    return _expanded(named) if named else _expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"


def cache_dir() -> Path:
    """The cache that other tools share; need not exist."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return _expanded(named) if named else home() / "hub"


def library() -> Any:
    """The module huggingface_hub, quiet and following the environment of this moment."""
    import huggingface_hub
    from huggingface_hub import constants

    _configure_once()
    token_file = _expanded(os.environ.get("HF_TOKEN_PATH") or str(home() / "token"))
    constants.HF_TOKEN_PATH = str(token_file)
    constants.HF_STORED_TOKENS_PATH = str(token_file.with_name("stored_tokens"))
    constants.HF_HUB_OFFLINE = offline_variable() is not None
    return huggingface_hub


def http() -> httpx2.Client:
    """The session; shared by all threads, so nobody closes it. Raises UserError for unusable proxy variables."""
    library()
    from huggingface_hub import get_session

    return get_session()


@cache  # the library keeps these once per process, and setting the factory again would close its session
def _configure_once() -> None:
    from huggingface_hub import constants, set_client_factory

    constants.HF_HUB_DISABLE_TELEMETRY = True
    # Its warnings go to standard error, and the errors that follow say the same in our own sentences.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    # At debug level these write whole headers of answers: signed links, and tokens of the chunk storage.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    set_client_factory(_make_client)


@cache
def xet_session() -> Any:
    """The chunk storage's session, its reports switched off: one per process, as it keeps threads and connections."""
    from hf_xet import XetConfig, XetSession  # type: ignore[import-untyped]

    return XetSession(XetConfig().with_config("telemetry.enabled", False))


def _make_client() -> httpx2.Client:
    import httpx2

    try:
        return httpx2.Client(event_hooks={"request": [_before_request]}, follow_redirects=True, timeout=None)
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise UserError(
            f"The proxy settings of this environment cannot be used ({error}). "
            "Check the variables HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.",
            code="proxy_unusable",
        ) from error


def _before_request(request: httpx2.Request) -> None:
    """Runs for every request, those that follow a redirect among them."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    variable = offline_variable()
    if variable is not None:
        raise OfflineModeIsEnabled(f"{variable} is set")
    for name in _SENT_UNASKED:
        request.headers.pop(name, None)
    request.headers["user-agent"] = USER_AGENT
    if not is_at_endpoint(str(request.url)):
        request.headers.pop("authorization", None)
    _bound(request)


def _bound(request: httpx2.Request) -> None:
    # The library asks for no limit at all in most of its calls.
    limits = request.extensions.get("timeout") or {}
    standard = {"connect": CONNECT_S, "read": READ_S, "write": READ_S, "pool": READ_S}
    filled = {name: limits.get(name) or seconds for name, seconds in standard.items()}
    request.extensions = {**request.extensions, "timeout": filled}
    event = connected.get()
    if event is not None:
        request.extensions = {**request.extensions, "trace": _Watch(event)}


class _Watch:
    """Notes the first sign that somebody is at the other end."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, name: str, details: dict[str, Any]) -> None:
        if name.endswith(("connect_tcp.complete", "send_request_headers.started")):
            self._event.set()


def is_at_endpoint(url: str) -> bool:
    """Whether `url` has scheme, host and port of the endpoint: nothing else may see the token."""
    return _origin(url) == _origin(endpoint())


def is_address(url: str) -> bool:
    """Whether a Hub could be there."""
    scheme, host, port = _origin(url)
    return scheme in ("http", "https") and host != "" and port is not None


def _origin(url: str) -> tuple[str, str, int | None]:
    """All empty for what is no address."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        standard = {"http": 80, "https": 443}.get(parts.scheme.lower())
        return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port or standard
    except ValueError:  # an open bracket, a port that is no number
        return "", "", None


def _expanded(path: str) -> Path:
    return Path(os.path.abspath(os.path.expandvars(os.path.expanduser(path))))
