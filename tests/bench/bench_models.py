"""The models of the benches: true shapes, random weights, made once in a folder outside the repository."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.fakes import tiny_models
from workbench.engine.quantizer import quantize_file

DEMO = Path(__file__).parents[2] / "assets" / "models" / "demo-F16.gguf"


def bench_folder() -> Path:
    """`WORKBENCH_BENCH_MODELS`, or a folder in the system's temporary folder. The files take 1.5 GB while made."""
    folder = Path(os.environ.get("WORKBENCH_BENCH_MODELS", Path(tempfile.gettempdir()) / "workbench-bench-models"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def half_billion() -> Path:
    """0.5B in Q4_K_M, about 400 MB."""
    path = bench_folder() / "shape-0.5B-Q4_K_M.gguf"
    if not path.exists():
        whole = path.with_name("shape-0.5B-F16.gguf")
        tiny_models.write_half_billion(whole)
        quantize_file(whole, path, "Q4_K_M")
        whole.unlink()
    return path


def large_vocabulary() -> Path:
    """42M parameters with 151,936 tokens, F16."""
    path = bench_folder() / "large-vocabulary-F16.gguf"
    if not path.exists():
        part = path.with_suffix(".part")
        tiny_models.write_large_vocabulary(part)
        part.rename(path)
    return path


def tiny() -> Path:
    path = bench_folder() / "tiny.gguf"
    if not path.exists():
        tiny_models.write_llama(path, context=8192)
    return path


def pick(name: str) -> Path:
    """A model by its short name on the command line, or by its path."""
    makers = {"0.5B": half_billion, "42M": large_vocabulary, "tiny": tiny, "demo": lambda: DEMO}
    return makers[name]() if name in makers else Path(name)
