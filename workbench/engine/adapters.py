"""LoRA adapters beside loaded weights: checked against the model, loaded, and freed when no longer asked for.

The check reads headers only, so that an adapter of no use is refused before anything that is loaded is touched.
llama.cpp compares less than it needs: some shapes that it takes would abort the process at the first token.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.engine.llama import LogCapture
from workbench.engine.model_file import Header, TensorPlace, check_model_file
from workbench.engine.weights import Weights
from workbench.errors import ModelFileError, ModelNotFound
from workbench.runs.spec import Adapter

_A, _B = ".lora_a", ".lora_b"
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
# Types that llama.cpp multiplies with: floats and the quantized ones, but no whole numbers (I8 to F64).
_NUMBERS_ONLY = frozenset((24, 25, 26, 27, 28))


@dataclass(frozen=True, slots=True)
class CheckedAdapter:
    """An adapter that fits the model. `key` changes when another file is put in its place."""

    path: str
    scale: float
    header: Header

    @property
    def key(self) -> tuple[object, ...]:
        return self.path, self.header.fingerprint

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def check_adapters(adapters: Sequence[Adapter], base: Header) -> tuple[CheckedAdapter, ...]:
    """Raises ModelNotFound, and ModelFileError with the code "adapter_unusable" or "adapter_wrong_model"."""
    return tuple(CheckedAdapter(adapter.path, adapter.scale, _check(adapter.path, base)) for adapter in adapters)


def adapter_warnings(adapters: Sequence[CheckedAdapter]) -> tuple[str, ...]:
    return tuple(
        f"{adapter.name} is made to begin only after certain words of the prompt; here it counts for all of the text."
        for adapter in adapters
        if "adapter.alora.invocation_tokens" in adapter.header.values
    )


class AdapterShelf:
    """The adapters in memory beside one model's weights."""

    def __init__(self, weights: Weights, log: LogCapture) -> None:
        self._weights, self._log = weights, log
        self._loaded: dict[tuple[object, ...], Any] = {}

    def take(self, adapters: Sequence[CheckedAdapter]) -> list[tuple[Any, float]]:
        """Pointers and scales for `Context.use_adapters`; loads what is missing. Raises ModelFileError.

        When one fails, those before it stay loaded, which harms nothing: no context uses them.
        """
        for adapter in adapters:
            if adapter.key not in self._loaded:
                pointer = self._weights.load_adapter(adapter.path)
                if pointer is None:
                    raise _unusable(adapter.name, "llama.cpp cannot load it", self._log.tail_text())
                self._loaded[adapter.key] = pointer
        return [(self._loaded[adapter.key], adapter.scale) for adapter in adapters]

    def keep_only(self, adapters: Sequence[CheckedAdapter]) -> None:
        """Frees the others. No context may use them any more."""
        kept = {adapter.key for adapter in adapters}
        for key in [key for key in self._loaded if key not in kept]:
            self._weights.free_adapter(self._loaded.pop(key))


def _check(path: str, base: Header) -> Header:
    name = os.path.basename(path)
    if not Path(path).is_file():
        raise ModelNotFound(f"There is no adapter file {path}. Check the path.")
    try:
        header = check_model_file(path)
    except ModelFileError as error:
        raise _unusable(name, f"the file cannot be read ({error.message})") from error
    _check_kind(name, header)
    if header.architecture != base.architecture:
        raise _of_another(name, f"it was made for the architecture {header.architecture}, not {base.architecture}")
    pairs = _pairs(name, header)
    if _EMBEDDING in pairs and _OUTPUT not in base.tensors:
        # There llama.cpp would take the matrices the other way round, and end the process.
        raise _unusable(name, "it changes the token embedding, which this model shares with its output")
    for weight, (a, b) in pairs.items():
        _check_pair(name, weight, a, b, base.tensors.get(weight))
    return header


def _check_kind(name: str, header: Header) -> None:
    kind, form = header.values.get("general.type"), header.values.get("adapter.type")
    if kind != "adapter":
        raise _unusable(name, f"it is {'an importance matrix' if kind == 'imatrix' else 'a model'}, not an adapter")
    if form != "lora":
        raise _unusable(name, f"it is an adapter of the kind {form!r}, and only LoRA can be used")
    # llama.cpp ends the process when this key has another type.
    if not isinstance(header.values.get("adapter.lora.alpha", 0.0), float):
        raise _unusable(name, "its alpha is no number")
    if not header.tensors:
        raise _unusable(name, "it has no tensors")


def _pairs(name: str, header: Header) -> dict[str, tuple[TensorPlace, TensorPlace]]:
    """The two matrices for every weight that the adapter changes."""
    pairs = {}
    for tensor in header.tensors:
        weight = tensor.removesuffix(_A).removesuffix(_B)
        if weight == tensor:
            if tensor.endswith("_norm.weight"):
                continue  # llama.cpp passes over these
            raise _unusable(name, f"it has the tensor {tensor}, which is no part of a LoRA")
        a, b = header.tensors.get(weight + _A), header.tensors.get(weight + _B)
        if a is None or b is None:
            raise _unusable(name, f"one of the two matrices for {weight} is missing")
        if {a.kind, b.kind} & _NUMBERS_ONLY:
            raise _unusable(name, f"the matrices for {weight} are of a type that nothing can be multiplied with")
        pairs[weight] = (a, b)
    return pairs


def _check_pair(name: str, weight: str, a: TensorPlace, b: TensorPlace, target: TensorPlace | None) -> None:
    if target is None:
        raise _of_another(name, f"it changes {weight}, which this model does not have")
    rows, columns = target.shape[1] if len(target.shape) > 1 else 1, target.shape[0]
    (a_columns, a_rows, *a_more), (b_columns, b_rows, *b_more) = _matrix(a), _matrix(b)
    if weight == _EMBEDDING:
        # Rows are looked up in A, so that it lies the other way round.
        fits, rank = (b_rows, a_rows) == (columns, rows), a_columns == b_columns
    else:
        fits, rank = (a_columns, b_rows) == (columns, rows), a_rows == b_columns
    if not fits or not _matrix(target)[2:] == a_more == b_more:
        shape = " x ".join(f"{size:,}" for size in target.shape)
        raise _of_another(name, f"its matrices for {weight} do not fit the {shape} numbers that this model has there")
    if not rank:
        raise _unusable(name, f"the two matrices for {weight} have different ranks")


def _matrix(place: TensorPlace) -> list[int]:
    """The shape with four sizes: experts have a third one."""
    return [*place.shape, *([1] * (4 - len(place.shape)))]


def _unusable(name: str, why: str, detail: str | None = None) -> ModelFileError:
    return ModelFileError(
        f"{name} cannot be used as an adapter: {why}. Choose a LoRA adapter in GGUF format.",
        code="adapter_unusable",
        detail=detail,
    )


def _of_another(name: str, why: str) -> ModelFileError:
    return ModelFileError(
        f"The adapter {name} belongs to another model: {why}. Choose the model that it was trained on.",
        code="adapter_wrong_model",
    )
