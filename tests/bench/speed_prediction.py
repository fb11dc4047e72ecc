"""Predicted against measured speed over models of several shapes and types; prints JSON and a Markdown table.

    python -m tests.bench.speed_prediction [--models 42M 1B ...] [--rounds 3] [--threads 2]
                                           [--types-table | --held-out | --probes 5]

Before each model the probe measures the machine. The speed is predicted from the model's header alone, and then
measured through the engine: decode after a short and after a long prompt, and prefill of 512 tokens. With
`--types-table` it measures every tensor type instead, which is where the ratios of `hub/speed.py` come from.

The arithmetic and its constants were made while these models were looked at. `--held-out` takes three others, in real
mixtures of types, and one probe at the very beginning for all of them, as a program has it. Each is measured in turns,
twice; a second probe at the end says how far the probe's word would have moved meanwhile, and is used for nothing
else. `--probes` runs the probe so many times in a row, to see how well it repeats.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.bench import bench_models
from tests.fakes import tiny_models
from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.engine.quantizer import quantize_file
from workbench.hub.gguf import read_header
from workbench.hub.model_work import ModelWork, work_of
from workbench.hub.speed import MachineSpeed, decode_tps, prefill_tps
from workbench.machine_probe import MachineProbe
from workbench.probe_model import KNOWN_TYPES, ProbeShape, write_probe_model
from workbench.probe_readings import ProbeSize
from workbench.runs.spec import EngineOptions, Limits, ModelRef, Sampling

OUTPUT_TOKENS, SHORT, LONG, PROMPT = 32, 32, 1024, 512
NO_END = ((0, -1e9), (1, -1e9), (2, -1e9))


def made(name: str, write: Callable[[Path], object]) -> Path:
    path = bench_models.bench_folder() / name
    if not path.exists():
        part = path.with_suffix(".part")
        write(part)
        part.rename(path)
    return path


def shaped(name: str, shape: ProbeShape, type_name: str) -> Callable[[], Path]:
    return lambda: made(f"shape-{name}-{type_name}.gguf", lambda path: write_probe_model(path, shape, type_name))


def mixture(path: Path, type_name: str = "Q4_K_M") -> None:
    """Eight experts of which two work: 400 million parameters, a third of them for each token."""
    width, layers, experts, wide, vocabulary = 1024, 8, 8, 1792, 32_000
    whole = path.with_suffix(".whole")
    writer = gguf.GGUFWriter(str(whole), "llama")
    sizes = {"vocabulary": vocabulary, "width": width, "layers": layers, "heads": 16, "kv_heads": 4}
    tiny_models._llama_sizes(writer, **sizes, feed_forward=wide, context=4096)
    writer.add_expert_count(experts)
    writer.add_expert_used_count(2)
    tiny_models._add_vocabulary(writer, [], vocabulary, template=tiny_models.CHATML)
    tensors = tiny_models._llama_tensors(**sizes, feed_forward=wide, seed=1, scale=0.02)
    random = np.random.default_rng(2)
    pattern = (random.standard_normal((experts, wide, width), dtype=np.float32) * np.float32(0.02)).astype(np.float16)
    for layer in range(layers):
        for name in ("gate", "up", "down"):
            del tensors[f"blk.{layer}.ffn_{name}.weight"]
            shape = (experts, width, wide) if name == "down" else (experts, wide, width)
            tensors[f"blk.{layer}.ffn_{name}_exps.weight"] = pattern.reshape(shape)
        tensors[f"blk.{layer}.ffn_gate_inp.weight"] = random.standard_normal((experts, width), dtype=np.float32)
    tiny_models._finish(writer, whole, tensors)
    quantize_file(whole, path, type_name)
    whole.unlink()


MODELS: dict[str, Callable[[], Path]] = {
    "42M": bench_models.large_vocabulary,
    "0.15B": shaped("0.15B", ProbeShape(768, 18, 2048, 12, 4, 32_000), "Q8_0"),
    "0.5B": bench_models.half_billion,
    "0.6B": shaped("0.6B", ProbeShape(1024, 28, 3072, 16, 8, 65_536), "Q6_K"),
    "1B": shaped("1B", ProbeShape(2048, 16, 8192, 32, 8, 32_000), "Q4_K"),
    "1.5B": shaped("1.5B", ProbeShape(2048, 28, 6144, 16, 8, 32_000), "Q4_K"),
    "0.6B-IQ4_XS": shaped("0.6B", ProbeShape(1024, 28, 3072, 16, 8, 65_536), "IQ4_XS"),
    "0.4B-mixture": lambda: made("mixture-0.4B-Q4_K_M.gguf", mixture),
}


def mixed(name: str, shape: ProbeShape, type_name: str) -> Callable[[], Path]:
    """As `shaped`, in llama.cpp's own mixture of tensor types, with the embedding table in it."""

    def write(path: Path) -> None:
        whole = path.with_suffix(".whole")
        write_probe_model(whole, shape, "F16")
        quantize_file(whole, path, type_name)
        whole.unlink()

    return lambda: made(f"held-out-{name}-{type_name}.gguf", write)


