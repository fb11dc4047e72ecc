"""Times made-up models through an engine, and turns the times into rates (docs/speed.md has the arithmetic)."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from workbench.engine import api
from workbench.errors import UserError, WorldError, from_code
from workbench.hub.speed import AttentionSpeed, MachineSpeed, TypeSpeed
from workbench.probe_model import ProbeShape, matrix_bytes, sized, write_probe_model
from workbench.runs.record import LoadReport
from workbench.runs.spec import EngineOptions, Limits, ModelRef, Sampling

# Shapes of 1 to 3 and of 0.5 billion parameters: as many bytes in fewer long rows, with heads of 128, and in more
# short ones, with heads of 64.
WIDE = ProbeShape(2048, 1, 6144, 16, 4)
NARROW = ProbeShape(1024, 1, 3072, 16, 8)
# The type of most files stands for all where rows are concerned; the cache of the context is in F16.
_ROWS_TYPE, _CACHE_TYPE = "Q4_K", "F16"
SMALLEST = ProbeShape(256, 1, 256, 4, 4)
SHORT_PROMPT = 16
_FEWEST_TOKENS = 3
# Ends of text would cut a measurement short.
_SAMPLING = Sampling(logit_bias=((0, -1e9), (1, -1e9)))
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProbeSize:
    """How much is measured. The defaults take some 7 s on two slow cores; `repeats` are two at least.

    The weights must be too many for a processor's caches. After `limit_s` no further type is begun; the speed of those
    left out is derived from that of others.
    """

    weight_bytes: int = 160_000_000
    prompt_tokens: int = 128
    output_tokens: int = 16
    repeats: int = 3
    long_prompt_tokens: int = 512
    limit_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds for a token in decode and for a whole prompt, medians of all requests; `spread` is that of the former.

    `context_tokens` were in the context in the middle of the decoding.
    """

    shape: ProbeShape
    decode_s: float
    context_tokens: float
    spread: float
    prompt_s: float
    prompt_tokens: int

    @property
    def looks(self) -> float:
        """Query heads times tokens that they look at, in decode."""
        return self.shape.heads * self.shape.layers * self.context_tokens

    @property
    def prompt_looks(self) -> float:
        """The same for the whole prompt: token i looks back at i others."""
        return self.shape.heads * self.shape.layers * self.prompt_tokens**2 / 2


