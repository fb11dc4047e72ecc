"""Which weights the CPU back end would copy into a layout of its own: asked of the back end. Child process only.

llama.cpp asks the same question for every tensor (`weight_buft_supported` in llama-model-loader.cpp): can one of the
back end's extra buffer types compute the operation that the tensor is used in?
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from typing import Any

from workbench.engine.llama import c_function
from workbench.engine.model_file import TensorPlace

_CPU_DEVICE, _F32, _I32 = 0, 0, 26
# The columns of the other matrix that llama.cpp takes for its question, and experts used at once.
_COLUMNS, _EXPERTS = 512, 2
_CONTEXT_BYTES = 64 * 1024
# Looked up or convolved, never multiplied as a matrix.
_NO_MATRICES = ("token_embd", "position_embd", "token_types", "conv1d", "shortconv.conv", "norm")
_P = ctypes.c_void_p


class _InitParameters(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", _P), ("no_alloc", ctypes.c_bool)]


class Repacking:
    """Asks the CPU back end, once for each type and shape."""

    def __init__(self) -> None:
        self._buffer_types = _extra_buffer_types()
        self._answers: dict[tuple[int, tuple[int, ...]], bool] = {}
        self._supports = c_function("ggml_backend_dev_supports_op", ctypes.c_bool, _P, _P)
        self._device = _cpu_device()

    def copies(self, tensors: Mapping[str, TensorPlace]) -> set[str]:
        """Names of the tensors that would be held in another layout."""
        return {name for name, tensor in tensors.items() if is_matrix(name, tensor) and self.fits(tensor)}

    def fits(self, tensor: TensorPlace) -> bool:
        """Whether an extra buffer type takes a matrix of this type and shape."""
        # How many experts there are does not matter; two keep the question small.
        shape = (*tensor.shape[:2], *([_EXPERTS] if len(tensor.shape) > 2 else []))
        key = (tensor.kind, shape)
        if key not in self._answers:
            self._answers[key] = any(self._ask(kind, tensor.kind, shape) for kind in self._buffer_types)
        return self._answers[key]

    def _ask(self, buffer_type: Any, kind: int, shape: tuple[int, ...]) -> bool:
        weights, question = _context(), _context()
        # Reserved and given back untouched: the back end looks at the buffer that a tensor lies in.
        matrix = _tensor(weights, kind, shape)
        buffer = c_function("ggml_backend_alloc_ctx_tensors_from_buft", _P, _P, _P)(weights, buffer_type)
        try:
            return buffer is not None and bool(self._supports(self._device, _operation(question, matrix, shape)))
        finally:
            c_function("ggml_backend_buffer_free", None, _P)(buffer)
            c_function("ggml_free", None, _P)(weights)
            c_function("ggml_free", None, _P)(question)


def is_matrix(name: str, tensor: TensorPlace) -> bool:
    """Whether a weight is used in a matrix multiplication, by the names that GGUF files use."""
    is_weight = name.endswith(".weight") and len(tensor.shape) in (2, 3)
    return is_weight and not any(word in name for word in _NO_MATRICES)


def size_bytes(tensor: TensorPlace) -> int:
    """Bytes of a tensor's values, of every type that this build knows."""
    row = c_function("ggml_row_size", ctypes.c_size_t, ctypes.c_int, ctypes.c_int64)(tensor.kind, tensor.shape[0])
    return int(row) * math.prod(tensor.shape[1:])


def _operation(context: Any, matrix: Any, shape: tuple[int, ...]) -> Any:
    if len(shape) == 2:
        other = _tensor(context, _F32, (shape[0], _COLUMNS))
        return c_function("ggml_mul_mat", _P, _P, _P, _P)(context, matrix, other)
    other = _tensor(context, _F32, (shape[0], _EXPERTS, _COLUMNS))
    chosen = _tensor(context, _I32, (_EXPERTS, _COLUMNS))
    return c_function("ggml_mul_mat_id", _P, _P, _P, _P, _P)(context, matrix, other, chosen)


def _context() -> Any:
    return c_function("ggml_init", _P, _InitParameters)(_InitParameters(_CONTEXT_BYTES, None, True))


def _tensor(context: Any, kind: int, shape: tuple[int, ...]) -> Any:
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    make = c_function("ggml_new_tensor", _P, _P, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int64))
    return make(context, kind, len(shape), sizes)


def _cpu_device() -> Any:
    return c_function("ggml_backend_dev_by_type", _P, ctypes.c_int)(_CPU_DEVICE)


def _extra_buffer_types() -> tuple[Any, ...]:
    device = _cpu_device()
    registry = c_function("ggml_backend_dev_backend_reg", _P, _P)(device)
    find = c_function("ggml_backend_reg_get_proc_address", _P, _P, ctypes.c_char_p)
    address = find(registry, b"ggml_backend_dev_get_extra_bufts")
    if not address:
        return ()
    types = ctypes.CFUNCTYPE(ctypes.POINTER(_P), _P)(address)(device)
    found: list[Any] = []
    while types[len(found)]:
        found.append(types[len(found)])
    return tuple(found)
