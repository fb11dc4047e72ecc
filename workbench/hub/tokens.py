"""The access token of the Hub: where it is kept and which one counts. It is never in a file or a log of ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from workbench.errors import UserError, WorldError
from workbench.hub import session

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

TokenSource = Literal["environment", "keyring", "login"]
SERVICE = "inference-workbench"
_ACCOUNT = "huggingface-token"
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_LONGEST = 4096
# keyring's own measure: below it lie stores that write a readable file, and the one that forgets everything.
_RECOMMENDED = 1

_PLACES = {
    "environment": "The content of HF_TOKEN",
    "keyring": "What the system keyring holds",
    "login": "What `hf auth login` stored",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """`text` stays out of every representation."""

    source: TokenSource
    text: str = field(repr=False)


def find_token() -> Token | None:
    """The environment first, then the system keyring, then what `hf auth login` stored. Raises UserError."""
    places: tuple[tuple[TokenSource, Callable[[], str | None]], ...] = (
        ("environment", _from_environment),
        ("keyring", _from_keyring),
        ("login", _from_login),
    )
    for source, look in places:
        text = look()
        if text:
            _require_token(text, _PLACES[source])
            return Token(source, text)
    return None


def token_source() -> TokenSource | None:
    """Where the token that counts comes from; None: there is none."""
    found = find_token()
    return found.source if found else None


def save_token(token: str) -> None:
    """Keeps the token in the system keyring. Raises UserError for what cannot be one, WorldError without a keyring."""
    text = token.strip()
    _require_token(text, "What was given")
    store = _require_keyring()
    try:
        store.set_password(SERVICE, _ACCOUNT, text)
    except Exception as error:  # noqa: BLE001
        # Whatever a desktop's keyring raises could show what was to be stored: only its kind is told.
        raise _unusable(error) from None


def forget_token() -> bool:
    """Removes the token from the system keyring; False when none was there. Raises WorldError."""
    from keyring.errors import KeyringError, PasswordDeleteError

    store = _require_keyring()
    try:
        if store.get_password(SERVICE, _ACCOUNT) is None:
            return False
        store.delete_password(SERVICE, _ACCOUNT)
    except PasswordDeleteError:
        return False
    except (KeyringError, OSError, RuntimeError) as error:
        raise _unusable(error) from None
    return True


def _require_token(text: str, place: str) -> None:
    # Anything else could not be sent as a header.
    if not text or len(text) > _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise UserError(
            f"{place} is no access token: a token is one word of letters, digits and signs, like hf_abc. "
            f"Make one at {session.endpoint()}/settings/tokens.",
            code="hub_token_invalid",
        )


def _from_environment() -> str | None:
    for name in _VARIABLES:
        text = "".join(os.environ.get(name, "").split())
        if text:
            return text
    return None


def _from_keyring() -> str | None:
    from keyring.errors import KeyringError

    store = _keyring()
    if store is None:
        return None
    try:
        return store.get_password(SERVICE, _ACCOUNT)
    except (KeyringError, OSError, RuntimeError) as error:
        # Public repositories need no token, so a locked keyring must not stop a search.
        _log.warning("The system keyring could not be read (%s); going on without its token.", type(error).__name__)
        return None


def _from_login() -> str | None:
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in ("1", "ON", "YES", "TRUE"):
        return None
    hub = session.library()
    import httpx2

    try:
        # In a build service this may ask the Hub for a token of some minutes (HF_OIDC_RESOURCE).
        text: str | None = hub.get_token()
    except (OSError, ValueError, httpx2.HTTPError, hub.errors.OIDCError) as error:
        _log.warning("The token of `hf auth login` could not be read (%s).", type(error).__name__)
        return None
    return text


def _keyring() -> KeyringBackend | None:
    """The store of this desktop; None where there is only one that writes plain text, or none at all."""
    import keyring
    from keyring.backends.chainer import ChainerBackend

    backend = keyring.get_keyring()
    candidates = backend.backends if isinstance(backend, ChainerBackend) else [backend]
    return next((store for store in candidates if store.priority >= _RECOMMENDED), None)


def _require_keyring() -> KeyringBackend:
    store = _keyring()
    if store is None:
        raise WorldError(
            "This machine has no system keyring that could keep the token. "
            "Set the environment variable HF_TOKEN instead; the token is not written to a file.",
            code="keyring_missing",
        )
    return store


def _unusable(error: Exception) -> WorldError:
    return WorldError(
        f"The system keyring did not take part ({type(error).__name__}). "
        "Unlock it and try again, or set the environment variable HF_TOKEN.",
        code="keyring_unusable",
    )
