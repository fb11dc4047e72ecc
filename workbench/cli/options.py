"""The options that several commands share, and the files and streams that a prompt comes from."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import output
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.core import Knobs
    from workbench.runs.spec import Adapter, Placement


LARGEST_TEXT_BYTES = 64 * 1024 * 1024


class OverflowPolicy(StrEnum):
    """`workbench.runs.spec.Overflow`, written out so that `--help` need not import the core."""

    ERROR = "error"
    DROP_OLDEST = "drop_oldest"
    KEEP_HEAD_TAIL = "keep_head_tail"
    SHIFT = "shift"


class SplitModeName(StrEnum):
    """`workbench.runs.spec.SplitMode`."""

    LAYER = "layer"
    ROW = "row"
    NONE = "none"


Model = Annotated[
    str | None, typer.Option("--model", "-m", metavar="NAME|PATH", help="The model; else the one of the settings.")
]
Quant = Annotated[str | None, typer.Option("--quant", "-q", metavar="NAME", help="Its quantization, as Q4_K_M.")]
Context = Annotated[int | None, typer.Option("--context", "-c", metavar="TOKENS", help="Context length.")]
Mode = Annotated[str | None, typer.Option("--mode", metavar="NAME", help="fast, thoughtful ...: see profiles list.")]
Surface = Annotated[
    str | None, typer.Option("--surface", metavar="NAME", help="Whose latency budget judges the run: chat ...")
]
System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="System prompt.")]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of the sampler.")]
Temperature = Annotated[float | None, typer.Option("--temperature", metavar="T", help="0 is greedy.")]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", help="Output limit, thinking and answer together.")
]
Threads = Annotated[int | None, typer.Option("--threads", metavar="N", help="Else as many as physical cores.")]
GpuLayers = Annotated[
    str | None, typer.Option("--gpu-layers", metavar="auto|all|N", help="Layers to offload; else as many as fit.")
]
SplitMode = Annotated[
    SplitModeName | None, typer.Option("--split-mode", help="How several GPUs share a model; layer by default.")
]
MainGpu = Annotated[
    int | None, typer.Option("--main-gpu", metavar="N", help="Run on one GPU alone: 1 is CUDA1, Vulkan1 ...")
]
TensorSplit = Annotated[
    str | None, typer.Option("--tensor-split", metavar="A,B,...", help="Shares of the GPUs; else by free memory.")
]
KvType = Annotated[str | None, typer.Option("--kv-type", metavar="TYPE", help="Type of the KV cache: f16, q8_0 ...")]
Lora = Annotated[
    list[str] | None,
    typer.Option("--lora", metavar="PATH[:SCALE]", help="A LoRA adapter in GGUF format; may be given several times."),
]
OverflowOption = Annotated[
    OverflowPolicy | None, typer.Option("--overflow", help="What to do with a prompt longer than the context.")
]
Document = Annotated[
    Path | None, typer.Option("--document", metavar="FILE", help="A text file to put before the prompt.")
]
Json = Annotated[
    bool,
    typer.Option("--json", callback=output.ask_json, help="Print JSON and nothing else on standard output."),
]


class UsageProblem(UserError):
    """What was typed cannot be meant so."""

    code = "usage"


@dataclass(frozen=True, slots=True)
class Choice:
    """The shared options as they were typed, so that commands pass one thing on; None was not typed."""

    model: str | None = None
    quant: str | None = None
    context: int | None = None
    mode: str | None = None
    surface: str | None = None
    system: str | None = None
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    threads: int | None = None
    gpu_layers: str | None = None
    kv_type: str | None = None
    overflow: OverflowPolicy | None = None
    lora: tuple[str, ...] = ()
    split_mode: SplitModeName | None = None
    main_gpu: int | None = None
    tensor_split: str | None = None

    def knobs(self, prompt: str) -> Knobs:
        from workbench.core import Knobs

        return Knobs(
            prompt=prompt,
            system=_whole(self.system) if self.system else None,
            model=self.model,
            quantization=self.quant,
            context_length=self.context,
            mode=self.mode,
            surface=self.surface,
            seed=self.seed,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            threads=self.threads,
            gpu_layers=gpu_layers(self.gpu_layers),
            kv_type=self.kv_type,
            placement=placement(self.split_mode, self.main_gpu, self.tensor_split),
            overflow=self.overflow.value if self.overflow else None,
            adapters=tuple(adapter(text) for text in self.lora),
        )


def gpu_layers(text: str | None) -> int | None:
    """None: as many as fit; -1: all of them."""
    if text is None or text == "auto":
        return None
    if text == "all":
        return -1
    if not text.isdecimal():
        raise UsageProblem(f"--gpu-layers is {text!r}; it must be auto, all or a number.")
    return int(text)


def placement(mode: SplitModeName | None, main_gpu: int | None, shares: str | None) -> Placement | None:
    """None: nothing was typed. A main GPU without a split mode is meant alone."""
    from workbench.runs.spec import Placement

    if mode is None and main_gpu is None and shares is None:
        return None
    if mode is None:
        mode = SplitModeName.LAYER if main_gpu is None else SplitModeName.NONE
    try:
        numbers = tuple(float(share) for share in shares.split(",")) if shares else ()
    except ValueError:
        raise UsageProblem(f"--tensor-split is {shares!r}; it must be numbers with commas, as 3,1.") from None
    return Placement(mode.value, main_gpu or 0, numbers)


def adapter(text: str) -> Adapter:
    """From PATH or PATH:SCALE. A colon inside a path is part of it where a file of that name exists."""
    from workbench.runs.spec import Adapter

    text = _whole(text)
    path, colon, scale = text.rpartition(":")
    if not colon or not path or os.path.exists(os.path.expanduser(text)):
        return Adapter(text)
    try:
        return Adapter(path, float(scale))
    except ValueError:
        if os.path.exists(os.path.expanduser(path)):
            raise UsageProblem(f"--lora {text!r}: the scale {scale!r} is no number.") from None
        return Adapter(text)


def read_prompt(prompt: str | None, file: Path | None) -> str:
    """From the argument, a file, or standard input (`-`, or nothing when it is piped)."""
    if prompt is not None and prompt != "-" and file is not None:
        raise UsageProblem("Give the prompt or --file, not both.")
    if file is not None:
        text = read_text(file)
    elif prompt == "-" or (prompt is None and not sys.stdin.isatty()):
        text = _decoded(sys.stdin.buffer.read(LARGEST_TEXT_BYTES + 1), "standard input")
    elif prompt is None:
        raise UsageProblem('There is no prompt. Type one, as in: workbench run "What is TTFT?"')
    else:
        text = _whole(prompt)
    if not text.strip():
        raise UsageProblem("The prompt is empty.")
    return text.rstrip("\n")


def read_text(path: Path) -> str:
    """A UTF-8 file or pipe; every failure is a sentence. A device could go on for ever, so none is read."""
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise UsageProblem(f"{path} is a {'folder' if stat.S_ISDIR(mode) else 'device'}; it must be a text file.")
        with path.open("rb") as file:
            data = file.read(LARGEST_TEXT_BYTES + 1)
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror or error}.") from error
    return _decoded(data, str(path))


def with_document(knobs: Knobs, document: Path | None) -> Knobs:
    """The same knobs with the text of a file."""
    from dataclasses import replace

    if document is None:
        return knobs
    return replace(knobs, document=read_text(document), document_name=document.name)


def _decoded(data: bytes, source: str) -> str:
    if len(data) > LARGEST_TEXT_BYTES:
        raise UsageProblem(f"{source} is longer than {LARGEST_TEXT_BYTES // 1024**2} MiB, more than any model reads.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{source} is not UTF-8 text (byte {error.start:,}).") from error


def _whole(text: str) -> str:
    # Bytes of the command line that are no UTF-8 arrive as lone surrogates, which nothing can store.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
