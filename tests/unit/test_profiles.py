"""Profiles: the built-in ones hold, wrong files are named with their key, and a mode fills a spec completely."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import ProfileError
from workbench.profile_kinds import parse_machine, parse_mode, parse_surface
from workbench.profiles import ModeProfile, ProfileStore
from workbench.runs.spec import (
    ChatOptions,
    EngineOptions,
    Limits,
    Message,
    ModelRef,
    ProfileRef,
    RunSpec,
    Sampling,
    Strategy,
)

BUILTIN = Path(__file__).resolve().parents[2] / "profiles"
SPEC = RunSpec(model=ModelRef("/m.gguf", "m"), messages=(Message("user", "hi"),))

MODE = 'name = "mine"\nversion = 1\ntitle = "Mine"\nsummary = "My own."\n'
SURFACE = 'name = "desk"\nversion = 1\ntitle = "Desk"\nsummary = "s"\njudged_on = "ttft"\nsource = "me"\n'
MACHINE = (
    'name = "box"\nversion = 1\ntitle = "Box"\nusd_per_hour = 1.5\nmemory_gib = 24\nprovider = "me"\n'
    'price_date = 2025-06-01\nsource = "bill"\n'
)


@pytest.fixture
def user(tmp_path: Path) -> Path:
    for kind in ("modes", "surfaces", "machines"):
        (tmp_path / "profiles" / kind).mkdir(parents=True)
    return tmp_path / "profiles"


@pytest.fixture
def store(user: Path) -> ProfileStore:
    return ProfileStore(BUILTIN, user)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_builtin_profile_parses(store: ProfileStore) -> None:
    assert store.problems() == ()
    files = sorted(path.stem for kind in ("modes", "surfaces", "machines") for path in (BUILTIN / kind).glob("*.toml"))
    named = [profile.name for profile in (*store.modes(), *store.surfaces(), *store.machines())]
    assert sorted(named) == files
    assert all(profile.builtin for profile in (*store.modes(), *store.surfaces(), *store.machines()))


def test_order_of_the_builtin_profiles_is_fixed(store: ProfileStore, user: Path) -> None:
    write(user / "modes" / "a.toml", MODE.replace("mine", "a-first-by-name"))
    names = [mode.name for mode in store.modes()]
    assert names == ["fast", "thoughtful", "draft-then-refine", "vote", "deterministic", "a-first-by-name"]
    assert [surface.name for surface in store.surfaces()] == [
        "autocomplete", "chat", "summarization", "document-analysis", "background-job",
    ]  # fmt: skip
    prices = [machine.usd_per_hour for machine in store.machines()]
    assert prices == sorted(prices)
    assert len(prices) >= 6


def test_budgets_are_those_of_the_product(store: ProfileStore) -> None:
    assert store.surface("autocomplete").ttft_ms == 200
    chat = store.surface("chat")
    assert (chat.ttft_ms, chat.attention_ms, chat.judged_on) == (500, (2000, 3000, 5000), "ttft")
    analysis = store.surface("document-analysis")
    assert (analysis.ttft_ms, analysis.ttlt_ms) == (10_000, 30_000)
    assert all(dict(surface.budgets)[surface.judged_on] > 0 for surface in store.surfaces())


def test_builtin_modes_do_what_their_names_say(store: ProfileStore) -> None:
    fast, thoughtful = store.mode("fast"), store.mode("thoughtful")
    assert (fast.thinking, fast.max_tokens, fast.strategy.name) == ("off", 512, "single")
    assert (thoughtful.thinking, thoughtful.thinking_budget) == ("on", 1024)
    assert thoughtful.reasoning_effort == "high"
    assert store.mode("draft-then-refine").strategy.passes == 2
    assert store.mode("vote").strategy == Strategy("vote", 5)
    assert dict(store.mode("vote").sampling)["temperature"] == 0.8
    assert dict(store.mode("deterministic").sampling)["temperature"] == 0.0


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (MODE + "temprature = 1", "temprature"),
        (MODE + "[sampling]\ntemprature = 1", "sampling.temprature"),
        (MODE + "[sampling]\nseed = 3", "sampling.seed"),
        (MODE + "[sampling]\ntemperature = 11", "sampling.temperature"),
        (MODE + "[sampling]\ntemperature = nan", "sampling.temperature"),
        (MODE + "[sampling]\ntemperature = true", "sampling.temperature"),
        (MODE + '[sampling]\ntemperature = "0.5"', "sampling.temperature"),
        (MODE + "[sampling]\ntop_k = 1.5", "sampling.top_k"),
        (MODE + "[limits]\nmax_tokens = 0", "limits.max_tokens"),
        (MODE + "[limits]\nmax_tokens = true", "limits.max_tokens"),
        (MODE + "limits = 3", "limits"),
        (MODE + '[chat]\nthinking = "maybe"', "chat.thinking"),
        (MODE + "[chat]\nthinking = [1]", "chat.thinking"),
        (MODE + '[chat]\nthinking = "off"\nthinking_budget = 5', "chat.thinking"),
        (MODE + '[strategy]\nname = "single"\npasses = 2', "strategy.passes"),
        (MODE + '[strategy]\nname = "vote"\npasses = 65', "strategy.passes"),
        (MODE + '[strategy]\nname = "vote"\ninstruction = "x"', "strategy.instruction"),
        (MODE.replace('"Mine"', '"a\\u001b[2Jb"'), "title"),
        (MODE.replace('"Mine"', '"a\\u202eb"'), "title"),
        (MODE.replace('"mine"', '"../../etc"'), "name"),
        (MODE.replace('"mine"', '""'), "name"),
        (MODE.replace("version = 1", "version = 0"), "version"),
        (MODE.replace("version = 1\n", ""), "version"),
    ],
)
def test_wrong_mode_names_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    path = write(tmp_path / "bad.toml", text)
    with pytest.raises(ProfileError) as caught:
        parse_mode(path)
    assert caught.value.message.startswith(f"{path}: {key} ")


def test_unknown_key_suggests_the_nearest_and_lists_the_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.toml", MODE + "[chat]\nthinkin = 'on'")
    with pytest.raises(ProfileError, match=r"Did you mean 'thinking'\? Allowed: thinking, reasoning_effort"):
        parse_mode(path)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (SURFACE, "judged_on"),
        (SURFACE.replace("ttft", "ttlt") + "[budgets]\nttft_ms = 5", "judged_on"),
        (SURFACE + "[budgets]\nttft_ms = 0", "budgets.ttft_ms"),
        (SURFACE + "[budgets]\nttft_ms = -5", "budgets.ttft_ms"),
        (SURFACE + "attention_ms = [1, 'x']\n[budgets]\nttft_ms = 5", "attention_ms.1"),
    ],
)
def test_wrong_surface_names_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    path = write(tmp_path / "bad.toml", text)
    with pytest.raises(ProfileError) as caught:
        parse_surface(path)
    assert caught.value.message.startswith(f"{path}: {key} ")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("usd_per_hour = 1.5", "usd_per_hour = -1", "usd_per_hour"),
        ("usd_per_hour = 1.5", "usd_per_hour = inf", "usd_per_hour"),
        ("price_date = 2025-06-01", "price_date = 'yesterday'", "price_date"),
        ("price_date = 2025-06-01", "price_date = 2025-06-01T10:00:00", "price_date"),
        ("price_date = 2025-06-01\n", "", "price_date"),
        ("memory_gib = 24", "memory_gib = 24\nutilisation = 0", "utilisation"),
        ("memory_gib = 24", "memory_gib = 24\nutilisation = 1.1", "utilisation"),
        ("memory_gib = 24", "memory_gib = 24\nconcurrency = 0", "concurrency"),
        ("memory_gib = 24", "memory_gib = 24\nestimate = 1", "estimate"),
        ("memory_gib = 24", "memory_gib = 24\nkind = 'toaster'", "kind"),
    ],
)
def test_wrong_machine_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = write(tmp_path / "bad.toml", MACHINE.replace(old, new))
    with pytest.raises(ProfileError) as caught:
        parse_machine(path)
    assert caught.value.message.startswith(f"{path}: {key} ")


@pytest.mark.parametrize(
    "content",
    [
        b"name = ",
        b"\xff\xfe\x00",
        b"a = " + b"[" * 20_000,
        b"version = " + b"9" * 10_000,
        b"x" * 70_000,
        b"name = 'a'\nname = 'b'",
        b"",
    ],
)
def test_broken_user_file_is_reported_and_skipped(store: ProfileStore, user: Path, content: bytes) -> None:
    path = write(user / "modes" / "broken.toml", content)
    assert len(store.modes()) == 5
    (problem,) = store.problems()
    assert problem.path == path
    assert problem.message.startswith(f"{path}: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_and_folder_in_place_of_a_file_do_not_hang(store: ProfileStore, user: Path) -> None:
    os.mkfifo(user / "modes" / "pipe.toml")
    (user / "modes" / "folder.toml").mkdir()
    assert len(store.modes()) == 5
    assert [problem.path.name for problem in store.problems()] == ["folder.toml", "pipe.toml"]


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200))
def test_any_bytes_are_a_profile_or_a_profile_error(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "x.toml", content)
        with pytest.raises(ProfileError, match=r"x\.toml"):
            parse_mode(path)


def test_user_profile_replaces_the_builtin_one_and_is_marked(store: ProfileStore, user: Path) -> None:
    write(user / "modes" / "mine.toml", MODE.replace("mine", "fast") + "[limits]\nmax_tokens = 9")
    fast = store.mode("fast")
    assert (fast.max_tokens, fast.builtin, fast.overrides_builtin) == (9, False, True)
    assert [mode.name for mode in store.modes()].index("fast") == 0
    assert len(store.modes()) == 5


def test_second_file_with_a_name_is_a_problem(store: ProfileStore, user: Path) -> None:
    write(user / "modes" / "a.toml", MODE)
    second = write(user / "modes" / "b.toml", MODE)
    assert store.mode("mine").path == user / "modes" / "a.toml"
    (problem,) = store.problems()
    assert problem.path == second
    assert "'mine' is already taken" in problem.message


def test_unknown_name_lists_the_known_with_the_nearest(store: ProfileStore) -> None:
    with pytest.raises(ProfileError, match=r"no mode 'thoughtfull'\. Did you mean 'thoughtful'\? Known: fast, th"):
        store.mode("thoughtfull")
    with pytest.raises(ProfileError, match=r"no surface 'chatt'\. Did you mean 'chat'\?"):
        store.surface("chatt")
    with pytest.raises(ProfileError, match=r"no machine 'abacus'\. Known: "):
        store.machine("abacus")


def test_a_setting_names_a_machine_or_takes_the_default_one(store: ProfileStore, user: Path) -> None:
    assert store.rented_gpu("h100-80gb") == store.machine("h100-80gb")
    assert store.rented_gpu("auto") == store.rented_gpu("no longer there") == store.machine("l4")
    write(user / "machines" / "box.toml", MACHINE)
    only_own = ProfileStore(user / "nothing", user)
    assert only_own.rented_gpu("auto") == only_own.machine("box")
    assert ProfileStore(user / "nothing", user / "nothing").rented_gpu("auto") is None


def test_check_reads_anew_and_tells_the_kind_of_a_lone_file(store: ProfileStore, user: Path, tmp_path: Path) -> None:
    assert store.check() == ()
    bad = write(user / "machines" / "bad.toml", MACHINE + "colour = 'red'")
    assert [problem.path for problem in store.check()] == [bad]
    machine = write(tmp_path / "m.toml", MACHINE)
    surface = write(tmp_path / "s.toml", SURFACE + "[budgets]\nttft_ms = 5")
    mode = write(tmp_path / "o.toml", MODE)
    assert store.check([machine, surface, mode]) == ()
    (problem,) = store.check([machine, bad, tmp_path / "absent.toml"][:2])
    assert "colour is not a known key" in problem.message
    assert "not a file" in store.check([tmp_path / "absent.toml"])[0].message


def test_machine_in_the_users_folder_is_read_in_full(store: ProfileStore, user: Path) -> None:
    write(user / "machines" / "box.toml", MACHINE + "concurrency = 4\nutilisation = 0.5\nestimate = false")
    box = store.machine("box")
    assert (box.usd_per_hour, box.memory_bytes, box.price_date) == (1.5, 24 * 1024**3, "2025-06-01")
    assert (box.concurrency, box.utilisation, box.estimate, box.builtin) == (4, 0.5, False, False)


def test_apply_sets_the_mode_and_touches_nothing_else() -> None:
    spec = dataclasses.replace(
        SPEC,
        engine=EngineOptions(context_length=512),
        chat=ChatOptions(template="tool_use", overflow="shift"),
        sampling=Sampling(seed=99, logit_bias=((5, 1.0),), grammar="root ::= [0-9]"),
        limits=Limits(stop=("END",)),
        surface=ProfileRef("chat", 1),
    )
    done = parse_mode(BUILTIN / "modes" / "thoughtful.toml").apply(spec)
    assert done.chat == ChatOptions("tool_use", "on", "high", 1024, "shift")
    assert done.sampling == Sampling(0.6, 20, 0.95, 0.0, seed=99, logit_bias=((5, 1.0),), grammar="root ::= [0-9]")
    assert done.limits == Limits(2048, ("END",))
    assert (done.strategy, done.mode) == (Strategy(), ProfileRef("thoughtful", 1))
    assert (done.engine, done.messages, done.surface) == (spec.engine, spec.messages, spec.surface)


def test_apply_keeps_what_the_user_pinned() -> None:
    pinned = dataclasses.replace(
        SPEC, sampling=Sampling(temperature=1.5), limits=Limits(33), strategy=Strategy("vote", 3)
    )
    keep = frozenset({"temperature", "max_tokens", "strategy"})
    done = parse_mode(BUILTIN / "modes" / "fast.toml").apply(pinned, keep)
    assert (done.sampling.temperature, done.limits.max_tokens, done.strategy) == (1.5, 33, Strategy("vote", 3))
    assert (done.sampling.top_p, done.chat.thinking) == (0.9, "off")


ALL_MODES = ProfileStore(BUILTIN, Path("/nonexistent")).modes()


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.sampled_from(ALL_MODES), max_size=4), st.sampled_from(ALL_MODES))
def test_a_mode_gives_the_same_spec_whatever_mode_came_before(before: list[ModeProfile], last: ModeProfile) -> None:
    spec = SPEC
    for mode in before:
        spec = mode.apply(spec)
    assert last.apply(spec) == last.apply(SPEC)


def test_surface_is_noted_and_changes_nothing_else(store: ProfileStore) -> None:
    chat = store.surface("chat")
    assert dataclasses.replace(chat.apply(SPEC), surface=None) == SPEC
    assert chat.apply(SPEC).surface == ProfileRef("chat", 1)