# Heads of 64, 128 and 96, of which one, four and eight share one of the cache's.
HELD_OUT: dict[str, Callable[[], Path]] = {
    "86M-Q5_K_M": mixed("86M", ProbeShape(512, 18, 1536, 8, 8, 49_152), "Q5_K_M"),
    "0.24B-Q3_K_M": mixed("0.24B", ProbeShape(1024, 18, 2816, 8, 2, 32_000), "Q3_K_M"),
    "0.33B-Q8_0": mixed("0.33B", ProbeShape(1536, 12, 4096, 16, 2, 32_000), "Q8_0"),
}
FIGURES = ("decode_short", "decode_long", "prefill")


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens per second: decode after 32 and after 1,024 tokens, prefill of 512."""

    decode_short: float
    decode_long: float
    prefill: float


def predict(work: ModelWork, machine: MachineSpeed) -> Speeds:
    middle = OUTPUT_TOKENS // 2
    return Speeds(
        decode_tps(work, machine, SHORT + middle),
        decode_tps(work, machine, LONG + middle),
        prefill_tps(work, machine, PROMPT),
    )


class Timer:
    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._numbers: Iterator[int] = itertools.count()

    def ask(self, prompt_tokens: int, output_tokens: int = OUTPUT_TOKENS) -> tuple[float, float]:
        """Prefill and decode speed."""
        number = next(self._numbers)
        prompt = (chr(ord("A") + number % 26) + "qzxjkvw" * prompt_tokens)[:prompt_tokens]
        request = api.EngineRequest(
            f"bench-{number}", sampling=Sampling(logit_bias=NO_END), limits=Limits(output_tokens), prompt=prompt
        )
        start = end = evaluated = 0
        stamps: list[int] = []
        for event in self._engine.run([request]):
            match event:
                case api.PromptReady():
                    evaluated = event.prompt_tokens - event.cached_tokens
                case api.PrefillStarted():
                    start = event.t_ns
                case api.PrefillEnded():
                    end = event.t_ns
                case api.Tokens():
                    stamps += event.stamps_ns
                case api.RequestFailed():
                    raise RuntimeError(event.message)
        return evaluated * 1e9 / (end - start), (len(stamps) - 1) * 1e9 / (stamps[-1] - stamps[0])


def measure(path: Path, threads: int | None, rounds: int) -> Speeds:
    engine = LocalEngine()
    try:
        engine.load(ModelRef(str(path), path.stem), EngineOptions(context_length=2048, threads=threads))
        timer = Timer(engine)
        timer.ask(SHORT, 4)
        short = [timer.ask(SHORT)[1] for _ in range(rounds)]
        long = [timer.ask(LONG)[1] for _ in range(max(1, rounds - 1))]
        prefill = [timer.ask(PROMPT, 3)[0] for _ in range(rounds)]
    finally:
        engine.close()
    return Speeds(statistics.median(short), statistics.median(long), statistics.median(prefill))


def row_of(name: str, threads: int | None, rounds: int) -> dict[str, Any]:
    """A probe of its own before each model keeps the drift of a shared machine out of the comparison."""
    path = MODELS[name]()
    machine = probe(threads)
    return {**compared(name, path, machine, [measure(path, threads, rounds)]), **probed(machine)}


def probed(machine: MachineSpeed) -> dict[str, Any]:
    speeds = {speed.type: round(speed.bytes_per_s / 1e9, 1) for speed in machine.types}
    return {"probe_s": machine.took_s, "row_ns": round(machine.row_s * 1e9, 1), "gb_per_s": speeds}


def compared(name: str, path: Path, machine: MachineSpeed, measured: list[Speeds]) -> dict[str, Any]:
    """Against the middle of what was measured; `apart` is how far its highest value lies above its lowest."""
    work = work_of(read_header(path))
    assert work is not None
    predicted = predict(work, machine)
    row: dict[str, Any] = {"model": name, "file_mb": round(path.stat().st_size / 1e6)}
    row["active_mb"] = round(work.active_bytes / 1e6)
    for figure in FIGURES:
        all_found = [getattr(speeds, figure) for speeds in measured]
        told, found = getattr(predicted, figure), statistics.median(all_found)
        row[figure] = {"predicted": round(told, 1), "measured": round(found, 1), "error": round(told / found - 1, 3),
                       "apart": round(max(all_found) / min(all_found) - 1, 3)}  # fmt: skip
    return row


def held_out(threads: int | None, rounds: int) -> dict[str, Any]:
    """One probe first, then every model in turns, twice."""
    paths = {name: make() for name, make in HELD_OUT.items()}
    machine = probe(threads)
    turns = [{name: measure(path, threads, rounds) for name, path in paths.items()} for _ in range(2)]
    rows = [compared(name, path, machine, [turn[name] for turn in turns]) for name, path in paths.items()]
    return {"models": rows, **probed(machine), "drift": drift(machine, probe(threads))}


def drift(first: MachineSpeed, last: MachineSpeed) -> dict[str, dict[str, float]]:
    """What the last probe found over what the first one did, by type."""
    pairs = [(one, last.of(one.type)[0]) for one in first.types]
    return {one.type: {"decode": round(other.bytes_per_s / one.bytes_per_s, 2),
                       "prefill": round(other.flops / one.flops, 2)} for one, other in pairs}  # fmt: skip


def probes(threads: int | None, count: int) -> dict[str, Any]:
    """Every figure of several probes in a row; `apart` is how far the highest lies above the lowest."""
    found = [{speed.type: speed for speed in probe(threads).types} for _ in range(count)]
    report: dict[str, Any] = {}
    for name in found[0]:
        decode = [round(each[name].bytes_per_s / 1e9, 1) for each in found]
        prefill = [round(each[name].flops / 1e9) for each in found]
        report[name] = {"gb_per_s": decode, "decode_apart": round(max(decode) / min(decode) - 1, 2),
                        "gflops": prefill, "prefill_apart": round(max(prefill) / min(prefill) - 1, 2)}  # fmt: skip
    return report


def table(rows: list[dict[str, Any]]) -> str:
    figures = {"decode_short": "decode, 32 in context", "decode_long": "decode, 1,024", "prefill": "prefill, 512"}
    lines = [
        "| model | file | read for a token | " + " | ".join(figures.values()) + " |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = [
            f"{row[key]['predicted']:,.0f} / {row[key]['measured']:,.0f} ({row[key]['error']:+.0%})" for key in figures
        ]
        lines.append(f"| {row['model']} | {row['file_mb']:,} MB | {row['active_mb']:,} MB | {' | '.join(cells)} |")
    return "\n".join(lines)


def probe(threads: int | None, types: tuple[str, ...] | None = None) -> MachineSpeed:
    with tempfile.TemporaryDirectory() as folder:
        made_anew = MachineProbe(Path(folder), "bench", LocalEngine, ProbeSize(limit_s=300 if types else 20))
        return made_anew.measure(threads, types=types) if types else made_anew.measure(threads)


def types_table(threads: int | None) -> str:
    speeds = probe(threads, KNOWN_TYPES).types
    lines = ["| type | decode, GB/s | prefill, billion operations/s |", "| --- | ---: | ---: |"]
    lines += [f"| {speed.type} | {speed.bytes_per_s / 1e9:.1f} | {speed.flops / 1e9:.0f} |" for speed in speeds]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--types-table", action="store_true")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--probes", type=int)
    arguments = parser.parse_args()
    if arguments.types_table:
        print(types_table(arguments.threads))
        return
    if arguments.probes:
        print(json.dumps({"bench": "speed_prediction", "probes": probes(arguments.threads, arguments.probes)}))
        return
    if arguments.held_out:
        report = held_out(arguments.threads, arguments.rounds)
        print(json.dumps({"bench": "speed_prediction", "held_out": True, **report}, indent=2))
        print()
        print(table(report["models"]))
        return
    for name in arguments.models:
        MODELS[name]()  # making files would disturb the probe
    rows = [row_of(name, arguments.threads, arguments.rounds) for name in arguments.models]
    print(json.dumps({"bench": "speed_prediction", "models": rows}, indent=2))
    print()
    print(table(rows))


if __name__ == "__main__":
    main()
