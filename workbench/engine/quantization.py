"""Quantization types by name, and llama.cpp's quantizer as a child of its own. Child process only."""

from __future__ import annotations

import math
import re
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from workbench.engine import protocol
from workbench.engine.file_types import FILE_TYPES, TENSOR_TYPES, WHOLE_NUMBERS, file_type_name
from workbench.engine.importance import ImportanceMatrix, check_belongs, read_matrix
from workbench.engine.llama import (
    LogCapture,
    build_description,
    lib,
    quantize_overrides,
    quantize_weights,
    start_backend,
)
from workbench.engine.model_file import Header, check_model_file
from workbench.engine.pipes import EventWriter, read_commands
from workbench.errors import ModelFileError, StorageFull, UserError, WorkbenchError

if TYPE_CHECKING:
    from workbench.engine.weights import Weights

_PROGRESS = re.compile(r"^\[\s*(\d+)/\s*(\d+)\]")
_ERROR = re.compile(r"failed to quantize: (.*)$")
_PLANNED = re.compile(r"quant size\s*=\s*([\d.]+) MiB")
_WANTS_MATRIX = "will require an imatrix"
_FALLBACKS = re.compile(r"(\d+) of (\d+) tensor\(s\) required fallback")
_MIB = 1024**2
# llama.cpp rounds its total to a hundredth of a MiB, and pads every tensor.
_ROUNDING_BYTES, _PADDING_BYTES = 0.005 * _MIB, 32
_SPARE_DISK_BYTES = 4 * _MIB
# From eight bits the loss is small; from fewer, one error is put on top of another.
_GOOD_SOURCES = WHOLE_NUMBERS | {"Q8_0"}


def quantization_name(weights: Weights) -> str | None:
    """The usual short name ("Q4_K_M") of what most of the weights are; None when llama.cpp does not say."""
    return file_type_name(int(lib.llama_model_ftype(weights.pointer)))


def serve(commands: BinaryIO, writer: EventWriter) -> None:
    """Answers one `Quantize` with its plan, progress and an end."""
    done = threading.Event()
    order: list[protocol.Quantize] = []

    def take(message: protocol.Message) -> None:
        if isinstance(message, protocol.Quantize):
            order.append(message)
            done.set()

    threading.Thread(target=read_commands, args=(commands, take), daemon=True).start()
    done.wait()
    try:
        job = _Job(order[0], writer)
        planned = job.plan()
        writer.post(planned)
        if not order[0].only_plan:
            writer.post(job.make(planned))
    except WorkbenchError as error:
        writer.post(protocol.WorkFailed.of(error))
    # The parent closes the pipe when it has the answer, which ends this process.
    threading.Event().wait()


