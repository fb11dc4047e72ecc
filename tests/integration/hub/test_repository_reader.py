"""Reading a repository: one commit, its files with sizes and hashes, and every way in which it is refused."""

from __future__ import annotations

import hashlib

import pytest

from tests.fakes.hub_server import HubServer, SeededContent, Status
from workbench.errors import HubAccessDenied, HubError, HubOffline, UserError
from workbench.hub.client import HubClient
from workbench.hub.repository_reader import read_repository

REPO = "maker/model-GGUF"
SMALL = b"GGUF" + bytes(996)


def test_files_come_with_size_hash_and_storage(hub: HubServer) -> None:
    large = SeededContent(5000)
    hub.add_repo(
        REPO,
        {"m-Q4_K_M.gguf": SMALL, "m-Q8_0.gguf": large, "mmproj-F16.gguf": b"GGUF", "README.md": b"# Model"},
        xet=["m-Q8_0.gguf"],
        license="apache-2.0",
        gguf={"total": 1600, "architecture": "llama", "context_length": 4096},
    )
    found = read_repository(HubClient(), REPO)
    assert found.revision == hub.repos[REPO].head
    assert (found.summary.license, found.summary.parameters, found.summary.architecture) == (
        "apache-2.0", 1600, "llama",
    )  # fmt: skip
    first, second = found.quantizations
    assert first.files[0].sha256 == hashlib.sha256(SMALL).hexdigest()
    assert (first.label, first.size_bytes, first.bits_per_weight) == ("Q4_K_M", 1000, 5.0)
    assert first.is_recommended
    assert (second.files[0].size_bytes, second.files[0].is_xet, first.files[0].is_xet) == (5000, True, False)
    assert second.files[0].sha256 == hashlib.sha256(large.read(0, 5000)).hexdigest()
    assert [file.name for file in found.projectors] == ["mmproj-F16.gguf"]
    assert [(file.name, file.sha256) for file in found.others] == [("README.md", None)]
    assert len(hub.requests) == 2


def test_what_is_shown_is_one_commit_even_when_the_repository_moves_on(hub: HubServer) -> None:
    hub.add_repo(REPO, {"m-Q4_K_M.gguf": SMALL})
    first = hub.repos[REPO].head
    hub.change_file(REPO, "m-Q4_K_M.gguf", b"GGUF" + b"new" * 10)
    client = HubClient()
    assert read_repository(client, REPO).quantizations[0].size_bytes == 34
    old = read_repository(client, REPO, first)
    assert (old.revision, old.quantizations[0].size_bytes) == (first, 1000)
    assert hub.requests[-1].path == f"/api/models/{REPO}/tree/{first}"


def test_hostile_names_are_left_out(hub: HubServer) -> None:
    names = ["../../../etc/cron.d/x.gguf", "/abs.gguf", "a\\..\\b.gguf", "C:evil.gguf", "a\u202efugg.gguf", "NUL.gguf"]
    hub.add_repo(REPO, {**dict.fromkeys(names, b"GGUF"), "good-Q8_0.gguf": b"GGUF"})
    found = read_repository(HubClient(), REPO)
    assert [q.files[0].name for q in found.quantizations] == ["good-Q8_0.gguf"]
    assert found.others == ()


def test_a_thousand_files_with_split_and_broken_ones(hub: HubServer) -> None:
    split = {f"big-Q8_0-{part:05d}-of-00040.gguf": b"GGUF" for part in range(1, 41)}
    broken = {f"big-Q6_K-{part:05d}-of-00040.gguf": b"GGUF" for part in range(1, 40)}
    hub.add_repo(REPO, {**split, **broken, **{f"doc-{n}.txt": b"x" for n in range(900)}})
    found = read_repository(HubClient(), REPO)
    assert [(q.label, len(q.files)) for q in found.quantizations] == [("Q8_0", 40)]
    assert len(found.others) == 39 + 900


def test_a_repository_without_models_is_empty_and_no_error(hub: HubServer) -> None:
    hub.add_repo(REPO, {"model.safetensors": b"x"})
    found = read_repository(HubClient(), REPO)
    assert found.quantizations == ()
    assert [file.name for file in found.others] == ["model.safetensors"]


def test_a_gated_repository_shows_its_files(hub: HubServer) -> None:
    hub.add_repo(REPO, {"m-Q8_0.gguf": SMALL}, gated="manual")
    assert read_repository(HubClient(), REPO).summary.is_gated


def test_a_private_one_opens_with_a_token(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo(REPO, {"m-Q8_0.gguf": SMALL}, private=True, members=("hf_member00",))
    with pytest.raises(HubAccessDenied, match=r"no such repository .* or it is private"):
        read_repository(HubClient(), REPO)
    monkeypatch.setenv("HF_TOKEN", hub.add_token("hf_member00"))
    assert read_repository(HubClient(), REPO).summary.is_private


@pytest.mark.parametrize("repo_id", ["", "noauthor", "a/b/c", "../..", "a/b c", "a/.b", "a/b\x00", "a/" + "b" * 300])
def test_what_is_no_id_asks_nothing(hub: HubServer, repo_id: str) -> None:
    with pytest.raises(UserError, match="is no repository id"):
        read_repository(HubClient(), repo_id)
    assert hub.requests == []


def test_a_revision_with_odd_signs_stays_one_part_of_the_address(hub: HubServer) -> None:
    hub.add_repo(REPO, {"m-Q8_0.gguf": SMALL})
    with pytest.raises(HubError, match="no such revision"):
        read_repository(HubClient(), REPO, "x?blobs=1#y")
    assert hub.requests[0].query == {}


def test_a_hub_that_answers_something_else_is_told(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo(REPO, {"m-Q8_0.gguf": SMALL})
    hub.repos[REPO].head = "not-a-commit"
    hub.repos[REPO].commits["not-a-commit"] = {}
    with pytest.raises(HubError, match="in a way that this program does not know"):
        read_repository(HubClient(), REPO)


def test_trouble_and_no_network_are_sentences(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo(REPO, {"m-Q8_0.gguf": SMALL})
    hub.misbehave("*", Status(500), times=2)
    assert read_repository(HubClient(), REPO).quantizations, "two stumbles are passed over"
    hub.misbehave("*", Status(429, retry_after="120"))
    with pytest.raises(HubError, match="2 min"):
        read_repository(HubClient(), REPO)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline):
        read_repository(HubClient(), REPO)
