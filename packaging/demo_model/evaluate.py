"""What the demo model can do, measured through llama.cpp on numbers and phrasings kept out of training.

    python packaging/demo_model/evaluate.py --model assets/models/demo-F16.gguf

Greedy throughout; needs llama-cpp-python and no PyTorch. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arithmetic import draw_exercise
from chat import THINK_END, render_prompt
from corpus import Corpus, is_phrase_held_out, sum_dialogue

# Never in the content files: to these the model should say that it does not know.
UNKNOWN_FILLS = {
    "world": ("Austria", "Chile", "Iceland", "Lisbon", "Vietnam"),
    "people": ("Galileo", "Mandela", "Chopin", "Peter", "Aristotle"),
    "sport": ("the cup", "the golf game", "the rally", "the quiz", "the marathon"),
    "write": ("a ballad", "a review", "a limerick", "a diary", "a contract"),
    "thing": ("astronomy", "a horse", "magnetism", "a castle", "opera"),
    "advice": ("buy a car", "learn Italian", "learn to dance", "get a cat", "plant roses"),
}


class Answerer:
    """The model behind its chat format; one request at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        from llama_cpp import Llama

        self.llama = Llama(str(path), n_ctx=2048, n_threads=threads, verbose=False)

    def answer(self, messages: tuple[tuple[str, str], ...], *, thinking: bool, most_tokens: int = 400) -> str:
        """The text after any thought, greedy; empty when the thought never ends."""
        prompt = render_prompt(messages, thinking=thinking)
        tokens = self.llama.tokenize(prompt.encode(), add_bos=False, special=True)
        result: Any = self.llama.create_completion(tokens, max_tokens=most_tokens, temperature=0.0)
        text = str(result["choices"][0]["text"])
        if thinking:
            text = text.partition(THINK_END)[2]
        return text.strip()


def words_of(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


def likeness(a: Counter[str], b: Counter[str]) -> float:
    """Shared words over all words, counted with repetition: 1 for the same words, 0 for none in common."""
    return (a & b).total() / max(1, (a | b).total())


def share(right: int, total: int) -> dict[str, float | int]:
    return {"right": right, "of": total, "share": round(right / max(1, total), 3)}


def evaluate_sums(model: Answerer, count: int, seed: int) -> dict[str, Any]:
    """Right when the last number of the answer is the result; the same exercises with and without thinking."""
    result: dict[str, Any] = {}
    for thinking in (True, False):
        rng = random.Random(seed)
        right = 0
        by_kind: dict[str, list[int]] = {}
        for _ in range(count):
            exercise = draw_exercise(rng, held_out=True)
            dialogue = sum_dialogue(exercise, thinking=thinking)
            numbers = re.findall(r"\d+", model.answer(dialogue.messages, thinking=thinking))
            is_right = bool(numbers) and int(numbers[-1]) == exercise.result
            right += is_right
            kind = "minus" if "-" in exercise.answer else f"{exercise.answer.count('+') + 1} numbers"
            by_kind.setdefault(kind, []).append(is_right)
        name = "with_thinking" if thinking else "without_thinking"
        result[name] = share(right, count)
        result[name]["by_kind"] = {kind: share(sum(hits), len(hits)) for kind, hits in sorted(by_kind.items())}
    return result


def evaluate_topics(model: Answerer, corpus: Corpus, count: int, seed: int) -> dict[str, Any]:
    """Held-out phrasings: is the answer nearest to one of the right topic, and is it word for word the taught one?"""
    taught = {(t["id"], m): corpus.topic_answer(t, m) for t in corpus.topics for m in ("plain", "brief")}
    bags = {key: words_of(text) for key, text in taught.items()}
    questions = [
        (topic, manner, question)
        for topic in corpus.topics
        for manner in ("plain", "brief")
        for question in corpus.topic_questions(topic, manner, held_out=True)
    ]
    rng = random.Random(seed)
    rng.shuffle(questions)
    right = exact = 0
    misses = []
    for index, (topic, _, question) in enumerate(questions[:count]):
        text = model.answer((("user", question),), thinking=index % 2 == 0)
        bag = words_of(text)
        nearest = max(bags, key=lambda key: likeness(bag, bags[key]))
        if nearest[0] == topic["id"]:
            right += 1
            exact += text in (taught[topic["id"], "plain"], taught[topic["id"], "brief"])
        else:
            misses.append({"question": question, "wanted": topic["id"], "got": nearest[0]})
    total = min(count, len(questions))
    return {"right_topic": share(right, total), "word_for_word": share(exact, total), "misses": misses[:20]}


def evaluate_small(model: Answerer, corpus: Corpus) -> dict[str, Any]:
    """Small talk in held-out phrasings, and subjects beyond the model that training never names."""
    taught = {talk["id"]: words_of(str(talk["answer"])) for talk in (*corpus.talks, *corpus.unknowns)}
    beyond = {talk["id"] for talk in corpus.unknowns}
    cases = [(talk["id"], ask) for talk in corpus.talks for ask in talk["asks"] if is_phrase_held_out(talk["id"], ask)]
    for talk in corpus.unknowns:
        fills = UNKNOWN_FILLS.get(talk["id"], ())
        cases += [(talk["id"], ask.format(x=fill)) for fill, ask in zip(fills, talk["asks"], strict=False)]
    topics = [words_of(str(t[length])) for t in corpus.topics for length in ("short", "long")]
    hits: dict[str, list[int]] = {"small_talk": [], "beyond": []}
    misses = []
    for index, (wanted, question) in enumerate(cases):
        text = model.answer((("user", question),), thinking=index % 2 == 0)
        bag = words_of(text)
        nearest = max(taught, key=lambda key: likeness(bag, taught[key]))
        is_small = likeness(bag, taught[nearest]) > max(likeness(bag, topic) for topic in topics)
        # Which of the ways of not knowing it picks does not matter.
        is_right = is_small and (nearest in beyond if wanted in beyond else nearest == wanted)
        hits["beyond" if wanted in beyond else "small_talk"].append(is_right)
        if not is_right:
            misses.append({"question": question, "wanted": wanted, "got": text[:90]})
    return {name: share(sum(found), len(found)) for name, found in hits.items()} | {"misses": misses[:20]}


def evaluate_lookup(model: Answerer, corpus: Corpus, count: int, seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    right = 0
    for _ in range(count):
        dialogue = corpus.draw_lookup(rng, 1.0)
        right += model.answer(dialogue.messages, thinking=dialogue.thinking) == dialogue.answer
    return share(right, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("assets/models/demo-F16.gguf"))
    parser.add_argument("--count", type=int, default=100, help="exercises per kind")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    started = time.monotonic()
    corpus, model = Corpus(), Answerer(arguments.model, arguments.threads)
    result = {
        "model": arguments.model.name,
        "date": datetime.now(UTC).date().isoformat(),
        "sums": evaluate_sums(model, arguments.count, arguments.seed),
        "topics": evaluate_topics(model, corpus, arguments.count, arguments.seed),
        "small": evaluate_small(model, corpus),
        "lookup": evaluate_lookup(model, corpus, arguments.count, arguments.seed),
    }
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
