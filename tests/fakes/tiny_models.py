"""Makes small GGUF files with the `gguf` package: real architectures, made-up weights.

`write_chain` is the useful one for tests: its weights make every token be followed by exactly one other, so
that the real llama.cpp says a text that the test has chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
END_OF_TEXT, TURN_START, TURN_END, THINK_START, THINK_END = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>",
)  # fmt: skip
_CONTROL = (END_OF_TEXT, TURN_START, TURN_END)
_VISIBLE = (THINK_START, THINK_END)


def byte_alphabet() -> list[str]:
    """The 256 stand-ins for bytes of byte-level BPE, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(extra)) for byte in range(256)]


def spell(data: bytes) -> str:
    """Bytes as the vocabulary of a byte-level BPE writes them."""
    alphabet = byte_alphabet()
    return "".join(alphabet[byte] for byte in data)


def _add_vocabulary(writer: gguf.GGUFWriter, words: Sequence[str], size: int, *, template: str | None) -> None:
    """Control tokens, tags, 256 bytes, then `words` (spelled, user-defined), then unused ones up to `size`."""
    fixed = [*_CONTROL, *_VISIBLE, *byte_alphabet(), "th"]
    tokens = [*fixed, *words]
    types = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.USER_DEFINED] * 2 + [gguf.TokenType.NORMAL] * 257
    types += [gguf.TokenType.NORMAL] * len(words)
    assert len(tokens) <= size, (len(tokens), size)
    tokens += [f"<|unused_{index}|>" for index in range(len(tokens), size)]
    types += [gguf.TokenType.UNUSED] * (size - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(2)
    writer.add_bos_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)


