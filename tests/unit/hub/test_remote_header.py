"""Headers over the network: ranges only, no more than a step too much, and nothing but the header on the disk."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backends.fail import Keyring as NoKeyring

from tests.fakes import gguf_files
from tests.fakes.hub_server import Drop, HubServer, IgnoreRange, Status, Truncated
from tests.fakes.keyring_store import clear_surroundings, keyring_in_use
from workbench.errors import HubAccessDenied, HubError, HubOffline, ModelFileError
from workbench.hub import client as client_module
from workbench.hub import remote_header
from workbench.hub.client import HubClient
from workbench.hub.gguf import read_header
from workbench.hub.remote_header import fetch_headers, plan_key
from workbench.hub.repository import RemoteFiles, RepoFile

REPO = "maker/model-GGUF"
MIB = 1024 * 1024


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    clear_surroundings(monkeypatch, tmp_path / "hf")
    monkeypatch.setattr(client_module, "RETRY_AFTER_S", (0.01, 0.01))
    with HubServer() as server, keyring_in_use(NoKeyring()):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def model(tokens: int = 10, weights_bytes: int = 20 * MIB) -> bytes:
    """A GGUF file with a vocabulary of tokens of 20 bytes, each with 8 bytes of length."""
    words = b"".join(gguf_files.text(f"{index:020}") for index in range(tokens))
    vocabulary = gguf_files.text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, tokens) + words
    plain = gguf_files.header({"general.architecture": "llama"}, {"a": ((weights_bytes // 4,), 0, 0)})
    # One more key, between those that `header` wrote and the tensors.
    start = 24 + len(gguf_files.text("general.architecture") + gguf_files.typed("llama"))
    head = plain[:16] + struct.pack("<Q", 2) + plain[24:start] + vocabulary + plain[start:]
    return head + b"\0" * (-len(head) % 32) + b"\1" * weights_bytes


def published(hub: HubServer, *contents: bytes) -> RemoteFiles:
    names = ["model.gguf"] if len(contents) == 1 else [f"model-{i + 1:05}-of-00002.gguf" for i in range(len(contents))]
    repo = hub.add_repo(REPO, dict(zip(names, contents, strict=True)))
    files = tuple(
        RepoFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in zip(names, contents, strict=True)
    )
    return RemoteFiles(REPO, repo.head, files)


def test_a_small_header_takes_one_request_of_one_step(hub: HubServer, tmp_path: Path) -> None:
    content = model()
    (path,) = fetch_headers(HubClient(), published(hub, content), tmp_path / "plan")
    assert hub.served_bytes() == MIB
    assert all(request.headers["range"].startswith("bytes=") for request in hub.requests)
    length = read_header(path).data_offset
    assert path.read_bytes()[:length] == content[:length]


@pytest.mark.parametrize("tokens", [60_000, 300_000])
def test_a_long_header_is_read_in_growing_steps(hub: HubServer, tmp_path: Path, tokens: int) -> None:
    content = model(tokens)
    (path,) = fetch_headers(HubClient(), published(hub, content), tmp_path / "plan")
    header = read_header(path)
    assert header.data_offset > tokens * 28
    assert hub.served_bytes() <= header.data_offset + 4 * MIB
    assert hashlib.sha256(path.read_bytes()[: header.data_offset]).digest() == (
        hashlib.sha256(content[: header.data_offset]).digest()
    )


def test_the_file_has_the_full_size_and_takes_the_header_on_the_disk(hub: HubServer, tmp_path: Path) -> None:
    content = model()
    (path,) = fetch_headers(HubClient(), published(hub, content), tmp_path / "plan")
    assert path.stat().st_size == len(content)
    assert path.stat().st_blocks * 512 < 64 * 1024
    assert [item.name for item in (tmp_path / "plan").iterdir()] == ["model.gguf"]


def test_a_header_that_is_here_is_not_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    source = published(hub, model())
    fetch_headers(HubClient(), source, tmp_path)
    asked = len(hub.requests)
    fetch_headers(HubClient(), source, tmp_path)
    assert len(hub.requests) == asked


def test_every_part_of_a_split_gives_its_header_under_a_name_of_ours(hub: HubServer, tmp_path: Path) -> None:
    source = published(hub, model(), model(20))
    paths = fetch_headers(HubClient(), source, tmp_path)
    assert [path.name for path in paths] == ["model-00001-of-00002.gguf", "model-00002-of-00002.gguf"]
    assert [path.stat().st_size for path in paths] == [file.size_bytes for file in source.files]


def test_a_server_that_ignores_ranges_is_not_read_to_its_end(hub: HubServer, tmp_path: Path) -> None:
    content = model(weights_bytes=64 * MIB)
    hub.misbehave("model.gguf", IgnoreRange(), times=None)
    (path,) = fetch_headers(HubClient(), published(hub, content), tmp_path)
    assert path.stat().st_size == len(content)
    assert hub.served_bytes() < len(content) // 2


def test_a_header_past_the_limit_is_a_sentence(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_header, "MAX_HEADER_BYTES", 2 * MIB)
    with pytest.raises(ModelFileError, match="longer than") as caught:
        fetch_headers(HubClient(), published(hub, model(200_000)), tmp_path)
    assert caught.value.code == "header_too_large"
    assert hub.served_bytes() <= 2 * MIB
    assert not list(tmp_path.glob("*.gguf"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>not a model</html>" * 100, "does not begin with"),
        (model()[:2000] + b"", "cut off"),
        (model().replace(b"general.architecture", b"\xff" * 20)[:24] + b"\xff" * 5000, "text of|cut off"),
    ],
)
def test_what_is_no_model_is_a_sentence_and_leaves_nothing(
    hub: HubServer, tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(ModelFileError, match=words):
        fetch_headers(HubClient(), published(hub, content), tmp_path / "plan")
    assert not (tmp_path / "plan").exists()


def test_a_dropped_connection_and_a_stumbling_server_are_asked_again(hub: HubServer, tmp_path: Path) -> None:
    hub.misbehave("model.gguf", Drop(5000), times=1)
    hub.misbehave("model.gguf", Status(503), times=1, skip=1)
    (path,) = fetch_headers(HubClient(), published(hub, model()), tmp_path)
    assert read_header(path).tensor_count == 1


@pytest.mark.parametrize(
    ("trouble", "error"),
    [(Status(403, error_code="GatedRepo"), HubAccessDenied), (Status(500), HubError), (Truncated(3000), HubError)],
)
def test_a_server_that_keeps_failing_is_an_error_of_the_hub(
    hub: HubServer, tmp_path: Path, trouble: Status | Truncated, error: type[HubError]
) -> None:
    hub.misbehave("model.gguf", trouble, times=None)
    with pytest.raises(error):
        fetch_headers(HubClient(), published(hub, model()), tmp_path / "plan")
    assert not (tmp_path / "plan").exists()


def test_another_size_than_announced_is_noticed(hub: HubServer, tmp_path: Path) -> None:
    source = published(hub, model())
    (file,) = source.files
    wrong = RemoteFiles(source.repo_id, source.revision, (RepoFile(file.name, file.size_bytes + 1, file.sha256),))
    with pytest.raises(HubError, match="announced"):
        fetch_headers(HubClient(), wrong, tmp_path)


def test_offline_is_said_at_once(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline):
        fetch_headers(HubClient(), published(hub, model()), tmp_path)
    assert not hub.requests


def test_names_from_the_hub_never_become_a_folder(tmp_path: Path) -> None:
    evil = RemoteFiles("../../x", "../y", (RepoFile("../../z.gguf", 100, "../../etc/passwd"),))
    unknown = RemoteFiles("a/b", "c", (RepoFile("d.gguf", 100),))
    for source in (evil, unknown):
        assert len(plan_key(source)) == 64
        assert set(plan_key(source)) <= set("0123456789abcdef")
