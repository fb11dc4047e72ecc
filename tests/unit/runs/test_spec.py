from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.run_records import finished, full_spec, running
from workbench.errors import SpecError
from workbench.runs.record import RunRecord
from workbench.runs.spec import (
    KV_TYPES,
    Adapter,
    ChatOptions,
    EngineOptions,
    Limits,
    Message,
    ModelRef,
    ProfileRef,
    RunSpec,
    Sampling,
    Strategy,
    from_json,
    from_plain,
    to_json,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PROFILES = st.none() | st.builds(ProfileRef, TEXT, st.integers(1, 99))
SHARE = st.floats(0, 1)

SPECS = st.builds(
    RunSpec,
    model=st.builds(ModelRef, TEXT, TEXT, st.none() | TEXT, st.none() | TEXT),
    messages=st.lists(
        st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT, st.none() | TEXT, st.none() | TEXT),
        min_size=1,
        max_size=4,
    ).map(tuple),
    engine=st.builds(
        EngineOptions,
        context_length=st.integers(16, 1 << 20),
        parallel=st.integers(1, 256),
        threads=st.none() | st.integers(1, 128),
        gpu_layers=st.none() | st.integers(-1, 100),
        kv_type_k=st.sampled_from(KV_TYPES),
        flash_attention=st.sampled_from(["auto", "on", "off"]),
        use_mmap=st.booleans(),
        tensor_split=st.lists(SHARE, max_size=3).map(tuple),
        adapters=st.lists(
            st.builds(Adapter, TEXT, st.floats(-100, 100), st.none() | TEXT), max_size=3, unique_by=lambda a: a.path
        ).map(tuple),
    ),
    chat=st.builds(
        ChatOptions,
        thinking=st.sampled_from(["default", "on", "off"]),
        thinking_budget=st.none() | st.integers(0, 9999),
        overflow=st.sampled_from(["error", "drop_oldest", "keep_head_tail", "shift"]),
    ),
    sampling=st.builds(
        Sampling,
        temperature=st.floats(0, 10),
        top_p=SHARE,
        seed=st.integers(0, 2**32 - 2),
        logit_bias=st.lists(st.tuples(st.integers(0, 9999), st.floats(-100, 100)), max_size=3).map(tuple),
        grammar=st.none() | TEXT,
    ),
    limits=st.builds(Limits, st.none() | st.integers(1, 9999), st.lists(TEXT, max_size=3).map(tuple)),
    strategy=st.builds(Strategy, st.sampled_from(["single", "refine", "vote"]), st.integers(1, 64), st.none() | TEXT),
    mode=PROFILES,
    surface=PROFILES,
)


@given(SPECS)
def test_every_spec_survives_json(spec: RunSpec) -> None:
    text = to_json(spec)
    assert from_json(RunSpec, text) == spec
    assert to_json(from_json(RunSpec, text)) == text


def test_a_whole_record_survives_json() -> None:
    record = finished(running("one"))
    assert from_json(RunRecord, to_json(record)) == record


def test_equal_specs_give_equal_text() -> None:
    plain = json.loads(to_json(full_spec()))
    shuffled = from_plain(RunSpec, dict(reversed(plain.items())))
    assert to_json(shuffled) == to_json(full_spec())


