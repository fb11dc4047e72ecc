"""Memory of a model on the Hub, planned by the real llama.cpp from its header alone."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.fakes import tiny_models
from tests.fakes.hub_server import HubServer, Status
from workbench.engine.planner import MemoryPlanner
from workbench.engine.process import LocalEngine
from workbench.engine.quantizer import quantize_file
from workbench.errors import HubAccessDenied
from workbench.hub.client import HubClient
from workbench.hub.fit import MemoryFit, compare
from workbench.hub.gguf import read_header
from workbench.hub.repository import RemoteFiles, RepoFile
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.spec import EngineOptions, ModelRef

REPO = "maker/model-GGUF"
DEMO = Path(__file__).parents[3] / "assets" / "models" / "demo-F16.gguf"
ASKED = EngineOptions(context_length=2048, gpu_layers=0, threads=1)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 MB of weights behind a header with 30,000 tokens."""
    path = tmp_path_factory.mktemp("large") / "large.gguf"
    return tiny_models.write_llama(path, vocabulary=30_000, width=512, layers=1, heads=8, kv_heads=2, feed_forward=512)


def published(hub: HubServer, path: Path, name: str = "model-F16.gguf") -> RemoteFiles:
    repo = hub.add_repo(REPO, {name: path})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return RemoteFiles(REPO, repo.head, (RepoFile(name, path.stat().st_size, digest),))


def fit_in(client: HubClient, folder: Path) -> MemoryFit:
    return MemoryFit(client, MemoryPlanner(), folder)


def test_a_model_on_the_hub_is_planned_as_the_one_on_the_disk(
    hub: HubServer, client: HubClient, tmp_path: Path, large: Path
) -> None:
    fit = fit_in(client, tmp_path / "plans")
    source = published(hub, large)
    far, near = fit.estimate(source, ASKED), fit.estimate((large,), ASKED)
    assert far.basis == near.basis == "engine"
    for purpose in ("weights", "kv", "compute", "output", "books"):
        assert far.reserved_bytes(purpose) == near.reserved_bytes(purpose)
    header = read_header(large).data_offset
    assert hub.served_bytes("model-F16.gguf") <= header + 1024 * 1024 < large.stat().st_size // 4
    assert all("range" in request.headers for request in hub.asked("model-F16.gguf", "GET"))


