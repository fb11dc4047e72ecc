"""The frozen `RunSpec`: everything that can change the result of a run, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from workbench.errors import SpecError

Thinking = Literal["default", "on", "off"]
Overflow = Literal["error", "drop_oldest", "keep_head_tail", "shift"]
SplitMode = Literal["layer", "row", "none"]
StrategyName = Literal["single", "refine", "vote"]
Role = Literal["system", "user", "assistant"]

KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
GPU_LAYERS_ALL = -1
MOST_GPUS = 16
# What weights are loaded for: another value of one of these loads them again.
WEIGHT_OPTIONS = ("gpu_layers", "use_mmap", "repack", "main_gpu", "tensor_split", "split_mode")
ADAPTER_SCALE_LIMIT = 100
# llama.cpp's LLAMA_DEFAULT_SEED: with it every run draws a seed of its own, and no run could be repeated.
RANDOM_SEED = 2**32 - 1
_SEED_RANGE = f"from 0 to {RANDOM_SEED - 1}"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which weights. `path` is absolute (first file of a split); `sha256` is None until it was computed."""

    path: str
    name: str
    quantization: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter in a GGUF file, and how strongly it counts: 1 as it was trained, 0 not at all.

    `path` is absolute; `sha256` is None until it was computed.
    """

    path: str
    scale: float = 1.0
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """How a model lies on several GPUs; the fields are those of `EngineOptions`."""

    split_mode: SplitMode = "layer"
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a loaded model and its context depend on.

    `context_length` is tokens per sequence; `parallel` is how many sequences the context holds.
    `threads` None: as many as physical cores. `gpu_layers` None: as many as fit; -1: all.
    `split_mode` "layer" shares layers over all GPUs, "row" the rows of each matrix, "none" takes `main_gpu` alone,
    counted as llama.cpp lists them. `tensor_split` are shares for each GPU; empty or all 0: by their free memory.
    `adapters` are added to the weights, all at once.
    """

    context_length: int = 4096
    parallel: int = 1
    threads: int | None = None
    gpu_layers: int | None = None
    batch_size: int = 2048
    ubatch_size: int = 512
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    flash_attention: Literal["auto", "on", "off"] = "auto"
    use_mmap: bool = True
    repack: bool = True
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    split_mode: SplitMode = "layer"
    adapters: tuple[Adapter, ...] = ()

    @property
    def placement(self) -> Placement:
        return Placement(self.split_mode, self.main_gpu, self.tensor_split)


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How messages become a prompt, and how thinking is handled.

    `template` names a variant of the model's chat templates; None is the default one.
    `thinking_budget` counts tokens; None is no bound, 0 with thinking on ends it at once.
    """

    template: str | None = None
    thinking: Thinking = "default"
    reasoning_effort: str | None = None
    thinking_budget: int | None = None
    overflow: Overflow = "error"


@dataclass(frozen=True, slots=True)
class Sampling:
    """The sampler chain. `temperature` 0 is greedy. `repeat_last_n` -1 is the whole context."""

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_last_n: int = 64
    seed: int = 7
    logit_bias: tuple[tuple[int, float], ...] = ()
    grammar: str | None = None
    json_schema: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_tokens` counts thinking and answer together; None: until the model ends or the context is full."""

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `document` is attached text that goes before `content` and is counted apart from it."""

    role: Role
    content: str
    document: str | None = None
    document_name: str | None = None

    @property
    def full_content(self) -> str:
        """What the chat template receives."""
        return self.content if not self.document else f"{self.document}\n\n{self.content}"


@dataclass(frozen=True, slots=True)
class Strategy:
    """What the run does with passes. `vote` takes `passes` answers; `refine` drafts, then revises."""

    name: StrategyName = "single"
    passes: int = 1
    instruction: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileRef:
    """Which profile filled the spec, so that a row can say so later."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything that can change a result. What is not here may not influence a run."""

    model: ModelRef
    messages: tuple[Message, ...]
    engine: EngineOptions = field(default_factory=EngineOptions)
    chat: ChatOptions = field(default_factory=ChatOptions)
    sampling: Sampling = field(default_factory=Sampling)
    limits: Limits = field(default_factory=Limits)
    strategy: Strategy = field(default_factory=Strategy)
    mode: ProfileRef | None = None
    surface: ProfileRef | None = None

    def __post_init__(self) -> None:
        _check(self)


def check_engine(engine: EngineOptions) -> None:
    """Raises SpecError naming the first value that is out of range."""
    _within("context_length", engine.context_length, 16, 16_777_216)
    _within("parallel", engine.parallel, 1, 256)
    _within("threads", engine.threads, 1, 1024)
    _within("gpu_layers", engine.gpu_layers, -1, 100_000)
    _within("batch_size", engine.batch_size, 1, 1_048_576)
    _within("ubatch_size", engine.ubatch_size, 1, 1_048_576)
    _within("main_gpu", engine.main_gpu, 0, MOST_GPUS - 1)
    _check_split(engine.tensor_split)
    for name in ("kv_type_k", "kv_type_v"):
        if getattr(engine, name) not in KV_TYPES:
            raise SpecError(f"{name} is {getattr(engine, name)!r}; it must be one of {', '.join(KV_TYPES)}.")
    _check_adapters(engine.adapters)


