"""`workbench run`: one prompt, its answer and its figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options, output
from workbench.cli.exit_codes import ExitCode, for_error_code

if TYPE_CHECKING:
    from workbench.core import Knobs

Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="The prompt; - or nothing reads standard input.")]
File = Annotated[Path | None, typer.Option("--file", "-f", metavar="FILE", help="Read the prompt from a file.")]
NoStream = Annotated[bool, typer.Option("--no-stream", help="Print the answer at its end.")]


def run(
    prompt: Prompt = None,
    file: File = None,
    document: options.Document = None,
    model: options.Model = None,
    quant: options.Quant = None,
    context: options.Context = None,
    mode: options.Mode = None,
    surface: options.Surface = None,
    system: options.System = None,
    seed: options.Seed = None,
    temperature: options.Temperature = None,
    max_tokens: options.MaxTokens = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    split_mode: options.SplitMode = None,
    main_gpu: options.MainGpu = None,
    tensor_split: options.TensorSplit = None,
    kv_type: options.KvType = None,
    overflow: options.OverflowOption = None,
    lora: options.Lora = None,
    json: options.Json = False,
    no_stream: NoStream = False,
) -> None:
    """Run one prompt. The answer streams to standard output, its figures follow on standard error."""
    choice = options.Choice(
        model, quant, context, mode, surface, system, seed, temperature, max_tokens, threads, gpu_layers, kv_type,
        overflow, tuple(lora or ()), split_mode, main_gpu, tensor_split,
    )  # fmt: skip
    output.duty.is_run = True
    knobs = options.with_document(choice.knobs(options.read_prompt(prompt, file)), document)
    raise typer.Exit(run_knobs(knobs, json=json, no_stream=no_stream))


def run_knobs(knobs: Knobs, *, json: bool = False, no_stream: bool = False) -> ExitCode:
    """Runs what the knobs say. Raises what stops a run before it begins; the program says it, as JSON or words."""
    from workbench.cli import session

    try:
        with session.opened(checks_memory=True) as workbench:
            spec = workbench.build_spec(knobs)
            if json:
                from workbench.cli.json_output import print_json, run_object

                record = session.follow(workbench, spec, session.Silent(), is_last=True)
                print_json(run_object(record))
            else:
                from workbench.cli.closing import print_closing
                from workbench.cli.terminal import RunView

                view = RunView(workbench, is_streaming=not no_stream)
                record = session.follow(workbench, spec, view, is_last=True)
                print_closing(workbench, record, sys.stderr)
            code = code_of(record.status, record.error.code if record.error else None)
            return code if code or workbench.is_stored(record.id) else ExitCode.STORAGE
    except BrokenPipeError:
        return ExitCode.CANCELLED


def code_of(status: str, error_code: str | None) -> ExitCode:
    """The exit code of a run that ended."""
    if status == "cancelled":
        return ExitCode.CANCELLED
    if error_code is not None:
        return for_error_code(error_code)
    return ExitCode.FINISHED if status == "finished" else ExitCode.FAILED