class ProbeSession:
    """One engine that loads one made-up model after the other and is asked to continue nonsense."""

    def __init__(
        self, engine: api.Engine, folder: Path, options: EngineOptions, size: ProbeSize, cancel: threading.Event
    ) -> None:
        self._engine, self._options, self._size, self._cancel = engine, options, size, cancel
        self._path = folder / "probe.gguf"
        self._shape = SMALLEST
        self._requests = self._prompts = 0
        self.report: LoadReport | None = None

    def load(self, shape: ProbeShape, type_name: str) -> None:
        """Raises UserError (code "cancelled"), StorageFull, OSError, and what the engine raises."""
        self._path.unlink(missing_ok=True)
        if not write_probe_model(self._path, shape, type_name, self._cancel.is_set):
            raise cancelled()
        self._shape = shape
        self.report = self._engine.load(ModelRef(str(self._path), "Speed probe"), self._options)
        self._ask(4, _FEWEST_TOKENS)  # the first request touches pages that later ones find mapped

    def read(self) -> Reading:
        """Decoding right after a few tokens, where attention costs next to nothing, and prefill of a longer prompt.

        Each is asked several times and with a prompt of its own, so that nothing comes from the prefix cache.
        """
        size = self._size
        decode = [self._ask(SHORT_PROMPT, size.output_tokens)[1] for _ in range(size.repeats)]
        prompts = [self._ask(size.prompt_tokens, _FEWEST_TOKENS)[0] for _ in range(size.repeats - 1)]
        return self._reading(SHORT_PROMPT, decode, size.prompt_tokens, prompts)

    def read_long(self) -> Reading:
        """Both with a long prompt. It is computed once and comes from the prefix cache for more decoding."""
        length = self._size.long_prompt_tokens
        prompt_s, decode_s = self._ask(length, self._size.output_tokens)
        more = [self._ask(length, self._size.output_tokens, again=True)[1] for _ in range(self._size.repeats - 1)]
        return self._reading(length, [decode_s, *more], length, [prompt_s])

    def _reading(self, decode_prompt: int, decode: list[float], prompt_tokens: int, prompts: list[float]) -> Reading:
        middle = statistics.median(decode)
        spread = (max(decode) - min(decode)) / 2 / middle
        context = decode_prompt + self._size.output_tokens / 2
        return Reading(self._shape, middle, context, spread, statistics.median(prompts), prompt_tokens)

    def _ask(self, prompt_tokens: int, output_tokens: int, again: bool = False) -> tuple[float, float]:
        """Seconds of the prefill, and of a token: the mean, since a run's speed has the system's hiccups in it."""
        self._requests += 1
        name = f"probe-{self._requests}"
        self._prompts += not again
        first = chr(ord("a") + self._prompts % 26)  # not that of the prompt before
        prompt = (first + "bcdefghijklmnopqrstuvwxyz" * (prompt_tokens // 25 + 1))[:prompt_tokens]
        request = api.EngineRequest(name, sampling=_SAMPLING, limits=Limits(max_tokens=output_tokens), prompt=prompt)
        start_ns = end_ns = 0
        stamps: list[int] = []
        for event in self._engine.run([request]):
            if self._cancel.is_set():
                self._engine.cancel(name)
            match event:
                case api.PrefillStarted():
                    start_ns = event.t_ns
                case api.PrefillEnded():
                    end_ns = event.t_ns
                case api.Tokens():
                    stamps += event.stamps_ns
                case api.RequestFailed() if not self._cancel.is_set():
                    raise from_code(event.code, event.message, event.detail)
        if self._cancel.is_set():
            raise cancelled()
        if len(stamps) < _FEWEST_TOKENS or end_ns <= start_ns:
            raise WorldError("The engine gave too few tokens to measure its speed.", code="probe_failed")
        return (end_ns - start_ns) / 1e9, (stamps[-1] - stamps[0]) / 1e9 / (len(stamps) - 1)


def take_readings(
    session: ProbeSession, size: ProbeSize, types: Sequence[str], machine: str, on_progress: Callable[[float], None]
) -> MachineSpeed:
    """Some six models one after the other. `on_progress` gets 0 to 1."""
    started = time.perf_counter()
    names = list(dict.fromkeys((_ROWS_TYPE, _CACHE_TYPE, *types)))
    session.load(SMALLEST, "F16")
    smallest = session.read()
    session.load(sized(NARROW, _ROWS_TYPE, size.weight_bytes), _ROWS_TYPE)
    narrow, narrow_attention = _with_attention(session)
    on_progress(1 / (len(names) + 1))
    wide: dict[str, Reading] = {}
    attention = [narrow_attention]
    for name in names:
        if len(wide) > 1 and time.perf_counter() - started > size.limit_s:
            log.info("measuring took long; the speed of %s will be derived", name)
            continue
        session.load(sized(WIDE, name, size.weight_bytes), name)
        if name == _CACHE_TYPE:
            wide[name], wide_attention = _with_attention(session)
            attention.append(wide_attention)
        else:
            wide[name] = session.read()
        on_progress((1 + len(wide)) / (len(names) + 1))
    report = session.report
    assert report is not None
    row_s = row_cost(narrow, wide[_ROWS_TYPE], attention)
    token_s = max(0.0, smallest.decode_s - smallest.shape.rows * row_s)
    return MachineSpeed(
        machine=machine,
        engine_build=report.engine_build,
        threads=report.threads,
        gpu_layers=report.gpu_layers,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=round(time.perf_counter() - started, 2),
        types=tuple(type_speed(name, reading, token_s, row_s, attention[1]) for name, reading in wide.items()),
        attention=tuple(attention),
        token_s=token_s,
        row_s=row_s,
    )


def attention_speed(short: Reading, long: Reading) -> AttentionSpeed:
    """Seconds for one query head to look at one token: what the longer prompt adds. Never negative."""
    decode_s = (long.decode_s - short.decode_s) / (long.looks - short.looks)
    # Linear work is proportional to the prompt, looking to its square.
    linear_s = short.prompt_s * long.prompt_tokens / short.prompt_tokens
    share = long.prompt_tokens / short.prompt_tokens
    prefill_s = (long.prompt_s - linear_s) / (long.prompt_looks - share * short.prompt_looks)
    width = short.shape.width // short.shape.heads
    return AttentionSpeed(width, max(0.0, decode_s), max(0.0, prefill_s))


def row_cost(narrow: Reading, wide: Reading, attention: Sequence[AttentionSpeed]) -> float:
    """Seconds for a row: what a model of many short rows takes longer than one of few long rows of the same type.

    Time without attention is bytes x a + rows x b for both; this is b. Never negative: noise can make the narrow
    model look faster.
    """
    (t1, x1, y1), (t2, x2, y2) = [
        (reading.decode_s - reading.looks * speed.decode_s, reading.shape.weights, reading.shape.rows)
        for reading, speed in zip((narrow, wide), attention, strict=True)
    ]
    return max(0.0, (x2 * t1 - x1 * t2) / (x2 * y1 - x1 * y2))


def type_speed(name: str, reading: Reading, token_s: float, row_s: float, attention: AttentionSpeed) -> TypeSpeed:
    """Bytes and operations per second once everything that is not weights has been taken off.

    At least half of the time is left, so that noise in the other costs cannot make a type endlessly fast.
    """
    others_s = token_s + reading.shape.rows * row_s + reading.looks * attention.decode_s
    reading_s = max(reading.decode_s - others_s, reading.decode_s / 2)
    computing_s = max(reading.prompt_s - reading.prompt_looks * attention.prefill_s, reading.prompt_s / 2)
    operations = 2 * reading.shape.weights * reading.prompt_tokens
    return TypeSpeed(name, matrix_bytes(reading.shape, name) / reading_s, operations / computing_s, reading.spread)


def cancelled() -> UserError:
    return UserError("Measuring this machine was cancelled.", code="cancelled")


def _with_attention(session: ProbeSession) -> tuple[Reading, AttentionSpeed]:
    short = session.read()
    return short, attention_speed(short, session.read_long())