def _check(spec: RunSpec) -> None:
    sampling, limits = spec.sampling, spec.limits
    check_engine(spec.engine)
    _within("temperature", sampling.temperature, 0, 10)
    _within("top_k", sampling.top_k, 0, 10_000_000)
    _within("top_p", sampling.top_p, 0, 1)
    _within("min_p", sampling.min_p, 0, 1)
    _within("repeat_penalty", sampling.repeat_penalty, 0.01, 10)
    _within("repeat_last_n", sampling.repeat_last_n, -1, 1_048_576)
    if sampling.seed == RANDOM_SEED:
        raise SpecError(f"seed is {RANDOM_SEED}, which llama.cpp takes for a random one; it must be {_SEED_RANGE}.")
    if not 0 <= sampling.seed < RANDOM_SEED:
        raise SpecError(f"seed is {sampling.seed}; it must be {_SEED_RANGE}.")
    _within("max_tokens", limits.max_tokens, 1, 16_777_216)
    _within("thinking_budget", spec.chat.thinking_budget, 0, 16_777_216)
    _within("passes", spec.strategy.passes, 1, 64)
    if sampling.grammar is not None and sampling.json_schema is not None:
        raise SpecError("Set either grammar or json_schema, not both.")
    if not spec.messages:
        raise SpecError("There is no message to send. Type a prompt.")


def _check_split(shares: tuple[float, ...]) -> None:
    if len(shares) > MOST_GPUS:
        raise SpecError(f"tensor_split has {len(shares)} shares; llama.cpp takes {MOST_GPUS} GPUs at most.")
    for share in shares:
        _within("a share of tensor_split", share, 0, 1_000_000)


def _check_adapters(adapters: tuple[Adapter, ...]) -> None:
    paths = [adapter.path for adapter in adapters]
    for adapter in adapters:
        _within("the scale of an adapter", adapter.scale, -ADAPTER_SCALE_LIMIT, ADAPTER_SCALE_LIMIT)
        if paths.count(adapter.path) > 1:
            # llama.cpp would take the last of the two and say nothing.
            raise SpecError(f"The adapter {adapter.path} is given twice. Give it once, with one scale.")


def _within(name: str, value: float | None, low: float, high: float) -> None:
    # The negated comparison also refuses NaN.
    if value is not None and not (low <= value <= high):
        raise SpecError(f"{name} is {value}; it must be from {low:,} to {high:,}.")


T = TypeVar("T")


def to_json(value: Any) -> str:
    """A dataclass of this package as compact JSON with sorted keys: equal specs give equal text."""
    return json.dumps(dataclasses.asdict(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def from_json(cls: type[T], text: str) -> T:
    """The inverse of `to_json`. Raises SpecError on unknown keys and wrong types."""
    built: T = from_plain(cls, json.loads(text))
    return built


def from_plain(cls: Any, data: Any) -> Any:
    """Builds `cls` from plain dicts and lists, strictly: an unknown key or a wrong type is a SpecError."""
    return _build(cls, data, cls.__name__ if isinstance(cls, type) else "value")


def _build(hint: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return data
    if dataclasses.is_dataclass(hint):
        return _build_dataclass(hint, data, where)
    if origin in (typing.Union, types.UnionType):
        return _build_union(hint, data, where)
    if origin is Literal:
        if data not in typing.get_args(hint):
            raise SpecError(f"{where} is {data!r}; it must be one of {', '.join(map(str, typing.get_args(hint)))}.")
        return data
    if origin is tuple:
        return _build_tuple(hint, data, where)
    if origin is dict:
        if not isinstance(data, dict):
            raise SpecError(f"{where} must be a table.")
        return {key: _build(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in data.items()}
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, hint) or (isinstance(data, bool) and hint is not bool):
        raise SpecError(f"{where} is {data!r}; it must be of type {hint.__name__}.")
    return data


def _build_dataclass(hint: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise SpecError(f"{where} must be a table.")
    hints = typing.get_type_hints(hint)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise SpecError(f"{where} has the unknown key {unknown[0]!r}; known keys: {', '.join(hints)}.")
    values = {key: _build(hints[key], item, f"{where}.{key}") for key, item in data.items()}
    try:
        return hint(**values)
    except TypeError as error:
        raise SpecError(f"{where} is incomplete: {error}") from error


def _build_union(hint: Any, data: Any, where: str) -> Any:
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    if data is None and len(options) < len(typing.get_args(hint)):
        return None
    failure: SpecError | None = None
    for option in options:
        try:
            return _build(option, data, where)
        except SpecError as error:
            failure = error
    raise failure or SpecError(f"{where} has no value.")


def _build_tuple(hint: Any, data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise SpecError(f"{where} must be a list.")
    args = typing.get_args(hint)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_build(args[0], item, f"{where}[{index}]") for index, item in enumerate(data))
    if len(args) != len(data):
        raise SpecError(f"{where} must have {len(args)} entries.")
    return tuple(
        _build(arg, item, f"{where}[{index}]") for index, (arg, item) in enumerate(zip(args, data, strict=True))
    )
