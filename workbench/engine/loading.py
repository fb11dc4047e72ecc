"""Loads weights and contexts, keeps what can be kept, and reports what it cost. Child process only."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import psutil

from workbench.engine import chat, llama
from workbench.engine.adapters import AdapterShelf, CheckedAdapter, adapter_warnings, check_adapters
from workbench.engine.context import Context
from workbench.engine.load_log import LoadLog
from workbench.engine.memory_check import check_gpus, check_memory, layers_that_fit, takes_machine_memory
from workbench.engine.model_file import Header, check_model_file, fingerprint
from workbench.engine.prompt import ChatFormat
from workbench.engine.quantization import quantization_name
from workbench.engine.templates import TemplateFailed, TemplateRenderer
from workbench.engine.weights import Weights
from workbench.errors import ModelFileError, SpecError, UserError
from workbench.runs.record import LoadReport
from workbench.runs.spec import GPU_LAYERS_ALL, WEIGHT_OPTIONS, EngineOptions, ModelRef

Progress = Callable[[Literal["start", "weights", "context"], float | None], None]

_TEMPLATE_KEY = "tokenizer.chat_template"


@dataclass(slots=True)
class Loaded:
    """What the child holds: weights and adapters, one context made from them, and what was said about them."""

    path: str
    options: EngineOptions
    header: Header
    weights: Weights
    shelf: AdapterShelf
    adapters: tuple[CheckedAdapter, ...]
    context: Context
    form: ChatFormat
    report: LoadReport


class Loader:
    """Owns weights and context. `load` belongs to one thread, `expect_load` and `cancel` to any."""

    def __init__(self, log: llama.LogCapture, renderer: TemplateRenderer) -> None:
        self._log, self._renderer = log, renderer
        self._cancelled = threading.Event()
        self._devices = llama.list_devices()
        self._build = llama.build_description()
        self._has_gpu = any(device.kind in ("gpu", "igpu") for device in self._devices)
        self.loaded: Loaded | None = None
        self._weights_log = LoadLog()

    def expect_load(self) -> None:
        """Forgets an older cancel. Called when a load is ordered, so that a cancel that follows at once counts."""
        self._cancelled.clear()

    def cancel(self) -> None:
        self._cancelled.set()

    def load(self, model: ModelRef, options: EngineOptions, *, memory_check: bool, progress: Progress) -> LoadReport:
        """Raises ModelNotFound, ModelFileError, OutOfMemory, SpecError, and UserError "load_cancelled"."""
        held = self.loaded
        if held is not None and _is_same_file(held, model.path) and _same_weights(held.options, options):
            return self._reload(held, options, memory_check, progress)
        start = time.perf_counter_ns()
        # First of all: a file of no use is no reason to give up what is loaded.
        header = check_model_file(model.path)
        _check_is_model(header, model.path)
        adapters = check_adapters(options.adapters, header)
        self.unload()
        _check_kv_types(options)
        check_gpus(options, self._devices)
        if memory_check and takes_machine_memory(options, self._devices):
            size_bytes = header.size_bytes + sum(adapter.header.size_bytes for adapter in adapters)
            check_memory(model.path, header, options, size_bytes, self._log)
        gpu_layers = self._gpu_layers(options, header)
        weights = self._load_weights(model, options, gpu_layers, progress)
        load_ms = _ms_since(start)
        try:
            form = read_chat_format(weights, header, self._renderer)
            shelf = AdapterShelf(weights, self._log)
            pointers = shelf.take(adapters)
            context, context_log, context_ms = self._make_context(weights, options, progress)
        except BaseException:
            weights.close()
            raise
        if pointers:
            context.use_adapters(pointers)
        # Part of `load_ms`, so that it counts as cold start and the first request finds everything ready.
        load_ms += self._warm_templates(weights, form)
        report = self._report(model, options, header, weights, form, context_log, adapters)
        report = replace(report, load_ms=load_ms, context_ms=context_ms)
        self.loaded = Loaded(model.path, options, header, weights, shelf, adapters, context, form, report)
        return report

    def _warm_templates(self, weights: Weights, form: ChatFormat) -> float:
        """Waits for the process that renders templates and lets it compile the model's own; milliseconds."""
        start = time.perf_counter_ns()
        _render_greeting(form.templates[form.default_template], weights, self._renderer)
        return _ms_since(start)

    def unload(self) -> None:
        if self.loaded is not None:
            self.loaded.context.close()
            self.loaded.weights.close()
            self.loaded = None

    def _reload(self, held: Loaded, options: EngineOptions, memory_check: bool, progress: Progress) -> LoadReport:
        adapters = check_adapters(options.adapters, held.header)
        if _without_cheap(options) == _without_cheap(held.options):
            return self._keep_context(held, options, adapters)
        _check_kv_types(options)
        pointers = held.shelf.take(adapters)
        held.context.close()
        try:
            if memory_check and takes_machine_memory(options, self._devices):
                check_memory(held.path, held.header, options, 0, self._log)
            context, context_log, context_ms = self._make_context(held.weights, options, progress)
        except BaseException:
            # The old context is gone: what is left cannot run anything.
            held.weights.close()
            self.loaded = None
            raise
        if pointers:
            context.use_adapters(pointers)
        held.shelf.keep_only(adapters)
        model = ModelRef(held.path, "")
        report = self._report(model, options, held.header, held.weights, held.form, context_log, adapters)
        held.context, held.options, held.adapters = context, options, adapters
        held.report = replace(report, reused="weights", context_ms=context_ms)
        return held.report

    def _keep_context(self, held: Loaded, options: EngineOptions, adapters: tuple[CheckedAdapter, ...]) -> LoadReport:
        """Other threads apply at once; other adapters are loaded into the context there is, which they empty."""
        start = time.perf_counter_ns()
        threads = _thread_count(options)
        report = replace(held.report, reused="model", threads=threads, start_ms=None, load_ms=None, context_ms=None)
        if _in_use(adapters) != _in_use(held.adapters):
            pointers = held.shelf.take(adapters)
            held.context.use_adapters(pointers)
            held.shelf.keep_only(adapters)
            others = tuple(text for text in report.warnings if text not in adapter_warnings(held.adapters))
            report = replace(
                report,
                reused="weights",
                context_ms=_ms_since(start),
                warnings=(*others, *adapter_warnings(adapters)),
            )
        held.context.set_threads(threads)
        held.options, held.adapters, held.report = options, adapters, report
        return report

    def _load_weights(self, model: ModelRef, options: EngineOptions, gpu_layers: int, progress: Progress) -> Weights:
        def on_progress(fraction: float) -> bool:
            progress("weights", fraction)
            return not self._cancelled.is_set()

        self._weights_log = LoadLog()
        with self._log.listening(self._weights_log.read):
            weights = Weights.load(model.path, options, gpu_layers, on_progress)
        if self._cancelled.is_set():
            if weights is not None:
                weights.close()
            raise UserError("Loading was cancelled.", code="load_cancelled")
        if weights is None:
            raise self._weights_log.weights_error(os.path.basename(model.path), self._log.tail_text())
        if not weights.is_generative:
            weights.close()
            raise _not_generative(model.path)
        return weights

    def _make_context(
        self, weights: Weights, options: EngineOptions, progress: Progress
    ) -> tuple[Context, LoadLog, float]:
        progress("context", None)
        start = time.perf_counter_ns()
        context_log = LoadLog()
        with self._log.listening(context_log.read):
            context = Context.make(weights, options, _thread_count(options))
        if self._cancelled.is_set():
            if context is not None:
                context.close()
            raise UserError("Loading was cancelled.", code="load_cancelled")
        if context is not None and not context.memory:
            context.close()
            raise _not_generative(weights.name)
        if context is None:
            raise context_log.context_error(options.context_length, self._log.tail_text())
        return context, context_log, _ms_since(start)

    def _gpu_layers(self, options: EngineOptions, header: Header) -> int:
        """None means as many as fit."""
        if options.gpu_layers is not None:
            return options.gpu_layers
        return layers_that_fit(header, options, self._devices)

    def _report(
        self, model: ModelRef, options: EngineOptions, header: Header, weights: Weights, form: ChatFormat,
        context_log: LoadLog, adapters: tuple[CheckedAdapter, ...],
    ) -> LoadReport:  # fmt: skip
        trained = header.number("context_length")
        return LoadReport(
            engine_build=self._build,
            devices=self._devices,
            threads=_thread_count(options),
            gpu_layers=self._weights_log.offloaded_layers,
            context_length=options.context_length,
            trained_context_length=trained,
            architecture=header.architecture,
            model_name=str(header.values.get("general.name") or model.name or os.path.basename(model.path)),
            quantization=quantization_name(weights),
            parameters=int(llama.lib.llama_model_n_params(weights.pointer)),
            model_size_bytes=int(llama.lib.llama_model_size(weights.pointer)),
            vocabulary_size=weights.vocabulary_size,
            chat_templates=tuple(name for name in form.templates if _TEMPLATE_KEY in header.values),
            thinking_switch=form.switch,
            memory=(*self._weights_log.memory_items(), *context_log.memory_items()),
            warnings=(*self._warnings(options, header, trained), *adapter_warnings(adapters)),
        )

    def _warnings(self, options: EngineOptions, header: Header, trained: int | None) -> tuple[str, ...]:
        warnings = []
        if trained is not None and options.context_length > trained:
            warnings.append(
                f"The context of {options.context_length:,} tokens is longer than the {trained:,} this model was "
                "trained with; answers beyond that length may be poor."
            )
        if options.gpu_layers and not self._has_gpu:
            asked = "all layers" if options.gpu_layers == GPU_LAYERS_ALL else f"{options.gpu_layers:,} layers"
            warnings.append(
                f"You asked for {asked} on a GPU, but this build of llama.cpp finds none on this machine; everything "
                "runs on the CPU."
            )
        if _TEMPLATE_KEY not in header.values:
            warnings.append(chat.FALLBACK_WARNING)
        return tuple(warnings)


