"""What a failure of the Hub or of the way to it means, as a sentence that says what to do."""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Iterator, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from workbench.errors import HubAccessDenied, HubError, HubOffline, StorageFull, UserError, WorkbenchError, WorldError
from workbench.hub import session
from workbench.hub.tokens import find_token, token_source
from workbench.paths import DISK_FULL

ON_DISK = "What is on this machine is in the library."
_SHOWN_LENGTH = 300
_PASSING_STATUS = frozenset({408, 500, 502, 503, 504})
Cause = TypeVar("Cause", bound=BaseException)
_USER_PART = re.compile(r"//[^/@\s]+@")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{6,}")
_RATE_LIMIT = re.compile(r";\s*r\s*=\s*(?P<left>\d+)\s*;\s*t\s*=\s*(?P<seconds>\d+)")


def translate(error: BaseException, endpoint: str, repo_id: str | None = None) -> WorkbenchError:
    """Decides on types, status codes and the Hub's error codes, never on a message."""
    if isinstance(error, WorkbenchError):
        return error
    result = _told(error, endpoint, repo_id)
    result.detail = _detail(error)
    return result


def _told(error: BaseException, endpoint: str, repo_id: str | None) -> WorkbenchError:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    if not session.is_address(endpoint):
        return _no_address(endpoint)
    if _cause(error, OfflineModeIsEnabled) is not None:
        return _told_offline(endpoint)
    if isinstance(error, HfHubHTTPError | httpx2.HTTPStatusError):
        return _refused(error, endpoint, repo_id)
    if isinstance(error, httpx2.RequestError | httpx2.InvalidURL):
        return _not_reached(error, endpoint)
    if isinstance(error, HFValidationError):
        return UserError(f"{_shown(repo_id or '')!r} is no repository id; one looks like author/name.",
                         code="hub_id_invalid")  # fmt: skip
    return _other(error, endpoint)


def is_passing(error: BaseException) -> bool:
    """Whether asking again at once may help: a dropped connection or a stumbling server."""
    import httpx2

    if isinstance(error, httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError):
        return True
    response = getattr(error, "response", None)
    return response is not None and response.status_code in _PASSING_STATUS and wait_asked_s(response.headers) is None


