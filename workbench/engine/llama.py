"""The one module that imports llama_cpp: the library itself, its log, its devices and its build. Child process only.

Other modules of the child take `lib` from here and call the C functions of `llama.h` by their names.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import os
import platform
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workbench.runs.record import DeviceDescription

LOG_TAIL_LINES = 40
_LEVEL_DEBUG, _LEVEL_CONTINUE = 1, 5
_OVERRIDE_TEXT_BYTES = 127
_DEVICE_KINDS: tuple[Any, ...] = ("cpu", "gpu", "igpu", "accel", "gpu")
_GPU = 1
# What the CPU back end lists among its instruction sets.
_NO_INSTRUCTIONS = frozenset({"LLAMAFILE", "OPENMP", "REPACK", "KLEIDIAI", "ACCELERATE"})


def _import_low_level() -> Any:
    """`llama_cpp.llama_cpp` without the package's `__init__`.

    The convenience classes it would import pull in numpy, jinja2 and diskcache: 115 ms of 150 ms measured.
    """
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("llama_cpp is not installed")
        bare = importlib.machinery.ModuleSpec("llama_cpp", None, is_package=True)
        bare.submodule_search_locations = spec.submodule_search_locations
        sys.modules["llama_cpp"] = importlib.util.module_from_spec(bare)
    from llama_cpp import llama_cpp

    return llama_cpp


lib: Any = _import_low_level()


class LogCapture:
    """Receives llama.cpp's log: to standard error (the log file), the last lines in memory, and to listeners."""

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=LOG_TAIL_LINES)
        self._listeners: list[Callable[[str], None]] = []
        self._partial = ""
        self._skipping = False
        self._callback = lib.llama_log_callback(self._receive)
        lib.llama_log_set(self._callback, None)

    def _receive(self, level: int, text: bytes, _user: object) -> None:
        if level != _LEVEL_CONTINUE:
            # Debug lines name every tensor of every graph: 400 lines per load, of use to nobody here.
            self._skipping = level == _LEVEL_DEBUG
        if self._skipping:
            return
        *lines, self._partial = (self._partial + text.decode("utf-8", "replace")).split("\n")
        for line in lines:
            self.tail.append(line)
            for listener in self._listeners:
                listener(line)
        if lines:
            os.write(2, ("\n".join(lines) + "\n").encode("utf-8", "replace"))

    @contextmanager
    def listening(self, listener: Callable[[str], None]) -> Iterator[None]:
        """Hands every line of the log to `listener` meanwhile."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def tail_text(self) -> str:
        return "\n".join(self.tail)


def c_function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the ggml libraries, which llama_cpp does not wrap; found through their loaded handles.

    Raises AttributeError for a name that this build does not have.
    """
    from llama_cpp import _ggml

    for library in (_ggml.libggml, lib._lib):
        try:
            function = getattr(library, name)
        except AttributeError:
            continue
        function.restype, function.argtypes = result, list(arguments)
        return function
    raise AttributeError(f"ggml has no {name}")


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def list_devices() -> tuple[DeviceDescription, ...]:
    """The devices this build can use, with their memory in bytes."""
    pointer, size_p = ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)
    count = c_function("ggml_backend_dev_count", ctypes.c_size_t)
    get = c_function("ggml_backend_dev_get", pointer, ctypes.c_size_t)
    name = c_function("ggml_backend_dev_name", ctypes.c_char_p, pointer)
    description = c_function("ggml_backend_dev_description", ctypes.c_char_p, pointer)
    kind = c_function("ggml_backend_dev_type", ctypes.c_int, pointer)
    memory = c_function("ggml_backend_dev_memory", None, pointer, size_p, size_p)
    devices = []
    for index in range(count()):
        device = get(index)
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        memory(device, ctypes.byref(free), ctypes.byref(total))
        devices.append(
            DeviceDescription(
                name=_text(name(device)),
                description=_text(description(device)).strip(),
                kind=_kind(kind(device)),
                # A CPU back end on some systems answers 0: not known.
                memory_total_bytes=total.value or None,
                memory_free_bytes=free.value or None,
            )
        )
    return tuple(devices)