def finish(writer: gguf.GGUFWriter, path: Path, tensors: dict[str, np.ndarray]) -> Path:
    """Writes the file with these tensors after the metadata that `writer` has."""
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _llama_sizes(
    writer: gguf.GGUFWriter, *, vocabulary: int, width: int, layers: int, heads: int, kv_heads: int, feed_forward: int,
    context: int,
) -> None:  # fmt: skip
    writer.add_vocab_size(vocabulary)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _llama_tensors(
    *, vocabulary: int, width: int, layers: int, heads: int, kv_heads: int, feed_forward: int, seed: int, scale: float
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        values = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(scale)
        return values.astype(np.float16)

    kv_width = width // heads * kv_heads
    tensors = {"token_embd.weight": matrix(vocabulary, width), "output_norm.weight": np.ones(width, np.float32)}
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors |= {
            block + "attn_norm.weight": np.ones(width, np.float32),
            block + "attn_q.weight": matrix(width, width),
            block + "attn_k.weight": matrix(kv_width, width),
            block + "attn_v.weight": matrix(kv_width, width),
            block + "attn_output.weight": matrix(width, width),
            block + "ffn_norm.weight": np.ones(width, np.float32),
            block + "ffn_gate.weight": matrix(feed_forward, width),
            block + "ffn_up.weight": matrix(feed_forward, width),
            block + "ffn_down.weight": matrix(width, feed_forward),
        }
    return tensors


def write_llama(
    path: Path, *, vocabulary: int = 512, width: int = 64, layers: int = 2, heads: int = 4, kv_heads: int = 2,
    feed_forward: int = 128, context: int = 2048, seed: int = 1, template: str | None = CHATML,
    architecture: str = "llama", scale: float = 0.05, name: str = "Tiny",
) -> Path:  # fmt: skip
    """A llama with random weights: it talks nonsense at full speed."""
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_name(name)
    shape = {"vocabulary": vocabulary, "width": width, "layers": layers, "heads": heads, "kv_heads": kv_heads}
    _llama_sizes(writer, **shape, feed_forward=feed_forward, context=context)
    _add_vocabulary(writer, [], vocabulary, template=template)
    tensors = _llama_tensors(**shape, feed_forward=feed_forward, seed=seed, scale=scale)
    return finish(writer, path, tensors)


def write_chain(
    path: Path,
    chain: Sequence[bytes | str],
    *,
    start: str = "\n",
    branches: Mapping[str, Sequence[bytes | str]] | None = None,
    template: str | None = CHATML,
    context: int = 2048,
) -> Path:
    """A model that, after a prompt that ends with `start`, says the tokens of `chain` in order, then ends its turn.

    A `str` of `chain` names a fixed token ("<think>"), `bytes` become tokens of their own and may split characters.
    A token has one successor only; a chain that comes back to one of its tokens loops. `branches` adds more chains
    with other starts. Embeddings are one-hot and all layers are zero, so that the output matrix alone decides.
    """
    chains = {start: chain, **(branches or {})}
    fixed = [*_CONTROL, *_VISIBLE, *byte_alphabet(), "th"]
    spelled = {
        key: [spell(item) if isinstance(item, bytes) else item for item in items] for key, items in chains.items()
    }
    words = list(dict.fromkeys(word for items in spelled.values() for word in items if word not in fixed))
    names = [*fixed, *words]
    width = -(-(len(names) + 1) // 32) * 32
    successors: dict[int, int] = {}
    for key, items in spelled.items():
        previous = names.index(spell(key.encode()))
        for word in items:
            successors.setdefault(previous, names.index(word))
            assert successors[previous] == names.index(word), f"{names[previous]!r} has two successors"
            previous = names.index(word)
        successors.setdefault(previous, names.index(TURN_END))
    output = np.zeros((width, width), np.float32)
    for previous, following in successors.items():
        output[following, previous] = 1
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Chain")
    sizes = {"vocabulary": width, "width": width, "layers": 1, "heads": 1, "kv_heads": 1, "feed_forward": 32}
    _llama_sizes(writer, **sizes, context=context)
    _add_vocabulary(writer, words, width, template=template)
    tensors = _llama_tensors(**sizes, seed=0, scale=0)
    tensors["token_embd.weight"] = np.eye(width, dtype=np.float32)
    tensors["output.weight"] = output
    return finish(writer, path, tensors)


def write_mamba(path: Path, *, vocabulary: int = 512, width: int = 64, layers: int = 2, seed: int = 1) -> Path:
    """A recurrent model: one running state instead of a cache that could be cut."""
    rng = np.random.default_rng(seed)
    inner, state, conv, rank = 2 * width, 16, 4, max(width // 16, 1)

    def matrix(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape, dtype=np.float32) * np.float32(0.05)).astype(np.float32)

    writer = gguf.GGUFWriter(str(path), "mamba")
    writer.add_name("Tiny mamba")
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_block_count(layers)
    writer.add_ssm_conv_kernel(conv)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(vocabulary)
    _add_vocabulary(writer, [], vocabulary, template=CHATML)
    tensors = {"token_embd.weight": matrix(vocabulary, width), "output_norm.weight": np.ones(width, np.float32)}
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors |= {
            block + "attn_norm.weight": np.ones(width, np.float32),
            block + "ssm_in.weight": matrix(2 * inner, width),
            block + "ssm_conv1d.weight": matrix(inner, conv),
            block + "ssm_conv1d.bias": np.zeros(inner, np.float32),
            block + "ssm_x.weight": matrix(rank + 2 * state, inner),
            block + "ssm_dt.weight": matrix(inner, rank),
            block + "ssm_dt.bias": np.zeros(inner, np.float32),
            block + "ssm_a": -np.ones((inner, state), np.float32),
            block + "ssm_d": np.ones(inner, np.float32),
            block + "ssm_out.weight": matrix(width, inner),
        }
    return finish(writer, path, tensors)


def write_sliding_window(
    path: Path, *, window: int = 32, vocabulary: int = 512, width: int = 64, seed: int = 1
) -> Path:
    """A gemma3-shaped model: five of six layers see only the last `window` tokens."""
    layers, heads, kv_heads, feed_forward = 6, 4, 2, 128
    writer = gguf.GGUFWriter(str(path), "gemma3")
    writer.add_name("Tiny sliding window")
    _llama_sizes(
        writer, vocabulary=vocabulary, width=width, layers=layers, heads=heads, kv_heads=kv_heads,
        feed_forward=feed_forward, context=8192,
    )  # fmt: skip
    writer.add_key_length(width // heads)
    writer.add_value_length(width // heads)
    writer.add_sliding_window(window)
    _add_vocabulary(writer, [], vocabulary, template=CHATML)
    tensors = _llama_tensors(
        vocabulary=vocabulary, width=width, layers=layers, heads=heads, kv_heads=kv_heads, feed_forward=feed_forward,
        seed=seed, scale=0.05,
    )  # fmt: skip
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors[block + "attn_q_norm.weight"] = np.ones(width // heads, np.float32)
        tensors[block + "attn_k_norm.weight"] = np.ones(width // heads, np.float32)
        tensors[block + "post_attention_norm.weight"] = np.ones(width, np.float32)
        tensors[block + "post_ffw_norm.weight"] = np.ones(width, np.float32)
    return finish(writer, path, tensors)


def write_bert(path: Path, *, width: int = 32, vocabulary: int = 64) -> Path:
    """An embedding model: it has no memory and continues no text."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(str(path), "bert")
    writer.add_name("Tiny bert")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_causal_attention(False)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"▁w{i}" for i in range(5, vocabulary))])
    writer.add_token_types([3] * 5 + [1] * (vocabulary - 5))
    writer.add_unk_token_id(1)
    writer.add_uint32("tokenizer.ggml.cls_token_id", 2)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_mask_token_id(4)

    def matrix(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down")
    tensors = {
        "token_embd.weight": matrix(vocabulary, width), "position_embd.weight": matrix(64, width),
        "token_types.weight": matrix(2, width), "token_embd_norm.weight": np.ones(width, np.float32),
        "token_embd_norm.bias": np.zeros(width, np.float32),
    }  # fmt: skip
    tensors |= {f"blk.0.{name}.weight": matrix(width, width) for name in square}
    tensors |= {f"blk.0.{name}.bias": np.zeros(width, np.float32) for name in square}
    for name in ("attn_output_norm", "layer_output_norm"):
        tensors |= {
            f"blk.0.{name}.weight": np.ones(width, np.float32),
            f"blk.0.{name}.bias": np.zeros(width, np.float32),
        }
    return finish(writer, path, tensors)


def write_without_vocabulary(path: Path) -> Path:
    sizes = {"vocabulary": 64, "width": 64, "layers": 1, "heads": 2, "kv_heads": 1, "feed_forward": 64}
    writer = gguf.GGUFWriter(str(path), "llama")
    _llama_sizes(writer, **sizes, context=128)
    writer.add_tokenizer_model("none")
    return finish(writer, path, _llama_tensors(**sizes, seed=1, scale=0.1))


def write_half_billion(path: Path) -> Path:
    """F16 in the shape of a 0.5B Qwen (24 layers of 896, 151,936 tokens): 1 GB; quantize it to Q4_K_M for benches."""
    return write_llama(
        path, vocabulary=151_936, width=896, layers=24, heads=14, kv_heads=2, feed_forward=4864, context=32_768,
        scale=0.02, name="Shape of 0.5B",
    )  # fmt: skip


def write_large_vocabulary(path: Path) -> Path:
    """42 million parameters of which most are the vocabulary's 151,936 rows: sampling costs as much as decoding."""
    return write_llama(
        path, vocabulary=151_936, width=256, layers=4, heads=4, kv_heads=2, feed_forward=768, context=8192,
        scale=0.05, name="Large vocabulary",
    )  # fmt: skip