def wait_asked_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait before the next request; None: it does not say."""
    lower = {name.lower(): value for name, value in headers.items()}
    limit = _RATE_LIMIT.search(lower.get("ratelimit", ""))
    if limit and int(limit["left"]) == 0:
        return float(limit["seconds"])
    text = lower.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    return _until(text) if text else None


def unreachable(endpoint: str, why: str) -> str:
    """The sentence for a Hub that nobody answers for."""
    return f"{_host(endpoint)} cannot be reached: {why}{_through_proxy(endpoint)}. Check the network. {ON_DISK}"


def slow(endpoint: str) -> str:
    return f"{_host(endpoint)} did not answer in time. The connection is slow or the Hub is busy: try again."


def without_end(endpoint: str) -> str:
    """The sentence for an answer that is larger than any list of the Hub."""
    return f"{_host(endpoint)} sends a list that does not end. Check HF_ENDPOINT."


def _until(date: str) -> float | None:
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _no_address(endpoint: str) -> UserError:
    return UserError(
        f"HF_ENDPOINT is {_shown(endpoint)!r}; it must be an address like https://huggingface.co.",
        code="hub_endpoint_invalid",
    )


def _told_offline(endpoint: str) -> HubOffline:
    variable = session.offline_variable() or "HF_HUB_OFFLINE"
    return HubOffline(
        f"{variable} is set, so nothing is asked of {_host(endpoint)}. Unset it to search and to download. {ON_DISK}"
    )


def _refused(error: BaseException, endpoint: str, repo_id: str | None) -> WorkbenchError:
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    response = error.response  # type: ignore[attr-defined]
    status, name = response.status_code, repo_id or "The repository"
    if isinstance(error, GatedRepoError):
        return _gated(endpoint, repo_id)
    if isinstance(error, DisabledRepoError):
        return HubAccessDenied(f"{name} was switched off by its author or by the Hub. Choose another repository.")
    if isinstance(error, RevisionNotFoundError):
        return HubError(f"{name} has no such revision. Its branches are listed on {_page(endpoint, repo_id)}.",
                        code="hub_revision_unknown")  # fmt: skip
    if isinstance(error, RemoteEntryNotFoundError):
        return HubError(f"{name} does not have this file (any more). Look at the list of its files again.",
                        code="hub_file_unknown")  # fmt: skip
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
        return _unknown_or_private(response, endpoint, repo_id)
    return _troubled(response, endpoint)


def _gated(endpoint: str, repo_id: str | None) -> HubAccessDenied:
    steps = {
        None: "no access token is set: ask for access there, then set a token",
        "environment": "the token of HF_TOKEN has no access to it yet",
        "keyring": "the token in the system keyring has no access to it yet",
        "login": "the token of `hf auth login` has no access to it yet",
    }[token_source()]
    return HubAccessDenied(
        f"{repo_id or 'The repository'} is gated: its terms must be accepted at {_page(endpoint, repo_id)} "
        f"with a Hugging Face account; {steps}."
    )


def _unknown_or_private(response: object, endpoint: str, repo_id: str | None) -> WorkbenchError:
    status, sent = response.status_code, "authorization" in response.request.headers  # type: ignore[attr-defined]
    host, tokens = _host(endpoint), f"{_page(endpoint, None)}/settings/tokens"
    if repo_id is None and status == 404:
        return HubError(f"{host} does not answer like a Hub. Check HF_ENDPOINT.", code="hub_not_a_hub")
    if status == 401 and sent:
        return HubAccessDenied(
            f"{host} refused the access token (from {_place()}). It may have expired: make another one at {tokens}.",
            code="hub_token_refused",
        )
    if repo_id is None:
        return HubAccessDenied(f"{host} refuses the request (HTTP {status}). Set an access token from {tokens}.")
    hint = (
        "and the access token that is set has no right to it"
        if sent
        else f"and no access token is set; make one at {tokens}"
    )
    return HubAccessDenied(
        f"{repo_id}: either there is no such repository on {host}, or it is private {hint}. Check the name first.",
        code="hub_repository_unknown",
    )


def _troubled(response: object, endpoint: str) -> HubError:
    status, host = response.status_code, _host(endpoint)  # type: ignore[attr-defined]
    wait_s = wait_asked_s(response.headers)  # type: ignore[attr-defined]
    again = f"Try again in {_spell(wait_s)}" if wait_s is not None else "Try again in some minutes"
    if status == 429:
        hint = "" if token_source() else "; with an access token the limit is higher"
        return HubError(f"{host} asks for a pause: too many requests. {again}{hint}.", code="hub_rate_limited")
    if status >= 500:
        return HubError(f"{host} is in trouble (HTTP {status}). {again}.", code="hub_in_trouble")
    return HubError(f"{host} refused the request (HTTP {status}).", code="hub_refused")


def _not_reached(error: BaseException, endpoint: str) -> WorkbenchError:
    import ssl

    import httpx2

    certificate = _cause(error, ssl.SSLCertVerificationError)
    if certificate is not None:
        return HubError(
            f"The certificate of {_host(endpoint)} cannot be trusted ({certificate.verify_message}). Check the date of "
            "this machine. Where a proxy reads encrypted traffic, set SSL_CERT_FILE to its certificate.",
            code="hub_certificate",
        )
    if _cause(error, ssl.SSLError) is not None:
        return HubError(f"The encrypted connection to {_host(endpoint)} failed. A proxy or a wrong HF_ENDPOINT may be "
                        "in the way.", code="hub_encryption")  # fmt: skip
    if isinstance(error, httpx2.ProxyError):
        return HubOffline(f"The proxy refuses the way to {_host(endpoint)}{_through_proxy(endpoint)}. Check "
                          f"HTTPS_PROXY and its password. {ON_DISK}", code="hub_proxy")  # fmt: skip
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return HubOffline(unreachable(endpoint, _why_no_connection(error)))
    if isinstance(error, httpx2.TimeoutException):
        return HubError(slow(endpoint), code="hub_slow")
    if isinstance(error, httpx2.TooManyRedirects):
        return HubError(f"{_host(endpoint)} sends the request around in circles. Check HF_ENDPOINT.",
                        code="hub_not_a_hub")  # fmt: skip
    return HubError(f"The connection to {_host(endpoint)} broke. Try again.", code="hub_connection_lost")


def _why_no_connection(error: BaseException) -> str:
    if _cause(error, socket.gaierror) is not None:
        return "its name is not known here"
    if _cause(error, ConnectionRefusedError) is not None:
        return "the connection was refused"
    if _cause(error, TimeoutError) is not None:
        return "nobody answered"
    return "there is no way to it"


def _other(error: BaseException, endpoint: str) -> WorkbenchError:
    if isinstance(error, ValueError | TypeError | KeyError | AttributeError | RecursionError):
        return HubError(
            f"{_host(endpoint)} answered with something that is not the Hub's. A network that wants a login, or a "
            "wrong HF_ENDPOINT, does that.",
            code="hub_not_a_hub",
        )
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return StorageFull("The disk is full. Free some space and try again.")
    if isinstance(error, OSError):
        return WorldError(f"The file system refused: {error.strerror or type(error).__name__}.")
    return HubError(f"The client library of the Hub failed ({type(error).__name__}).")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _cause(error: BaseException, kind: type[Cause]) -> Cause | None:
    return next((link for link in _chain(error) if isinstance(link, kind)), None)


def _host(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # no address, so nothing in it is a password
        return _shown(endpoint)
    return f"{parts.hostname}{port}" if parts.hostname else _shown(endpoint)


def _page(endpoint: str, repo_id: str | None) -> str:
    # An address with a password in it must not reach a sentence.
    base = f"{urlsplit(endpoint).scheme}://{_host(endpoint)}{urlsplit(endpoint).path}"
    return f"{base}/{repo_id}" if repo_id else base


def _through_proxy(endpoint: str) -> str:
    """Names the proxy in use, without its password."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(endpoint)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    return f" (through the proxy {_host(proxy if '//' in proxy else f'http://{proxy}')})"


def _place() -> str:
    names = {"environment": "HF_TOKEN", "keyring": "the system keyring", "login": "`hf auth login`"}
    source = token_source()
    return names[source] if source else "an earlier moment"


def _spell(seconds: float) -> str:
    return f"{math.ceil(seconds)} s" if seconds < 120 else f"{math.ceil(seconds / 60)} min"


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _detail(error: BaseException) -> str:
    """For a bug report: the library's own words without anything secret."""
    text = _USER_PART.sub("//…@", f"{type(error).__name__}: {error}")
    found = find_token()
    text = text.replace(found.text, "…") if found else text
    return _TOKEN.sub("…", " ".join(text.split()))[:1000]