def read_chat_format(weights: Weights, header: Header, renderer: TemplateRenderer) -> ChatFormat:
    """All templates of the file by name, and how the default one switches thinking."""
    templates = {}
    for key, value in header.values.items():
        if key == _TEMPLATE_KEY and isinstance(value, str):
            templates["default"] = value
        elif key.startswith(_TEMPLATE_KEY + ".") and isinstance(value, str):
            templates[key.removeprefix(_TEMPLATE_KEY + ".")] = value
    if not templates:
        templates = {"default": chat.FALLBACK_TEMPLATE}
    first = "default" if "default" in templates else next(iter(templates))
    template = templates[first]
    opens = False
    tags = chat.find_tags(template)
    if tags is not None and not chat.find_switch(template):
        opens = _opens_in_prompt(template, tags, weights, renderer)
    return ChatFormat(
        templates,
        chat.detect_thinking(template, opens_in_prompt=opens),
        header.control_texts,
        header.markup_texts,
        default_template=first,
    )


def _opens_in_prompt(template: str, tags: chat.ThinkingTags, weights: Weights, renderer: TemplateRenderer) -> bool:
    return _render_greeting(template, weights, renderer).rstrip().endswith(tags.open)


def _render_greeting(template: str, weights: Weights, renderer: TemplateRenderer) -> str:
    variables: dict[str, Any] = {
        "messages": [{"role": "user", "content": "x"}],
        "add_generation_prompt": True,
        "bos_token": weights.special_text(weights.bos),
        "eos_token": weights.special_text(weights.eos),
        "tools": None,
    }
    try:
        return renderer.render(template, variables)
    except TemplateFailed:
        # A template that fails says so when it is used; a model can be loaded and run from raw text without it.
        return ""


