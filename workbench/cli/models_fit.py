"""`workbench models fit`: what a model will take of memory and how fast it will be, before it is here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options
from workbench.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.cli.models_choice import Subject
    from workbench.hub.memory import CurvePoint, MemoryEstimate
    from workbench.hub.speed import SpeedEstimate
    from workbench.models import Models
    from workbench.runs.spec import EngineOptions, Placement

Name = Annotated[
    str, typer.Argument(metavar="REPO[:QUANT]|MODEL", help="A repository's id or address, or a model on disk.")
]
Batch = Annotated[int | None, typer.Option("--batch", metavar="TOKENS", min=1, help="Prompt tokens computed at once.")]
Curve = Annotated[bool, typer.Option("--curve", help="Memory against context length too.")]


def fit(
    name: Name,
    quant: options.Quant = None,
    context: options.Context = None,
    kv_type: options.KvType = None,
    gpu_layers: options.GpuLayers = None,
    split_mode: options.SplitMode = None,
    main_gpu: options.MainGpu = None,
    tensor_split: options.TensorSplit = None,
    batch: Batch = None,
    curve: Curve = False,
    json: options.Json = False,
) -> None:
    """Say what a model takes of memory, and how fast it will be. Exit code 4 when it does not fit as asked."""
    from workbench.cli import models_session
    from workbench.cli.models_choice import find_subject

    layers = options.gpu_layers(gpu_layers)
    placement = options.placement(split_mode, main_gpu, tensor_split)
    with models_session.opened() as workbench:
        subject = find_subject(workbench, name, quant)
        engine = engine_options(subject.trained_context, context, kv_type, layers, batch, placement)
        models = workbench.models
        estimate = models.estimate(subject.source, engine)
        verdict = models.verdict(estimate, subject.source, engine)
        speed = _speed(models, subject)
        points = models.curve(subject.source, engine) if curve else ()
    code = ExitCode.FINISHED if verdict.kind == "fits" else ExitCode.OUT_OF_MEMORY
    if json:
        from workbench.cli.json_output import print_json
        from workbench.cli.models_json import fit_object

        print_json(fit_object(subject.name, estimate, verdict, speed, points))
        raise typer.Exit(code)
    _print_fit(subject, estimate, verdict.sentence, speed)
    if points:
        _print_curve(points)
    raise typer.Exit(code)


def _speed(models: Models, subject: Subject) -> SpeedEstimate | None:
    """None, and why, where it cannot be told: the memory is an answer of its own."""
    from workbench.errors import WorkbenchError

    try:
        if models.machine_speed(measure=False) is None:
            typer.echo("Measuring how fast this machine is, once; it takes some seconds.", err=True)
        return models.speed(subject.source)
    except WorkbenchError as error:
        typer.echo(error.message, err=True)
        return None


def _print_fit(subject: Subject, estimate: MemoryEstimate, verdict: str, speed: SpeedEstimate | None) -> None:
    from workbench.cli.models_memory import MEMORY_HEADERS, MEMORY_RIGHT, basis_sentence, memory_rows, speed_sentence
    from workbench.cli.terminal import print_table
    from workbench.units import count_text

    typer.echo(f"{subject.name}. {basis_sentence(estimate)}", err=True)
    print_table(list(MEMORY_HEADERS), memory_rows(estimate), MEMORY_RIGHT)
    if estimate.note:
        typer.echo(estimate.note, err=True)
    trained = subject.trained_context
    if trained is not None and estimate.context_length > trained:
        typer.echo(f"The model was trained with {count_text(trained)} tokens of context, not more.", err=True)
    typer.echo(verdict, err=True)
    typer.echo(speed_sentence(speed), err=True)


def _print_curve(points: Sequence[CurvePoint]) -> None:
    from workbench.cli.models_memory import CURVE_HEADERS, CURVE_RIGHT, curve_rows
    from workbench.cli.terminal import print_table

    typer.echo()
    print_table(list(CURVE_HEADERS), curve_rows(points), CURVE_RIGHT)


def engine_options(
    trained: int | None,
    context: int | None = None,
    kv_type: str | None = None,
    gpu_layers: int | None = None,
    batch: int | None = None,
    placement: Placement | None = None,
) -> EngineOptions:
    """What a run of a model with this `trained` context would load with. Raises UsageProblem."""
    from workbench.runs.spec import KV_TYPES, EngineOptions
    from workbench.spec_builder import DEFAULT_CONTEXT_LENGTH

    if kv_type is not None and kv_type not in KV_TYPES:
        raise options.UsageProblem(f"--kv-type is {kv_type!r}; it must be one of {', '.join(KV_TYPES)}.")
    if context is not None and context < 1:
        raise options.UsageProblem(f"--context is {context}; it must be at least 1.")
    base = EngineOptions()
    place = placement or base.placement
    return replace(
        base,
        split_mode=place.split_mode,
        main_gpu=place.main_gpu,
        tensor_split=place.tensor_split,
        context_length=context or min(DEFAULT_CONTEXT_LENGTH, trained or DEFAULT_CONTEXT_LENGTH),
        gpu_layers=gpu_layers,
        batch_size=max(base.batch_size, batch or 0),
        ubatch_size=batch or base.ubatch_size,
        kv_type_k=kv_type or base.kv_type_k,
        kv_type_v=kv_type or base.kv_type_v,
    )
