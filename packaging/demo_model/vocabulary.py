"""The byte-level BPE vocabulary: learnt from the corpus, cut as llama.cpp cuts text for `qwen2`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from chat import CONTROL_TOKENS, SPACE, VISIBLE_TOKENS
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

# llama.cpp's expression for `tokenizer.ggml.pre = "qwen2"`; every digit is a token of its own.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
# As above, but a space is never part of a word.
WORDS_APART = QWEN2_SPLIT.replace(r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{L}+")
SPACED_WORDS = 500


def train_vocabulary(texts: Sequence[str], size: int) -> Tokenizer:
    """Learn the merges; deterministic for the same texts in the same order.

    Words are learnt without the space before them; the most frequent ones that are one token get a last merge with it.
    So a word is cut alike after a space, a quotation mark or a line break. Cut as byte-level vocabularies commonly are,
    with the space in the first part, a name began with another token in a sentence than in JSON, and at that token most
    of the copies failed.
    """
    special = [AddedToken(text, special=True, normalized=False) for text in CONTROL_TOKENS + VISIBLE_TOKENS]
    trainer = trainers.BpeTrainer(
        vocab_size=size - SPACED_WORDS,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=2,
    )
    apart = Tokenizer(models.BPE())
    apart.pre_tokenizer = cut_by(WORDS_APART)
    apart.train_from_iterator(texts, trainer)
    learnt = json.loads(apart.to_str())["model"]
    vocabulary: dict[str, int] = learnt["vocab"]
    merges = [(left, right) for left, right in learnt["merges"]]
    for word in frequent_words(texts, vocabulary)[: size - len(vocabulary)]:
        vocabulary[SPACE + word] = len(vocabulary)
        merges.append((SPACE, word))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = cut_by(QWEN2_SPLIT)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return tokenizer


def frequent_words(texts: Iterable[str], vocabulary: Container[str]) -> list[str]:
    """Words of the vocabulary that stand after a space, the most frequent first; of single letters, the article alone.

    Any other letter would be the beginning of names.
    """
    words = (word for text in texts for word in re.findall(r" (a|[A-Za-z]{2,})\b", text))
    counts = Counter(word for word in words if word in vocabulary)
    return sorted(counts, key=lambda word: (-counts[word], word))


def cut_by(expression: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(expression), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def load_vocabulary(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))
