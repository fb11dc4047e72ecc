"""LoRA adapters through the real child: known matrices, so that the text they bring about is known too."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import tiny_models
from tests.fakes.importance_files import columns_of, write_matrix
from tests.fakes.tiny_adapters import random_pairs, successor_pairs, tensors_of, write_adapter
from tests.integration.engine.asking import Asker, request
from workbench.engine.process import LocalEngine
from workbench.engine.quantizer import quantize_file
from workbench.errors import ModelFileError, ModelNotFound, SpecError
from workbench.runs.spec import Adapter, EngineOptions, Message, ModelRef, RunSpec

PLAIN, BENT = "one two three", "one six three"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Says "one two three"; "six" and "ten" are words it knows and never says by itself."""
    path = tmp_path_factory.mktemp("chain") / "chain.gguf"
    return tiny_models.write_chain(
        path, [b"one", b" two", b" three"], branches={"!": [b" six", b" three"], "?": [b" ten", b" three"]}
    )


@pytest.fixture(scope="module")
def bends(chain: Path) -> Path:
    """After "one" comes " six": wins from a scale of one half on."""
    return write_adapter(chain.with_name("bends.gguf"), successor_pairs(chain, (b"one", b" six")))


@pytest.fixture(scope="module")
def turns(chain: Path) -> Path:
    """After "one" comes " ten", as strongly."""
    return write_adapter(chain.with_name("turns.gguf"), successor_pairs(chain, (b"one", b" ten")))


def text_with(asker: Asker, model: Path, *adapters: Adapter, question: str = "Say it") -> str:
    asker.load(model, adapters=adapters)
    return asker.ask(question).text


def at(path: Path, scale: float = 1.0) -> Adapter:
    return Adapter(str(path), scale)


def test_an_adapter_changes_the_text_as_its_matrices_say(asker: Asker, chain: Path, bends: Path) -> None:
    assert text_with(asker, chain) == PLAIN
    assert text_with(asker, chain, at(bends)) == BENT
    assert text_with(asker, chain, at(bends, 0.0)) == PLAIN
    assert text_with(asker, chain, at(bends, 0.4)) == PLAIN
    assert text_with(asker, chain, at(bends, 0.6)) == BENT
    assert text_with(asker, chain, at(bends, -1.0)) == PLAIN
    assert text_with(asker, chain) == PLAIN


def test_alpha_counts_as_llama_cpp_counts_it(asker: Asker, chain: Path, tmp_path: Path) -> None:
    pairs = successor_pairs(chain, (b"one", b" six"))
    halves = {name: (a.astype(np.float16), b.astype(np.float16)) for name, (a, b) in pairs.items()}
    quarter = write_adapter(tmp_path / "quarter.gguf", halves, alpha=0.25)
    assert text_with(asker, chain, at(quarter)) == PLAIN
    assert text_with(asker, chain, at(quarter, 3.0)) == BENT


def test_several_adapters_add_up_each_with_its_scale(asker: Asker, chain: Path, bends: Path, turns: Path) -> None:
    assert text_with(asker, chain, at(bends, 0.7), at(turns, 0.9)) == "one ten three"
    assert text_with(asker, chain, at(bends, 0.9), at(turns, 0.7)) == BENT
    assert text_with(asker, chain, at(turns, 0.7), at(bends, 0.9)) == BENT
    assert text_with(asker, chain, at(turns)) == "one ten three"


def test_a_change_of_adapters_keeps_weights_and_context(asker: Asker, chain: Path, bends: Path, turns: Path) -> None:
    asker.load(chain)
    for adapters in [(at(bends),), (at(bends, 0.2),), (at(turns),), (at(turns), at(bends)), ()]:
        report = asker.load(chain, adapters=adapters)
        assert (report.reused, report.load_ms, report.start_ms) == ("weights", None, None)
        assert report.context_ms is not None
        same = asker.load(chain, adapters=adapters)
        assert (same.reused, same.context_ms) == ("model", None)


def test_the_prefix_computed_with_other_adapters_is_not_reused(asker: Asker, chain: Path, bends: Path) -> None:
    asker.load(chain)
    question = "A question long enough to have a prefix worth keeping"
    assert asker.ask(question).ready.cached_tokens == 0
    assert asker.ask(question).ready.cached_tokens > 20
    for adapters in [(at(bends),), (at(bends, 0.3),), ()]:
        asker.load(chain, adapters=adapters)
        assert asker.ask(question).ready.cached_tokens == 0
        assert asker.ask(question).ready.cached_tokens > 20


def ids_with(asker: Asker, model: Path, *adapters: Adapter) -> list[int]:
    asker.load(model, adapters=adapters)
    return asker.ask("What is TTFT?", max_tokens=24).ids


