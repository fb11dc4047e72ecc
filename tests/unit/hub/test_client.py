"""The way to the Hub: what it loads, where it goes, what it sends, how long it waits, and what failures say."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backends.fail import Keyring as NoKeyring

from tests.fakes.hub_server import Drop, HubServer, Stall, Status
from tests.fakes.keyring_store import clear_surroundings, keyring_in_use
from workbench.errors import (
    HubAccessDenied,
    HubError,
    HubOffline,
    ModelFileError,
    StorageFull,
    UserError,
    WorkbenchError,
    WorldError,
)
from workbench.hub import client as client_module
from workbench.hub import session
from workbench.hub.client import HubClient
from workbench.hub.refusals import is_passing, wait_asked_s

REPO = "maker/model-GGUF"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    clear_surroundings(monkeypatch, tmp_path / "hf")
    monkeypatch.setattr(client_module, "RETRY_AFTER_S", (0.01, 0.01))
    with keyring_in_use(NoKeyring()):
        yield


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo(REPO, {"model-Q4_K_M.gguf": b"GGUF" + bytes(1000)}, license="mit")
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def other_proxy() -> Iterator[None]:
    """The session reads the proxy variables when it is made, so it is made again before and after."""
    from huggingface_hub import close_session

    close_session()
    yield
    close_session()


def first_page(client: HubClient, path: str = f"api/models/{REPO}") -> object:
    return next(client.pages(path, {}, REPO))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_client_loads_neither_library_nor_network_nor_keyring() -> None:
    code = (
        "import sys, workbench.hub.client, workbench.hub.search, workbench.hub.repository_reader, workbench.hub.catalog"
        "\nworkbench.hub.client.HubClient().endpoint"
        "\nprint([n for n in ('huggingface_hub', 'httpx2', 'keyring', 'hf_xet', 'ssl') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "https://huggingface.co"),
        ("", "https://huggingface.co"),
        ("https://m.example/hub/", "https://m.example/hub"),
    ],
)
def test_endpoint_follows_the_environment_of_the_moment(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str
) -> None:
    client = HubClient()
    if value is not None:
        monkeypatch.setenv("HF_ENDPOINT", value)
    assert client.endpoint == expected
    assert client.api().endpoint == expected


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("yes", True), ("TRUE", True), ("0", False), ("", False)])
def test_offline_follows_the_environment_of_the_moment(
    monkeypatch: pytest.MonkeyPatch, value: str, offline: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert HubClient().is_offline is offline


def test_cache_folder_is_that_of_the_library(tmp_path: Path) -> None:
    settings: list[dict[str, str]] = [
        {},
        {"XDG_CACHE_HOME": str(tmp_path / "xdg")},
        {"HF_HOME": "~/hf home"},
        {"HF_HOME": str(tmp_path), "HUGGINGFACE_HUB_CACHE": str(tmp_path / "old")},
        {"HUGGINGFACE_HUB_CACHE": "$HOME/old", "HF_HUB_CACHE": "$HOME/new"},
    ]
    code = """
import importlib, json, os, sys
from huggingface_hub import constants
from workbench.hub.client import cache_dir
plain = dict(os.environ)
for setting in json.loads(sys.argv[1]):
    os.environ.clear(); os.environ.update(plain | setting)
    importlib.reload(constants)
    print(json.dumps([str(cache_dir()), constants.HF_HUB_CACHE]))
