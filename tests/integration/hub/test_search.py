"""Searching: what is asked of the Hub, page by page, and what a pasted text means."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.hub_server import HubServer, Status
from workbench.errors import HubError, HubOffline
from workbench.hub.client import HubClient
from workbench.hub.repository import RepoSummary, SearchQuery
from workbench.hub.search import parameters_in, repo_id_of, search, summary_of

FILES = {"model-Q4_K_M.gguf": b"GGUF"}


def ids(pages: Iterator[tuple[RepoSummary, ...]]) -> list[str]:
    return [found.repo_id for page in pages for found in page]


def test_pages_are_asked_for_one_by_one_when_they_are_taken(hub: HubServer) -> None:
    for number in range(7):
        hub.add_repo(f"maker/model-{number}", FILES, downloads=100 - number)
    pages = search(HubClient(), SearchQuery("model"), page_size=3)
    assert hub.requests == [], "nothing is asked before the first page is taken"
    assert [found.name for found in next(pages)] == ["model-0", "model-1", "model-2"]
    assert len(hub.requests) == 1
    assert [found.name for found in next(pages)] == ["model-3", "model-4", "model-5"]
    assert len(hub.requests) == 2
    assert [found.name for found in next(pages)] == ["model-6"]
    assert next(pages, None) is None
    assert len(hub.requests) == 3


def test_only_what_a_list_shows_is_asked_for(hub: HubServer) -> None:
    hub.add_repo("maker/model", FILES)
    list(search(HubClient(), SearchQuery("model", author="maker", license="mit", sort="recent")))
    query = hub.requests[0].query
    assert query["filter"] == ["gguf", "license:mit"]
    assert (query["author"], query["sort"], query["limit"]) == (["maker"], ["lastModified"], ["20"])
    assert "siblings" not in query["expand"]
    assert len(query["expand"]) == 7


def test_a_line_says_what_the_hub_says(hub: HubServer) -> None:
    hub.add_repo(
        "maker/model-1B-GGUF", FILES, downloads=12, likes=3, license="gemma", gated="manual",
        last_modified="2026-02-03T04:05:06.000Z", tags=("en",),
        gguf={"total": 999_885_952, "architecture": "gemma3", "context_length": 32768},
    )  # fmt: skip
    ((found,),) = search(HubClient(), SearchQuery())
    assert found.is_gated
    assert not found.is_private
    assert (found.author, found.name, found.downloads, found.likes) == ("maker", "model-1B-GGUF", 12, 3)
    assert (found.license, found.updated_at) == ("gemma", "2026-02-03T04:05:06Z")
    assert (found.parameters, found.architecture, found.context_trained) == (999_885_952, "gemma3", 32768)
    assert "en" in found.tags


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (SearchQuery(), ["big/b", "small/a", "small/c"]),
        (SearchQuery(sort="likes"), ["small/c", "small/a", "big/b"]),
        (SearchQuery(sort="recent"), ["small/a", "small/c", "big/b"]),
        (SearchQuery(author="small"), ["small/a", "small/c"]),
        (SearchQuery("  A "), ["small/a", "small/c"]),
        (SearchQuery(license="mit"), ["small/c"]),
    ],
)
def test_text_author_licence_and_order(hub: HubServer, query: SearchQuery, expected: list[str]) -> None:
    hub.add_repo("small/a", FILES, downloads=5, likes=5, last_modified="2026-03-01T00:00:00.000Z", license="gemma")
    hub.add_repo("big/b", FILES, downloads=9, likes=1, last_modified="2026-01-01T00:00:00.000Z")
    hub.add_repo("small/c", FILES, downloads=1, likes=9, last_modified="2026-02-01T00:00:00.000Z", license="mit")
    assert ids(search(HubClient(), query)) == expected


def test_size_bounds_take_the_hubs_figure_before_the_name(hub: HubServer) -> None:
    hub.add_repo("m/honest-4B", FILES, gguf={"total": 4_000_000_000})
    hub.add_repo("m/misnamed-70B", FILES, gguf={"total": 600_000_000})
    hub.add_repo("m/unmeasured-0.6B-GGUF", FILES)
    hub.add_repo("m/unmeasured-7B-GGUF", FILES)
    hub.add_repo("m/unknown", FILES)
    small = ids(search(HubClient(), SearchQuery(max_parameters=1_000_000_000)))
    assert sorted(small) == ["m/misnamed-70B", "m/unmeasured-0.6B-GGUF"]
    middle = SearchQuery(min_parameters=1_000_000_000, max_parameters=5_000_000_000)
    assert ids(search(HubClient(), middle)) == ["m/honest-4B"]


def test_rare_sizes_fill_a_page_over_several_requests_without_going_on_for_ever(hub: HubServer) -> None:
    hub.page_size = 2
    for number in range(30):
        size = "1B" if number % 5 == 0 else "70B"
        hub.add_repo(f"m/model-{number:02d}-{size}", FILES, downloads=100 - number)
    pages = search(HubClient(), SearchQuery(max_parameters=2_000_000_000), page_size=4)
    assert [found.name for found in next(pages)] == ["model-00-1B", "model-05-1B"]
    assert len(hub.requests) == 5, "a page is given up at five requests and shown as far as it came"
    assert len(ids(pages)) == 4


def test_a_size_that_nobody_has_ends_the_search(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.hub.search._MOST_REQUESTS", 10)
    hub.page_size = 1
    for number in range(30):
        hub.add_repo(f"m/model-{number:02d}-70B", FILES)
    pages = list(search(HubClient(), SearchQuery(max_parameters=2_000_000_000)))
    assert pages == [(), ()]
    assert len(hub.requests) == 10


def test_private_repositories_show_to_their_members_alone(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo("me/hidden", FILES, private=True, members=("hf_mine0000",))
    assert ids(search(HubClient(), SearchQuery())) == []
    monkeypatch.setenv("HF_TOKEN", hub.add_token("hf_mine0000"))
    ((found,),) = search(HubClient(), SearchQuery())
    assert found.is_private


def test_a_later_page_that_fails_leaves_the_first_ones(hub: HubServer) -> None:
    for number in range(4):
        hub.add_repo(f"m/model-{number}", FILES)
    hub.misbehave("/api/models", Status(429, retry_after="3"), skip=1, times=None)
    pages = search(HubClient(), SearchQuery(), page_size=2)
    assert len(next(pages)) == 2
    with pytest.raises(HubError, match="3 s"):
        next(pages)


def test_offline_says_so(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline, match="What is on this machine is in the library"):
        next(search(HubClient(), SearchQuery()))
    assert hub.requests == []


@pytest.mark.parametrize(
    "record",
    [None, [], {"id": 7}, {"id": "no-author"}, {"id": "../.."}, {"id": "a/b\n"}, {"id": "a/..b"}, {"id": "a/b/c"}],
)
def test_a_record_without_a_sound_name_is_left_out(record: object) -> None:
    assert summary_of(record) is None


def test_what_has_the_wrong_type_is_unknown() -> None:
    found = summary_of({
        "id": "a/b", "downloads": "many", "likes": -1, "lastModified": "yesterday", "gated": None, "tags": [1, "ok",
        "bad\x1b[2J"], "gguf": {"total": 0, "architecture": ["x"], "context_length": True},
    })  # fmt: skip
    assert found == RepoSummary("a/b", tags=("ok",))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen3-0.6B-GGUF", 600_000_000),
        ("SmolLM2-135M-Instruct", 135_000_000),
        ("Qwen3-30B-A3B", 30_000_000_000),
        ("Mixtral-8x7B-Instruct", 56_000_000_000),
        ("phi-4-mini", None),
        ("model-4bit", None),
        ("model-128k", None),
        ("Model_1_5b", 1_500_000_000),
    ],
)
def test_size_in_a_name(name: str, parameters: int | None) -> None:
    assert parameters_in(name) == parameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Qwen/Qwen3-0.6B-GGUF", "Qwen/Qwen3-0.6B-GGUF"),
        ("  Qwen/Qwen3-0.6B-GGUF\n", "Qwen/Qwen3-0.6B-GGUF"),
        ("Qwen/Qwen3-0.6B-GGUF:Q8_0", "Qwen/Qwen3-0.6B-GGUF"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B-GGUF", "Qwen/Qwen3-0.6B-GGUF"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B-GGUF/tree/main", "Qwen/Qwen3-0.6B-GGUF"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B-GGUF/blob/main/x.gguf", "Qwen/Qwen3-0.6B-GGUF"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B-GGUF/resolve/main/x.gguf?download=true", "Qwen/Qwen3-0.6B-GGUF"),
        ("https://huggingface.co/api/models/Qwen/Qwen3-0.6B-GGUF", "Qwen/Qwen3-0.6B-GGUF"),
        ("<https://www.huggingface.co/Qwen/Qwen3-0.6B-GGUF?local-app=x#y>", "Qwen/Qwen3-0.6B-GGUF"),
        ("HTTPS://HuggingFace.co/Qwen/Qwen3-0.6B-GGUF.git", "Qwen/Qwen3-0.6B-GGUF"),
        ("huggingface.co/Qwen/Qwen3-0.6B-GGUF", "Qwen/Qwen3-0.6B-GGUF"),
        ("hf.co/Qwen/Qwen3-0.6B-GGUF:Q8_0", "Qwen/Qwen3-0.6B-GGUF"),
        ("hf://Qwen/Qwen3-0.6B-GGUF/x.gguf", "Qwen/Qwen3-0.6B-GGUF"),
        ("hf://models/Qwen/Qwen3-0.6B-GGUF@main/x.gguf", "Qwen/Qwen3-0.6B-GGUF"),
        ("https://mirror.example:8443/hub/Qwen/Qwen3-0.6B-GGUF/tree/main", "Qwen/Qwen3-0.6B-GGUF"),
        ("qwen", None),
        ("small thinking model", None),
        ("", None),
        ("https://huggingface.co/models?search=qwen", None),
        ("https://huggingface.co/datasets/a/b", None),
        ("https://huggingface.co/Qwen", None),
        ("https://example.org/Qwen/Qwen3-0.6B-GGUF", None),
        ("folder/model.gguf", None),
        ("a/b/c", None),
        ("../secrets", None),
        ("ftp://huggingface.co/a/b", None),
        ("http://[", None),
        ("https://huggingface.co/a/%2e%2e", None),
    ],
)
def test_a_pasted_text_is_a_repository_or_words(text: str, expected: str | None) -> None:
    assert repo_id_of(text, "https://mirror.example:8443/hub") == expected
