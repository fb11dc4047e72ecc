"""Quantization types by name, and llama.cpp's quantizer as a child of its own. Child process only."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from workbench.engine import protocol
from workbench.engine.file_types import FILE_TYPES, file_type_name
from workbench.engine.llama import LogCapture, lib, start_backend
from workbench.engine.model_file import check_model_file
from workbench.engine.pipes import EventWriter, read_commands
from workbench.errors import ModelFileError, UserError, WorkbenchError

if TYPE_CHECKING:
    from workbench.engine.weights import Weights

_PROGRESS = re.compile(r"^\[\s*(\d+)/\s*(\d+)\]")
_ERROR = re.compile(r"failed to quantize: (.*)$")


def quantization_name(weights: Weights) -> str | None:
    """The usual short name ("Q4_K_M") of what most of the weights are; None when llama.cpp does not say."""
    return file_type_name(int(lib.llama_model_ftype(weights.pointer)))


def serve(commands: BinaryIO, writer: EventWriter) -> None:
    """Answers one `Quantize` with progress and an end."""
    done = threading.Event()
    order: list[protocol.Quantize] = []

    def take(message: protocol.Message) -> None:
        if isinstance(message, protocol.Quantize):
            order.append(message)
            done.set()

    threading.Thread(target=read_commands, args=(commands, take), daemon=True).start()
    done.wait()
    try:
        size_bytes = _quantize(order[0], writer)
    except WorkbenchError as error:
        writer.post(protocol.WorkFailed.of(error))
    else:
        writer.post(protocol.QuantizeDone(size_bytes))
    # The parent closes the pipe when it has the answer, which ends this process.
    threading.Event().wait()


def _quantize(order: protocol.Quantize, writer: EventWriter) -> int:
    log = LogCapture()
    start_backend()
    header = check_model_file(order.source)
    source_type = file_type_name(int(header.values.get("general.file_type", -1)))
    parameters = lib.llama_model_quantize_default_params()
    parameters.nthread = order.threads
    parameters.ftype = FILE_TYPES[order.type_name]
    # From eight bits the loss is small; from fewer, one error is put on top of another.
    parameters.allow_requantize = source_type == "Q8_0"
    reasons: list[str] = []

    def read(line: str) -> None:
        # The reason stands at the end of the line of the tensor that was being worked on.
        if match := _ERROR.search(line):
            reasons.append(match[1].rstrip("."))
        elif match := _PROGRESS.match(line.strip()):
            writer.post(protocol.QuantizeProgressed(int(match[1]) / max(int(match[2]), 1)))

    with log.listening(read):
        result = lib.llama_model_quantize(order.source.encode(), order.target.encode(), parameters)
    if result != 0:
        raise _failure(order, source_type, reasons, log.tail_text())
    return Path(order.target).stat().st_size


def _failure(order: protocol.Quantize, source_type: str | None, reasons: list[str], detail: str) -> WorkbenchError:
    if reasons and "imatrix" in reasons[-1]:
        return UserError(
            f"{order.type_name} needs an importance matrix, which the workbench does not make. Choose a larger type, "
            "such as Q2_K or IQ4_XS, or download this quantization ready-made.",
            code="quantization_needs_matrix",
            detail=detail,
        )
    why = f" It said: {reasons[-1]}." if reasons else ""
    if reasons and "requantiz" in reasons[-1]:
        return UserError(
            f"{Path(order.source).name} is {source_type or 'already quantized'}. Make {order.type_name} from the F16, "
            "BF16 or Q8_0 file of this model instead.",
            code="quantize_source_unsuitable",
            detail=detail,
        )
    return ModelFileError(
        f"llama.cpp could not make {order.type_name} of {Path(order.source).name}.{why}", detail=detail
    )
