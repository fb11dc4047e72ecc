"""`workbench models quantize`: makes another quantization of a model, here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options

if TYPE_CHECKING:
    from workbench.hub.gguf import ModelFile
    from workbench.hub.lineage import Lineage

Model = Annotated[str, typer.Argument(metavar="MODEL[:QUANT]", help="A model on disk; F16, BF16 or F32 is best.")]
Type = Annotated[str, typer.Argument(metavar="TYPE", help="What to make: Q4_K_M, Q8_0 ...")]
Matrix = Annotated[Path | None, typer.Option("--imatrix", metavar="FILE", help="An importance matrix.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="PATH", help="Else beside the model.")]
Requantize = Annotated[
    bool, typer.Option("--allow-requantize", help="Also from a quantized model, which loses more than from F16.")
]


def quantize(
    model: Model,
    type_name: Type,
    imatrix: Matrix = None,
    output: Output = None,
    allow_requantize: Requantize = False,
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Make another quantization with llama.cpp. Ctrl-C leaves nothing of it behind."""
    from workbench.cli import models_session
    from workbench.cli.models_choice import best_source, made_file
    from workbench.cli.models_progress import watched
    from workbench.engine.file_types import QuantizeOptions
    from workbench.hub.lineage import lineage_of

    wishes = QuantizeOptions(matrix=str(imatrix) if imatrix else None, allow_requantize=allow_requantize)
    with models_session.opened() as workbench:
        ref = best_source(workbench, model)
        source = made_file(ref)
        with watched(f"{ref.name}: making {type_name.upper()} from {ref.quantization}") as (report, cancel):
            made = workbench.models.quantize(
                source, type_name, target=output, options=wishes, on_progress=report, cancel=cancel, threads=threads
            )
        file = workbench.library.describe(made)
    _print_made(file, lineage_of(made), json=json)


def _print_made(file: ModelFile, lineage: Lineage | None, *, json: bool) -> None:
    for note in lineage.notes if lineage else ():
        typer.echo(note, err=True)
    if json:
        from workbench.cli.json_output import file_object, print_json
        from workbench.cli.models_json import lineage_object

        print_json({**file_object(file), "lineage": lineage_object(lineage)})
        return
    from workbench.cli.models_text import bits_text
    from workbench.units import bytes_text

    size, bits = bytes_text(file.size_bytes), bits_text(file.bits_per_weight)
    typer.echo(f"{file.quantization}, {size}, {bits} bits per weight.", err=True)
    typer.echo(str(file.path))