def test_nothing_but_header_and_plans_is_left_on_the_disk(
    hub: HubServer, client: HubClient, tmp_path: Path, large: Path
) -> None:
    fit_in(client, tmp_path / "plans").estimate(published(hub, large), ASKED)
    files = [path for path in (tmp_path / "plans").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["model.gguf", "plans.json"]
    used = sum(path.stat().st_blocks * 512 for path in files)
    assert used < read_header(large).data_offset + 64 * 1024


def test_a_known_plan_needs_neither_the_hub_nor_a_process(
    hub: HubServer, client: HubClient, tmp_path: Path, large: Path
) -> None:
    source = published(hub, large)
    first = fit_in(client, tmp_path).estimate(source, ASKED)
    hub.requests.clear()

    class NoPlanner(MemoryPlanner):
        def __call__(
            self, path: Path, options: Sequence[EngineOptions], cancel: threading.Event | None = None
        ) -> tuple[MemoryPlan, ...]:
            raise AssertionError("asked again")

    again = MemoryFit(client, NoPlanner(), tmp_path)
    assert again.estimate(source, ASKED) == first
    other_name = RemoteFiles("other/place", "main", (replace(source.files[0], name="other.gguf"),))
    assert again.estimate(other_name, ASKED) == first
    # Another context needs a plan, but no network.
    longer = fit_in(client, tmp_path).estimate(source, replace(ASKED, context_length=4096))
    assert longer.reserved_bytes("kv") == 2 * first.reserved_bytes("kv")
    assert not hub.requests


def test_a_curve_and_a_verdict_before_the_download(hub: HubServer, client: HubClient, tmp_path: Path) -> None:
    fit = fit_in(client, tmp_path)
    source = published(hub, DEMO)
    points = fit.curve(source, ASKED)
    trained = read_header(DEMO).integer("llama.context_length")
    assert points[-1].context_length == trained
    assert [p.reserved_bytes for p in points] == sorted(p.reserved_bytes for p in points)
    little = MemoryFit(client, MemoryPlanner(), tmp_path, free_bytes=lambda: 300 * 1000**2)
    asked = replace(ASKED, context_length=65_536)
    verdict = little.verdict(little.estimate(source, asked), source, asked)
    assert verdict.kind == "less_context"
    assert verdict.context_length is not None
    assert 512 <= verdict.context_length < 65_536


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real quantizations of one model whose vocabulary of 60,000 tokens is nearly all of the header."""
    folder = tmp_path_factory.mktemp("five")
    made = {"F16": tiny_models.write_llama(folder / "m-F16.gguf", vocabulary=60_000, width=256, layers=4, heads=4)}
    for name in ("Q2_K", "Q4_K_M", "Q5_K_M", "Q8_0"):
        made[name] = folder / f"m-{name}.gguf"
        quantize_file(made["F16"], made[name], name, threads=1)
    return made


def all_published(hub: HubServer, files: dict[str, Path]) -> dict[str, RemoteFiles]:
    repo = hub.add_repo(REPO, {path.name: path for path in files.values()})
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return {
        name: RemoteFiles(REPO, repo.head, (RepoFile(path.name, path.stat().st_size, digests[name]),))
        for name, path in files.items()
    }


@pytest.mark.parametrize("first", ["Q4_K_M", "F16"])
def test_after_one_header_the_other_quantizations_cost_kilobytes(
    hub: HubServer, client: HubClient, tmp_path: Path, five: dict[str, Path], first: str
) -> None:
    sources = all_published(hub, five)
    fit = fit_in(client, tmp_path)
    fit.estimate(sources[first], ASKED)
    whole = hub.served_bytes()
    assert whole > read_header(five[first]).data_offset > 1_500_000
    for name, source in sources.items():
        far, near = fit.estimate(source, ASKED), fit.estimate((five[name],), ASKED)
        for purpose in ("weights", "repacked", "kv", "compute", "output", "books"):
            assert far.reserved_bytes(purpose) == near.reserved_bytes(purpose)
        length = read_header(five[name]).data_offset
        (header,) = (tmp_path / source.files[0].sha256).glob("*.gguf")  # type: ignore[operator]
        with header.open("rb") as composed, five[name].open("rb") as real:
            assert composed.read(length) == real.read(length)
        assert header.stat().st_size == five[name].stat().st_size
    assert hub.served_bytes() - whole < 4 * 24 * 1024
    before = len(hub.requests)
    types = {tensor.type for tensor in fit.header(sources["Q8_0"]).tensors}
    assert types == {"Q8_0", "F32"}
    assert len(hub.requests) == before


def test_a_cached_plan_still_gives_its_vocabulary(
    hub: HubServer, client: HubClient, tmp_path: Path, five: dict[str, Path]
) -> None:
    sources = all_published(hub, five)
    fit_in(client, tmp_path).estimate(sources["Q4_K_M"], ASKED)
    hub.requests.clear()
    later = fit_in(client, tmp_path)
    later.estimate(sources["Q4_K_M"], ASKED)
    assert later.estimate(sources["Q8_0"], ASKED).basis == "engine"
    assert hub.served_bytes() < 24 * 1024


def test_another_model_of_the_repository_is_read_whole(
    hub: HubServer, client: HubClient, tmp_path: Path, five: dict[str, Path], large: Path
) -> None:
    other = tmp_path / "other.gguf"
    tiny_models.write_llama(other, vocabulary=60_000, width=128, layers=2)
    sources = all_published(hub, {"Q8_0": five["Q8_0"], "large": large, "same words": other})
    fit = fit_in(client, tmp_path / "plans")
    fit.estimate(sources["Q8_0"], ASKED)
    for name, path in (("large", large), ("same words", other)):
        far, near = fit.estimate(sources[name], ASKED), fit.estimate((path,), ASKED)
        for purpose in ("weights", "kv", "compute", "output", "books"):
            assert far.reserved_bytes(purpose) == near.reserved_bytes(purpose)
        assert hub.served_bytes(path.name) > 1024 * 1024


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_the_prediction_is_what_a_load_then_takes(
    hub: HubServer, client: HubClient, tmp_path: Path, kv_type: str
) -> None:
    options = replace(ASKED, context_length=4096, kv_type_k=kv_type, kv_type_v=kv_type)
    estimate = fit_in(client, tmp_path).estimate(published(hub, DEMO), options)
    engine = LocalEngine()
    try:
        report = engine.load(ModelRef(str(DEMO), ""), options)
        resident = psutil.Process(engine.pid).memory_info().rss
    finally:
        engine.close()
    found = {item.purpose: item.error for item in compare(estimate, report, resident)}
    for purpose in ("weights", "kv", "compute"):
        assert abs(found[purpose]) < 0.01
    # No prompt was read: the compute buffer is reserved and not touched, and so are the work buffers.
    untouched = estimate.resident_bytes("compute") + 4 * 1024**2
    assert abs(estimate.resident_bytes() - untouched - resident) < 0.08 * resident


def test_a_planning_process_that_is_killed_leaves_an_arithmetic_estimate(
    hub: HubServer, client: HubClient, tmp_path: Path
) -> None:
    known = {child.pid for child in psutil.Process().children()}
    is_over = threading.Event()

    def kill_what_starts() -> None:
        while not is_over.wait(0.001):
            for child in psutil.Process().children():
                if child.pid not in known:
                    os.kill(child.pid, signal.SIGKILL)
                    return

    source = published(hub, DEMO)
    fit = fit_in(client, tmp_path)
    fit.header(source)
    killer = threading.Thread(target=kill_what_starts)
    killer.start()
    estimate = fit.estimate(source, ASKED)
    is_over.set()
    killer.join()
    assert estimate.basis == "arithmetic"
    assert "unexpectedly" in (estimate.note or "")
    assert fit.estimate(source, ASKED).basis == "engine"


def test_a_gated_model_says_so(hub: HubServer, client: HubClient, tmp_path: Path) -> None:
    source = published(hub, DEMO)
    hub.misbehave("model-F16.gguf", Status(403, error_code="GatedRepo"), times=None)
    with pytest.raises(HubAccessDenied):
        fit_in(client, tmp_path).estimate(source, ASKED)
    assert not list(tmp_path.rglob("*.gguf"))
