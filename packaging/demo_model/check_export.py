"""Compare the GGUF in llama.cpp with the network in PyTorch: token ids, chat template and logits.

PyTorch and llama-cpp-python need not be in one environment, so there are two steps with a file between them:

    python packaging/demo_model/check_export.py write demo --work build/demo_model
    python packaging/demo_model/check_export.py compare demo --work build/demo_model --model assets/models/demo-F16.gguf
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from chat import CHAT_TEMPLATE, render_prompt
from corpus import Corpus

SAMPLES = 24
# llama.cpp multiplies F16 weights by activations rounded to F16; PyTorch computes in F32.
LARGEST_DIFFERENCE = 0.1


def sample_texts() -> list[str]:
    """Prompts with their completions from a seed that training does not use, and text that is not of its kind."""
    stream = Corpus().stream(seed=424_242)
    texts = []
    for _ in range(SAMPLES):
        dialogue = next(stream)
        texts.append(render_prompt(dialogue.messages, thinking=dialogue.thinking) + dialogue.completion)
    return [*texts, "I've 1234 fish,\n\n\tdon't I?  Grüße, 日本 🙂 \r\n x=3.14;"]


def check_template() -> int:
    """Number of conversations for which the GGUF's template and `render_prompt` differ."""
    import jinja2

    template = jinja2.Environment().from_string(CHAT_TEMPLATE)
    stream, wrong = Corpus().stream(seed=424_243), 0
    for _ in range(200):
        dialogue = next(stream)
        messages = [{"role": role, "content": content} for role, content in dialogue.messages]
        rendered = template.render(messages=messages, add_generation_prompt=True, enable_thinking=dialogue.thinking)
        wrong += rendered != render_prompt(dialogue.messages, thinking=dialogue.thinking)
    return wrong


def write(work: Path, name: str) -> None:
    import torch
    from export import load_checkpoint

    network, tokenizer, _ = load_checkpoint(work, name)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.copy_(parameter.half().float())
        texts, arrays = sample_texts(), {}
        for index, text in enumerate(texts):
            ids = tokenizer.encode(text).ids
            arrays[f"ids_{index}"] = np.array(ids)
            arrays[f"logits_{index}"] = network(torch.tensor([ids]))[0].numpy()
    np.savez_compressed(work / f"reference-{name}.npz", **arrays)
    print(json.dumps({"samples": len(texts), "template_differences": check_template()}))


def compare(work: Path, name: str, model: Path) -> bool:
    from llama_cpp import Llama

    llama = Llama(str(model), n_ctx=2048, n_threads=2, logits_all=True, verbose=False)
    reference = np.load(work / f"reference-{name}.npz")
    largest, different_ids, positions, same_top = 0.0, 0, 0, 0
    for index, text in enumerate(sample_texts()):
        ids = reference[f"ids_{index}"]
        if llama.tokenize(text.encode(), add_bos=False, special=True) != ids.tolist():
            different_ids += 1
            continue
        llama.reset()
        llama.eval(ids.tolist())
        ours, theirs = reference[f"logits_{index}"], llama.scores[: len(ids)]
        largest = max(largest, float(np.abs(ours - theirs).max()))
        same_top += int((ours.argmax(1) == theirs.argmax(1)).sum())
        positions += len(ids)
    result = {
        "model": model.name,
        "positions": positions,
        "largest_logit_difference": round(largest, 5),
        "same_most_likely_token": round(same_top / positions, 5),
        "samples_with_other_token_ids": different_ids,
    }
    print(json.dumps(result))
    return largest <= LARGEST_DIFFERENCE and different_ids == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("write", "compare"))
    parser.add_argument("name", choices=("demo", "demo-small"))
    parser.add_argument("--work", type=Path, default=Path("build/demo_model"))
    parser.add_argument("--model", type=Path, help="the GGUF file; assets/models/NAME-F16.gguf when not given")
    arguments = parser.parse_args()
    if arguments.step == "write":
        write(arguments.work, arguments.name)
        return
    model = arguments.model or Path(f"assets/models/{arguments.name}-F16.gguf")
    if not compare(arguments.work, arguments.name, model):
        sys.exit(1)


if __name__ == "__main__":
    main()
