"""The planning process: what models and contexts would take of memory, without taking it. Child process only."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

import psutil

from workbench.engine import llama, protocol
from workbench.engine.context import Context
from workbench.engine.load_log import LoadLog
from workbench.engine.memory_check import check_gpus, layers_that_fit
from workbench.engine.model_file import Header, check_model_file
from workbench.engine.pipes import EventWriter, read_commands
from workbench.engine.plan_weights import Extent, weight_items
from workbench.engine.repacking import Repacking, size_bytes
from workbench.engine.weights import Weights
from workbench.errors import WorkbenchError
from workbench.metrics.free_memory import free_bytes
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.record import MemoryItem
from workbench.runs.spec import WEIGHT_OPTIONS, EngineOptions

_INPUT, _OUTPUT = "token_embd.weight", "output.weight"
_HALF_TYPES, _HALF_BYTES = ("f16", "bf16"), 2
_LEVEL_DEBUG = 1
# The books on the cells of a cache are the one thing that planning takes; see `memory_check`.
_CELL_BYTES = 64
_BOOKS_SHARE = 4


def serve(commands: BinaryIO, writer: EventWriter) -> None:
    """Answers one `PlanMemory`."""
    arrived = threading.Event()
    order: list[protocol.PlanMemory] = []

    def take(message: protocol.Message) -> None:
        if isinstance(message, protocol.PlanMemory):
            order.append(message)
            arrived.set()

    threading.Thread(target=read_commands, args=(commands, take), daemon=True).start()
    log = _PlanLog()
    llama.start_backend()
    arrived.wait()
    try:
        plans = _Planner(order[0].path, log).plan(order[0].options)
    except WorkbenchError as error:
        writer.post(protocol.WorkFailed.of(error, log.tail_text() or None))
    else:
        writer.post(protocol.MemoryPlanned(plans))
    # The parent closes the pipe when it has the answer, which ends this process.
    threading.Event().wait()


class _PlanLog(llama.LogCapture):
    """Lets through the debug lines that tell on which device a layer will lie."""

    def _receive(self, level: int, text: bytes, user: object) -> None:
        if level == _LEVEL_DEBUG and b"layer" in text:
            for listener in self._listeners:
                listener(text.decode("utf-8", "replace").rstrip("\n"))
        else:
            super()._receive(level, text, user)


class _Planner:
    """Plans for one file; options that differ in the context only share one reading of the header."""

    def __init__(self, path: str, log: llama.LogCapture) -> None:
        self._path, self._log = path, log
        self._header = check_model_file(path)
        self._devices = llama.list_devices()
        self._repacking = Repacking()
        self._resident_bytes = psutil.Process().memory_info
        self._program_bytes: int | None = None

    def plan(self, options: Sequence[EngineOptions]) -> tuple[MemoryPlan, ...]:
        """Raises ModelNotFound, ModelFileError and SpecError."""
        asked = [self._settled(item) for item in options]
        plans: dict[int, MemoryPlan] = {}
        for key in dict.fromkeys(map(_weights_key, asked)):
            same = [index for index, item in enumerate(asked) if _weights_key(item) == key]
            plans |= zip(same, self._plan_same_weights([asked[index] for index in same]), strict=True)
        return tuple(plans[index] for index in range(len(asked)))

    def _settled(self, options: EngineOptions) -> EngineOptions:
        """With a number of GPU layers, and without adapters, which need the weights."""
        check_gpus(options, self._devices)
        layers = options.gpu_layers
        if layers is None:
            layers = layers_that_fit(self._header, options, self._devices)
        return replace(options, gpu_layers=layers, adapters=())

    def _plan_same_weights(self, options: list[EngineOptions]) -> list[MemoryPlan]:
        lines = LoadLog()
        with self._log.listening(lines.read):
            weights = Weights.load(
                self._path, options[0], options[0].gpu_layers or 0, lambda _fraction: True, plan_only=True
            )
        if weights is None:
            raise lines.weights_error(os.path.basename(self._path), self._log.tail_text())
        try:
            items = _weight_items(self._header, options[0], lines, self._repacking)
            shared = tuple(device.name for device in self._devices if device.kind == "igpu")
            base = MemoryPlan(items, lines.offloaded_layers, len(lines.layer_devices), shared_devices=shared)
            return [self._plan_context(weights, item, base) for item in options]
        finally:
            weights.close()

    def _plan_context(self, weights: Weights, options: EngineOptions, base: MemoryPlan) -> MemoryPlan:
        books = options.context_length * options.parallel * _CELL_BYTES
        if books > free_bytes() // _BOOKS_SHARE:
            return replace(base, refused=f"A context of {options.context_length:,} tokens is too long to plan here.")
        lines = LoadLog()
        with self._log.listening(lines.read):
            context = Context.make(weights, options, 1)
        if context is None:
            error = lines.context_error(options.context_length, self._log.tail_text())
            return replace(base, refused=error.message)
        if self._program_bytes is None:
            # Once: later contexts find memory that earlier ones have given back to the process.
            self._program_bytes = int(self._resident_bytes().rss)
        context.close()
        return replace(
            base,
            items=(*base.items, *lines.planned_items()),
            cells=lines.planned_cells,
            scores_bytes=self._scores_bytes(options, lines) if lines.planned_cells else 0,
            program_bytes=self._program_bytes,
        )

    def _scores_bytes(self, options: EngineOptions, lines: LoadLog) -> int:
        """Before scores meet the values of the cache, the CPU back end turns them into the type of these."""
        has_flash = options.flash_attention != "off" and not lines.is_flash_refused
        if has_flash or options.kv_type_v not in _HALF_TYPES:
            return 0
        tokens = min(options.ubatch_size, options.context_length)
        heads = self._header.number("attention.head_count") or 0
        return options.context_length * tokens * heads * _HALF_BYTES


def _weights_key(options: EngineOptions) -> tuple[object, ...]:
    return tuple(getattr(options, name) for name in WEIGHT_OPTIONS)


def _weight_items(
    header: Header, options: EngineOptions, lines: LoadLog, repacking: Repacking
) -> tuple[MemoryItem, ...]:
    copied: set[str] = set()
    if lines.has_planned("repacked"):
        copied = repacking.copies(header.tensors)
        tied = None if _OUTPUT in header.tensors else header.tensors.get(_INPUT)
        copied |= {_INPUT} if tied is not None and repacking.fits(tied) else set()
    extents = {name: Extent(tensor.start, size_bytes(tensor)) for name, tensor in header.tensors.items()}
    return weight_items(
        extents, lines.layer_devices, copied, is_mapped=options.use_mmap, is_split=len(header.files) > 1
    )
