"""Which weights lie where, and what the log of a plan says of caches on several devices."""

from __future__ import annotations

from workbench.engine.load_log import LoadLog
from workbench.engine.plan_weights import Extent, weight_items

TENSORS = {
    "token_embd.weight": Extent(0, 100),
    "blk.0.attn_q.weight": Extent(128, 10),
    "blk.0.attn_norm.weight": Extent(160, 1),
    "blk.1.attn_q.weight": Extent(192, 20),
    "blk.1.attn_norm.weight": Extent(224, 2),
    "output_norm.weight": Extent(256, 3),
    "output.weight": Extent(288, 50),
}
ON_CPU = dict.fromkeys(range(3), "CPU")


def placed(layers: dict[int, str], copied: set[str] = frozenset(), without: str = "", **how: bool) -> dict:  # type: ignore[assignment]
    tensors = {name: tensor for name, tensor in TENSORS.items() if name != without}
    items = weight_items(tensors, layers, copied, **{"is_mapped": True, **how})
    return {(item.purpose, item.device): item.size_bytes for item in items}


def test_a_mapped_file_counts_from_the_first_to_the_last_tensor() -> None:
    assert placed(ON_CPU) == {("weights", "CPU"): 338}
    assert placed(ON_CPU, is_mapped=False) == {("weights", "CPU"): 186}
    assert placed(ON_CPU, is_split=True) == {("weights", "CPU"): 186}


def test_copies_come_on_top_of_the_mapped_range_and_shorten_it_at_its_ends_only() -> None:
    inside = placed(ON_CPU, {"blk.0.attn_q.weight"})
    assert inside == {("weights", "CPU"): 338, ("repacked", "CPU"): 10}
    at_the_end = placed(ON_CPU, {"output.weight"})
    assert at_the_end == {("weights", "CPU"): 259, ("repacked", "CPU"): 50}
    assert placed(ON_CPU, {"output.weight"}, is_mapped=False) == {("weights", "CPU"): 136, ("repacked", "CPU"): 50}


def test_an_input_that_serves_as_output_is_copied_and_kept() -> None:
    found = placed(ON_CPU, {"token_embd.weight"}, without="output.weight", is_mapped=False)
    assert found == {("weights", "CPU"): 136, ("repacked", "CPU"): 100}


def test_layers_take_their_weights_to_the_gpu_and_the_input_stays() -> None:
    found = placed({0: "CPU", 1: "CUDA0", 2: "CUDA0"})
    assert found == {("weights", "CPU"): 161, ("weights", "CUDA0"): 75}
    found = placed({0: "CUDA1", 1: "CUDA0", 2: "CUDA0"}, {"blk.0.attn_q.weight"})
    assert found == {("weights", "CPU"): 100, ("weights", "CUDA1"): 11, ("weights", "CUDA0"): 75}


def test_a_shared_matrix_is_on_both_sides_when_the_output_is_on_the_gpu() -> None:
    found = placed(dict.fromkeys(range(3), "CUDA0"), without="output.weight")
    assert found == {("weights", "CPU"): 100, ("weights", "CUDA0"): 136}


def test_caches_are_split_by_the_devices_of_their_layers() -> None:
    log = LoadLog()
    for line in (
        "load_tensors: layer   0 assigned to device CPU, is_swa = 0",
        "load_tensors: layer   1 assigned to device CUDA0, is_swa = 0",
        "llama_kv_cache: layer   0: dev = CPU",
        "llama_kv_cache: layer   1: dev = CUDA0",
        "llama_kv_cache:        CPU KV buffer size =     0.00 MiB",
        "llama_kv_cache: size =    8.00 MiB (  2048 cells,   2 layers, 1/1 seqs), K (f16): 4.00 MiB",
        "llama_kv_cache: layer   2: dev = CUDA0",
        "llama_kv_cache: size =    2.00 MiB (  1024 cells,   1 layers, 1/1 seqs), K (f16): 4.00 MiB",
        "llama_memory_recurrent, layer   3: dev = CPU",
        "llama_memory_recurrent: size =    0.50 MiB (     1 cells,   1 layers,  1 seqs), R (f32): 0.25 MiB",
        "sched_reserve:        CPU compute buffer size =     3.00 MiB",
        "sched_reserve:  CUDA_Host compute buffer size =     1.00 MiB",
        "sched_reserve:      CUDA0 compute buffer size =     9.00 MiB",
    ):
        log.read(line)
    mib = 1024 * 1024
    assert {(item.purpose, item.device): item.size_bytes for item in log.planned_items()} == {
        ("kv", "CPU"): 4 * mib,
        ("kv", "CUDA0"): 6 * mib,
        ("recurrent", "CPU"): mib // 2,
        ("compute", "CPU"): 4 * mib,
        ("compute", "CUDA0"): 9 * mib,
    }
    assert log.layer_devices == {0: "CPU", 1: "CUDA0"}
    assert log.planned_cells == 3072
    assert log.planned_cache_bytes == 10.5 * mib


def test_every_copy_of_the_cpu_is_repacked() -> None:
    log = LoadLog()
    for name in ("CPU_REPACK", "CPU_KLEIDIAI", "AMX"):
        log.read(f"load_tensors: {name:>12} model buffer size =     1.00 MiB")
    (item,) = log.memory_items()
    assert (item.purpose, item.device, item.size_bytes) == ("repacked", "CPU", 3 * 1024 * 1024)
    assert log.has_planned("repacked")
    assert not log.has_planned("weights")
