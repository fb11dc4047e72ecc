"""The sampler chain of one request, inside llama.cpp. Child process only."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Sequence
from typing import Any

from workbench.engine.llama import lib, schema_to_grammar
from workbench.engine.weights import Weights
from workbench.errors import SpecError
from workbench.runs.spec import Sampling

_MIN_KEEP = 1


class Sampler:
    """Chooses tokens. The grammar is asked about the chosen token first, and only a refusal costs a second choice
    over the whole vocabulary: matching 151,936 candidates against a grammar takes longer than a small model's decode.
    """

    def __init__(self, weights: Weights, sampling: Sampling, context_length: int) -> None:
        _check_bias(sampling, weights.vocabulary_size)
        self._weights, self._sampling, self._context_length = weights, sampling, context_length
        self._grammar: Any = None
        self._strict: Any = None
        grammar = _grammar_text(sampling)
        if grammar is not None:
            self._grammar = lib.llama_sampler_init_grammar(weights.vocab, grammar.encode(), b"root")
            if not self._grammar:
                raise SpecError("llama.cpp cannot read the grammar; see the log for the line.", code="grammar_invalid")
            # The strict chain owns the grammar; `close` frees both.
            self._strict = self._chain(self._grammar)
        self._free = self._chain(None)
        self._one = (lib.llama_token_data * 1)()
        self._one_array = lib.llama_token_data_array(data=self._one, size=1, selected=-1, sorted=False)

    @property
    def has_grammar(self) -> bool:
        return self._grammar is not None

    def close(self) -> None:
        for chain in (self._free, self._strict):
            if chain is not None:
                lib.llama_sampler_free(chain)
        self._free = self._strict = self._grammar = None

    def remember(self, tokens: Sequence[int]) -> None:
        """Prompt tokens count for the repetition penalties, as in llama.cpp's own tools."""
        if not self._has_penalties():
            return
        for chain in (self._free, self._strict):
            penalties = chain and self._penalties(chain)
            for token in tokens[-self._repeat_last_n() :] if penalties else ():
                lib.llama_sampler_accept(penalties, token)

    def sample(self, context: Any, index: int) -> int:
        """The next token from output `index` of the last decode, free of the grammar."""
        token = int(lib.llama_sampler_sample(self._free, context, index))
        self._remember_for_answer(token)
        return token

    def sample_by_grammar(self, context: Any, index: int) -> int:
        if self._has_penalties():
            # The free chain would remember a choice that the grammar then refuses.
            return int(lib.llama_sampler_sample(self._strict, context, index))
        return self._unless_refused(self.sample(context, index), context, index)

    def sample_before_answer(self, context: Any, index: int, is_before: Callable[[int], bool]) -> tuple[int, bool]:
        """The free choice and True where `is_before` says that it stands before the answer, else one by the grammar."""
        token = int(lib.llama_sampler_sample(self._free, context, index))
        if is_before(token):
            self._remember_for_answer(token)
            return token, True
        if self._has_penalties():
            return int(lib.llama_sampler_sample(self._strict, context, index)), False
        return self._unless_refused(token, context, index), False

    def _remember_for_answer(self, token: int) -> None:
        """What was chosen freely counts for the repetition penalties of the answer too."""
        if self._strict is not None and self._has_penalties():
            lib.llama_sampler_accept(self._penalties(self._strict), token)

    def _unless_refused(self, token: int, context: Any, index: int) -> int:
        if self._grammar_allows(token):
            lib.llama_sampler_accept(self._grammar, token)
            return token
        return int(lib.llama_sampler_sample(self._strict, context, index))

    def _grammar_allows(self, token: int) -> bool:
        self._one[0].id, self._one[0].logit, self._one[0].p = token, 1.0, 0.0
        self._one_array.size, self._one_array.selected = 1, -1
        lib.llama_sampler_apply(self._grammar, ctypes.byref(self._one_array))
        return bool(self._one[0].logit > -1e30)

    def _chain(self, grammar: Any) -> Any:
        sampling = self._sampling
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())

        def add(sampler: Any) -> None:
            lib.llama_sampler_chain_add(chain, sampler)

        if sampling.logit_bias:
            add(_bias(sampling, self._weights.vocabulary_size))
        if grammar is not None:
            add(grammar)
        if self._has_penalties():
            add(self._new_penalties())
        if sampling.temperature == 0:
            add(lib.llama_sampler_init_greedy())
            return chain
        if sampling.top_k > 0:
            add(lib.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            add(lib.llama_sampler_init_top_p(sampling.top_p, _MIN_KEEP))
        if sampling.min_p > 0:
            add(lib.llama_sampler_init_min_p(sampling.min_p, _MIN_KEEP))
        add(lib.llama_sampler_init_temp(sampling.temperature))
        add(lib.llama_sampler_init_dist(sampling.seed))
        return chain

    def _has_penalties(self) -> bool:
        s = self._sampling
        active = s.repeat_penalty != 1 or s.presence_penalty != 0 or s.frequency_penalty != 0
        return active and s.repeat_last_n != 0

    def _repeat_last_n(self) -> int:
        n = self._sampling.repeat_last_n
        return self._context_length if n < 0 else n

    def _new_penalties(self) -> Any:
        s = self._sampling
        return lib.llama_sampler_init_penalties(
            self._weights.vocabulary_size, self._repeat_last_n(),
            s.repeat_penalty, s.frequency_penalty, s.presence_penalty,
        )  # fmt: skip

    def _penalties(self, chain: Any) -> Any:
        position = bool(self._sampling.logit_bias) + (chain is self._strict)
        return lib.llama_sampler_chain_get(chain, position)


def _check_bias(sampling: Sampling, vocabulary_size: int) -> None:
    for token, _bias_value in sampling.logit_bias:
        if not 0 <= token < vocabulary_size:
            raise SpecError(
                f"logit_bias names token {token}; this model has tokens 0 to {vocabulary_size - 1:,}.",
                code="logit_bias_invalid",
            )


def _bias(sampling: Sampling, vocabulary_size: int) -> Any:
    entries = (lib.llama_logit_bias * len(sampling.logit_bias))()
    for entry, (token, value) in zip(entries, sampling.logit_bias, strict=True):
        entry.token, entry.bias = token, value
    return lib.llama_sampler_init_logit_bias(vocabulary_size, len(entries), entries)


def _grammar_text(sampling: Sampling) -> str | None:
    if sampling.json_schema is None:
        return sampling.grammar or None
    try:
        json.loads(sampling.json_schema)
        return schema_to_grammar(sampling.json_schema)
    except Exception as error:
        raise SpecError(f"The JSON schema cannot be used: {error}.", code="grammar_invalid") from error