"""
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps(settings)], env=environment, capture_output=True, text=True, check=True
    )
    pairs = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(pairs) == len(settings)
    assert [ours for ours, _ in pairs] == [theirs for _, theirs in pairs]


def test_requests_carry_a_plain_user_agent_and_nothing_that_counts_or_follows(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_AGENT", "some-agent")
    monkeypatch.setenv("AGENT", "some-agent")
    # The library asks the endpoint of its import, once per process, which agents there are: let it ask here.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None)
    client = HubClient()
    before = dict(os.environ)
    client.api().model_info(REPO)
    client.api().file_exists(REPO, "model-Q4_K_M.gguf")
    client.api().hf_hub_download(REPO, "model-Q4_K_M.gguf", cache_dir=str(session.cache_dir()))
    first_page(client)
    assert dict(os.environ) == before, "the environment of child processes is not ours to change"
    assert {request.path.split("/")[1] for request in hub.requests} <= {"api", "maker", "cdn"}
    assert not hub.asked("agent-harnesses")
    assert not hub.asked("telemetry")
    for request in hub.requests:
        assert request.headers["user-agent"] == session.USER_AGENT
        known = {"host", "accept", "accept-encoding", "connection", "user-agent", "range", "if-range"}
        assert set(request.headers) <= known, request.headers


def test_chunk_storage_session_sends_no_reports() -> None:
    from hf_xet import XetConfig

    assert XetConfig().get("telemetry.enabled") is True, "nothing to switch off any more"
    assert XetConfig().with_config("telemetry.enabled", False).get("telemetry.enabled") is False
    assert HubClient().xet_session() is HubClient().xet_session()


def test_token_goes_to_the_endpoint_and_not_where_it_redirects(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.add_token("hf_secretsecret"))
    client = HubClient()
    url = f"{client.endpoint}/{REPO}/resolve/main/model-Q4_K_M.gguf"
    assert client.http().get(url, headers=client.headers()).status_code == 200
    at_hub, at_cdn = hub.requests
    assert at_hub.headers["authorization"] == "Bearer hf_secretsecret"
    assert at_cdn.path.startswith("/cdn/")
    assert "authorization" not in at_cdn.headers


def test_token_is_taken_out_when_another_host_is_asked(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    client = HubClient()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    client.http().get(f"{hub.url}/api/models", headers=client.headers())
    assert "authorization" not in hub.requests[0].headers


def test_next_page_of_a_mirror_stays_at_the_mirror(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo("maker/second-GGUF", {"a.gguf": b"GGUF"})
    mirror = hub.url.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("HF_ENDPOINT", mirror)
    pages = list(HubClient().pages("api/models", {"limit": 1}))
    assert {page[0]["id"] for page in pages} == {REPO, "maker/second-GGUF"}
    assert all(request.headers["host"].startswith("localhost") for request in hub.requests)


def test_nobody_at_the_port_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(HubOffline, match=r"refused\. Check the network\. What is on this machine is in the library\."):
        first_page(HubClient())
    assert time.monotonic() - began < 5


def test_no_connection_in_time_is_told_though_the_system_still_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECTED_WITHIN_S", 0.1)
    forever = threading.Event()
    try:
        with pytest.raises(HubOffline, match="no connection within"):
            HubClient().ask(forever.wait)
    finally:
        forever.set()


def test_a_slow_answer_of_a_hub_that_is_there_is_waited_for(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECTED_WITHIN_S", 0.1)
    hub.misbehave("*", Stall(0.5))
    assert first_page(HubClient())


def test_a_silent_hub_is_given_up_with_a_sentence(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "READ_S", 0.2)
    hub.misbehave("*", Stall(2.0), times=None)
    with pytest.raises(HubError, match="did not answer in time") as caught:
        first_page(HubClient())
    assert caught.value.code == "hub_slow"
    with pytest.raises(HubError, match="did not answer in time"):
        HubClient().ask(lambda: HubClient().api().model_info(REPO))


def test_told_offline_asks_nothing(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline, match="HF_HUB_OFFLINE is set"):
        first_page(HubClient())
    assert hub.requests == []


@pytest.mark.parametrize("trouble", [Status(503), Status(500), Status(502)])
def test_a_stumble_is_passed_over(hub: HubServer, trouble: Status) -> None:
    hub.misbehave("*", trouble, times=2)
    assert first_page(HubClient())
    assert len(hub.requests) == 3


def test_a_dropped_connection_is_passed_over(hub: HubServer) -> None:
    url = f"{hub.url}/{REPO}/resolve/main/model-Q4_K_M.gguf"
    hub.misbehave("/cdn/*", Drop(100), times=2)
    client = HubClient()
    assert client.ask(lambda: client.http().get(url).content) == b"GGUF" + bytes(1000)


def test_a_hub_in_trouble_is_told_after_three_tries(hub: HubServer) -> None:
    hub.misbehave("*", Status(500), times=None)
    with pytest.raises(HubError, match=r"is in trouble \(HTTP 500\)") as caught:
        first_page(HubClient())
    assert caught.value.code == "hub_in_trouble"
    assert len(hub.requests) == 3


def test_a_pause_that_is_asked_for_is_not_waited_but_told(hub: HubServer) -> None:
    hub.misbehave("*", Status(429, retry_after="300"), times=None)
    with pytest.raises(HubError, match=r"too many requests\. Try again in 5 min; with an access token") as caught:
        first_page(HubClient())
    assert caught.value.code == "hub_rate_limited"
    assert len(hub.requests) == 1


def test_gated_names_the_page_and_whether_a_token_is_set(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repos[REPO].gated = "manual"
    client = HubClient()
    url = f"{REPO}/resolve/main/model-Q4_K_M.gguf"
    with pytest.raises(HubAccessDenied, match=f"{hub.url}/{REPO} .* no access token is set"):
        first_page(client, url)
    monkeypatch.setenv("HF_TOKEN", hub.add_token("hf_stranger0"))
    with pytest.raises(HubAccessDenied, match="the token of HF_TOKEN has no access"):
        first_page(client, url)


def test_private_and_missing_read_alike_and_name_both_possibilities(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO].private = True
    client = HubClient()
    with pytest.raises(HubAccessDenied, match=r"no such repository on .* or it is private and no access token is set"):
        first_page(client)
    monkeypatch.setenv("HF_TOKEN", hub.add_token("hf_stranger0"))
    with pytest.raises(HubAccessDenied, match="the access token that is set has no right to it"):
        first_page(client)


def test_a_refused_token_is_told_with_its_place(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired00")
    with pytest.raises(HubAccessDenied, match="refused the access token \\(from HF_TOKEN\\)") as caught:
        first_page(HubClient())
    assert caught.value.code == "hub_token_refused"


def test_missing_revision_and_file_are_told_apart(hub: HubServer) -> None:
    client = HubClient()
    with pytest.raises(HubError, match="no such revision"):
        first_page(client, f"api/models/{REPO}/revision/nope")
    with pytest.raises(HubError, match="does not have this file"):
        first_page(client, f"{REPO}/resolve/main/nope.gguf")


def test_a_page_of_a_login_is_no_hub(hub: HubServer) -> None:
    with pytest.raises(HubError, match="something that is not the Hub's"):
        first_page(HubClient(), f"{REPO}/resolve/main/model-Q4_K_M.gguf")


def test_an_encrypted_endpoint_that_is_none_is_told(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("http:", "https:"))
    with pytest.raises(HubError, match=r"encrypted connection .* failed"):
        first_page(HubClient())


@pytest.mark.parametrize("endpoint", ["ftp://huggingface.co", "huggingface.co", "http://[broken"])
def test_an_endpoint_that_is_no_address_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(UserError, match="HF_ENDPOINT is"):
        first_page(HubClient())


@pytest.mark.usefixtures("other_proxy")
def test_proxy_of_the_environment_is_used(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    assert first_page(HubClient())
    assert hub.requests[0].headers["host"] == "hub.example"


@pytest.mark.usefixtures("other_proxy")
def test_a_dead_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    monkeypatch.setenv("HTTP_PROXY", f"http://user:geheim@127.0.0.1:{port}")
    with pytest.raises(HubOffline, match=f"through the proxy 127.0.0.1:{port}") as caught:
        first_page(HubClient())
    assert "geheim" not in f"{caught.value} {caught.value.detail}"


@pytest.mark.usefixtures("other_proxy")
def test_unusable_proxy_settings_are_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(UserError, match="HTTP_PROXY") as caught:
        first_page(HubClient())
    assert caught.value.code == "proxy_unusable"


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def made_errors() -> list[tuple[Exception, type[WorkbenchError], str, str]]:
    import httpx2
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    certificate = ssl.SSLCertVerificationError(1, "certificate verify failed")
    certificate.verify_message = "self-signed certificate"
    full = OSError(28, "No space left on device")
    return [
        (chained(httpx2.ConnectError("x"), socket.gaierror(-2, "x")), HubOffline, "hub_offline", "name is not known"),
        (chained(httpx2.ConnectError("x"), certificate), HubError, "hub_certificate", "SSL_CERT_FILE"),
        (httpx2.ConnectTimeout("x"), HubOffline, "hub_offline", "cannot be reached"),
        (httpx2.ProxyError("407"), HubOffline, "hub_proxy", "proxy refuses"),
        (httpx2.ReadTimeout("x"), HubError, "hub_slow", "in time"),
        (httpx2.TooManyRedirects("x"), HubError, "hub_not_a_hub", "circles"),
        (httpx2.RemoteProtocolError("x"), HubError, "hub_connection_lost", "broke"),
        (OfflineModeIsEnabled("x"), HubOffline, "hub_offline", "is set"),
        (HFValidationError("x"), UserError, "hub_id_invalid", "no repository id"),
        (full, StorageFull, "storage_full", "full"),
        (PermissionError(13, "Permission denied"), WorldError, "world_error", "Permission denied"),
        (RuntimeError("x"), HubError, "hub_error", "RuntimeError"),
    ]


@pytest.mark.parametrize("number", range(12))
def test_every_kind_of_failure_has_class_code_and_sentence(number: int) -> None:
    error, kind, code, words = made_errors()[number]
    told = HubClient().translate(error, REPO)
    assert (type(told), told.code) == (kind, code)
    assert words in told.message
    assert told.message.endswith(".")
    assert type(error).__name__ in (told.detail or "")


def test_an_error_of_ours_comes_back_as_it_is() -> None:
    ours = ModelFileError("Broken.")
    assert HubClient().translate(ours) is ours


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, None),
        ({"RateLimit": '"api";r=3;t=55', "retry-after": "2"}, 2.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_wait_that_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_asked_s(headers) == seconds


def test_a_refusal_is_no_stumble(hub: HubServer) -> None:
    hub.misbehave("*", Status(503, retry_after="60"))
    response = HubClient().http().get(f"{hub.url}/api/models")
    with pytest.raises(Exception, match="503") as caught:
        response.raise_for_status()
    assert not is_passing(caught.value)
    assert not is_passing(ValueError("x"))
