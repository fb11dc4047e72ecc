"""One llama.cpp context: its memory of sequences, the reused batch, and decoding. Child process only."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from typing import Any

from workbench.engine.llama import lib
from workbench.engine.weights import Weights
from workbench.errors import Bug
from workbench.runs.spec import EngineOptions

DECODED, NO_SLOT, ABORTED = 0, 1, 2

_GGML_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "bf16": 30}
_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}


class AbortFlag:
    """Tells llama.cpp, inside a decode call, to stop; works on the CPU back end only.

    llama.cpp asks after every node of the graph, so the callback must not be Python: `strlen` of a buffer
    that holds "" or "\\1" gives the 0 or 1 it wants, in nanoseconds and without the interpreter's lock.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL("msvcrt") if os.name == "nt" else ctypes.CDLL(None)
        self._buffer = ctypes.create_string_buffer(2)
        self.data = ctypes.cast(self._buffer, ctypes.c_void_p)
        self.function = lib.ggml_abort_callback(ctypes.cast(library.strlen, ctypes.c_void_p).value)
        self._lock = threading.Lock()
        self._armed_for: tuple[str, ...] = ()

    def arm(self, request_ids: tuple[str, ...]) -> None:
        """The decode call that follows works for these requests, and may be stopped for the sake of any of them."""
        with self._lock:
            self._buffer[0] = b"\0"
            self._armed_for = request_ids

    def trip(self, request_id: str) -> None:
        """Stops the decode call under way if it works for this request. Any thread."""
        with self._lock:
            if request_id in self._armed_for:
                self._buffer[0] = b"\1"


