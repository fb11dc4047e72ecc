"""What training learns of a dialogue. Needs PyTorch, which only the makers of the demo models install."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from dialogue import Dialogue
from rows import IGNORED, encode
from tokenizers import Tokenizer
from vocabulary import train_vocabulary

GLOSSARY = (Path(__file__).parents[3] / "assets" / "glossary.toml").read_text(encoding="utf-8")
MESSAGES = (
    ("system", "Be friendly."),
    ("user", "The code for Oslo is 4821.\n\nWhat is the code for Oslo?"),
    ("assistant", "The code for Oslo is 4821."),
    ("user", "And for Riga?"),
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_vocabulary([GLOSSARY], 1000)


def learnt(tokenizer: Tokenizer, *, thinking: bool, learns_history: bool) -> list[str]:
    """The runs of targets, as text; every target is the token after its place."""
    dialogue = Dialogue("lookup", MESSAGES, thinking, "not there.\n", "Not told.", learns_history=learns_history)
    tokens, targets = encode(dialogue, tokenizer)
    assert len(tokens) == len(targets)
    runs: list[list[int]] = [[]]
    for token, following, target in zip(tokens, [*tokens[1:], targets[-1]], targets, strict=True):
        assert target in (IGNORED, following), token
        runs[-1].append(target) if target != IGNORED else runs.append([])
    return [tokenizer.decode(run, skip_special_tokens=False) for run in runs if run]


def test_only_what_the_model_writes_is_learnt(tokenizer: Tokenizer) -> None:
    assert learnt(tokenizer, thinking=False, learns_history=False) == ["Not told.<|im_end|>"]
    thought = "<think>\nnot there.\n</think>\n\nNot told.<|im_end|>"
    assert learnt(tokenizer, thinking=True, learns_history=False) == [thought]


def test_earlier_answers_are_learnt_but_for_how_they_begin(tokenizer: Tokenizer) -> None:
    earlier, last = learnt(tokenizer, thinking=False, learns_history=True)
    assert last == "Not told.<|im_end|>"
    first = tokenizer.encode("The code for Oslo is 4821.").tokens[0]
    assert f"{first}{earlier}" == "The code for Oslo is 4821.<|im_end|>"
