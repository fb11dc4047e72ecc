"""Models of seven true shapes with random weights, 5 to 200 MB each, for the bench of the memory prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from tests.fakes import tiny_models
from workbench.engine.quantizer import quantize_file

_VOCABULARY = 32_000


def _random(seed: int, *shape: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) * np.float32(0.02)
    return values.astype(np.float16)


def _ones(width: int) -> np.ndarray:
    return np.ones(width, np.float32)


def _quantized(folder: Path, name: str, type_name: str, make: Callable[[Path], Path]) -> Path:
    whole, target = folder / f"{name}-F16.gguf", folder / f"{name}-{type_name}.gguf"
    make(whole)
    quantize_file(whole, target, type_name)
    whole.unlink()
    return target


def tiny(folder: Path) -> Path:
    return tiny_models.write_llama(folder / "tiny.gguf", heads=2, kv_heads=1, context=8192)


def grouped_heads(folder: Path) -> Path:
    """Dense, 12 query and 4 key heads, 85M parameters in Q4_0, which the CPU back end repacks."""

    def make(path: Path) -> Path:
        return tiny_models.write_llama(
            path, vocabulary=_VOCABULARY, width=768, layers=10, heads=12, kv_heads=4, feed_forward=2048, context=8192,
        )  # fmt: skip

    return _quantized(folder, "grouped-heads", "Q4_0", make)


def large_vocabulary(folder: Path) -> Path:
    """42M parameters, of which most are the 151,936 rows of the vocabulary."""
    return tiny_models.write_large_vocabulary(folder / "large-vocabulary.gguf")


def recurrent(folder: Path) -> Path:
    return tiny_models.write_mamba(folder / "recurrent.gguf", vocabulary=_VOCABULARY, width=512, layers=8)


def sliding_window(folder: Path) -> Path:
    """gemma3: five of six layers see the last 512 tokens only; 70M parameters in F16."""
    layers, width, heads, kv_heads, feed_forward = 12, 640, 4, 1, 2048
    path = folder / "sliding-window.gguf"
    writer = gguf.GGUFWriter(str(path), "gemma3")
    writer.add_name("Sliding window")
    shape = {"vocabulary": _VOCABULARY, "width": width, "layers": layers, "heads": heads, "kv_heads": kv_heads}
    tiny_models._llama_sizes(writer, **shape, feed_forward=feed_forward, context=8192)
    writer.add_key_length(width // heads)
    writer.add_value_length(width // heads)
    writer.add_sliding_window(512)
    tiny_models._add_vocabulary(writer, [], _VOCABULARY, template=tiny_models.CHATML)
    tensors = tiny_models._llama_tensors(**shape, feed_forward=feed_forward, seed=1, scale=0.02)
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors |= {f"{block}{name}.weight": _ones(width // heads) for name in ("attn_q_norm", "attn_k_norm")}
        tensors |= {f"{block}{name}.weight": _ones(width) for name in ("post_attention_norm", "post_ffw_norm")}
    return tiny_models.finish(writer, path, tensors)


def experts(folder: Path) -> Path:
    """qwen3moe: 16 experts of which 4 work on a token, in Q4_K_M."""

    def make(path: Path) -> Path:
        layers, width, heads, kv_heads, head, count, inner = 8, 512, 8, 2, 64, 16, 768
        writer = gguf.GGUFWriter(str(path), "qwen3moe")
        writer.add_name("Experts")
        shape = {"vocabulary": _VOCABULARY, "width": width, "layers": layers, "heads": heads, "kv_heads": kv_heads}
        tiny_models._llama_sizes(writer, **shape, feed_forward=1024, context=8192)
        writer.add_key_length(head)
        writer.add_value_length(head)
        writer.add_expert_count(count)
        writer.add_expert_used_count(4)
        writer.add_expert_feed_forward_length(inner)
        tiny_models._add_vocabulary(writer, [], _VOCABULARY, template=tiny_models.CHATML)
        tensors = {
            "token_embd.weight": _random(1, _VOCABULARY, width),
            "output.weight": _random(2, _VOCABULARY, width),
            "output_norm.weight": _ones(width),
        }
        for layer in range(layers):
            tensors |= _expert_layer(f"blk.{layer}.", layer, width, heads * head, kv_heads * head, head, count, inner)
        return tiny_models.finish(writer, path, tensors)

    return _quantized(folder, "experts", "Q4_K_M", make)


def _expert_layer(
    block: str, seed: int, width: int, q_width: int, kv_width: int, head: int, count: int, inner: int
) -> dict[str, np.ndarray]:
    return {
        block + "attn_norm.weight": _ones(width),
        block + "attn_q.weight": _random(seed, q_width, width),
        block + "attn_k.weight": _random(seed, kv_width, width),
        block + "attn_v.weight": _random(seed, kv_width, width),
        block + "attn_output.weight": _random(seed, width, q_width),
        block + "attn_q_norm.weight": _ones(head),
        block + "attn_k_norm.weight": _ones(head),
        block + "ffn_norm.weight": _ones(width),
        block + "ffn_gate_inp.weight": _random(seed, count, width).astype(np.float32),
        block + "ffn_gate_exps.weight": _random(seed, count, inner, width),
        block + "ffn_up_exps.weight": _random(seed, count, inner, width),
        block + "ffn_down_exps.weight": _random(seed, count, width, inner),
    }


def hybrid(folder: Path) -> Path:
    """lfm2: two of three layers convolve with a running state, the third attends."""
    layers, width, heads, kv_heads, feed_forward, window = 12, 512, 8, 2, 1536, 3
    attends = [layer % 3 == 2 for layer in range(layers)]
    path = folder / "hybrid.gguf"
    writer = gguf.GGUFWriter(str(path), "lfm2")
    writer.add_name("Hybrid")
    shape = {"vocabulary": _VOCABULARY, "width": width, "layers": layers, "heads": heads, "kv_heads": kv_heads}
    writer.add_vocab_size(_VOCABULARY)
    writer.add_context_length(8192)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv([kv_heads if here else 0 for here in attends])
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_shortconv_l_cache(window)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    tiny_models._add_vocabulary(writer, [], _VOCABULARY, template=tiny_models.CHATML)
    tensors = tiny_models._llama_tensors(**shape, feed_forward=feed_forward, seed=1, scale=0.02)
    tensors["token_embd_norm.weight"] = tensors.pop("output_norm.weight")
    for layer, here in enumerate(attends):
        block = f"blk.{layer}."
        if here:
            tensors |= {f"{block}{name}.weight": _ones(width // heads) for name in ("attn_q_norm", "attn_k_norm")}
            continue
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            del tensors[f"{block}{name}.weight"]
        tensors[block + "shortconv.conv.weight"] = _random(layer, width, window).astype(np.float32)
        tensors[block + "shortconv.in_proj.weight"] = _random(layer, 3 * width, width)
        tensors[block + "shortconv.out_proj.weight"] = _random(layer, width, width)
    return tiny_models.finish(writer, path, tensors)


SHAPES: dict[str, Callable[[Path], Path]] = {
    "tiny": tiny,
    "dense, grouped heads": grouped_heads,
    "sliding window": sliding_window,
    "mixture of experts": experts,
    "recurrent": recurrent,
    "hybrid": hybrid,
    "large vocabulary": large_vocabulary,
}
