"""Answers that no Hub gives: lists without an end, answers that unpack to gigabytes, numbers beyond all sense."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from keyring.backends.fail import Keyring as NoKeyring

from tests.fakes.keyring_store import clear_surroundings, keyring_in_use
from workbench.errors import HubError
from workbench.hub import client as client_module
from workbench.hub.client import HubClient
from workbench.hub.quantizations import sort_files
from workbench.hub.repository import RepoFile, SearchQuery
from workbench.hub.repository_reader import read_repository
from workbench.hub.search import search

COMMIT = "a" * 40
RECORD: dict[str, Any] = {"id": "a/b", "sha": COMMIT, "tags": []}
Answer = Callable[[BaseHTTPRequestHandler], None]


class Stranger:
    """A server that gives the one answer it was made with; `closing` is set at its end."""

    def __init__(self) -> None:
        self.answer: Answer = lambda request: send(request, [])
        self.closing = threading.Event()
        stranger = self

        class Exchange(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

            def do_GET(self) -> None:
                try:
                    stranger.answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def send(request: BaseHTTPRequestHandler, content: object, **headers: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    request.send_response(200)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def file_entry(name: str, size: object) -> dict[str, object]:
    return {"type": "file", "path": name, "size": size, "lfs": {"oid": "b" * 64}}


def repository(tree: object, record: object = RECORD) -> Answer:
    return lambda request: send(request, tree if "/tree/" in request.path else record)


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stranger]:
    clear_surroundings(monkeypatch, tmp_path / "hf")
    monkeypatch.setattr(client_module, "RETRY_AFTER_S", (0.01, 0.01))
    server = Stranger()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    with keyring_in_use(NoKeyring()):
        yield server
    server.close()


def refusal() -> str:
    """The code of the error that reading the repository ends with."""
    with pytest.raises(HubError) as caught:
        read_repository(HubClient(), "a/b")
    return caught.value.code


def test_a_list_whose_next_page_is_itself_ends(stranger: Stranger) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        send(request, [file_entry("x-Q4_0.gguf", 10)] if "/tree/" in request.path else RECORD,
             Link=f'<{stranger.url}{request.path}>; rel="next"')  # fmt: skip

    stranger.answer = answer
    assert refusal() == "hub_not_a_hub"


def test_a_list_of_ever_other_pages_ends(stranger: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MOST_PAGES", 20)
    count = 0

    def answer(request: BaseHTTPRequestHandler) -> None:
        nonlocal count
        count += 1
        link = f'<{stranger.url}{request.path.split("?")[0]}?cursor={count}>; rel="next"'
        send(request, [] if "/tree/" in request.path else RECORD, Link=link)

    stranger.answer = answer
    assert refusal() == "hub_not_a_hub"
    assert count == 21  # the record, and then the pages of the tree


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_unpacks_to_gigabytes_is_not_unpacked(
    stranger: Stranger, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(client_module, "LARGEST_PAGE_BYTES", 1_000_000)
    bomb = gzip.compress(bytes(50_000_000), 1)

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(bomb)))
        request.end_headers()
        request.wfile.write(bomb)

    stranger.answer = answer
    assert refusal() == "hub_not_a_hub"


def test_a_packed_answer_of_a_usual_size_is_read(stranger: Stranger) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        content = [file_entry("x-Q4_0.gguf", 10)] if "/tree/" in request.path else RECORD
        send(request, gzip.compress(json.dumps(content).encode()), Content_Encoding="gzip")

    stranger.answer = answer
    assert [q.label for q in read_repository(HubClient(), "a/b").quantizations] == ["Q4_0"]


def test_a_byte_now_and_then_is_given_up(stranger: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SLOW_AFTER_S", 0.3)

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        while not stranger.closing.wait(0.05):
            request.wfile.write(b" ")

    stranger.answer = answer
    began = time.monotonic()
    assert refusal() == "hub_slow"
    assert time.monotonic() - began < 3


def test_headers_that_never_end_are_given_up(stranger: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECTED_WITHIN_S", 0.3)
    monkeypatch.setattr(client_module, "PAGE_WITHIN_S", 0.6)

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stranger.closing.wait(0.05):
            request.wfile.write(b"X-Filler: x\r\n")

    stranger.answer = answer
    assert refusal() == "hub_slow"


def test_json_nested_without_end_is_no_hub(stranger: Stranger) -> None:
    stranger.answer = lambda request: send(request, b"[" * 200_000)
    assert refusal() == "hub_not_a_hub"


@pytest.mark.parametrize("size", [-1, True, None, "12", 1.5, 10**400, 2**63])
def test_a_file_of_an_impossible_size_is_left_out(stranger: Stranger, size: object) -> None:
    stranger.answer = repository([file_entry("x-Q4_0.gguf", size), file_entry("x-Q8_0.gguf", 10)])
    assert [q.label for q in read_repository(HubClient(), "a/b").quantizations] == ["Q8_0"]


def test_figures_beyond_all_sense_are_unknown(stranger: Stranger) -> None:
    huge = {**RECORD, "downloads": 10**400, "likes": 2**63, "gguf": {"total": 10**400, "context_length": 10**300}}
    stranger.answer = lambda request: send(request, [huge])
    ((found,),) = search(HubClient(), SearchQuery())
    assert (found.downloads, found.likes, found.parameters, found.context_trained) == (None, None, None, None)


def test_thousands_of_projectors_are_sorted_in_time() -> None:
    files = [RepoFile(f"mmproj-{number}.gguf", 10) for number in range(20_000)]
    files += [RepoFile(f"model-{number}.gguf", 10) for number in range(20_000)]
    began = time.monotonic()
    assert len(sort_files(files, None).projectors) == 20_000
    assert time.monotonic() - began < 10


def test_a_revision_of_bytes_that_are_no_utf_8_is_asked_for_as_it_is(stranger: Stranger) -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        send(request, [] if "/tree/" in request.path else RECORD)

    stranger.answer = answer
    read_repository(HubClient(), "a/b", "\udcff")  # as the command line gives it
    assert asked[0].endswith("/revision/%FF")


def test_a_search_for_bytes_that_are_no_utf_8_finds_nothing(stranger: Stranger) -> None:
    assert list(search(HubClient(), SearchQuery("\udcff", author="\udcff", license="\udcff"))) == []
