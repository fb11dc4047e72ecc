"""`workbench models` against a Hub on this machine: find, judge, fetch, on good lines and bad ones."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.hub_repos import DEMO, GATED, LARGE, LARGE_CONTENT, REPO
from tests.e2e.program import interrupt_group, run, run_json, start, wait_until
from tests.fakes.hub_server import HubServer, Slow, Status, WrongContent


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_search_finds_sorts_and_filters(hub: HubServer) -> None:
    found = run_json("models", "search", "gguf")["repositories"]
    assert [item["repository"] for item in found] == [REPO, LARGE, GATED]
    assert (found[0]["parameters"], found[0]["license"], found[2]["gated"]) == (3_957_000, "mit", True)
    by_likes = run_json("models", "search", "--sort", "likes", "--limit", "1")["repositories"]
    assert [item["repository"] for item in by_likes] == [LARGE]
    licensed = run_json("models", "search", "--license", "mit", "--max-size", "10M")["repositories"]
    assert [item["repository"] for item in licensed] == [REPO]
    shown = run("models", "search", "tiny")
    assert shown.stdout.splitlines()[1].split("\t") == [REPO, "3.96M", "900", "9", "mit", "open"]
    assert run("models", "search", "--min-size", "huge").returncode == 2


def test_an_id_or_an_address_goes_straight_to_the_repository(hub: HubServer) -> None:
    by_id = run_json("models", "search", REPO)
    by_address = run_json("models", "show", f"{hub.url}/{REPO}")
    assert by_id == by_address
    assert [item["label"] for item in by_id["quantizations"]] == ["F16"]
    assert by_id["quantizations"][0]["files"][0]["sha256"] == sha256(DEMO)


def test_show_marks_the_recommended_one_and_says_why(hub: HubServer) -> None:
    result = run("models", "show", LARGE)
    assert result.returncode == 0, result.stderr
    marks = {line.split("\t")[0]: line.split("\t")[4] for line in result.stdout.splitlines()[1:]}
    assert marks == {"Q4_K_M": "recommended", "Q8_0": ""}
    assert "Q4_K_M: " in result.stderr
    assert f"workbench models pull {LARGE}" in result.stderr


@pytest.mark.usefixtures("known_speed")
def test_fit_reads_the_header_and_not_the_file(hub: HubServer) -> None:
    found = run_json("models", "fit", REPO, "--context", "512", "--kv-type", "q8_0", "--curve")
    assert (found["model"], found["verdict"]["kind"]) == (f"{REPO}:F16", "fits")
    memory = found["memory"]
    assert (memory["context_length"], memory["kv_type"], memory["basis"]) == (512, "q8_0", "engine")
    weights = sum(part["reserved_bytes"] for part in memory["parts"] if part["purpose"] == "weights")
    assert 0.9 * DEMO.stat().st_size < weights <= DEMO.stat().st_size
    lengths = [point["context_length"] for point in found["curve"]]
    assert lengths == sorted(set(lengths))
    assert len(lengths) > 1
    assert hub.served_bytes(".gguf") < DEMO.stat().st_size
    assert 0 < found["speed"]["decode_low"] < found["speed"]["decode_high"]
    words = run("models", "fit", REPO)
    assert "KV cache\tCPU" in words.stdout
    assert found["verdict"]["sentence"].split()[0] in words.stderr


def test_pull_takes_the_recommended_one_and_compares_its_content(hub: HubServer) -> None:
    result = run("models", "pull", LARGE)
    assert result.returncode == 0, result.stderr
    assert f"{LARGE}:Q4_K_M" in result.stderr
    path = Path(result.stdout.strip())
    assert sha256(path) == hub.repos[LARGE].commits[hub.repos[LARGE].head]["Large-Q4_K_M.gguf"].true_sha256
    assert hub.served_bytes("Large-Q8_0.gguf") == 0


def test_what_was_pulled_is_listed_and_runs_by_its_repository(hub: HubServer) -> None:
    (item,) = run_json("models", "pull", f"{REPO}:f16")["downloads"]
    assert (item["state"], item["repository"], item["quantization"], item["error"]) == ("finished", REPO, "F16", None)
    assert sha256(item["path"]) == sha256(DEMO)
    (entry,) = [found for found in run_json("models", "list") if found["repository"] == REPO]
    assert (entry["files"][0]["origin"], entry["files"][0]["repository"]) == ("hub_cache", REPO)
    answer = run_json("run", "What is TTFT?", "--model", f"{REPO}:F16", "--max-tokens", "3")
    assert answer["model"]["path"] == entry["files"][0]["path"]
    hub.close()
    shown = run_json("models", "show", REPO)
    assert shown["repository"] == REPO


def test_several_are_fetched_at_once(hub: HubServer) -> None:
    found = run_json("models", "pull", f"{LARGE}:Q4_K_M", f"{LARGE}:Q8_0")["downloads"]
    assert [(item["quantization"], item["state"]) for item in found] == [("Q4_K_M", "finished"), ("Q8_0", "finished")]
    for item in found:
        assert sha256(item["path"]) == item["files"][0]["sha256"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_in_the_middle_keeps_what_arrived_and_the_same_command_goes_on(hub: HubServer) -> None:
    hub.misbehave("Large-Q4_K_M.gguf", Slow(4_000_000), times=None)
    process = start("models", "pull", f"{LARGE}:Q4_K_M")
    assert wait_until(lambda: hub.served_bytes("Large-Q4_K_M.gguf") > 4_000_000)
    interrupt_group(process)
    out, errors = process.communicate(timeout=20)
    said = errors.decode()
    assert (process.returncode, out) == (130, b"")
    assert "Traceback" not in said
    assert f"workbench models pull {LARGE}:Q4_K_M" in said
    assert hub.served_bytes("Large-Q4_K_M.gguf") < LARGE_CONTENT.size
    asked = len(hub.requests)
    assert not [entry for entry in run_json("models", "list") if entry["repository"] == LARGE]

    hub.behave()
    result = run("models", "pull", f"{LARGE}:Q4_K_M")
    assert result.returncode == 0, result.stderr
    assert "goes on at" in result.stderr
    true_sha256 = hub.repos[LARGE].commits[hub.repos[LARGE].head]["Large-Q4_K_M.gguf"].true_sha256
    assert sha256(result.stdout.strip()) == true_sha256
    rest = [request for request in hub.requests[asked:] if request.sent_bytes > 2_000_000]
    assert rest
    begins = [int(request.headers["range"].removeprefix("bytes=").split("-")[0]) for request in rest]
    assert min(begins) > 1_000_000, "what had arrived was not fetched again"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_with_json_prints_the_object(hub: HubServer) -> None:
    hub.misbehave("Large-Q4_K_M.gguf", Slow(4_000_000), times=None)
    process = start("models", "pull", f"{LARGE}:Q4_K_M", "--json")
    assert wait_until(lambda: hub.served_bytes("Large-Q4_K_M.gguf") > 4_000_000)
    interrupt_group(process, signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    (item,) = json.loads(out)["downloads"]
    assert (item["state"], item["path"]) == ("paused", None)
    assert 0 < item["done_bytes"] < item["size_bytes"]


def test_a_gated_repository_names_its_page_and_the_command_for_a_token(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("models", "pull", GATED)
    assert (result.returncode, result.stdout) == (11, "")
    assert f"{hub.url}/{GATED}" in result.stderr
    assert "workbench models token set" in result.stderr
    (item,) = run_json("models", "pull", GATED, code=11)["downloads"]
    assert (item["state"], item["error"]["code"]) == ("failed", "hub_access_denied")

    token = hub.add_token("hf_testtokenabc")
    hub.repos[GATED].members = (token,)
    monkeypatch.setenv("HF_TOKEN", token)
    (item,) = run_json("models", "pull", GATED)["downloads"]
    assert sha256(item["path"]) == sha256(DEMO)
    status = run("models", "token", "status")
    assert "HF_TOKEN" in status.stdout
    assert token not in status.stdout + status.stderr


def test_a_busy_hub_is_waited_for(hub: HubServer) -> None:
    hub.misbehave("Tiny-F16.gguf", Status(429, retry_after="1"), times=2)
    (item,) = run_json("models", "pull", REPO)["downloads"]
    assert sha256(item["path"]) == sha256(DEMO)


def test_a_search_that_the_hub_refuses_says_when_to_try_again(hub: HubServer) -> None:
    hub.misbehave("/api/models", Status(429, retry_after="30"), times=None)
    result = run("models", "search", "tiny")
    assert result.returncode == 9
    assert "30 s" in result.stderr
    assert run_json("models", "search", "tiny", code=9)["error"]["code"] == "hub_rate_limited"


def test_wrong_content_never_enters_the_library(hub: HubServer) -> None:
    hub.misbehave("/cdn/*", WrongContent(at=5_000_000), times=None)
    result = run("models", "pull", f"{LARGE}:Q4_K_M")
    assert (result.returncode, result.stdout) == (9, "")
    assert LARGE in result.stderr
    assert not [entry for entry in run_json("models", "list") if entry["repository"] == LARGE]


def test_without_network_search_tells_the_catalogue_and_what_is_here(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("models", "pull", REPO).returncode == 0
    asked = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = run_json("models", "search", "tiny", code=10)
    assert found["repositories"] == []
    assert found["error"]["code"] == "hub_offline"
    assert [entry["repository"] for entry in found["on_disk"]] == [REPO]
    assert run_json("models", "search", REPO, code=10)["on_disk"] == found["on_disk"]
    result = run("models", "search", "qwen3 0.6")
    assert result.returncode == 10
    assert "HF_HUB_OFFLINE" in result.stderr
    assert "Qwen/Qwen3-0.6B-GGUF" in result.stdout
    assert run_json("models", "show", REPO)["files"][0]["repository"] == REPO
    assert run("models", "show", LARGE).returncode == 10
    assert run("models", "pull", LARGE).returncode == 10
    assert len(run_json("models", "catalog")["models"]) >= 15
    assert len(hub.requests) == asked, "nothing was asked"


def test_the_catalogue_is_compared_with_the_hub(hub: HubServer) -> None:
    found = run_json("models", "catalog", "--check", code=1)
    assert {finding["difference"] for finding in found["findings"]} == {"gone"}
    assert len(found["findings"]) == len(found["models"])


def test_what_is_not_there_is_a_sentence(hub: HubServer) -> None:
    for arguments, code in (
        (("show", "someone/Nothing-GGUF"), 3),
        (("pull", f"{REPO}:Q9_9"), 3),
        (("pull", "no repository at all"), 2),
        (("fit", "someone/Nothing-GGUF"), 3),
        (("fit", "demo", "--kv-type", "q9"), 2),
        (("rm", "nothing", "--yes"), 3),
        (("verify", "nothing"), 3),
        (("quantize", "demo", "Q9"), 2),
    ):
        result = run("models", *arguments)
        assert result.returncode == code, (arguments, result.stderr)
        assert result.stderr.count("\n") == 1, result.stderr


def test_without_xet_a_file_that_offers_it_comes_over_plain_http(hub: HubServer) -> None:
    hub.add_repo("someone/Xet-GGUF", {"Xet-Q4_K_M.gguf": DEMO}, xet=["Xet-Q4_K_M.gguf"])
    (item,) = run_json("models", "pull", "someone/Xet-GGUF", "--no-xet")["downloads"]
    assert sha256(item["path"]) == sha256(DEMO)
    assert hub.asked("xet-read-token") == []
    assert hub.served_bytes("Xet-Q4_K_M.gguf") >= DEMO.stat().st_size