def _not_generative(path: str) -> ModelFileError:
    return ModelFileError(
        f"{os.path.basename(path)} is no model that continues a text (an embedding model, an encoder, or one without "
        "a vocabulary). Choose a chat or text generation model.",
        code="not_generative",
    )


def _check_is_model(header: Header, path: str) -> None:
    kind = header.values.get("general.type")
    name = os.path.basename(path)
    if kind == "adapter":
        raise ModelFileError(
            f"{name} is a LoRA adapter, not a model. Choose the model that it was trained on, and give the adapter "
            "beside it.",
            code="not_generative",
        )
    if kind == "imatrix":
        raise ModelFileError(f"{name} is an importance matrix, not a model. Choose a model.", code="not_generative")


def _in_use(adapters: tuple[CheckedAdapter, ...]) -> list[tuple[object, ...]]:
    return [(adapter.key, adapter.scale) for adapter in adapters]


def _without_cheap(options: EngineOptions) -> EngineOptions:
    """The options without those that a context takes over while it is there."""
    return replace(options, threads=None, adapters=())


def _is_same_file(held: Loaded, path: str) -> bool:
    """Whether `path` is the loaded file, and nobody has put another one in its place since."""
    return held.path == path and held.header.fingerprint == fingerprint(held.header.files)


def _same_weights(old: EngineOptions, new: EngineOptions) -> bool:
    return all(getattr(old, name) == getattr(new, name) for name in WEIGHT_OPTIONS)


def _thread_count(options: EngineOptions) -> int:
    """Physical cores that this process may use: a second thread per core slows llama.cpp down."""
    if options.threads is not None:
        return options.threads
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def _check_kv_types(options: EngineOptions) -> None:
    quantized = options.kv_type_v not in ("f32", "f16", "bf16")
    if quantized and options.flash_attention == "off":
        raise SpecError(
            f"A quantized V cache ({options.kv_type_v}) needs flash attention; set it to auto or on, or use f16."
        )


def _ms_since(start_ns: int) -> float:
    return (time.perf_counter_ns() - start_ns) / 1e6
