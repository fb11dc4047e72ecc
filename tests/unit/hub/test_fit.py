"""Estimates from plans: what is asked how often, what is kept, and what happens where llama.cpp cannot be asked."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import gguf_files
from workbench.errors import EngineCrashed, ModelFileError, ModelNotFound, UserError, WorkbenchError
from workbench.hub.client import HubClient
from workbench.hub.fit import CELL_BYTES, ENGINE_BYTES, TOKEN_BYTES, WORK_BYTES, MemoryFit, compare
from workbench.hub.fit_cache import FILE_NAME, PlanCache, clear_old
from workbench.hub.memory import MemoryComparison
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.record import LoadReport, MemoryItem, ThinkingSwitch
from workbench.runs.spec import Adapter, EngineOptions

MB = 1000**2
ASKED = EngineOptions(context_length=8192, gpu_layers=0)


class CountingPlanner:
    """Plans by a rule that a test can compute: 100 MB of weights, 1 kB of cache for each token."""

    def __init__(self) -> None:
        self.build = "build 1"
        self.calls: list[list[EngineOptions]] = []
        self.error: WorkbenchError | None = None
        self.layers = 10

    def __call__(
        self, path: Path, options: Sequence[EngineOptions], cancel: threading.Event | None = None
    ) -> tuple[MemoryPlan, ...]:
        self.calls.append(list(options))
        if self.error is not None:
            raise self.error
        return tuple(map(self._plan, options))

    def _plan(self, options: EngineOptions) -> MemoryPlan:
        if options.kv_type_k == "q4_1":
            return MemoryPlan((), 0, self.layers + 1, refused="llama.cpp says no to q4_1.")
        on_gpu = (options.gpu_layers or 0) * 10 * MB
        items = [
            MemoryItem("weights", "CPU", 100 * MB - on_gpu),
            MemoryItem("kv", "CPU", options.context_length * 1000),
        ]
        items += [MemoryItem("compute", "CPU", 20 * MB), MemoryItem("compute", "CPU", MB)]
        items += [MemoryItem("weights", "CUDA0", on_gpu)] if on_gpu else []
        return MemoryPlan(
            tuple(items), options.gpu_layers or 0, self.layers + 1, options.context_length, program_bytes=30 * MB
        )


@pytest.fixture
def planner() -> CountingPlanner:
    return CountingPlanner()


@pytest.fixture
def plans(tmp_path: Path) -> Path:
    return tmp_path / "plans"


@pytest.fixture
def fit(planner: CountingPlanner, plans: Path) -> MemoryFit:
    return MemoryFit(HubClient(), planner, plans, free_bytes=lambda: 10_000 * MB)


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, ...]:
    return (gguf_files.write_model(tmp_path / "m.gguf"),)


def test_every_item_of_a_plan_is_a_part(fit: MemoryFit, source: tuple[Path, ...]) -> None:
    estimate = fit.estimate(source, replace(ASKED, gpu_layers=4))
    assert estimate.basis == "engine"
    assert estimate.note is None
    assert (estimate.context_length, estimate.kv_type, estimate.gpu_layers) == (8192, "f16", 4)
    assert estimate.reserved_bytes("weights", "CPU") == 60 * MB
    assert estimate.reserved_bytes("weights", "CUDA0") == 40 * MB
    assert estimate.reserved_bytes("kv") == 8_192_000
    assert estimate.reserved_bytes("compute") == 21 * MB
    assert estimate.reserved_bytes("books") == 8192 * (CELL_BYTES + TOKEN_BYTES)
    assert estimate.reserved_bytes("program") == 30 * MB + ENGINE_BYTES + WORK_BYTES
    assert estimate.devices == ("CPU", "CUDA0")


def test_keys_and_values_of_different_types_are_both_named(fit: MemoryFit, source: tuple[Path, ...]) -> None:
    assert fit.estimate(source, replace(ASKED, kv_type_k="q8_0")).kv_type == "q8_0/f16"


def test_adapters_count_with_the_size_of_their_files(fit: MemoryFit, source: tuple[Path, ...], tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(bytes(5000))
    adapters = (Adapter(str(tmp_path / "a.gguf")), Adapter(str(tmp_path / "gone.gguf")))
    plain, adapted = fit.estimate(source, ASKED), fit.estimate(source, replace(ASKED, adapters=adapters))
    assert adapted.reserved_bytes("weights") - plain.reserved_bytes("weights") == 5000


def test_a_plan_is_made_once_and_kept_for_the_next_program(
    fit: MemoryFit, planner: CountingPlanner, source: tuple[Path, ...], plans: Path
) -> None:
    first = fit.estimate(source, ASKED)
    assert fit.estimate(source, replace(ASKED, threads=7)) == first
    assert MemoryFit(HubClient(), planner, plans).estimate(source, ASKED) == first
    assert len(planner.calls) == 1


def test_another_build_of_llama_cpp_plans_anew(
    fit: MemoryFit, planner: CountingPlanner, source: tuple[Path, ...]
) -> None:
    fit.estimate(source, ASKED)
    planner.build = "build 2"
    fit.estimate(source, ASKED)
    assert len(planner.calls) == 2


def test_a_changed_file_is_planned_anew(fit: MemoryFit, planner: CountingPlanner, source: tuple[Path, ...]) -> None:
    fit.estimate(source, ASKED)
    os.utime(source[0], ns=(1, 1))
    fit.estimate(source, ASKED)
    assert len(planner.calls) == 2


def test_layers_chosen_by_free_gpu_memory_are_not_kept(
    fit: MemoryFit, planner: CountingPlanner, source: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(ASKED, gpu_layers=None)
    monkeypatch.setattr(planner, "_plan", lambda options: MemoryPlan((), 5, 11, 512))
    assert fit.estimate(source, asked).gpu_layers == 5
    fit.estimate(source, asked)
    assert len(planner.calls) == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"version": 1}', b"[]", b'{"version":1,"build":"build 1","plans":{"x":3}}']
)
def test_broken_plans_are_made_again(
    fit: MemoryFit, planner: CountingPlanner, source: tuple[Path, ...], plans: Path, content: bytes
) -> None:
    first = fit.estimate(source, ASKED)
    (file,) = plans.rglob(FILE_NAME)
    file.write_bytes(content)
    assert fit.estimate(source, ASKED) == first
    assert len(planner.calls) == 2
    assert json.loads(file.read_text())["plans"]


def test_the_kept_plans_are_bounded(plans: Path) -> None:
    cache = PlanCache(plans / "x", "b")
    plan = MemoryPlan((), 0, 1)
    cache.add({str(number): plan for number in range(500)})
    assert list(cache.read()) == [str(number) for number in range(100, 500)]


def test_what_nobody_used_for_a_month_is_cleared_away(plans: Path) -> None:
    old, recent = plans / "old", plans / "recent"
    for folder in (old, recent):
        PlanCache(folder, "b").add({"k": MemoryPlan((), 0, 1)})
        os.utime(folder, (1, 1))
    PlanCache(recent, "b").touch()
    assert clear_old(plans) == 1
    assert [path.name for path in plans.iterdir()] == ["recent"]
    assert clear_old(plans / "nowhere") == 0


# -- curves


def test_a_curve_has_powers_of_two_up_to_the_trained_length(
    fit: MemoryFit, planner: CountingPlanner, tmp_path: Path
) -> None:
    path = gguf_files.write_model(tmp_path / "m.gguf", extra={"llama.context_length": 40_960})
    points = fit.curve((path,), ASKED)
    assert [point.context_length for point in points] == [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 40_960]
    for before, after in itertools.pairwise(points):
        added = after.context_length - before.context_length
        assert after.reserved_bytes - before.reserved_bytes == added * (1000 + CELL_BYTES + TOKEN_BYTES)
    assert len(planner.calls) == 1


@pytest.mark.parametrize(
    ("trained", "first", "last", "count"), [(131_072, 1024, 131_072, 8), (512, 512, 512, 1), (300, 300, 300, 1)]
)
def test_a_curve_has_eight_points_at_most(
    fit: MemoryFit, tmp_path: Path, trained: int, first: int, last: int, count: int
) -> None:
    path = gguf_files.write_model(tmp_path / "m.gguf", extra={"llama.context_length": trained})
    points = fit.curve((path,), ASKED)
    assert (points[0].context_length, points[-1].context_length, len(points)) == (first, last, count)


def test_a_curve_takes_the_contexts_that_are_asked_for(fit: MemoryFit, source: tuple[Path, ...]) -> None:
    assert [point.context_length for point in fit.curve(source, ASKED, (700, 600, 700))] == [700, 600, 700]


# -- verdicts


def judge(planner: CountingPlanner, plans: Path, source: tuple[Path, ...], free_mb: int, gpu_free_mb: int | None = None,
          **options: int) -> object:  # fmt: skip
    fit = MemoryFit(HubClient(), planner, plans, free_bytes=lambda: free_mb * MB)
    asked = replace(ASKED, **options)
    gpu_free = None if gpu_free_mb is None else {"CUDA0": gpu_free_mb * MB}
    return fit.verdict(fit.estimate(source, asked), source, asked, gpu_free)


def test_the_longest_context_that_fits_is_planned_and_not_guessed(
    planner: CountingPlanner, plans: Path, source: tuple[Path, ...]
) -> None:
    verdict = judge(planner, plans, source, 400, context_length=131_072)
    assert verdict.kind == "less_context"
    length = verdict.context_length
    assert judge(planner, plans, source, 400, context_length=length).kind == "fits"
    assert judge(planner, plans, source, 400, context_length=length + 4096).kind == "less_context"


def test_what_fits_and_what_never_fits(planner: CountingPlanner, plans: Path, source: tuple[Path, ...]) -> None:
    assert judge(planner, plans, source, 5000).kind == "fits"
    verdict = judge(planner, plans, source, 150)
    assert verdict.kind == "does_not_fit"
    assert "512 tokens" in verdict.sentence
    assert judge(planner, plans, source, 150, context_length=512).kind == "does_not_fit"


def test_fewer_layers_where_the_gpu_is_full(planner: CountingPlanner, plans: Path, source: tuple[Path, ...]) -> None:
    verdict = judge(planner, plans, source, 5000, 570, gpu_layers=10)
    assert (verdict.kind, verdict.gpu_layers) == ("fewer_gpu_layers", 7)
    # Nothing fits on the GPU, but no layer on it needs nothing there.
    verdict = judge(planner, plans, source, 5000, 100, gpu_layers=10)
    assert (verdict.kind, verdict.gpu_layers) == ("fewer_gpu_layers", 0)


# -- where llama.cpp cannot be asked


HEADER: dict[str, gguf_files.Value] = {
    "martian.block_count": 4, "martian.embedding_length": 64, "martian.feed_forward_length": 256,
    "martian.attention.head_count": 4, "martian.attention.head_count_kv": [2, 2, 0, 1],
    "martian.ssm.inner_size": 128, "martian.ssm.state_size": 16, "martian.ssm.conv_kernel": 4,
    "tokenizer.ggml.tokens": [f"t{number}" for number in range(2000)],
}  # fmt: skip


def martian(tmp_path: Path) -> tuple[Path, ...]:
    return (gguf_files.write_model(tmp_path / "m.gguf", architecture="martian", weights=256 * 2000, extra=HEADER),)


def unknown() -> ModelFileError:
    return ModelFileError("m.gguf has the architecture 'martian'.", code="architecture_unsupported")


def test_an_unknown_architecture_is_computed_and_labelled(
    fit: MemoryFit, planner: CountingPlanner, tmp_path: Path
) -> None:
    planner.error = unknown()
    source = martian(tmp_path)
    estimate = fit.estimate(source, replace(ASKED, kv_type_v="q8_0", parallel=2, ubatch_size=128))
    assert estimate.basis == "arithmetic"
    assert estimate.note == "m.gguf has the architecture 'martian'. The figures are computed from the header instead."
    assert estimate.reserved_bytes("weights") == 256 * 2000 * 2
    # 5 key heads of 16 numbers over all layers, two bytes for a key and 34/32 for a value.
    assert estimate.reserved_bytes("kv") == round(5 * 16 * (2 + 34 / 32) * 8192 * 2)
    assert estimate.reserved_bytes("recurrent") == 4 * 128 * (16 + 3) * 4 * 2
    assert estimate.reserved_bytes("compute") == 128 * ((3 * 256 + 4 * 64) * 4 + 8192 * 2)
    assert estimate.reserved_bytes("output") == 2000 * 4 * 2
    fit.curve(source, ASKED)
    assert len(planner.calls) == 1


def test_a_dead_planning_process_falls_back_and_is_asked_again(
    fit: MemoryFit, planner: CountingPlanner, source: tuple[Path, ...]
) -> None:
    planner.error = EngineCrashed("The process that plans memory stopped unexpectedly (exit code -9).")
    estimate = fit.estimate(source, ASKED)
    assert estimate.basis == "arithmetic"
    assert "exit code -9" in (estimate.note or "")
    planner.error = None
    assert fit.estimate(source, ASKED).basis == "engine"


def test_a_context_that_llama_cpp_refuses_is_computed_and_labelled(fit: MemoryFit, source: tuple[Path, ...]) -> None:
    refused, good = fit.estimates(source, [replace(ASKED, kv_type_k="q4_1"), ASKED])
    assert (refused.basis, refused.note) == ("arithmetic", "llama.cpp says no to q4_1.")
    assert good.basis == "engine"


def test_a_cancel_is_no_reason_to_compute(fit: MemoryFit, planner: CountingPlanner, source: tuple[Path, ...]) -> None:
    planner.error = UserError("Planning the memory was cancelled.", code="cancelled")
    with pytest.raises(UserError):
        fit.estimate(source, ASKED)


def test_damaged_and_missing_files_are_errors(fit: MemoryFit, planner: CountingPlanner, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(10))
    with pytest.raises(ModelFileError):
        fit.estimate((broken,), ASKED)
    with pytest.raises(ModelNotFound):
        fit.estimate((tmp_path / "nowhere.gguf",), ASKED)
    assert not planner.calls


def test_a_folder_that_cannot_be_written_costs_no_answer(
    planner: CountingPlanner, source: tuple[Path, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    fit = MemoryFit(HubClient(), planner, tmp_path / "file" / "plans")
    assert fit.estimate(source, ASKED).basis == "engine"


# -- afterwards


def report(context_length: int, *items: MemoryItem) -> LoadReport:
    return LoadReport("build", (), 1, 0, context_length, None, "llama", "m", None, 1, 1, 1, (), ThinkingSwitch(), items)


def test_a_load_is_compared_item_by_item(fit: MemoryFit, source: tuple[Path, ...]) -> None:
    estimate = fit.estimate(source, ASKED)
    items = [MemoryItem("weights", "CPU", 100 * MB), MemoryItem("kv", "CPU", 8_000_000)]
    items += [MemoryItem("compute", "CPU", 21 * MB), MemoryItem("repacked", "CPU", 7 * MB)]
    found = compare(estimate, report(8192, *items), 170 * MB)
    assert found == (
        MemoryComparison("weights", 100 * MB, 100 * MB),
        MemoryComparison("repacked", 0, 7 * MB),
        MemoryComparison("kv", 8_192_000, 8_000_000),
        MemoryComparison("compute", 21 * MB, 21 * MB),
        MemoryComparison("total resident", estimate.resident_bytes(), 170 * MB),
    )
    assert found[2].error == pytest.approx(0.024)
    assert compare(estimate, report(4096, *items)) == ()
    assert "total resident" not in [item.purpose for item in compare(estimate, report(8192, *items))]
