"""What the planning process says, beside what the real engine then reserves."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.fakes import gguf_files, tiny_models
from tests.integration.engine.asking import Asker
from workbench.engine.planner import MemoryPlanner
from workbench.engine.quantizer import quantize_file
from workbench.errors import EngineCrashed, EngineStartFailed, ModelFileError, ModelNotFound, UserError
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.record import LoadReport
from workbench.runs.spec import Adapter, EngineOptions

CPU_ONLY = EngineOptions(gpu_layers=0)


def planned(path: Path, *options: EngineOptions) -> tuple[MemoryPlan, ...]:
    return MemoryPlanner()(path, options)


def sizes(items: MemoryPlan | LoadReport, *purposes: str) -> dict[str, int]:
    found = items.items if isinstance(items, MemoryPlan) else items.memory
    return {item.purpose: item.size_bytes for item in found if item.purpose in purposes and item.size_bytes}


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_the_plan_of_the_demo_model_is_what_a_load_reserves(asker: Asker, demo: Path, kv_type: str) -> None:
    contexts = (512, 2048, 8192)
    options = [replace(CPU_ONLY, context_length=c, kv_type_k=kv_type, kv_type_v=kv_type) for c in contexts]
    for item, plan in zip(options, planned(demo, *options), strict=True):
        report = asker.load(demo, context_length=item.context_length, kv_type_k=kv_type, kv_type_v=kv_type)
        assert sizes(plan, "kv", "compute", "output") == sizes(report, "kv", "compute", "output")
        assert sizes(plan, "weights")["weights"] == pytest.approx(sizes(report, "weights")["weights"], rel=0.002)


@pytest.mark.parametrize(
    "options",
    [
        {"ubatch_size": 128, "batch_size": 256},
        {"parallel": 3},
        {"flash_attention": "off"},
        {"use_mmap": False},
        {"kv_type_k": "q8_0", "kv_type_v": "f16"},
    ],
)
def test_other_options_change_the_plan_as_they_change_the_load(asker: Asker, demo: Path, options: dict) -> None:
    (plan,) = planned(demo, replace(CPU_ONLY, context_length=1024, **options))
    report = asker.load(demo, context_length=1024, **options)
    assert sizes(plan, "kv", "compute", "output") == sizes(report, "kv", "compute", "output")
    assert sizes(plan, "weights")["weights"] == pytest.approx(sizes(report, "weights")["weights"], rel=0.002)


@pytest.mark.parametrize("name", ["mamba", "window"])
def test_running_states_and_sliding_windows_are_planned(asker: Asker, models: Path, name: str) -> None:
    (plan,) = planned(models / f"{name}.gguf", replace(CPU_ONLY, context_length=2048))
    report = asker.load(models / f"{name}.gguf", context_length=2048)
    assert sizes(plan, "kv", "recurrent", "compute") == sizes(report, "kv", "recurrent", "compute")
    assert "recurrent" in sizes(plan, "recurrent") or name == "window"


@pytest.mark.parametrize("repack", [True, False])
def test_weights_that_the_cpu_repacks_are_counted_twice(asker: Asker, tmp_path: Path, repack: bool) -> None:
    whole = tiny_models.write_llama(tmp_path / "whole.gguf", width=256, layers=4, feed_forward=1024)
    path = tmp_path / "model.gguf"
    quantize_file(whole, path, "Q4_0", threads=1)
    (plan,) = planned(path, replace(CPU_ONLY, context_length=512, repack=repack))
    report = asker.load(path, context_length=512, repack=repack)
    # llama.cpp logs hundredths of a MiB.
    for purpose in ("weights", "repacked"):
        real = sizes(report, purpose).get(purpose, 0)
        assert sizes(plan, purpose).get(purpose, 0) == pytest.approx(real, abs=0.011 * 2**20)
    assert not sizes(plan, "repacked") or repack


def test_a_hole_in_place_of_the_weights_gives_the_same_plan(demo: Path, tmp_path: Path) -> None:
    from workbench.hub.gguf import read_header

    hollow = tmp_path / "model.gguf"
    with hollow.open("wb") as file:
        file.write(demo.read_bytes()[: read_header(demo).data_offset])
        file.truncate(demo.stat().st_size)
    (whole,), (empty,) = planned(demo, CPU_ONLY), planned(hollow, CPU_ONLY)
    assert empty.items == whole.items
    assert empty.program_bytes == pytest.approx(whole.program_bytes, rel=0.05)


def test_scores_count_where_flash_attention_is_off(models: Path) -> None:
    asked = replace(CPU_ONLY, context_length=1024, ubatch_size=256)
    with_flash, without, in_floats = planned(
        models / "tiny.gguf",
        asked,
        replace(asked, flash_attention="off"),
        replace(asked, flash_attention="off", kv_type_v="f32"),
    )
    assert (with_flash.scores_bytes, in_floats.scores_bytes) == (0, 0)
    assert without.scores_bytes == 1024 * 256 * 4 * 2


def test_adapters_do_not_hinder_a_plan(demo: Path) -> None:
    (plan,) = planned(demo, replace(CPU_ONLY, adapters=(Adapter("/nowhere.gguf"),)))
    assert plan.refused is None


def test_a_context_that_llama_cpp_refuses_says_why_and_the_others_are_planned(models: Path) -> None:
    # Sixteen numbers of a head make no block of 32.
    refused, good = planned(models / "tiny.gguf", replace(CPU_ONLY, kv_type_k="q8_0"), CPU_ONLY)
    assert refused.refused is not None
    assert "block size 32" in refused.refused
    assert good.refused is None
    assert sizes(good, "kv")


def test_an_absurd_context_is_refused_without_taking_its_books(models: Path) -> None:
    (plan,) = planned(models / "tiny.gguf", replace(CPU_ONLY, context_length=2_000_000_000))
    assert plan.refused is not None


def test_files_that_cannot_be_planned_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        planned(tmp_path / "nowhere.gguf", CPU_ONLY)
    (tmp_path / "text.gguf").write_text("x" * 100)
    with pytest.raises(ModelFileError, match="GGUF"):
        planned(tmp_path / "text.gguf", CPU_ONLY)
    unknown = gguf_files.write_model(tmp_path / "unknown.gguf", architecture="martian", file_type=None)
    with pytest.raises(ModelFileError, match="martian") as caught:
        planned(unknown, CPU_ONLY)
    assert caught.value.code == "architecture_unsupported"


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def worker_that(body: str) -> tuple[str, ...]:
    """A command whose process does something else than plan."""
    return (sys.executable, "-c", body)


def test_a_killed_planning_process_is_an_error_and_not_a_hang(demo: Path) -> None:
    before = children()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            MemoryPlanner(command=worker_that("import time; time.sleep(60)"))(demo, [CPU_ONLY])
        except EngineCrashed as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not (started := children() - before):
        threading.Event().wait(0.01)
    os.kill(started.pop(), signal.SIGKILL)
    asking.join(10)
    assert [type(error) for error in failures] == [EngineCrashed]
    assert children() <= before


def test_a_planning_process_that_hangs_is_ended(demo: Path) -> None:
    before = children()
    planner = MemoryPlanner(command=worker_that("import time; time.sleep(60)"), timeout_s=0.3)
    with pytest.raises(EngineCrashed) as caught:
        planner(demo, [CPU_ONLY])
    assert caught.value.code == "plan_timeout"
    assert children() <= before


def test_a_cancel_ends_the_planning_process(demo: Path) -> None:
    before = children()
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(UserError) as caught:
        MemoryPlanner(command=worker_that("import time; time.sleep(60)"))(demo, [CPU_ONLY], cancel)
    assert caught.value.code == "cancelled"
    assert children() <= before


def test_a_command_that_does_not_exist_is_an_error(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineStartFailed):
        MemoryPlanner(command=(str(tmp_path / "nothing"),))(demo, [CPU_ONLY])


def test_split_files_are_planned_as_one(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    first, second = split(models / "tiny.gguf", folder)
    (whole,), (parts,) = planned(models / "tiny.gguf", CPU_ONLY), planned(first, CPU_ONLY)
    assert sizes(parts, "kv", "compute") == sizes(whole, "kv", "compute")
    assert sizes(parts, "weights")["weights"] == pytest.approx(sizes(whole, "weights")["weights"], rel=0.01)
    shutil.rmtree(folder)
    assert not second.exists()


def split(path: Path, folder: Path) -> tuple[Path, Path]:
    """The model in two files, the second of which has only tensors."""
    import gguf

    reader = gguf.GGUFReader(path)
    half = len(reader.tensors) // 2
    paths = (folder / "model-00001-of-00002.gguf", folder / "model-00002-of-00002.gguf")
    for number, (target, tensors) in enumerate(zip(paths, (reader.tensors[:half], reader.tensors[half:]), strict=True)):
        writer = gguf.GGUFWriter(target, "llama" if number == 0 else "")
        for field in reader.fields.values():
            if number == 0 and not field.name.startswith(("GGUF.", "general.architecture")):
                writer.add_key_value(
                    field.name, field.contents(), field.types[0], *field.types[-1:] * (len(field.types) > 1)
                )
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in tensors:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return paths