class _Job:
    """One order: reads what it names, plans it, and makes it."""

    def __init__(self, order: protocol.Quantize, writer: EventWriter) -> None:
        self._order, self._writer = order, writer
        self._log = LogCapture()
        start_backend()
        self._header = check_model_file(order.source)
        _check_is_model(self._header, order.source)
        self._source_type = file_type_name(int(self._header.values.get("general.file_type", -1)))
        self._notes: list[str] = []
        self._reasons: list[str] = []
        self._check_source()
        self._matrix = self._read_matrix()

    def _read_matrix(self) -> ImportanceMatrix | None:
        if self._order.options.matrix is None:
            return None
        matrix = read_matrix(self._order.options.matrix)
        self._notes += filter(None, [check_belongs(matrix, self._header)])
        return matrix

    def _parameters(self) -> tuple[Any, list[Any]]:
        """llama.cpp's parameters, and what they point to."""
        order, options = self._order, self._order.options
        parameters = lib.llama_model_quantize_default_params()
        parameters.nthread = order.threads
        parameters.ftype = FILE_TYPES[order.type_name]
        parameters.allow_requantize = options.allow_requantize or self._source_type in _GOOD_SOURCES
        parameters.quantize_output_tensor = not options.keep_output
        parameters.pure = options.pure
        if options.output_type is not None:
            parameters.output_tensor_type = TENSOR_TYPES[options.output_type]
        if options.embedding_type is not None:
            parameters.token_embedding_type = TENSOR_TYPES[options.embedding_type]
        kept: list[Any] = []
        if self._matrix is not None:
            weights = quantize_weights(self._matrix.values)
            overrides = quantize_overrides(_matrix_metadata(self._matrix))
            parameters.imatrix, parameters.kv_overrides = weights, overrides
            kept += [weights, overrides, self._matrix]
        return parameters, kept

    def plan(self) -> protocol.QuantizePlanned:
        """llama.cpp goes through all tensors without reading or writing one."""
        parameters, kept = self._parameters()
        parameters.dry_run = True
        sizes: list[float] = []
        wants: list[str] = []

        def read(line: str) -> None:
            if match := _PLANNED.search(line):
                sizes.append(float(match[1]))
            elif _WANTS_MATRIX in line:
                wants.append(line)
            else:
                self._read_reason(line)

        self._call(parameters, kept, read)
        if not sizes:
            raise ModelFileError(
                f"llama.cpp did not say how large {self._order.type_name} of {Path(self._order.source).name} will be.",
                detail=self._log.tail_text(),
            )
        tensors = math.ceil(sizes[-1] * _MIB + _ROUNDING_BYTES) + _PADDING_BYTES * len(self._header.tensors)
        return protocol.QuantizePlanned(self._header.data_start + tensors, needs_matrix=bool(wants))

    def make(self, planned: protocol.QuantizePlanned) -> protocol.QuantizeDone:
        if planned.needs_matrix:
            raise _needs_matrix(self._order.type_name)
        self._check_disk(planned.size_bytes)
        parameters, kept = self._parameters()
        self._call(parameters, kept, self._read_progress)
        size_bytes = Path(self._order.target).stat().st_size
        return protocol.QuantizeDone(size_bytes, build_description(), tuple(self._notes))

    def _check_disk(self, size_bytes: int) -> None:
        folder = Path(self._order.target).parent
        free = shutil.disk_usage(folder).free
        if free < size_bytes + _SPARE_DISK_BYTES:
            raise StorageFull(
                f"{self._order.type_name} of {Path(self._order.source).name} takes {size_bytes / 1e6:,.1f} MB, and "
                f"only {free / 1e6:,.1f} MB are free in {folder}. Free some space, or choose another folder."
            )

    def _check_source(self) -> None:
        if self._source_type is None or self._source_type in _GOOD_SOURCES:
            return
        if not self._order.options.allow_requantize:
            raise _unsuitable(self._order, self._source_type, None)
        self._notes.append(
            f"The source is {self._source_type} already: what it lost stays lost, and {self._order.type_name} is put "
            "on top. The F16, BF16 or Q8_0 file of this model gives a better one."
        )

    def _read_progress(self, line: str) -> None:
        if match := _PROGRESS.match(line.strip()):
            self._writer.post(protocol.QuantizeProgressed(int(match[1]) / max(int(match[2]), 1)))
        elif match := _FALLBACKS.search(line):
            self._notes.append(
                f"{match[1]} of {match[2]} tensors have rows that {self._order.type_name} cannot divide; llama.cpp "
                "gave them a larger type."
            )
        self._read_reason(line)

    def _read_reason(self, line: str) -> None:
        # The reason may stand at the end of the line of the tensor that was being worked on.
        if match := _ERROR.search(line):
            self._reasons.append(match[1].rstrip("."))

    def _call(self, parameters: Any, kept: list[Any], read: Any) -> None:
        with self._log.listening(read):
            result = lib.llama_model_quantize(self._order.source.encode(), self._order.target.encode(), parameters)
        kept.clear()
        if result != 0:
            raise _failure(self._order, self._source_type, self._reasons, self._log.tail_text())


def _check_is_model(header: Header, source: str) -> None:
    kind = header.values.get("general.type", "model")
    if kind in ("adapter", "imatrix"):
        what = "a LoRA adapter" if kind == "adapter" else "an importance matrix"
        raise ModelFileError(f"{Path(source).name} is {what}, not a model; choose the model's own file.")


def _matrix_metadata(matrix: ImportanceMatrix) -> dict[str, str | int]:
    """The keys that llama.cpp's own tool writes into the file it makes."""
    values: dict[str, str | int] = {
        "quantize.imatrix.file": matrix.name,
        "quantize.imatrix.entries_count": len(matrix.values),
    }
    if matrix.chunks is not None:
        values["quantize.imatrix.chunks_count"] = matrix.chunks
    return values


def _needs_matrix(type_name: str) -> UserError:
    return UserError(
        f"{type_name} needs an importance matrix of this model (an imatrix file, often found beside the model on the "
        "Hub). Give one, or choose a type that does without, such as Q2_K or IQ4_XS.",
        code="quantization_needs_matrix",
    )


def _unsuitable(order: protocol.Quantize, source_type: str | None, detail: str | None) -> UserError:
    return UserError(
        f"{Path(order.source).name} is {source_type or 'already quantized'}. Make {order.type_name} from the F16, "
        "BF16 or Q8_0 file of this model instead, or allow requantizing and take the loss.",
        code="quantize_source_unsuitable",
        detail=detail,
    )


def _failure(order: protocol.Quantize, source_type: str | None, reasons: list[str], detail: str) -> WorkbenchError:
    reason = reasons[-1] if reasons else ""
    if match := re.search(r"Missing importance matrix for tensor (\S+)", reason):
        return ModelFileError(
            f"The importance matrix has nothing for {match[1]}, which {order.type_name} needs. It was computed with "
            "too little text, or for another model.",
            code="matrix_unusable",
            detail=detail,
        )
    if "imatrix" in reason:
        return _needs_matrix(order.type_name)
    if "requantiz" in reason:
        return _unsuitable(order, source_type, detail)
    why = f" It said: {reason}." if reason else ""
    return ModelFileError(
        f"llama.cpp could not make {order.type_name} of {Path(order.source).name}.{why}", detail=detail
    )
