"""The access token: which one counts, where it is kept, and that nothing shows it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backends.chainer import ChainerBackend
from keyring.backends.fail import Keyring as NoKeyring

from tests.fakes.hub_server import HubServer, Status
from tests.fakes.keyring_store import (
    HeldKeyring,
    LockedKeyring,
    PlainTextKeyring,
    clear_surroundings,
    keyring_in_use,
)
from workbench.errors import HubError, UserError, WorkbenchError, WorldError
from workbench.hub.client import HubClient
from workbench.hub.tokens import SERVICE, find_token, forget_token, save_token, token_source

SECRET = "hf_VerySecretToken123"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clear_surroundings(monkeypatch, tmp_path / "hf")


@pytest.fixture
def store() -> Iterator[HeldKeyring]:
    held = HeldKeyring()
    with keyring_in_use(held):
        yield held


def log_in(home: Path, token: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "token").write_text(token + "\n", encoding="utf-8")


def test_environment_wins_over_keyring_over_login(
    store: HeldKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = HubClient()
    assert (client.token(), token_source()) == (None, None)
    log_in(tmp_path / "hf", "hf_fromlogin")
    assert (client.token(), token_source()) == ("hf_fromlogin", "login")
    save_token("hf_fromkeyring")
    assert (client.token(), token_source()) == ("hf_fromkeyring", "keyring")
    monkeypatch.setenv("HF_TOKEN", " hf_fromenvironment\n")
    assert (client.token(), token_source()) == ("hf_fromenvironment", "environment")
    assert client.headers()["authorization"] == "Bearer hf_fromenvironment"


def test_saved_token_lies_in_the_keyring_alone_and_can_be_forgotten(store: HeldKeyring, tmp_path: Path) -> None:
    save_token(f"  {SECRET}\n")
    assert list(store.held.values()) == [SECRET]
    assert {service for service, _ in store.held} == {SERVICE}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert forget_token() is True
    assert store.held == {}
    assert forget_token() is False
    assert token_source() is None


@pytest.mark.parametrize("backend", [NoKeyring, PlainTextKeyring])
def test_without_a_real_keyring_nothing_is_stored_and_the_sentence_says_what_to_do(
    backend: type[NoKeyring | PlainTextKeyring],
) -> None:
    used = backend()
    with keyring_in_use(used):
        with pytest.raises(WorldError, match=r"no system keyring .* HF_TOKEN") as caught:
            save_token(SECRET)
        assert caught.value.code == "keyring_missing"
        assert find_token() is None
        with pytest.raises(WorldError, match="HF_TOKEN"):
            forget_token()
    assert getattr(used, "held", {}) == {}


def test_a_chain_of_keyrings_uses_the_one_that_is_no_plain_text() -> None:
    good, plain = HeldKeyring(), PlainTextKeyring()

    class Chain(ChainerBackend):
        backends = (plain, good)  # type: ignore[assignment]

    with keyring_in_use(Chain()):
        save_token(SECRET)
        assert find_token() is not None
    assert (len(good.held), len(plain.held)) == (1, 0)


def test_a_locked_keyring_stops_no_search_but_a_save(caplog: pytest.LogCaptureFixture) -> None:
    with keyring_in_use(LockedKeyring()):
        assert HubClient().token() is None
        assert "KeyringLocked" in caplog.text
        with pytest.raises(WorldError, match="Unlock it and try again") as caught:
            save_token(SECRET)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("text", ["", "  ", "two words", "hf_ümlaut", "a\x00b", "x" * 5000])
def test_what_cannot_be_a_token_is_refused_without_being_shown(store: HeldKeyring, text: str) -> None:
    with pytest.raises(UserError, match="no access token") as caught:
        save_token(text)
    assert text.strip() == "" or text not in str(caught.value)
    assert store.held == {}


def test_a_broken_variable_is_told_before_it_is_sent(store: HeldKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_schlüssel")
    with pytest.raises(UserError, match="The content of HF_TOKEN is no access token"):
        HubClient().headers()


def test_login_is_left_alone_where_the_user_said_so(
    store: HeldKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log_in(tmp_path / "hf", "hf_fromlogin")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert HubClient().token() is None


def test_token_path_of_the_environment_is_followed(
    store: HeldKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_text("hf_elsewhere", encoding="utf-8")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "elsewhere"))
    assert HubClient().token() == "hf_elsewhere"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 418])
def test_token_is_in_no_log_no_representation_and_no_error(
    store: HeldKeyring, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    save_token(SECRET)
    client = HubClient()
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add_token(SECRET)
        echo = f"bad credentials: Bearer {SECRET}"
        hub.misbehave("*", Status(status, message=echo), times=None)
        with pytest.raises(HubError) as caught:
            next(client.pages("api/models/maker/model", {}, "maker/model"))
        assert hub.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    found = find_token()
    assert found is not None
    shown = (repr(found), repr(client), str(client.__dict__), repr(caught.value), caught.value.detail or "")
    assert all(SECRET not in text for text in shown)
    assert SECRET not in caplog.text


def test_detail_of_an_error_hides_passwords_in_addresses(store: HeldKeyring) -> None:
    told: WorkbenchError = HubClient().translate(RuntimeError("at http://user:geheim@proxy:1/ with hf_abcdefgh"))
    assert "geheim" not in (told.detail or "")
    assert "hf_abcdefgh" not in (told.detail or "")
