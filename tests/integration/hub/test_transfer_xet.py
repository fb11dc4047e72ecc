"""Files from the chunk storage, by its makers' library: when it is chosen, and what happens when it fails."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest

from tests.fakes.hub_server import HubServer, SeededContent, Stall, Status, WrongContent
from tests.integration.hub.fetching import NAME, REPO, Recorder, fetch, file_at, sha256
from workbench.hub.backoff import TransferPolicy
from workbench.hub.cached_file import Blob, RepoFolder
from workbench.hub.client import HubClient
from workbench.hub.stopping import Stop, Stopped

SIZE = 20_000_000
_seeds = itertools.count(100)  # the library may remember chunks that it has seen


@pytest.fixture
def xet_client(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubClient:
    monkeypatch.delenv("HF_HUB_DISABLE_XET", raising=False)
    hub.add_repo(REPO, {NAME: SeededContent(SIZE, next(_seeds)), "plain.gguf": b"GGUF" * 1000}, xet=(NAME,))
    return HubClient(use_xet=True)


def test_a_file_that_the_hub_offers_in_chunks_comes_from_there(hub: HubServer, xet_client: HubClient) -> None:
    watcher = Recorder()
    assert sha256(fetch(xet_client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    assert hub.asked("/cas/blocks/")
    assert not hub.asked("/cdn/")
    assert watcher.moves == sorted(watcher.moves)
    assert {request.path.split("/")[1] for request in hub.requests} == {"maker", "api", "cas"}
    assert all(request.headers["user-agent"].startswith("inference-workbench/") for request in hub.requests)


def test_the_token_of_the_hub_does_not_reach_the_storage(
    hub: HubServer, xet_client: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = hub.add_token("hf_secret")
    monkeypatch.setenv("HF_TOKEN", token)
    fetch(xet_client, file_at(hub))
    assert hub.asked("/xet-read-token/")[0].headers["authorization"] == f"Bearer {token}"
    assert not any(token in str(request.headers) for request in hub.asked("/cas/"))


def test_what_came_before_is_not_asked_for_again(hub: HubServer, xet_client: HubClient, cache: Path) -> None:
    blob = Blob(RepoFolder(cache, REPO), str(file_at(hub).sha256))
    blob.partial.parent.mkdir(parents=True)
    content = hub.repos[REPO].commits[hub.repos[REPO].head][NAME].content
    blob.partial.write_bytes(content.read(0, 12_345_678))
    assert sha256(fetch(xet_client, file_at(hub))) == file_at(hub).sha256
    assert hub.asked("/reconstructions/")[0].headers["range"].startswith("bytes=12345678-")
    assert hub.served_bytes() < SIZE - 12_000_000


def test_the_setting_turns_it_off(hub: HubServer, xet_client: HubClient) -> None:
    assert sha256(fetch(HubClient(use_xet=False), file_at(hub))) == file_at(hub).sha256
    assert not hub.asked("/cas/")


def test_the_variable_of_the_library_turns_it_off(
    hub: HubServer, xet_client: HubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    assert sha256(fetch(xet_client, file_at(hub))) == file_at(hub).sha256
    assert not hub.asked("/cas/")


def test_a_file_that_is_not_offered_in_chunks_comes_over_http(hub: HubServer, xet_client: HubClient) -> None:
    fetch(xet_client, file_at(hub, "plain.gguf"))
    assert not hub.asked("/cas/")


@pytest.mark.parametrize("refused", ["/cas/v*", "/cas/blocks/*", f"/api/models/{REPO}/xet-read-token/*"])
def test_where_the_storage_refuses_http_goes_on_with_a_note(
    hub: HubServer, xet_client: HubClient, refused: str
) -> None:
    hub.misbehave(refused, Status(404), times=None)
    watcher = Recorder()
    assert sha256(fetch(xet_client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    assert any("the Xet storage failed" in (note or "") for note in watcher.notes)
    assert hub.asked("/cdn/")


def test_a_storage_that_falls_silent_is_left_and_http_goes_on(hub: HubServer, xet_client: HubClient) -> None:
    hub.misbehave("/cas/blocks/*", Stall(30), times=None)
    watcher = Recorder()
    began = time.monotonic()
    assert sha256(fetch(xet_client, file_at(hub), watcher=watcher)) == file_at(hub).sha256
    assert time.monotonic() - began < 5
    assert any("nothing came for" in (note or "") for note in watcher.notes)


def test_wrong_content_from_the_storage_is_fetched_once_more_over_http(hub: HubServer, xet_client: HubClient) -> None:
    hub.misbehave("/cas/blocks/*", WrongContent(at=100_000), times=None)
    assert sha256(fetch(xet_client, file_at(hub))) == file_at(hub).sha256
    assert hub.asked("/cdn/", "GET")[0].headers.get("range") is None


def test_a_stop_ends_a_silent_storage(hub: HubServer, xet_client: HubClient) -> None:
    hub.misbehave("/cas/blocks/*", Stall(30), times=None)
    stop = Stop()
    threading.Timer(0.5, stop.ask).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        fetch(xet_client, file_at(hub), stop=stop, policy=TransferPolicy(stall_s=20))
    assert time.monotonic() - began < 3
