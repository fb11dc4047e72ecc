"""A training begun with an earlier model's weights. Needs PyTorch, which only the makers of the demo models install."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from export import write_gguf  # noqa: E402
from network import Network, Shape  # noqa: E402
from start import begin_with, parts_of  # noqa: E402
from vocabulary import train_vocabulary  # noqa: E402

SIZE = 1000
GLOSSARY = (Path(__file__).parents[3] / "assets" / "glossary.toml").read_text(encoding="utf-8")
TEXTS = [GLOSSARY[:20_000], GLOSSARY[20_000:]]
SHAPE = Shape(layers=1, heads=2, kv_heads=1, feed_forward=32, vocabulary=SIZE)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network, dict[str, int]]:
    """A tiny model in a GGUF file, with the vocabulary of the first text."""
    tokenizer = train_vocabulary(TEXTS[:1], SIZE)
    network = Network(SHAPE)
    path = tmp_path_factory.mktemp("start") / "earlier.gguf"
    write_gguf(network, tokenizer, path, "demo", 1234)
    return path, network, tokenizer.get_vocab()


def test_a_token_is_cut_into_the_longest_known_pieces() -> None:
    known = {"co": 0, "code": 1, "s": 2, "c": 3}
    assert parts_of("codes", known) == [1, 2]
    assert parts_of("cos", known) == [0, 2]
    assert parts_of("xc", known) == [3]
    assert parts_of("xy", known) == []


def test_known_tokens_keep_their_weights_and_new_ones_are_the_mean_of_their_parts(
    earlier: tuple[Path, Network, dict[str, int]],
) -> None:
    path, network, known = earlier
    tokenizer = train_vocabulary(TEXTS[1:], SIZE)
    begun = Network(SHAPE)
    assert begin_with(path, begun, tokenizer) == 1234
    before, after = network.token_embd.weight.detach().half().float(), begun.token_embd.weight.detach()
    new = 0
    for token, index in tokenizer.get_vocab().items():
        if token in known:
            assert torch.equal(after[index], before[known[token]]), token
        else:
            new += 1
            assert torch.allclose(after[index], before[parts_of(token, known)].mean(0)), token
    assert new > 0
    assert torch.equal(begun.blk[0].attn_q.weight.detach(), network.blk[0].attn_q.weight.detach().half().float())


def test_another_shape_is_refused(earlier: tuple[Path, Network, dict[str, int]]) -> None:
    tokenizer = train_vocabulary(TEXTS[:1], SIZE)
    with pytest.raises(ValueError, match="another shape"):
        begin_with(earlier[0], Network(replace(SHAPE, layers=2)), tokenizer)
