"""Keeps one engine warm for runs, and says beforehand what a change to it will cost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from workbench.engine.api import Engine, ProgressSink
from workbench.errors import WorkbenchError
from workbench.runs.record import LoadReport
from workbench.runs.spec import WEIGHT_OPTIONS, EngineOptions, ModelRef, RunSpec
from workbench.units import bytes_text, ms_text

ChangeKind = Literal["nothing", "threads", "adapters", "new_context", "new_weights", "start"]
CONTEXT_FIELDS = (
    "context_length",
    "parallel",
    "batch_size",
    "ubatch_size",
    "kv_type_k",
    "kv_type_v",
    "flash_attention",
)
PLACE_FIELDS = ("main_gpu", "tensor_split", "split_mode")


@dataclass(frozen=True, slots=True)
class ChangeCost:
    """What applying a change costs. `estimate_ms` comes from loads measured by this program; None: none yet."""

    kind: ChangeKind
    text: str
    estimate_ms: float | None = None


@dataclass(frozen=True, slots=True)
class EngineState:
    """For a status bar. `load` is the report of the model that is warm, None when there is none."""

    status: Literal["off", "loading", "ready", "running", "failed"]
    text: str
    load: LoadReport | None = None


StateListener = Callable[[EngineState], None]


class EngineLease:
    """One engine and what is loaded in it. `acquire` is called by one job at a time."""

    def __init__(self, make_engine: Callable[[], Engine], ensure_file: Callable[[ModelRef], None]) -> None:
        self._make_engine = make_engine
        self._ensure_file = ensure_file
        self._engine: Engine | None = None
        self._loaded: tuple[ModelRef, EngineOptions] | None = None
        self._state = EngineState("off", "Engine off")
        self._listeners: list[StateListener] = []
        self._lock = threading.Lock()
        self._start_ms: float | None = None
        self._context_ms: float | None = None
        self._load_ms_per_byte: float | None = None

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def loaded(self) -> tuple[ModelRef, EngineOptions] | None:
        """What is warm, or None."""
        return self._loaded

    def files(self) -> frozenset[Path]:
        """What the engine has mapped: the model's file and those of its adapters."""
        if self._loaded is None:
            return frozenset()
        model, options = self._loaded
        return frozenset(map(Path, (model.path, *(adapter.path for adapter in options.adapters))))

    @property
    def pid(self) -> int | None:
        return self._engine.pid if self._engine else None

    def listen(self, listener: StateListener) -> None:
        self._listeners.append(listener)

    def acquire(self, spec: RunSpec, on_progress: ProgressSink | None = None) -> tuple[Engine, LoadReport]:
        """The engine with the spec's model and context ready. Raises what `Engine.load` raises."""
        engine = self._engine_or_new()
        cost = self.explain(spec)
        if cost.kind not in ("nothing", "threads", "adapters"):
            self._set_state("loading", f"Loading {spec.model.name}")
        try:
            self._ensure_file(spec.model)
            load = engine.load(spec.model, spec.engine, on_progress)
        except WorkbenchError as error:
            self._loaded = None
            self._set_state("failed", error.message)
            raise
        self._loaded = (spec.model, spec.engine)
        self._learn(load)
        self._set_state("running", f"Running on {describe_devices(load)}", load)
        return engine, load

    def release(self, *, is_broken: bool = False) -> None:
        """After a run: the engine stays warm, or is known to be gone when `is_broken`."""
        load = self._state.load
        if is_broken or load is None:
            self._loaded = None
            self._set_state("off", "Engine off; the next run starts it again")
        else:
            self._set_state("ready", f"Engine ready, {describe_devices(load)}", load)

    def explain(self, new: RunSpec, old: RunSpec | None = None) -> ChangeCost:
        """What it costs to run `new`, where `old` (default: what is warm now) is loaded."""
        before = (old.model, old.engine) if old is not None else self._loaded
        if before is None or self._engine is None:
            return self._explain_start(new)
        model, options = before
        if model.path != new.model.path or _differs(options, new.engine, WEIGHT_OPTIONS):
            moves = model.path == new.model.path and _differs(options, new.engine, PLACE_FIELDS)
            return self._explain_weights(new, " again, to share them over the GPUs otherwise" if moves else "")
        if _differs(options, new.engine, CONTEXT_FIELDS):
            about = f", about {ms_text(self._context_ms)}" if self._context_ms is not None else ""
            return ChangeCost("new_context", f"new context{about}; weights stay", self._context_ms)
        if options.adapters != new.engine.adapters:
            return _explain_adapters(options, new.engine)
        if options.threads != new.engine.threads:
            return ChangeCost("threads", "applies at once", 0.0)
        return ChangeCost("nothing", "free", 0.0)

    def cancel_load(self) -> None:
        """Ends a load under way; `acquire` then raises."""
        cancel = getattr(self._engine, "cancel_load", None)
        if cancel is not None:
            cancel()

    def close(self) -> None:
        with self._lock:
            engine, self._engine, self._loaded = self._engine, None, None
        if engine is not None:
            engine.close()

    def _engine_or_new(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._make_engine()
            return self._engine

    def _set_state(
        self,
        status: Literal["off", "loading", "ready", "running", "failed"],
        text: str,
        load: LoadReport | None = None,
    ) -> None:
        self._state = EngineState(status, text, load)
        for listener in list(self._listeners):
            listener(self._state)

    def _learn(self, load: LoadReport) -> None:
        self._start_ms = load.start_ms if load.start_ms is not None else self._start_ms
        self._context_ms = load.context_ms if load.context_ms is not None else self._context_ms
        if load.load_ms is not None and load.model_size_bytes:
            self._load_ms_per_byte = load.load_ms / load.model_size_bytes

    def _explain_start(self, new: RunSpec) -> ChangeCost:
        weights = self._weights_ms(new.model)
        known = [part for part in (self._start_ms, weights, self._context_ms) if part is not None]
        total = sum(known) if weights is not None else None
        about = f", about {ms_text(total)}" if total is not None else ""
        return ChangeCost("start", f"starts the engine and loads {self._size_text(new.model)}{about}", total)

    def _explain_weights(self, new: RunSpec, purpose: str) -> ChangeCost:
        weights = self._weights_ms(new.model)
        total = None if weights is None else weights + (self._context_ms or 0.0)
        about = f", about {ms_text(total)}" if total is not None else ""
        return ChangeCost("new_weights", f"loads {self._size_text(new.model)}{purpose}{about}", total)

    def _weights_ms(self, model: ModelRef) -> float | None:
        size = _size_bytes(model)
        return None if size is None or self._load_ms_per_byte is None else size * self._load_ms_per_byte

    def _size_text(self, model: ModelRef) -> str:
        size = _size_bytes(model)
        return bytes_text(size) if size is not None else f"{model.quantization or 'a file'} made on first use"


def describe_devices(load: LoadReport) -> str:
    """ "CPU 2 threads" or the GPUs in use, for one line."""
    found = [device.name for device in load.devices if device.kind in ("gpu", "igpu")]
    used = {item.device for item in load.memory}
    gpus = [name for name in found if name in used] or found
    if gpus and load.gpu_layers:
        return f"{', '.join(gpus)}, {load.gpu_layers} layers"
    return f"CPU, {load.threads} threads"


def with_hash(model: ModelRef, sha256: str | None) -> ModelRef:
    return model if sha256 is None else replace(model, sha256=sha256)


def _explain_adapters(old: EngineOptions, new: EngineOptions) -> ChangeCost:
    """Weights and context stay; what the context holds of a prompt was computed with the adapters before."""
    held = {adapter.path for adapter in old.adapters}
    added = [Path(adapter.path) for adapter in new.adapters if adapter.path not in held]
    if not added:
        return ChangeCost("adapters", "applies at once; the prompt is read again", 0.0)
    names = ", ".join(path.name for path in added)
    sizes = [path.stat().st_size for path in added if path.is_file()]
    about = f" ({bytes_text(sum(sizes))})" if len(sizes) == len(added) else ""
    return ChangeCost("adapters", f"loads {names}{about}; weights and context stay, the prompt is read again")


def _differs(old: EngineOptions, new: EngineOptions, names: tuple[str, ...]) -> bool:
    return any(getattr(old, name) != getattr(new, name) for name in names)


def _size_bytes(model: ModelRef) -> int | None:
    path = Path(model.path)
    return path.stat().st_size if path.is_file() else None
