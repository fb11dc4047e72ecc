"""Write a network and its vocabulary as a GGUF file that llama.cpp loads, with a card of what it is.

    python packaging/demo_model/export.py demo --work build/demo_model --out assets/models/demo-F16.gguf

`--figures` takes what `evaluate.py` measured on an earlier export of the same checkpoint and puts it on the card.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import gguf
import numpy as np
import torch
from chat import CHAT_TEMPLATE, CONTROL_TOKENS, END_OF_TEXT, TURN_END, VISIBLE_TOKENS
from network import SHAPES, Network, Shape, parameter_count
from tokenizers import Tokenizer
from vocabulary import load_vocabulary

NAMES = {"demo": "Demo model", "demo-small": "Small demo model"}
VERSION = "4"
DATA = (
    "Dialogues that a seeded script draws from sentences, names and numbers written for this program: worked sums, "
    "notes to look things up in, the glossary, requests to sort, sentences to extract from. No text from elsewhere."
)
DESCRIPTION = "Trained on sentences written for this program; use it to learn the controls, not to judge models."
LICENSE = "mit"

Figures = Sequence[tuple[str, str]]


def add_vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer, size: int) -> None:
    by_id = {index: text for text, index in tokenizer.get_vocab().items()}
    tokens, types = [], []
    for index in range(size):
        text = by_id.get(index, f"<|unused_{index}|>")
        tokens.append(text)
        if text in CONTROL_TOKENS:
            types.append(gguf.TokenType.CONTROL)
        elif text in VISIBLE_TOKENS:
            types.append(gguf.TokenType.USER_DEFINED)
        elif index in by_id:
            types.append(gguf.TokenType.NORMAL)
        else:
            types.append(gguf.TokenType.UNUSED)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in merges])
    writer.add_eos_token_id(tokenizer.token_to_id(TURN_END))
    writer.add_eot_token_id(tokenizer.token_to_id(TURN_END))
    writer.add_pad_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_bos_token_id(tokenizer.token_to_id(END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_card(writer: gguf.GGUFWriter, network: Network, name: str, trained_tokens: int, figures: Figures) -> None:
    """What the file says of itself; the window shows it. `figures` are pairs of what was measured and its value."""
    count = parameter_count(network)
    today = datetime.now(UTC).date().isoformat()
    writer.add_name(NAMES[name])
    writer.add_basename(name)
    writer.add_version(VERSION)
    writer.add_description(DESCRIPTION)
    writer.add_license(LICENSE)
    writer.add_size_label(f"{count / 1e6:.1f}M")
    writer.add_languages(["en"])
    writer.add_tags(["text-generation", "demo"])
    writer.add_string("general.date", today)
    writer.add_uint64("general.parameter_count", count)
    writer.add_string("workbench.card.date", today)
    writer.add_uint64("workbench.card.parameters", count)
    writer.add_uint64("workbench.card.trained_tokens", trained_tokens)
    writer.add_string("workbench.card.data", DATA)
    writer.add_string("workbench.card.figures", json.dumps([list(pair) for pair in figures]))


def add_sizes(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_gguf(
    network: Network, tokenizer: Tokenizer, path: Path, name: str, trained_tokens: int, figures: Figures = ()
) -> None:
    """Matrices as F16, norms as F32; written beside `path` and moved into place, so that a reader never sees half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(str(temporary), "llama")
    add_card(writer, network, name, trained_tokens, figures)
    add_sizes(writer, network.shape)
    add_vocabulary(writer, tokenizer, network.shape.vocabulary)
    for tensor_name, tensor in network.state_dict().items():
        array = tensor.detach().float().cpu().numpy()
        writer.add_tensor(tensor_name, array.astype(np.float16) if array.ndim == 2 else array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(temporary, path)


def load_checkpoint(work: Path, name: str) -> tuple[Network, Tokenizer, int]:
    """Network, vocabulary and all tokens it has been trained on, from the folder of a training run."""
    saved = torch.load(work / f"{name}.pt", map_location="cpu", weights_only=True)
    network = Network(SHAPES[name])
    network.load_state_dict(saved["network"])
    return network, load_vocabulary(work / "tokenizer.json"), int(saved["earlier_tokens"] + saved["tokens"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(SHAPES))
    parser.add_argument("--work", type=Path, default=Path("build/demo_model"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figures", type=Path, help="what evaluate.py --card wrote")
    arguments = parser.parse_args()
    network, tokenizer, tokens = load_checkpoint(arguments.work, arguments.model)
    figures = json.loads(arguments.figures.read_text()) if arguments.figures else ()
    write_gguf(network, tokenizer, arguments.out, arguments.model, tokens, figures)
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes, {parameter_count(network):,} parameters")


if __name__ == "__main__":
    main()
