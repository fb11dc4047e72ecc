"""The three kinds of profile (mode, surface, rented machine) and the strict parser of each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeVar, cast, get_args

from workbench.profile_parsing import Table, read_profile_file
from workbench.runs.spec import Overflow, ProfileRef, RunSpec, Sampling, Strategy, StrategyName, Thinking

BudgetMetric = Literal["ttft", "ttfa", "itl", "ttlt"]
BUDGET_METRICS: Final[tuple[BudgetMetric, ...]] = get_args(BudgetMetric)
ICONS: Final = ("fast", "thoughtful", "refine", "vote", "fixed", "custom")
GIB: Final = 1024**3

# Sampling keys that a mode may set: lowest value, highest value, whole number?
_SAMPLING: Final[dict[str, tuple[float, float, bool]]] = {
    "temperature": (0, 10, False),
    "top_k": (0, 10_000_000, True),
    "top_p": (0, 1, False),
    "min_p": (0, 1, False),
    "repeat_penalty": (0.01, 10, False),
    "presence_penalty": (-10, 10, False),
    "frequency_penalty": (-10, 10, False),
    "repeat_last_n": (-1, 1_048_576, True),
}
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class ModeProfile:
    """One switch position such as fast or thoughtful.

    `sampling` holds (field of `Sampling`, value). `quantization` and `model` are wishes that the caller resolves
    against the library, since only it knows files; `apply` leaves the spec's model alone.
    """

    name: str
    version: int
    title: str
    summary: str
    icon: str = "custom"
    thinking: Thinking = "default"
    reasoning_effort: str | None = None
    thinking_budget: int | None = None
    overflow: Overflow | None = None
    sampling: tuple[tuple[str, float | int], ...] = ()
    max_tokens: int | None = None
    strategy: Strategy = field(default_factory=Strategy)
    quantization: str | None = None
    model: str | None = None
    path: Path | None = None
    builtin: bool = True
    overrides_builtin: bool = False

    @property
    def ref(self) -> ProfileRef:
        return ProfileRef(self.name, self.version)

    def apply(self, spec: RunSpec, keep: frozenset[str] = frozenset()) -> RunSpec:
        """The spec in this mode, whatever mode it was in before.

        Set: thinking, its effort and budget, all numeric sampling fields (those that the profile does not name
        go back to the defaults of `Sampling`), `max_tokens`, the strategy; the overflow policy only if the
        profile names one. Never touched: messages, model, engine, seed, logit bias, grammar, schema, stop
        strings, and the fields named in `keep` ("temperature", "max_tokens", "thinking", "strategy" ...).
        Raises SpecError when a kept value and this mode do not go together.
        """
        chat: dict[str, object] = {
            "thinking": self.thinking,
            "reasoning_effort": self.reasoning_effort,
            "thinking_budget": self.thinking_budget,
        }
        if self.overflow is not None:
            chat["overflow"] = self.overflow
        defaults = Sampling()
        sampling = {name: getattr(defaults, name) for name in _SAMPLING} | dict(self.sampling)
        return dataclasses.replace(
            spec,
            chat=_replaced(spec.chat, chat, keep),
            sampling=_replaced(spec.sampling, sampling, keep),
            limits=_replaced(spec.limits, {"max_tokens": self.max_tokens}, keep),
            strategy=spec.strategy if "strategy" in keep else self.strategy,
            mode=self.ref,
        )


@dataclass(frozen=True, slots=True)
class SurfaceProfile:
    """Where the answer appears, and how long a person waits there. Budgets are milliseconds; None: no budget.

    `judged_on` is the budget that decides a run; `itl_ms` bounds the 95th percentile. `attention_ms` are
    thresholds that charts draw beside the budgets. `source` says where the numbers come from.
    """

    name: str
    version: int
    title: str
    summary: str
    judged_on: BudgetMetric
    source: str
    ttft_ms: float | None = None
    ttfa_ms: float | None = None
    itl_ms: float | None = None
    ttlt_ms: float | None = None
    attention_ms: tuple[float, ...] = ()
    path: Path | None = None
    builtin: bool = True
    overrides_builtin: bool = False

    @property
    def ref(self) -> ProfileRef:
        return ProfileRef(self.name, self.version)

    @property
    def budgets(self) -> tuple[tuple[BudgetMetric, float], ...]:
        """The budgets that exist, in the order ttft, ttfa, itl, ttlt."""
        pairs = ((metric, cast(float | None, getattr(self, f"{metric}_ms"))) for metric in BUDGET_METRICS)
        return tuple((metric, budget) for metric, budget in pairs if budget is not None)

    def apply(self, spec: RunSpec) -> RunSpec:
        """Only notes the surface: it judges a run and changes nothing in it."""
        return dataclasses.replace(spec, surface=self.ref)


@dataclass(frozen=True, slots=True)
class MachineProfile:
    """A rented GPU and its dated price. `utilisation` is the share of paid time that does work, 0 to 1."""

    name: str
    version: int
    title: str
    usd_per_hour: float
    memory_bytes: int
    provider: str
    price_date: str
    source: str
    kind: Literal["rented_gpu"] = "rented_gpu"
    concurrency: float = 1.0
    utilisation: float = 1.0
    estimate: bool = True
    path: Path | None = None
    builtin: bool = True
    overrides_builtin: bool = False


MODE_KEYS: Final = (
    "name", "version", "title", "summary", "icon", "chat", "sampling", "limits", "strategy", "model",
)  # fmt: skip
SURFACE_KEYS: Final = ("name", "version", "title", "summary", "judged_on", "source", "attention_ms", "budgets")
MACHINE_KEYS: Final = (
    "name", "version", "title", "kind", "usd_per_hour", "memory_gib", "provider", "price_date", "source",
    "estimate", "concurrency", "utilisation",
)  # fmt: skip


def parse_mode(path: Path) -> ModeProfile:
    """Raises ProfileError that names file and key."""
    top = read_profile_file(path, MODE_KEYS)
    chat = top.sub("chat", ("thinking", "reasoning_effort", "thinking_budget", "overflow"))
    model = top.sub("model", ("name", "quantization"))
    limits = top.sub("limits", ("max_tokens",))
    thinking = cast(Thinking, chat.maybe_choice("thinking", get_args(Thinking)) or "default")
    if thinking == "off" and (chat.has("thinking_budget") or chat.has("reasoning_effort")):
        raise chat.error("thinking", 'is "off"; then thinking_budget and reasoning_effort must not be set.')
    return ModeProfile(
        name=top.name(),
        version=top.integer("version", 1, 1_000_000),
        title=top.text("title", 60),
        summary=top.text("summary", 400),
        icon=top.maybe_choice("icon", ICONS) or "custom",
        thinking=thinking,
        reasoning_effort=chat.maybe_text("reasoning_effort", 20),
        thinking_budget=chat.maybe_integer("thinking_budget", 0, 16_777_216),
        overflow=cast("Overflow | None", chat.maybe_choice("overflow", get_args(Overflow))),
        sampling=_sampling(top.sub("sampling", tuple(_SAMPLING))),
        max_tokens=limits.maybe_integer("max_tokens", 1, 16_777_216),
        strategy=_strategy(top.sub("strategy", ("name", "passes", "instruction"))),
        quantization=model.maybe_text("quantization", 20),
        model=model.maybe_text("name", 200),
        path=path,
    )


def _sampling(table: Table) -> tuple[tuple[str, float | int], ...]:
    values: list[tuple[str, float | int]] = []
    for key, (low, high, whole) in _SAMPLING.items():
        value = table.maybe_integer(key, int(low), int(high)) if whole else table.maybe_number(key, low, high)
        if value is not None:
            values.append((key, value))
    return tuple(values)


def _strategy(table: Table) -> Strategy:
    name = cast(StrategyName, table.maybe_choice("name", get_args(StrategyName)) or "single")
    lowest, highest = {"single": (1, 1), "refine": (2, 2), "vote": (2, 64)}[name]
    passes = table.maybe_integer("passes", lowest, highest)
    if passes is None:
        passes = 5 if name == "vote" else lowest
    instruction = table.maybe_text("instruction", 4000)
    if name != "refine" and instruction is not None:
        raise table.error("instruction", f'is used by the strategy "refine" only, not by "{name}".')
    return Strategy(name=name, passes=passes, instruction=instruction)


def parse_surface(path: Path) -> SurfaceProfile:
    """Raises ProfileError that names file and key."""
    top = read_profile_file(path, SURFACE_KEYS)
    budgets = top.sub("budgets", tuple(f"{metric}_ms" for metric in BUDGET_METRICS))
    judged_on = top.maybe_choice("judged_on", BUDGET_METRICS)
    if judged_on is None or not budgets.has(f"{judged_on}_ms"):
        raise top.error("judged_on", f"must name one of {', '.join(BUDGET_METRICS)} that has a budget in [budgets].")
    values = {metric: budgets.maybe_number(f"{metric}_ms", 0.001, 86_400_000) for metric in BUDGET_METRICS}
    return SurfaceProfile(
        name=top.name(),
        version=top.integer("version", 1, 1_000_000),
        title=top.text("title", 60),
        summary=top.text("summary", 400),
        judged_on=cast(BudgetMetric, judged_on),
        source=top.text("source", 1000),
        ttft_ms=values["ttft"],
        ttfa_ms=values["ttfa"],
        itl_ms=values["itl"],
        ttlt_ms=values["ttlt"],
        attention_ms=top.numbers("attention_ms", 0.001, 86_400_000),
        path=path,
    )


def parse_machine(path: Path) -> MachineProfile:
    """Raises ProfileError that names file and key."""
    top = read_profile_file(path, MACHINE_KEYS)
    top.maybe_choice("kind", ("rented_gpu",))
    return MachineProfile(
        name=top.name(),
        version=top.integer("version", 1, 1_000_000),
        title=top.text("title", 60),
        usd_per_hour=top.number("usd_per_hour", 0, 10_000),
        memory_bytes=round(top.number("memory_gib", 0.1, 100_000) * GIB),
        provider=top.text("provider", 80),
        price_date=top.date("price_date"),
        source=top.text("source", 1000),
        concurrency=_or_one(top.maybe_number("concurrency", 1, 100_000)),
        utilisation=_or_one(top.maybe_number("utilisation", 0.001, 1)),
        estimate=top.maybe_flag("estimate") is not False,
        path=path,
    )


def _or_one(value: float | None) -> float:
    return 1.0 if value is None else value


def _replaced(value: S, fields: dict[str, object], keep: frozenset[str]) -> S:
    changes = {name: item for name, item in fields.items() if name not in keep}
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]