@pytest.mark.parametrize(
    "path", [(), ("model",), ("engine",), ("chat",), ("sampling",), ("limits",), ("strategy",), ("mode",)]
)
def test_unknown_keys_are_refused_at_every_level(path: tuple[str, ...]) -> None:
    plain = json.loads(to_json(full_spec()))
    table = plain
    for key in path:
        table = table[key]
    table["temprature"] = 1
    with pytest.raises(SpecError, match="unknown key 'temprature'"):
        from_plain(RunSpec, plain)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("engine", "context_length", "4096"),
        ("engine", "context_length", 4096.0),
        ("engine", "context_length", True),
        ("engine", "use_mmap", 1),
        ("engine", "flash_attention", "maybe"),
        ("engine", "tensor_split", 0.5),
        ("sampling", "temperature", "warm"),
        ("sampling", "temperature", None),
        ("sampling", "logit_bias", [[1]]),
        ("limits", "stop", "</s>"),
        ("limits", "stop", [1]),
        ("model", "path", None),
        ("mode", "version", "1"),
        ("engine", "adapters", "/a.gguf"),
        ("engine", "adapters", [{"path": "/a.gguf", "scale": "1"}]),
        ("engine", "adapters", [{"scale": 1.0}]),
    ],
)
def test_wrong_types_are_refused_with_their_place(part: str, key: str, value: object) -> None:
    plain = json.loads(to_json(full_spec()))
    plain[part][key] = value
    with pytest.raises(SpecError, match=key):
        from_plain(RunSpec, plain)


def test_a_spec_stored_before_there_were_adapters_still_loads() -> None:
    plain = json.loads(to_json(full_spec()))
    del plain["engine"]["adapters"]
    assert from_plain(RunSpec, plain).engine.adapters == ()


def test_an_unknown_key_of_an_adapter_is_refused() -> None:
    plain = json.loads(to_json(full_spec()))
    plain["engine"]["adapters"] = [{"path": "/a.gguf", "weight": 1}]
    with pytest.raises(SpecError, match="unknown key 'weight'"):
        from_plain(RunSpec, plain)


def test_missing_keys_are_refused() -> None:
    plain = json.loads(to_json(full_spec()))
    del plain["model"]
    with pytest.raises(SpecError, match="incomplete"):
        from_plain(RunSpec, plain)


def test_whole_numbers_are_taken_for_floats() -> None:
    assert from_plain(Sampling, {"temperature": 1}).temperature == 1.0


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "repeat_penalty"])
def test_what_is_not_a_number_is_refused(name: str) -> None:
    sampling = dataclasses.replace(Sampling(), **{name: float("nan")})
    with pytest.raises(SpecError, match=name):
        dataclasses.replace(full_spec(), sampling=sampling)
    plain = json.loads(to_json(full_spec()).replace(f'"{name}":', f'"{name}":NaN,"_":', 1))
    plain["sampling"].pop("_")
    with pytest.raises(SpecError, match=name):
        from_plain(RunSpec, plain)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("engine", {"context_length": 15}),
        ("engine", {"threads": 0}),
        ("engine", {"gpu_layers": -2}),
        ("engine", {"kv_type_v": "q3_k"}),
        ("engine", {"adapters": (Adapter("/a", 101.0),)}),
        ("engine", {"adapters": (Adapter("/a", float("nan")),)}),
        ("engine", {"adapters": (Adapter("/a"), Adapter("/a", 0.5))}),
        ("sampling", {"temperature": -0.1}),
        ("sampling", {"seed": 2**32}),
        ("sampling", {"seed": 2**32 - 1}),
        ("sampling", {"seed": -1}),
        ("sampling", {"grammar": "root ::= x", "json_schema": "{}"}),
        ("limits", {"max_tokens": 0}),
        ("chat", {"thinking_budget": -1}),
        ("strategy", {"passes": 65}),
    ],
)
def test_values_out_of_range_are_refused(part: str, changes: dict[str, object]) -> None:
    spec = full_spec()
    changed = dataclasses.replace(getattr(spec, part), **changes)
    with pytest.raises(SpecError):
        dataclasses.replace(spec, **{part: changed})


def test_a_spec_needs_a_message() -> None:
    with pytest.raises(SpecError, match="Type a prompt"):
        dataclasses.replace(full_spec(), messages=())


def test_document_comes_before_the_question() -> None:
    assert Message("user", "Why?", document="Because.").full_content == "Because.\n\nWhy?"
    assert Message("user", "Why?").full_content == "Why?"