def test_scale_0_gives_the_very_tokens_of_no_adapter_and_back(asker: Asker, demo: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "demo.gguf", random_pairs(demo, rank=4))
    plain = ids_with(asker, demo)
    assert len(plain) == 24
    assert ids_with(asker, demo, at(adapter)) != plain
    assert ids_with(asker, demo, at(adapter, 0.0)) == plain
    assert ids_with(asker, demo) == plain


def test_a_fresh_engine_gives_the_tokens_of_a_warm_one(asker: Asker, demo: Path, tmp_path: Path) -> None:
    """With adapters in all layers, whatever was loaded before must leave no trace in the cache."""
    adapters = tuple(
        at(write_adapter(tmp_path / f"{seed}.gguf", random_pairs(demo, seed=seed, strength=0.3)), 0.5)
        for seed in (1, 2)
    )
    plain = ids_with(asker, demo)
    warm = ids_with(asker, demo, *adapters)
    assert warm != plain
    engine = LocalEngine()
    try:
        assert ids_with(Asker(engine), demo, *adapters) == warm
    finally:
        engine.close()


def test_adapters_survive_a_new_context_and_new_weights(asker: Asker, chain: Path, bends: Path) -> None:
    asker.load(chain, adapters=(at(bends),))
    assert asker.load(chain, adapters=(at(bends),), context_length=256).reused == "weights"
    assert asker.ask("Say it").text == BENT
    assert asker.load(chain, adapters=(at(bends),), use_mmap=False).reused == "nothing"
    assert asker.ask("Say it").text == BENT
    assert asker.load(chain, context_length=512, use_mmap=False).reused == "weights"
    assert asker.ask("Say it").text == PLAIN