class Batch:
    """A `llama_batch` over arrays that live as long as the context; every token belongs to one sequence."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens: Any = (ctypes.c_int32 * capacity)()
        self.positions: Any = (ctypes.c_int32 * capacity)()
        self.sequences: Any = (ctypes.c_int32 * capacity)()
        self.outputs: Any = (ctypes.c_int8 * capacity)()
        self._counts = (ctypes.c_int32 * capacity)(*([1] * capacity))
        address = ctypes.addressof(self.sequences)
        one = ctypes.POINTER(ctypes.c_int32)
        self._sequence_pointers = (one * capacity)(
            *(ctypes.cast(address + 4 * index, one) for index in range(capacity))
        )
        self.c_batch = lib.llama_batch()
        self.c_batch.token = self.tokens
        self.c_batch.pos = self.positions
        self.c_batch.n_seq_id = self._counts
        self.c_batch.seq_id = self._sequence_pointers
        self.c_batch.logits = self.outputs
        self.size = 0

    def set_one(self, token: int, position: int, sequence: int) -> None:
        """Makes the batch hold one token, with an output."""
        self.tokens[0], self.positions[0], self.sequences[0], self.outputs[0] = token, position, sequence, 1
        self.size = 1

    def clear(self) -> None:
        self.size = 0

    def add(self, tokens: list[int], position: int, sequence: int, *, output_last: bool) -> int:
        """Appends consecutive tokens of a sequence; the index of the last one in the batch."""
        start, end = self.size, self.size + len(tokens)
        count = end - start
        self.tokens[start:end] = tokens
        self.positions[start:end] = list(range(position, position + count))
        self.sequences[start:end] = [sequence] * count
        self.outputs[start:end] = [0] * count
        self.outputs[end - 1] = 1 if output_last else 0
        self.size = end
        return end - 1


class Context:
    """Memory and compute buffers for `options.parallel` sequences of `options.context_length` tokens each."""

    def __init__(self, pointer: Any, abort: AbortFlag, options: EngineOptions, *, is_recurrent: bool) -> None:
        self.pointer = pointer
        self.abort = abort
        self.memory = lib.llama_get_memory(pointer)
        self.context_length = options.context_length
        self.parallel = options.parallel
        self.batch = Batch(max(lib.llama_n_batch(pointer), options.parallel))
        self.ubatch_size: int = lib.llama_n_ubatch(pointer)
        # A running state holds the dropped tokens for ever; llama.cpp would only renumber it.
        self.can_shift = bool(lib.llama_memory_can_shift(self.memory)) and not is_recurrent

    @staticmethod
    def make(weights: Weights, options: EngineOptions, threads: int) -> Context | None:
        """None when llama.cpp refused; its log says why."""
        parameters = lib.llama_context_default_params()
        parameters.n_ctx = options.context_length * options.parallel
        parameters.n_batch = max(options.batch_size, options.parallel)
        parameters.n_ubatch = options.ubatch_size
        parameters.n_seq_max = options.parallel
        # One output per sequence is all that sampling reads. Without this llama.cpp reserves logits for a whole
        # micro-batch: 300 MB with a vocabulary of 151,936.
        parameters.n_outputs_max = options.parallel
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.type_k = _GGML_TYPES[options.kv_type_k]
        parameters.type_v = _GGML_TYPES[options.kv_type_v]
        parameters.flash_attn_type = _FLASH_ATTENTION[options.flash_attention]
        # Sliding-window layers keep their window only, as llama.cpp's own tools do; the price is that a cut in
        # the middle of a cached prompt is then impossible.
        parameters.swa_full = False
        parameters.kv_unified = False
        parameters.no_perf = False
        abort = AbortFlag()
        parameters.abort_callback = abort.function
        parameters.abort_callback_data = abort.data
        pointer = lib.llama_init_from_model(weights.pointer, parameters)
        return Context(pointer, abort, options, is_recurrent=weights.is_recurrent) if pointer else None

    def close(self) -> None:
        lib.llama_free(self.pointer)

    def set_threads(self, threads: int) -> None:
        lib.llama_set_n_threads(self.pointer, threads, threads)

    def use_adapters(self, adapters: Sequence[tuple[Any, float]]) -> None:
        """From here on these, each with its scale, and no others. All sequences are forgotten: what the memory holds of
        them was computed with the adapters before."""
        lib.llama_memory_clear(self.memory, False)
        size = max(len(adapters), 1)
        pointers = (lib.llama_adapter_lora_p_ctypes * size)(*(pointer for pointer, _scale in adapters))
        scales = (ctypes.c_float * size)(*(scale for _pointer, scale in adapters))
        result = lib.llama_set_adapters_lora(self.pointer, pointers, len(adapters), scales)
        if result != 0:
            raise Bug(f"llama.cpp did not take {len(adapters)} adapters that it had loaded (code {result}).")

    def decode(self) -> int:
        """Evaluates the batch. 0: done; 1: no room; 2: aborted; negative: llama.cpp failed."""
        self.batch.c_batch.n_tokens = self.batch.size
        result: int = lib.llama_decode(self.pointer, self.batch.c_batch)
        return result

    def synchronize(self) -> None:
        """Waits for a GPU to finish; sampling does the same by itself."""
        lib.llama_synchronize(self.pointer)

    def prompt_and_decode_ms(self) -> float:
        """llama.cpp's own clock of its decode calls so far, in milliseconds."""
        data = lib.llama_perf_context(self.pointer)
        return float(data.t_p_eval_ms + data.t_eval_ms)

    def cut(self, sequence: int, start: int, end: int = -1) -> bool:
        """Forgets the positions [start, end) of a sequence; False when this kind of memory cannot."""
        return bool(lib.llama_memory_seq_rm(self.memory, sequence, start, end))

    def move(self, sequence: int, start: int, by: int) -> None:
        """Renumbers the positions from `start` on."""
        lib.llama_memory_seq_add(self.memory, sequence, start, -1, by)

    def first_position(self, sequence: int) -> int:
        """Smallest position still held; above 0 when a sliding window dropped the beginning; -1 when empty."""
        return int(lib.llama_memory_seq_pos_min(self.memory, sequence))

    def last_position(self, sequence: int) -> int:
        return int(lib.llama_memory_seq_pos_max(self.memory, sequence))
