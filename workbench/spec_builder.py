"""From knobs to a complete `RunSpec`: profile, settings and model each give what the person left open."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from workbench.errors import ModelNotFound
from workbench.hub.library import ModelLibrary
from workbench.profiles import ProfileStore
from workbench.runs.spec import (
    Adapter,
    ChatOptions,
    EngineOptions,
    Limits,
    Message,
    ModelRef,
    Overflow,
    Placement,
    ProfileRef,
    RunSpec,
    Sampling,
)
from workbench.settings import Settings

DEFAULT_CONTEXT_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Knobs:
    """What a person may set for a run; None means: take it from the mode, the settings or the model.

    `model` is a name or a path (None: the default of the settings, else the demo model). `history` are the
    turns before the prompt, oldest first.
    """

    prompt: str
    history: tuple[Message, ...] = ()
    system: str | None = None
    document: str | None = None
    document_name: str | None = None
    model: str | None = None
    quantization: str | None = None
    context_length: int | None = None
    mode: str | None = None
    surface: str | None = None
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    threads: int | None = None
    gpu_layers: int | None = None
    kv_type: str | None = None
    placement: Placement | None = None
    overflow: Overflow | None = None
    adapters: tuple[Adapter, ...] = ()


def build_spec(knobs: Knobs, settings: Settings, profiles: ProfileStore, library: ModelLibrary) -> RunSpec:
    """The complete spec. Raises ModelNotFound, ProfileError, SpecError; reads headers, makes no files."""
    mode = profiles.mode(knobs.mode or settings.default_mode)
    surface = profiles.surface(knobs.surface or settings.default_surface)
    quantization = knobs.quantization or mode.quantization
    model = library.resolve(knobs.model or mode.model or settings.default_model, quantization)
    spec = RunSpec(
        model=model,
        messages=messages_of(knobs),
        engine=_engine_options(knobs, settings, library, model),
        chat=ChatOptions(overflow=knobs.overflow or "error"),
        sampling=Sampling(seed=knobs.seed if knobs.seed is not None else Sampling().seed),
        surface=ProfileRef(surface.name, surface.version),
    )
    spec = mode.apply(spec)
    if knobs.overflow is not None:
        spec = replace(spec, chat=replace(spec.chat, overflow=knobs.overflow))
    if knobs.temperature is not None:
        spec = replace(spec, sampling=replace(spec.sampling, temperature=knobs.temperature))
    if knobs.max_tokens is not None:
        spec = replace(spec, limits=Limits(knobs.max_tokens, spec.limits.stop))
    return spec


def messages_of(knobs: Knobs) -> tuple[Message, ...]:
    """System, earlier turns, then the prompt with its document; no empty system message."""
    system = (Message("system", knobs.system),) if knobs.system else ()
    question = Message("user", knobs.prompt, knobs.document, knobs.document_name)
    return (*system, *knobs.history, question)


def _engine_options(knobs: Knobs, settings: Settings, library: ModelLibrary, model: ModelRef) -> EngineOptions:
    base = EngineOptions()
    trained = library.trained_context(model)
    default_context = min(DEFAULT_CONTEXT_LENGTH, trained) if trained else DEFAULT_CONTEXT_LENGTH
    kv_type = knobs.kv_type or base.kv_type_k
    placement = knobs.placement or base.placement
    return replace(
        base,
        context_length=knobs.context_length or default_context,
        threads=knobs.threads or settings.threads,
        gpu_layers=knobs.gpu_layers,
        kv_type_k=kv_type,
        kv_type_v=kv_type,
        split_mode=placement.split_mode,
        main_gpu=placement.main_gpu,
        tensor_split=placement.tensor_split,
        adapters=tuple(_with_hash(adapter, library) for adapter in knobs.adapters),
    )


def _with_hash(adapter: Adapter, library: ModelLibrary) -> Adapter:
    """An absolute path and the content's hash, which is computed once: adapters are small beside their models."""
    path = os.path.abspath(os.path.expanduser(adapter.path))
    if not os.path.isfile(path):
        raise ModelNotFound(f"There is no adapter file {path}. Check the path.")
    return Adapter(path, adapter.scale, library.compute_sha256(ModelRef(path, os.path.basename(path))))