def _kind(number: int) -> Any:
    # Metal calls every GPU one of its own; those of Apple's processors work in the machine's memory.
    shares = number == _GPU and sys.platform == "darwin" and platform.machine() == "arm64"
    return "igpu" if shares else _DEVICE_KINDS[number]


def backends() -> tuple[str, ...]:
    """Those compiled into this build, also those that find no device."""
    count = c_function("ggml_backend_reg_count", ctypes.c_size_t)
    get = c_function("ggml_backend_reg_get", ctypes.c_void_p, ctypes.c_size_t)
    name = c_function("ggml_backend_reg_name", ctypes.c_char_p, ctypes.c_void_p)
    return tuple(_text(name(get(index))) for index in range(count()))


def processor_features() -> tuple[str, ...]:
    """The instruction sets that this build uses here: "AVX2", "NEON" ..."""
    found, section = [], ""
    # "CPU : AVX2 = 1 | OPENMP = 1 | CUDA : ARCHS = 900 | ..."
    for part in _text(lib.llama_print_system_info()).split("|"):
        name, _, value = part.partition("=")
        *heading, name = (piece.strip() for piece in name.split(":"))
        section = heading[0] if heading else section
        if section == "CPU" and value.strip() == "1" and name not in _NO_INSTRUCTIONS:
            found.append(name)
    return tuple(found)


def build_description() -> str:
    """Versions of llama.cpp, ggml and the binding, and the instruction sets of this build."""
    binding = _binding_version()
    ggml = _text(c_function("ggml_version", ctypes.c_char_p)())
    commit = _text(c_function("ggml_commit", ctypes.c_char_p)())
    llama = c_function("llama_version", ctypes.c_char_p)
    features = _text(lib.llama_print_system_info())
    used = " ".join(
        part.split("=")[0].split(":")[-1].strip() for part in features.split("|") if part.strip().endswith("= 1")
    )
    return f"llama.cpp {_text(llama())}, ggml {ggml} ({commit}), llama-cpp-python {binding}; {used}"


def _binding_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("llama-cpp-python")
    except metadata.PackageNotFoundError:
        return "?"


def schema_to_grammar(schema: str) -> str:
    """A JSON schema as a grammar in GBNF. Raises whatever the converter raises on a schema it cannot use."""
    # Not at the top: few requests have a schema, and every child would pay for the import.
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    return str(json_schema_to_gbnf(schema))


def start_backend() -> None:
    lib.llama_backend_init()


def quantize_weights(values: Mapping[str, array[float]]) -> Any:
    """Importance values by tensor as the list that llama.cpp's quantizer takes; `values` must outlive its use."""
    entries = (lib.llama_model_imatrix_data * (len(values) + 1))()
    for entry, (name, numbers) in zip(entries, values.items(), strict=False):
        entry.name = name.encode()
        entry.data = ctypes.cast((ctypes.c_float * len(numbers)).from_buffer(numbers), ctypes.POINTER(ctypes.c_float))
        entry.size = len(numbers)
    # The last entry stays empty, which ends the list.
    return entries


def quantize_overrides(values: Mapping[str, str | int]) -> Any:
    """Metadata for the file that the quantizer writes; texts are cut to the 127 bytes that llama.cpp takes."""
    entries = (lib.llama_model_kv_override * (len(values) + 1))()
    for entry, (key, value) in zip(entries, values.items(), strict=False):
        entry.key = key.encode()
        if isinstance(value, str):
            entry.tag = lib.LLAMA_KV_OVERRIDE_TYPE_STR
            entry.value.val_str = value.encode()[:_OVERRIDE_TEXT_BYTES].decode("utf-8", "ignore").encode()
        else:
            entry.tag = lib.LLAMA_KV_OVERRIDE_TYPE_INT
            entry.value.val_i64 = value
    return entries
