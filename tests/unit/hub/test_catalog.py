"""The starter catalogue: the one that comes with the program, strict reading, and what differs from the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring.backends.fail import Keyring as NoKeyring

from tests.fakes.hub_server import HubServer, Status
from tests.fakes.keyring_store import clear_surroundings, keyring_in_use
from workbench.errors import HubError, HubOffline, ProfileError
from workbench.hub.catalog import KINDS, Catalog, CatalogEntry, CatalogFinding, check_catalog, load_catalog
from workbench.hub.client import HubClient

BUILTIN = Path(__file__).resolve().parents[3] / "profiles" / "catalog.toml"
ENTRY = """
[[model]]
repo_id = "maker/tiny-GGUF"
name = "Tiny"
parameters = 500_000_000
architecture = "llama"
kind = "instruct"
why = "It is small."
license = "mit"
thinking = "none"
context_trained = 4096
gated = false
quantization = "Q4_K_M"
"""
TEXT = "date = 2026-01-02\n" + ENTRY


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    clear_surroundings(monkeypatch, tmp_path / "hf")
    with HubServer() as server, keyring_in_use(NoKeyring()):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return load_catalog(write(tmp_path / "catalog.toml", TEXT))


def test_the_built_in_catalogue_is_what_it_promises() -> None:
    catalog = load_catalog(BUILTIN)
    assert 15 <= len(catalog.entries) <= 20
    assert catalog.date >= "2026-01-01"
    sizes = [entry.parameters for entry in catalog.entries]
    assert min(sizes) < 500_000_000 < 14_000_000_000 < max(sizes) < 15_000_000_000
    assert {entry.kind for entry in catalog.entries} == set(KINDS)
    assert sum(entry.kind == "embedding" for entry in catalog.entries) == 1
    assert {"enable_thinking", "thinking", "always_on", "none"} <= {entry.thinking for entry in catalog.entries}
    assert all(entry.why.endswith(".") for entry in catalog.entries)
    assert any(entry.is_gated for entry in catalog.entries)
    assert all((entry.thinking == "none") or entry.kind in ("thinking", "instruct") for entry in catalog.entries)


def test_an_entry_is_read_completely(catalog: Catalog) -> None:
    assert catalog == Catalog(
        "2026-01-02",
        (
            CatalogEntry(
                "maker/tiny-GGUF", "Tiny", 500_000_000, "llama", "instruct", "It is small.", "mit", "none", 4096,
                False, "Q4_K_M",
            ),
        ),
    )  # fmt: skip
    assert catalog.entry("MAKER/Tiny-gguf") is catalog.entries[0]
    assert catalog.entry("maker/other") is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("kind =", "kid =", r"model\[0\]\.kid is not a known key\. Did you mean 'kind'\?"),
        ('kind = "instruct"\n', "", r"model\[0\]\.kind is missing; it must be one of instruct"),
        ('"instruct"', '"chatty"', r"kind is 'chatty'; it must be one of"),
        ('"none"', '"sometimes"', "thinking is 'sometimes'"),
        ("500_000_000", "0.5", r"parameters is 0\.5; it must be a whole number"),
        ("500_000_000", "-1", "parameters is -1"),
        ('"maker/tiny-GGUF"', '"../../etc/passwd"', "repo_id is .* looks like author/name"),
        ("gated = false\n", "", "gated is missing; it must be true or false"),
        ("gated = false", 'gated = "no"', "gated must be true or false"),
        ('why = "It is small."', 'why = ""', "why must be a text"),
        ("date = 2026-01-02", 'date = "soon"', "date is 'soon'; it must be a date"),
        ("date = 2026-01-02\n", "", "date is missing"),
        ("[[model]]", "[model]", "model must be a list of tables"),
        ("date =", "date ", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_told_with_file_and_key(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = write(tmp_path / "catalog.toml", TEXT.replace(old, new, 1))
    with pytest.raises(ProfileError, match=words) as caught:
        load_catalog(path)
    assert str(path) in str(caught.value)


def test_a_repository_stands_once(tmp_path: Path) -> None:
    path = write(tmp_path / "catalog.toml", TEXT + ENTRY.replace("maker/", "Maker/"))
    with pytest.raises(ProfileError, match=r"model\[1\]\.repo_id .* second time"):
        load_catalog(path)


def test_own_entries_come_first_and_replace_namesakes(tmp_path: Path) -> None:
    path = write(tmp_path / "catalog.toml", TEXT + ENTRY.replace("tiny", "second"))
    own = write(
        tmp_path / "own.toml",
        "date = 2026-05-05\n" + ENTRY.replace("It is small.", "I like it.") + ENTRY.replace("tiny", "mine"),
    )
    merged = load_catalog(path, own)
    assert [entry.repo_id for entry in merged.entries] == ["maker/tiny-GGUF", "maker/mine-GGUF", "maker/second-GGUF"]
    assert merged.entries[0].why == "I like it."
    assert merged.date == "2026-05-05"
    assert load_catalog(path, tmp_path / "absent.toml") == load_catalog(path)


def kinds(found: tuple[CatalogFinding, ...]) -> list[str]:
    assert all(finding.sentence.endswith(".") for finding in found)
    assert all("Tiny" in finding.sentence for finding in found)
    return [finding.difference for finding in found]


def test_a_catalogue_that_agrees_with_the_hub_has_no_findings(hub: HubServer, catalog: Catalog) -> None:
    hub.add_repo("maker/tiny-GGUF", {"t-Q4_K_M.gguf": b"GGUF"}, license="mit", gguf={"total": 510_000_000})
    heard: list[str] = []
    assert check_catalog(HubClient(), catalog, lambda entry: heard.append(entry.name)) == ()
    assert heard == ["Tiny"]


def test_a_licence_that_the_hub_has_no_id_for_is_no_finding(hub: HubServer, catalog: Catalog) -> None:
    hub.add_repo("maker/tiny-GGUF", {"t-Q4_K_M.gguf": b"GGUF"}, license="other")
    assert check_catalog(HubClient(), catalog) == ()


def test_everything_that_differs_is_found(hub: HubServer, catalog: Catalog) -> None:
    hub.add_repo(
        "maker/tiny-GGUF", {"t-Q8_0.gguf": b"GGUF"}, license="gpl-3.0", gated="auto", gguf={"total": 1_500_000_000}
    )
    found = check_catalog(HubClient(), catalog)
    assert kinds(found) == ["quantization", "license", "gated", "parameters"]
    assert "gpl-3.0 on the Hub and mit here" in found[1].sentence


def test_a_repository_without_models_is_found(hub: HubServer, catalog: Catalog) -> None:
    hub.add_repo("maker/tiny-GGUF", {"README.md": b"moved"}, license="mit")
    assert kinds(check_catalog(HubClient(), catalog)) == ["no_gguf"]


def test_a_repository_that_is_gone_is_found(hub: HubServer, catalog: Catalog) -> None:
    found = check_catalog(HubClient(), catalog)
    assert kinds(found) == ["gone"]


def test_a_renamed_repository_is_found(hub: HubServer, catalog: Catalog) -> None:
    moved = hub.add_repo("maker/tiny-GGUF", {"t-Q4_K_M.gguf": b"GGUF"}, license="mit")
    hub.repos["maker/renamed-GGUF"] = moved
    moved.repo_id = "maker/renamed-GGUF"  # the Hub answers the old name with the record of the new one
    found = check_catalog(HubClient(), catalog)
    assert kinds(found) == ["renamed"]
    assert "maker/renamed-GGUF" in found[0].sentence


def test_without_a_network_or_under_a_limit_there_is_an_error_and_no_findings(
    hub: HubServer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.misbehave("*", Status(429, retry_after="9"))
    with pytest.raises(HubError, match="9 s"):
        check_catalog(HubClient(), catalog)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline):
        check_catalog(HubClient(), catalog)