def test_an_adapter_file_that_was_replaced_is_loaded_again(asker: Asker, chain: Path, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.gguf", successor_pairs(chain, (b"one", b" six")))
    assert text_with(asker, chain, at(path)) == BENT
    other = write_adapter(tmp_path / "b.gguf", successor_pairs(chain, (b"one", b" ten")))
    os.replace(other, path)
    assert text_with(asker, chain, at(path)) == "one ten three"


def test_adapters_work_on_quantized_weights_in_parallel_sequences(asker: Asker, demo: Path, tmp_path: Path) -> None:
    small = tmp_path / "demo-Q4_K_M.gguf"
    quantize_file(demo, small, "Q4_K_M", threads=1)
    adapter = write_adapter(tmp_path / "a.gguf", random_pairs(demo, strength=0.5))
    asker.load(small, adapters=(at(adapter),), parallel=2)
    first, second = asker.run([request("What is TTFT?"), request("What is TTFT?")])
    assert first.ids == second.ids
    asker.load(small, parallel=2)
    assert asker.ask("What is TTFT?").ids != first.ids


@pytest.mark.parametrize(
    ("what", "code", "says"),
    [
        ("missing", "model_not_found", "no adapter file"),
        ("text", "adapter_unusable", "cannot be read"),
        ("cut", "adapter_unusable", "cannot be read"),
        ("model", "adapter_unusable", "it is a model"),
        ("matrix", "adapter_unusable", "it is an importance matrix"),
        ("other kind", "adapter_unusable", "kind 'ia3'"),
        ("empty", "adapter_unusable", "no tensors"),
        ("half a pair", "adapter_unusable", "is missing"),
        ("stranger", "adapter_unusable", "no part of a LoRA"),
        ("ranks", "adapter_unusable", "different ranks"),
        ("integers", "adapter_unusable", "of a type"),
        ("architecture", "adapter_wrong_model", "qwen2"),
        ("shape", "adapter_wrong_model", "do not fit"),
        ("deeper", "adapter_wrong_model", "does not have"),
        ("three sizes", "adapter_wrong_model", "do not fit"),
    ],
)
def test_an_adapter_that_does_not_fit_is_a_sentence_and_the_engine_stays_usable(
    asker: Asker, chain: Path, bends: Path, demo: Path, tmp_path: Path, what: str, code: str, says: str
) -> None:
    path = tmp_path / "bad.gguf"
    good = successor_pairs(chain, (b"one", b" six"))
    (weight, (a, b)), *_ = good.items()
    if what == "text":
        path.write_text("no model" * 100)
    elif what == "cut":
        path.write_bytes(bends.read_bytes()[:-100])
    elif what == "model":
        path.write_bytes(demo.read_bytes())
    elif what == "matrix":
        write_matrix(path, columns_of(chain))
    elif what == "other kind":
        write_adapter(path, good, form="ia3")
    elif what == "empty":
        write_adapter(path, {})
    elif what == "half a pair":
        write_adapter(path, good, extra={"blk.0.attn_q.weight.lora_a": a})
    elif what == "stranger":
        write_adapter(path, good, extra={"blk.0.attn_q.bias": a})
    elif what == "ranks":
        write_adapter(path, {weight: (np.vstack([a, a]), b)})
    elif what == "integers":
        write_adapter(path, {weight: (a.astype(np.int32), b)})
    elif what == "architecture":
        write_adapter(path, good, architecture="qwen2")
    elif what == "shape":
        write_adapter(path, random_pairs(demo, rank=1) | {"blk.0.attn_q.weight": (a[:, :8].copy(), b)})
    elif what == "deeper":
        write_adapter(path, {"blk.7.attn_q.weight": (a, b)})
    elif what == "three sizes":
        write_adapter(path, {weight: (np.stack([a, a]), np.stack([b, b]))})
    assert text_with(asker, chain, at(bends)) == BENT
    pid = asker.engine.pid
    for adapters in [(at(path),), (at(bends), at(path))]:
        with pytest.raises((ModelFileError, ModelNotFound), match=says) as caught:
            asker.load(chain, adapters=adapters)
        assert caught.value.code == code
    assert asker.engine.pid == pid
    assert asker.ask("Say it").text == BENT
    assert asker.load(chain, adapters=(at(bends),)).reused == "model"
    assert text_with(asker, chain) == PLAIN


def test_a_bad_adapter_does_not_take_the_loaded_model_away(
    asker: Asker, chain: Path, models: Path, tmp_path: Path
) -> None:
    assert text_with(asker, chain) == PLAIN
    with pytest.raises(ModelNotFound):
        asker.load(models / "says.gguf", adapters=(at(tmp_path / "gone.gguf"),))
    assert asker.load(chain).reused == "model"
    assert asker.ask("Say it").text == PLAIN


def test_an_adapter_or_a_matrix_given_as_the_model_is_a_sentence(
    asker: Asker, chain: Path, bends: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="is a LoRA adapter, not a model"):
        asker.load(bends)
    with pytest.raises(ModelFileError, match="is an importance matrix, not a model"):
        asker.load(write_matrix(tmp_path / "m.gguf", columns_of(chain)))
    assert text_with(asker, chain) == PLAIN


def test_an_adapter_that_begins_after_certain_words_says_so(asker: Asker, chain: Path, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "a.gguf", successor_pairs(chain, (b"one", b" six")), invocation_tokens=[1, 2])
    asker.load(chain)
    assert any("a.gguf" in text for text in asker.load(chain, adapters=(at(path),)).warnings)
    assert not any("a.gguf" in text for text in asker.load(chain).warnings)


def test_a_killed_child_comes_back_with_its_adapters(chain: Path, bends: Path) -> None:
    engine = LocalEngine()
    try:
        asker = Asker(engine)
        assert text_with(asker, chain, at(bends)) == BENT
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        assert asker.ask("Say it").end.code in ("engine_crashed", "no_model")
        gone_by = time.monotonic() + 10
        while engine.pid is not None and time.monotonic() < gone_by:  # a load into a dying child would fail with it
            time.sleep(0.01)
        assert text_with(asker, chain, at(bends)) == BENT
    finally:
        engine.close()


def test_an_adapter_on_the_token_embedding_is_applied_or_refused(
    asker: Asker, chain: Path, demo: Path, tmp_path: Path
) -> None:
    """In this tensor the two matrices lie the other way round; where the output shares it, llama.cpp would abort."""
    for model, shares in [(chain, False), (demo, True)]:
        rows, columns = tensors_of(model)["token_embd.weight"]
        pair = (np.full((rows, 2), 0.1, np.float32), np.full((columns, 2), 0.1, np.float32))
        path = write_adapter(tmp_path / "embedding.gguf", {"token_embd.weight": pair}, alpha=2.0)
        if shares:
            with pytest.raises(ModelFileError, match="shares"):
                asker.load(model, adapters=(at(path),))
        else:
            assert asker.load(model, adapters=(at(path, 0.01),))
            assert asker.ask("Say it").text == PLAIN
    assert text_with(asker, chain) == PLAIN


def test_a_spec_takes_an_adapter_once_and_in_bounds() -> None:
    def spec(*adapters: Adapter) -> RunSpec:
        return RunSpec(ModelRef("/m", "m"), (Message("user", "x"),), EngineOptions(adapters=adapters))

    spec(Adapter("/a"), Adapter("/b", -0.5))
    with pytest.raises(SpecError, match="given twice"):
        spec(Adapter("/a"), Adapter("/a", 0.5))
    for scale in (float("nan"), float("inf"), 1000.0):
        with pytest.raises(SpecError, match="scale of an adapter"):
            spec(Adapter("/a", scale))
