"""API prices: arithmetic by hand, the package's own calculator as a second opinion, and no network."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.economics.prices import ApiModel, ApiTier, ApiUsage, PriceBook, price_of
from workbench.errors import ProfileError

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = ROOT / "profiles" / "api_defaults.toml"
PLAIN = ApiModel("p", "m", "M", 2.0, None, 8.0, "2026-01-01", "P")
CACHED = ApiModel("p", "m", "M", 2.0, 0.5, 8.0, "2026-01-01", "P")
TIERED = ApiModel("p", "m", "M", 2.0, 0.5, 8.0, "d", "P", tiers=(ApiTier(1000, 4.0, 1.0, 16.0),))


@pytest.fixture(scope="module")
def book() -> PriceBook:
    loaded = PriceBook(DEFAULTS)
    loaded.load()
    return loaded


BOOK = PriceBook(DEFAULTS)


def test_cost_is_tokens_times_price_with_cached_input_apart() -> None:
    cost = price_of(CACHED, ApiUsage(1000, 400, 250, 100))
    assert cost.usd == pytest.approx((600 * 2.0 + 400 * 0.5 + 250 * 8.0) / 1e6)
    assert cost.formula == "(600 × $2 + 400 × $0.5 + 250 × $8) ÷ 1,000,000 tokens = $0.0034"
    inputs = dict(cost.inputs)
    assert inputs["answer tokens"] == "150"
    assert inputs["thinking tokens"] == "100 (billed as output)"
    assert inputs["cached input price"] == "$0.5 per million"
    assert (cost.kind, cost.label, cost.price_date, cost.reason) == ("api", "M at P", "2026-01-01", None)


def test_missing_cached_price_is_the_full_one_and_is_said() -> None:
    cost = price_of(PLAIN, ApiUsage(1000, 400, 0, 0))
    assert cost.usd == pytest.approx(0.002)
    assert dict(cost.inputs)["cached input price"] == "no cached price is known; the full $2 per million"


def test_unmeasured_cache_counts_as_none_and_is_said() -> None:
    cost = price_of(CACHED, ApiUsage(1000, None, 0, 0))
    assert cost.usd == pytest.approx(0.002)
    assert dict(cost.inputs)["cached input tokens"] == "0 (not measured, counted as none)"


def test_tier_goes_by_the_input_of_one_request() -> None:
    assert price_of(TIERED, ApiUsage(1000, 0, 10)).usd == pytest.approx((1000 * 2 + 10 * 8) / 1e6)
    assert price_of(TIERED, ApiUsage(1001, 0, 10)).usd == pytest.approx((1001 * 4 + 10 * 16) / 1e6)
    two = price_of(TIERED, ApiUsage(1002, 0, 10), requests=2)
    assert two.usd == pytest.approx((1002 * 2 + 10 * 8) / 1e6)
    assert dict(two.inputs)["requests"] == "2"
    assert "price tier" in dict(price_of(TIERED, ApiUsage(1001, 0, 10)).inputs)


tokens = st.integers(0, 10**7)


@settings(deadline=None)  # the machine may be busy
@given(tokens, tokens, tokens, st.sampled_from([PLAIN, CACHED]))
def test_cost_is_never_negative_and_grows_with_every_token(inp: int, cached: int, out: int, model: ApiModel) -> None:
    cached = min(cached, inp)
    cost = price_of(model, ApiUsage(inp, cached, out)).usd
    more_in = price_of(model, ApiUsage(inp + 1, cached, out)).usd
    more_out = price_of(model, ApiUsage(inp, cached, out + 1)).usd
    uncached = price_of(model, ApiUsage(inp, 0, out)).usd
    assert cost is not None
    assert more_in is not None
    assert more_out is not None
    assert uncached is not None
    assert 0 <= cost < more_in
    assert cost < more_out
    assert cost <= uncached + 1e-12


@settings(deadline=None)  # the first call loads the tables
@given(st.data())
def test_every_listed_model_costs_what_the_package_itself_says(data: st.DataObject) -> None:
    from genai_prices.data import providers
    from genai_prices.types import Usage

    BOOK.load()
    model = data.draw(st.sampled_from(BOOK.choices()))
    inp = data.draw(st.integers(0, 1_000_000))
    cached = data.draw(st.integers(0, inp))
    out = data.draw(st.integers(0, 100_000))
    provider = next(item for item in providers if item.id == model.provider)
    info = next(item for item in provider.models if item.id == model.model)
    usage = Usage(input_tokens=inp, cache_read_tokens=cached, output_tokens=out)
    theirs = info.calc_price(usage, provider).total_price
    assert price_of(model, ApiUsage(inp, cached, out)).usd == pytest.approx(float(theirs), rel=1e-9, abs=1e-15)


def test_choices_are_priced_text_models(book: PriceBook) -> None:
    choices = book.choices()
    assert len(choices) > 500
    assert all(m.input_usd_per_mtok >= 0 and m.output_usd_per_mtok >= 0 for m in choices)
    assert all(m.input_usd_per_mtok or m.output_usd_per_mtok for m in choices)
    assert all(m.title and "\n" not in m.title and "\t" not in m.title for m in choices)
    assert len({m.key for m in choices}) == len(choices)
    assert book.find("groq", "whisper-large-v3") is None
    groq = book.find("groq", "llama-3.1-8b-instant")
    assert groq is not None
    assert groq.label == "Llama 3.1 8B Instant 128k at Groq"
    assert "genai-prices" in groq.price_date


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        (3_000_000, "1b"), (2_000_000_000, "1b"), (2_000_000_001, "3b"), (8_030_000_000, "8b"),
        (14_800_000_000, "14b"), (32_000_000_000, "32b"), (70_600_000_000, "70b"), (10**12, "235b"),
    ],
)  # fmt: skip
def test_default_is_an_open_model_of_about_the_same_size(book: PriceBook, parameters: int, size: str) -> None:
    model = book.default_for(parameters)
    assert model is not None
    assert size in model.model.lower()


def test_every_default_candidate_exists(book: PriceBook) -> None:
    missing = [key for _, keys in book._sizes for key in keys if book.find(*key.split("/", 1)) is None]
    assert missing == []


def test_chosen_follows_the_setting_and_falls_back_to_the_size(book: PriceBook) -> None:
    by_setting = book.chosen("groq/llama-3.3-70b-versatile", 10**9)
    assert by_setting is not None
    assert by_setting.model == "llama-3.3-70b-versatile"
    assert book.chosen("nobody/nothing", 10**9) == book.default_for(10**9)
    assert book.chosen(None, None) is None


def test_unloaded_book_is_empty_and_says_that_it_loads() -> None:
    book = PriceBook(DEFAULTS)
    assert (book.loaded, book.choices(), book.default_for(10**9), book.find("groq", "x")) == (False, [], None, None)
    assert book.absence_reason == "prices are loading"
    threads = [threading.Thread(target=book.load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book.loaded
    assert book.absence_reason == "no API model is chosen"


def test_unreadable_package_leaves_an_empty_book_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    book = PriceBook(DEFAULTS)
    book.load()
    assert not book.loaded
    assert book.absence_reason.startswith("the price tables of genai-prices could not be read:")
    book.load()
    book.load()
    assert book.loaded
    assert book.choices() == []
    assert book.absence_reason.startswith("the price tables of genai-prices could not be read:")


def test_a_failed_reading_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    book = PriceBook(DEFAULTS)
    with monkeypatch.context() as broken:
        broken.setitem(sys.modules, "genai_prices.data", None)
        book.load()
    book.load()
    assert book.choices()
    assert book.absence_reason == "no API model is chosen"


def test_defaults_must_rise(tmp_path: Path) -> None:
    path = tmp_path / "d.toml"
    path.write_text("[[sizes]]\ncandidates = ['a/b']\n[[sizes]]\nup_to_parameters = 5\ncandidates = []\n")
    with pytest.raises(ProfileError, match=r"d\.toml: sizes\[1\]\.up_to_parameters must rise"):
        PriceBook(path).load()


def test_loading_starts_no_thread_and_importing_loads_no_tables() -> None:
    code = (
        "import sys, threading; from pathlib import Path\n"
        "from workbench.economics.unit import estimate_run\n"
        "from workbench.economics.prices import PriceBook\n"
        "assert not [m for m in sys.modules if m.startswith(('genai_prices', 'pydantic', 'httpx'))]\n"
        f"PriceBook(Path({str(DEFAULTS)!r})).load()\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
