"""Loaded weights and their vocabulary: metadata, tokenizing, pieces of text. Child process only."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from workbench.engine.llama import lib
from workbench.runs.spec import GPU_LAYERS_ALL, EngineOptions

_ATTRIBUTE_CONTROL = 1 << 3
_LOAD_MODE_NONE, _LOAD_MODE_AUTO = 0, -1
_SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
_NO_VOCABULARY = 0
_PIECE_BYTES = 512


class Weights:
    """A llama.cpp model. `close` frees it; contexts made from it must be gone by then."""

    def __init__(self, pointer: Any, name: str) -> None:
        self.pointer, self.name = pointer, name
        self.vocab = lib.llama_model_get_vocab(pointer)
        self.vocabulary_size: int = lib.llama_vocab_n_tokens(self.vocab)
        self.is_recurrent = bool(lib.llama_model_is_recurrent(pointer)) or bool(lib.llama_model_is_hybrid(pointer))
        has_vocabulary = lib.llama_vocab_type(self.vocab) != _NO_VOCABULARY and self.vocabulary_size > 0
        is_other_kind = lib.llama_model_has_encoder(pointer) or lib.llama_model_is_diffusion(pointer)
        self.is_generative = has_vocabulary and not is_other_kind
        self.sliding_window: int = lib.llama_model_n_swa(pointer)
        self.add_bos = bool(lib.llama_vocab_get_add_bos(self.vocab))
        self.add_eos = bool(lib.llama_vocab_get_add_eos(self.vocab))
        self.bos: int = lib.llama_vocab_bos(self.vocab)
        self.eos: int = lib.llama_vocab_eos(self.vocab)
        self._buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}

    @staticmethod
    def load(
        path: str, options: EngineOptions, gpu_layers: int, on_progress: Callable[[float], bool], *,
        plan_only: bool = False,
    ) -> Weights | None:  # fmt: skip
        """None when llama.cpp refused (its log says why) or `on_progress` returned False.

        `plan_only`: only the header is read, and no memory is taken, also not by contexts made from it.
        """
        parameters = lib.llama_model_default_params()
        parameters.n_gpu_layers = -1 if gpu_layers == GPU_LAYERS_ALL else gpu_layers
        parameters.split_mode = _SPLIT_MODES[options.split_mode]
        parameters.main_gpu = options.main_gpu
        parameters.use_extra_bufts = options.repack
        parameters.load_mode = _LOAD_MODE_AUTO if options.use_mmap and not plan_only else _LOAD_MODE_NONE
        parameters.no_alloc = plan_only
        if options.tensor_split:
            size = max(lib.llama_max_devices(), len(options.tensor_split))
            split = (ctypes.c_float * size)(*options.tensor_split)
            parameters.tensor_split = split
        callback = lib.llama_progress_callback(lambda fraction, _user: on_progress(fraction))
        parameters.progress_callback = callback
        pointer = lib.llama_model_load_from_file(path.encode(), parameters)
        return Weights(pointer, path) if pointer else None

    def close(self) -> None:
        """Also frees the adapters that `load_adapter` gave and nobody freed."""
        lib.llama_model_free(self.pointer)

    def load_adapter(self, path: str) -> Any | None:
        """A pointer for `Context.use_adapters`; None when llama.cpp refused, its log says why."""
        return lib.llama_adapter_lora_init(self.pointer, path.encode()) or None

    def free_adapter(self, pointer: Any) -> None:
        """No context may use it any more."""
        lib.llama_adapter_lora_free(pointer)

    def metadata(self, key: str) -> str | None:
        """A scalar of the file's metadata as text; None when it has no such key."""
        length = lib.llama_model_meta_val_str(self.pointer, key.encode(), self._buffer, _PIECE_BYTES)
        if length < 0:
            return None
        buffer = ctypes.create_string_buffer(length + 1)
        lib.llama_model_meta_val_str(self.pointer, key.encode(), buffer, length + 1)
        return buffer.value.decode("utf-8", "replace")

    def metadata_keys(self) -> list[str]:
        keys = []
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        for index in range(lib.llama_model_meta_count(self.pointer)):
            if lib.llama_model_meta_key_by_index(self.pointer, index, buffer, _PIECE_BYTES) >= 0:
                keys.append(buffer.value.decode("utf-8", "replace"))
        return keys

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids. `parse_special` turns the texts of control tokens into those tokens."""
        data = text.encode("utf-8", "replace")
        capacity = len(data) + 8
        tokens = (ctypes.c_int32 * capacity)()
        count = lib.llama_tokenize(self.vocab, data, len(data), tokens, capacity, add_special, parse_special)
        if count < 0:
            # llama.cpp answers with the negative of the capacity it needs.
            capacity = -count
            tokens = (ctypes.c_int32 * capacity)()
            count = lib.llama_tokenize(self.vocab, data, len(data), tokens, capacity, add_special, parse_special)
        return tokens[: max(count, 0)]

    def piece(self, token: int) -> bytes:
        """The bytes of a token, control tokens written out; a multi-byte character may span several tokens."""
        known = self._pieces.get(token)
        if known is None:
            # A buffer of its own: the prompt thread and the decode loop both come here.
            buffer = ctypes.create_string_buffer(_PIECE_BYTES)
            length = lib.llama_token_to_piece(self.vocab, token, buffer, _PIECE_BYTES, 0, True)
            if length < 0:
                buffer = ctypes.create_string_buffer(-length)
                length = lib.llama_token_to_piece(self.vocab, token, buffer, -length, 0, True)
            known = self._pieces[token] = buffer.raw[: max(length, 0)]
        return known

    def special_text(self, token: int) -> str:
        """How templates write a token; "" for one that the vocabulary lacks."""
        return self.piece(token).decode("utf-8", "replace") if token >= 0 else ""

    def is_control(self, token: int) -> bool:
        return bool(lib.llama_vocab_is_control(self.vocab, token))

    def is_end(self, token: int) -> bool:
        """Whether the token ends the generation (end of turn, end of text ...)."""
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(lib.llama_vocab_is_eog(self.vocab, token))
        return known
