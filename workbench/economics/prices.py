"""API prices per token from genai-prices' bundled tables; never asks the network."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench.economics.wording import plain, usd
from workbench.profile_parsing import read_profile_file
from workbench.runs.record import CostEstimate

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

TOKENS_PER_PRICE: Final = 1_000_000
NO_MODEL: Final = "no API model is chosen"
LOADING: Final = "prices are loading"
_TRIES: Final = 3
# A price on one of these means that tokens alone do not make the bill, or that the model is not a text model.
_NOT_SIMPLE: Final = (
    "requests_kcount", "output_reasoning_mtok", "output_citation_mtok", "output_audio_mtok", "output_image_mtok",
    "output_video_mtok", "audio_hours", "input_audio_hours", "input_mchars",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ApiTier:
    """Prices for the whole of a request whose input is longer than `above_input_tokens`."""

    above_input_tokens: int
    input_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None
    output_usd_per_mtok: float


@dataclass(frozen=True, slots=True)
class ApiModel:
    """One model at one provider. Prices are US dollars per million tokens; cached None: no such price is known."""

    provider: str
    model: str
    title: str
    input_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None
    output_usd_per_mtok: float
    price_date: str
    provider_title: str = ""
    tiers: tuple[ApiTier, ...] = ()
    is_deprecated: bool = False

    @property
    def key(self) -> str:
        """What a setting stores: "groq/llama-3.1-8b-instant"."""
        return f"{self.provider}/{self.model}"

    @property
    def label(self) -> str:
        return f"{self.title} at {self.provider_title or self.provider}"

    def prices_at(self, input_tokens: float) -> ApiTier:
        """The prices of a request with that many input tokens."""
        base = ApiTier(0, self.input_usd_per_mtok, self.cached_input_usd_per_mtok, self.output_usd_per_mtok)
        fitting = [tier for tier in self.tiers if input_tokens > tier.above_input_tokens]
        return max(fitting, key=lambda tier: tier.above_input_tokens, default=base)


@dataclass(frozen=True, slots=True)
class ApiUsage:
    """Tokens of a run. `input_tokens` include the cached ones, `output_tokens` the thinking ones.

    `cached_tokens` None: not measured; all input then counts at the full price.
    """

    input_tokens: int
    cached_tokens: int | None
    output_tokens: int
    thinking_tokens: int = 0


class PriceBook:
    """The price tables. Empty until `load` has run, so that a caller chooses the thread that waits for it.

    `defaults` is a file like `profiles/api_defaults.toml`; None takes the one that came with the program.
    """

    def __init__(self, defaults: Path | None = None) -> None:
        self._defaults = defaults
        self._lock = threading.Lock()
        self._models: dict[str, ApiModel] | None = None
        self._sizes: tuple[tuple[float, tuple[str, ...]], ...] = ()
        self._problem: str | None = None
        self._failures = 0

    @property
    def loaded(self) -> bool:
        return self._models is not None

    @property
    def absence_reason(self) -> str:
        """Why there is no API price right now, for the `api_reason` of `estimate_run`."""
        return self._problem or (NO_MODEL if self.loaded else LOADING)

    def load(self) -> None:
        """Reads tables and defaults once; blocks about 0.6 s the first time. Safe from several threads.

        A package that cannot be read leaves `absence_reason` saying so; the next call tries again, because two
        threads that import at once can each see the other's module half made. After `_TRIES` the book stays
        empty. Raises ProfileError for a wrong defaults file.
        """
        with self._lock:
            if self._models is not None:
                return
            self._sizes = _read_sizes(self._defaults or _shipped_defaults())
            try:
                self._models = _read_models(datetime.now(UTC))
            except (ImportError, AttributeError) as error:
                self._problem = f"the price tables of genai-prices could not be read: {error}"
                self._failures += 1
                if self._failures >= _TRIES:
                    self._models = {}
            else:
                self._problem = None

    def choices(self) -> list[ApiModel]:
        """Text models billed by tokens alone, by provider and title; empty before `load`."""
        return sorted((self._models or {}).values(), key=lambda m: (m.provider_title.lower(), m.title.lower(), m.model))

    def find(self, provider: str, model: str) -> ApiModel | None:
        return (self._models or {}).get(f"{provider}/{model}")

    def default_for(self, parameters: int | None) -> ApiModel | None:
        """An open model of about that many parameters at a host; None before `load` or when the size is unknown."""
        if parameters is None or self._models is None:
            return None
        candidates = next((keys for limit, keys in self._sizes if parameters <= limit), ())
        return next((self._models[key] for key in candidates if key in self._models), None)

    def chosen(self, key: str | None, parameters: int | None) -> ApiModel | None:
        """The model of a setting like "groq/llama-3.1-8b-instant", else the default for the size."""
        found = (self._models or {}).get(key) if key else None
        return found or self.default_for(parameters)


def price_of(model: ApiModel, usage: ApiUsage, requests: int = 1) -> CostEstimate:
    """(full input x input price + cached input x cached price + output x output price) / 1,000,000.

    Thinking tokens are output, as hosts bill them. A tiered price goes by the mean input of the `requests`.
    """
    prices = model.prices_at(usage.input_tokens / max(requests, 1))
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    fresh = usage.input_tokens - cached
    cached_price = prices.cached_input_usd_per_mtok
    if cached_price is None:
        cached_price = prices.input_usd_per_mtok
    terms = (
        (fresh, prices.input_usd_per_mtok),
        (cached, cached_price),
        (usage.output_tokens, prices.output_usd_per_mtok),
    )
    total = sum(tokens * price for tokens, price in terms) / TOKENS_PER_PRICE
    shown = " + ".join(f"{plain(tokens, 12)} × {usd(price)}" for tokens, price in terms)
    return CostEstimate(
        kind="api",
        usd=total,
        label=model.label,
        formula=f"({shown}) ÷ 1,000,000 tokens = {usd(total)}",
        inputs=_inputs(usage, prices, fresh, cached, requests),
        price_date=model.price_date,
    )


def _inputs(usage: ApiUsage, prices: ApiTier, fresh: int, cached: int, requests: int) -> tuple[tuple[str, str], ...]:
    cached_note = "" if usage.cached_tokens is not None else " (not measured, counted as none)"
    if prices.cached_input_usd_per_mtok is None:
        cached_price = f"no cached price is known; the full {_per_mtok(prices.input_usd_per_mtok)}"
    else:
        cached_price = _per_mtok(prices.cached_input_usd_per_mtok)
    pairs = [
        ("input tokens", plain(fresh, 12)),
        ("cached input tokens", f"{plain(cached, 12)}{cached_note}"),
        ("answer tokens", plain(usage.output_tokens - usage.thinking_tokens, 12)),
        ("thinking tokens", f"{plain(usage.thinking_tokens, 12)} (billed as output)"),
        ("input price", _per_mtok(prices.input_usd_per_mtok)),
        ("cached input price", cached_price),
        ("output price", _per_mtok(prices.output_usd_per_mtok)),
    ]
    if prices.above_input_tokens:
        pairs.append(("price tier", f"requests of more than {prices.above_input_tokens:,} input tokens"))
    if requests > 1:
        pairs.append(("requests", str(requests)))
    return tuple(pairs)


def _per_mtok(price: float) -> str:
    return f"{usd(price)} per million"


def _shipped_defaults() -> Path:
    from workbench.paths import resources

    return resources().profiles / "api_defaults.toml"


def _read_sizes(path: Path) -> tuple[tuple[float, tuple[str, ...]], ...]:
    rows = read_profile_file(path, ("sizes",)).tables("sizes", ("up_to_parameters", "candidates"))
    sizes: list[tuple[float, tuple[str, ...]]] = []
    for row in rows:
        limit = row.maybe_integer("up_to_parameters", 1, 10**15)
        if sizes and sizes[-1][0] >= (limit or float("inf")):
            raise row.error("up_to_parameters", "must rise from row to row; only the last row may leave it out.")
        sizes.append((limit or float("inf"), row.texts("candidates")))
    return tuple(sizes)


def _read_models(now: datetime) -> dict[str, ApiModel]:
    from importlib.metadata import version

    from genai_prices.data import providers

    source = f"genai-prices {version('genai-prices')}"
    found = (_api_model(provider, info, now, source) for provider in providers for info in provider.models)
    return {model.key: model for model in found if model is not None}


def _api_model(provider: Provider, info: ModelInfo, now: datetime, source: str) -> ApiModel | None:
    """None for a model that is not billed by text tokens alone, or by other prices at other hours."""
    conditions = info.prices if isinstance(info.prices, list) else []
    if info.prices == [] or any(item.constraint and not hasattr(item.constraint, "start_date") for item in conditions):
        return None
    prices = info.get_prices(now)
    paid = (prices.input_mtok, prices.output_mtok)
    if None in paid or any(getattr(prices, key) is not None for key in _NOT_SIMPLE):
        return None
    base = _tier(prices, 0)
    if not base.input_usd_per_mtok and not base.output_usd_per_mtok:
        return None
    starts = [item.constraint.start_date for item in conditions if item.constraint and item.constraint.active(now)]  # type: ignore[union-attr]
    return ApiModel(
        provider=provider.id,
        model=info.id,
        title=" ".join((info.name or info.id.rpartition("/")[2]).split()),
        input_usd_per_mtok=base.input_usd_per_mtok,
        cached_input_usd_per_mtok=base.cached_input_usd_per_mtok,
        output_usd_per_mtok=base.output_usd_per_mtok,
        price_date=f"in force since {max(starts)}; {source}" if starts else source,
        provider_title=provider.name,
        tiers=tuple(_tier(prices, start) for start in _tier_starts(prices)),
        is_deprecated=bool(info.deprecated),
    )


def _tier_starts(prices: Any) -> Sequence[int]:
    paid = (prices.input_mtok, prices.cache_read_mtok, prices.output_mtok)
    return sorted({tier.start for price in paid for tier in getattr(price, "tiers", ())})


def _tier(prices: Any, start: int) -> ApiTier:
    cached = _price_above(prices.cache_read_mtok, start)
    return ApiTier(
        above_input_tokens=start,
        input_usd_per_mtok=_price_above(prices.input_mtok, start) or 0.0,
        cached_input_usd_per_mtok=cached,
        output_usd_per_mtok=_price_above(prices.output_mtok, start) or 0.0,
    )


def _price_above(price: Any, start: int) -> float | None:
    """A price, plain or tiered, for requests just longer than `start`; `start` 0 is the base price."""
    if price is None:
        return None
    tiers = getattr(price, "tiers", None)
    if tiers is None:
        return float(price)
    return float(next((tier.price for tier in reversed(tiers) if 0 < tier.start <= start), price.base))
