"""What crosses the pipe to the engine's child: length-prefixed JSON frames and the plain data inside them."""

from __future__ import annotations

import dataclasses
import json
import struct
from dataclasses import dataclass, field
from typing import IO, Any, TypeAlias

from workbench.engine import api
from workbench.engine.file_types import QuantizeOptions
from workbench.errors import WorkbenchError, from_code
from workbench.runs.memory_plan import MemoryPlan
from workbench.runs.record import EngineBuild, LoadReport
from workbench.runs.spec import EngineOptions, ModelRef, from_plain

# A frame larger than this is a broken stream, not a message: the longest prompt a model takes is a few MB.
MAX_FRAME_BYTES = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """The bytes on the pipe are no frame of this protocol."""


@dataclass(frozen=True, slots=True)
class Load:
    model: ModelRef
    options: EngineOptions
    memory_check: bool = True


@dataclass(frozen=True, slots=True)
class CancelLoad:
    pass


@dataclass(frozen=True, slots=True)
class Run:
    request: api.EngineRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    request_id: str


@dataclass(frozen=True, slots=True)
class AnswerNow:
    request_id: str


@dataclass(frozen=True, slots=True)
class Render:
    """To the template process: `variables` is plain JSON; the answer is `Rendered` or `RenderFailed`.

    `parts` and `Rendered.places`: see `places`.
    """

    template: str
    variables: dict[str, Any]
    parts: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Quantize:
    """The answer is `QuantizePlanned`, then progress and `QuantizeDone` unless `only_plan` is set."""

    source: str
    target: str
    type_name: str
    threads: int
    options: QuantizeOptions = field(default_factory=QuantizeOptions)
    only_plan: bool = False


@dataclass(frozen=True, slots=True)
class PlanMemory:
    """The answer is one `MemoryPlanned` with a plan for each of `options`, in order."""

    path: str
    options: tuple[EngineOptions, ...]


@dataclass(frozen=True, slots=True)
class MemoryPlanned:
    plans: tuple[MemoryPlan, ...]


@dataclass(frozen=True, slots=True)
class DevicesListed:
    """First and only frame of a process that says what the installed llama.cpp is and finds."""

    build: EngineBuild


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame of a child: it is up and has llama.cpp in memory."""

    pid: int


@dataclass(frozen=True, slots=True)
class LoadProgressed:
    step: api.LoadStep
    fraction: float | None


@dataclass(frozen=True, slots=True)
class LoadDone:
    report: LoadReport


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """A load or a quantization ended with an error. `kind` is the code of its class, `code` its own."""

    kind: str
    code: str
    message: str
    detail: str | None = None

    @classmethod
    def of(cls, error: WorkbenchError, detail: str | None = None) -> WorkFailed:
        return cls(type(error).code, error.code, error.message, error.detail or detail)

    def error(self) -> WorkbenchError:
        """The error again, of the same class."""
        return type(from_code(self.kind, ""))(self.message, code=self.code, detail=self.detail)


@dataclass(frozen=True, slots=True)
class Rendered:
    text: str
    places: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RenderFailed:
    message: str


@dataclass(frozen=True, slots=True)
class QuantizePlanned:
    """What llama.cpp will write, to within a few KiB, and whether it will refuse for want of a matrix."""

    size_bytes: int
    needs_matrix: bool


@dataclass(frozen=True, slots=True)
class QuantizeProgressed:
    fraction: float


@dataclass(frozen=True, slots=True)
class QuantizeDone:
    """`engine_build` made it; `notes` are sentences about what may disappoint."""

    size_bytes: int
    engine_build: str = ""
    notes: tuple[str, ...] = ()


Message: TypeAlias = (
    Load | CancelLoad | Run | Cancel | AnswerNow | Render | Quantize
    | Hello | LoadProgressed | LoadDone | WorkFailed | Rendered | RenderFailed | QuantizePlanned
    | QuantizeProgressed | QuantizeDone | PlanMemory | MemoryPlanned | DevicesListed
    | api.EngineEvent
)  # fmt: skip

_CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        Load, CancelLoad, Run, Cancel, AnswerNow, Render, Quantize,
        Hello, LoadProgressed, LoadDone, WorkFailed, Rendered, RenderFailed, QuantizePlanned,
        QuantizeProgressed, QuantizeDone, PlanMemory, MemoryPlanned, DevicesListed,
        api.PromptReady, api.PrefillStarted, api.PrefillProgress, api.PrefillEnded, api.Tokens, api.Shifted,
        api.RequestFinished, api.RequestFailed, api.RequestCancelled,
    )
}  # fmt: skip


def encode(message: Message) -> bytes:
    """The whole frame: four bytes of length, big end first, then JSON."""
    if type(message) is api.Tokens:
        # By hand: `dataclasses.asdict` copies every element and this is the one message of the decode loop.
        body: Any = {
            "request_id": message.request_id,
            "ids": message.ids,
            "texts": message.texts,
            "stamps_ns": message.stamps_ns,
            "is_thinking": message.is_thinking,
        }
    elif type(message) is api.PromptReady:
        body = {**dataclasses.asdict(dataclasses.replace(message, pieces=())), "pieces": message.pieces}
    else:
        body = dataclasses.asdict(message)
    # ASCII escapes carry lone surrogates too, which a prompt pasted on Windows may hold.
    payload = json.dumps([type(message).__name__, body], separators=(",", ":")).encode("ascii")
    return _LENGTH.pack(len(payload)) + payload


def decode(payload: bytes) -> Message:
    """The inverse of `encode`, without the length. Raises ProtocolError."""
    try:
        name, body = json.loads(payload)
        cls = _CLASSES[name]
        if cls is api.Tokens:
            return _tokens(body)
        if cls is api.PromptReady:
            return _prompt_ready(body)
        message: Message = from_plain(cls, body)
    except Exception as error:
        raise ProtocolError(f"not a message: {payload[:200]!r} ({error})") from error
    return message


def _tokens(body: dict[str, Any]) -> api.Tokens:
    ids, texts, stamps, flags = body["ids"], body["texts"], body["stamps_ns"], body["is_thinking"]
    if not len(ids) == len(texts) == len(stamps) == len(flags):
        raise ValueError("Tokens of unequal lengths")
    return api.Tokens(body["request_id"], tuple(ids), tuple(texts), tuple(stamps), tuple(flags))


def _prompt_ready(body: dict[str, Any]) -> api.PromptReady:
    # The pieces may be a hundred thousand strings; checking them one by one in `from_plain` takes 0.2 s.
    pieces = tuple(body.pop("pieces"))
    event: api.PromptReady = from_plain(api.PromptReady, {**body, "pieces": []})
    return dataclasses.replace(event, pieces=pieces)


def write_frame(stream: IO[bytes], message: Message) -> None:
    stream.write(encode(message))
    stream.flush()


def read_frame(stream: IO[bytes]) -> Message | None:
    """The next message; None at the end of the stream, also when it ends inside a frame (the writer died)."""
    head = _read_exactly(stream, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {length:,} bytes")
    payload = _read_exactly(stream, length)
    return None if payload is None else decode(payload)


def _read_exactly(stream: IO[bytes], count: int) -> bytes | None:
    parts: list[bytes] = []
    while count > 0:
        part = stream.read(count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
