"""What a model of the demo family can do, measured through the workbench's engine on what training never saw.

    python packaging/demo_model/evaluate.py --model assets/models/demo-F16.gguf

Greedy throughout; needs the workbench installed and no PyTorch. `--quantization Q4_K_M` evaluates what llama.cpp makes
of the model. Prints one JSON object; `--card` also writes the figures as pairs of name and value for
`export.py --figures`.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import arithmetic
import extraction
import lookup
import sorting
import summaries
from answers import Answers, quantized
from corpus import Corpus
from dialogue import UNSEEN, Dialogue, load_content

# Facts of a note and how much of the trained context they fill; measured for the recall curve.
RECALL_FACTS = (4, 8, 16, 28, 40, 60, 80, 100, 120)
RECALL_DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)

Figures = dict[str, Any]


def share(hits: list[bool]) -> dict[str, float | int]:
    return {"right": sum(hits), "of": len(hits), "share": round(sum(hits) / max(1, len(hits)), 3)}


def by_subject(dialogues: list[Dialogue], hits: list[bool]) -> dict[str, Any]:
    kinds = sorted({dialogue.kind for dialogue in dialogues})
    return {kind: share([hit for d, hit in zip(dialogues, hits, strict=True) if d.kind == kind]) for kind in kinds}


class Evaluation:
    """The exercises of a seed, `count` of each kind, answered by one model."""

    def __init__(self, answers: Answers, count: int, seed: int) -> None:
        self.answers = answers
        self.count = count
        self.seed = seed
        self.corpus = Corpus()

    def rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed} {name}")

    def arithmetic(self) -> Figures:
        """The same exercises with and without thinking."""
        rng = self.rng("arithmetic")
        drawn = [arithmetic.draw(rng, held_out=True) for _ in range(self.count)]
        figures = {}
        for name, thinking in (("with_thinking", True), ("without_thinking", False)):
            texts = self.answers.ask(drawn, thinking=thinking)
            hits = [arithmetic.is_right(d, text) for d, text in zip(drawn, texts, strict=True)]
            figures[name] = share(hits) | {"by_kind": by_subject(drawn, hits)}
        return figures

    def free_arithmetic(self) -> Figures:
        """The exercises of `content/unseen.toml`, with thinking: all of them, whatever the seed and the count."""
        drawn = [
            Dialogue(item["kind"], (("user", item["ask"]),), True, "", "", str(item["answer"]))
            for item in load_content(UNSEEN)["arithmetic"]
        ]
        texts = self.answers.ask(drawn)
        hits = [arithmetic.is_right(d, text) for d, text in zip(drawn, texts, strict=True)]
        return share(hits) | {"by_kind": by_subject(drawn, hits)}

    def lookup(self) -> Figures:
        """Notes of up to 42 facts, about 640 tokens."""
        rng = self.rng("lookup")
        return self._graded([lookup.draw(rng, held_out=True) for _ in range(self.count)], lookup)

    def recall(self) -> list[Figures]:
        """Share of facts found against the number of facts in the note, over evenly spread depths."""
        points = []
        for facts in RECALL_FACTS:
            rng = self.rng(f"recall {facts}")
            drawn = [
                lookup.draw_of_length(rng, facts, RECALL_DEPTHS[index % len(RECALL_DEPTHS)])
                for index in range(max(20, self.count // 2))
            ]
            points.append({"facts": facts} | self._graded(drawn, lookup))
        return points

    def topics(self) -> Figures:
        """Held-out phrasings: the right topic, and the taught text word for word; apart for the easy topics."""
        rng = self.rng("topics")
        drawn = [self.corpus.topics.draw(rng, held_out=True) for _ in range(self.count)]
        drawn_easy = [self.corpus.topics.draw(rng, held_out=True, easy=True) for _ in range(self.count)]
        texts = self.answers.ask(drawn)
        hits = [self.corpus.topics.is_right(d, text) for d, text in zip(drawn, texts, strict=True)]
        exact = [d.answer == text for d, text in zip(drawn, texts, strict=True)]
        return {
            "right_topic": share(hits),
            "word_for_word": share(exact),
            "right_topic_easy": self._graded(drawn_easy, self.corpus.topics),
            "misses": _misses(drawn, texts, hits),
        }

    def sorting(self) -> Figures:
        """Both questions that a router asks of a request, half of the exercises each."""
        rng = self.rng("sorting")
        drawn = [sorting.draw(rng, held_out=True) for _ in range(self.count)]
        texts = self.answers.ask(drawn)
        hits = [sorting.is_right(d, text) for d, text in zip(drawn, texts, strict=True)]
        of_label = [hit for d, hit in zip(drawn, hits, strict=True) if d.expected in sorting.LABELS]
        return share(hits) | {"simple_or_complex": share(of_label), "misses": _misses(drawn, texts, hits)}

    def extraction(self) -> Figures:
        """The same sentences with and without a grammar that allows nothing but the asked object."""
        rng = self.rng("extraction")
        drawn = [extraction.draw(rng, held_out=True) for _ in range(self.count)]
        schemas = [extraction.json_schema(dialogue) for dialogue in drawn]
        figures = {}
        for name, used in (("without_grammar", []), ("with_grammar", schemas)):
            texts = self.answers.ask(drawn, schemas=used)
            hits = [extraction.is_right(d, text) for d, text in zip(drawn, texts, strict=True)]
            figures[name] = share(hits) | {"misses": _misses(drawn, texts, hits)}
        return figures

    def summaries(self) -> Figures:
        rng = self.rng("summaries")
        drawn = [summaries.draw(rng, held_out=True) for _ in range(self.count)]
        return self._graded(drawn, summaries)

    def talk(self) -> Figures:
        rng = self.rng("talk")
        talk = self.corpus.talk
        return {
            "about_itself": self._graded([talk.draw_talk(rng, held_out=True) for _ in range(self.count)], talk),
            "says_it_does_not_know": self._graded(
                [talk.draw_unknown(rng, held_out=True) for _ in range(self.count)], talk
            ),
        }

    def _graded(self, drawn: list[Dialogue], grader: Any) -> Figures:
        texts = self.answers.ask(drawn)
        hits = [grader.is_right(d, text) for d, text in zip(drawn, texts, strict=True)]
        return share(hits) | {"misses": _misses(drawn, texts, hits)}

    def all(self) -> Figures:
        return {
            "arithmetic": self.arithmetic(),
            "free_arithmetic": self.free_arithmetic(),
            "lookup": self.lookup(),
            "topics": self.topics(),
            "sorting": self.sorting(),
            "extraction": self.extraction(),
            "summaries": self.summaries(),
            "talk": self.talk(),
        }


def _misses(drawn: list[Dialogue], texts: list[str], hits: list[bool], most: int = 6) -> list[Figures]:
    missed = [(d, text) for d, text, hit in zip(drawn, texts, hits, strict=True) if not hit]
    return [{"asked": d.messages[-1][1][-160:], "wanted": d.answer, "got": text[:160]} for d, text in missed[:most]]


def card_pairs(figures: Figures) -> list[tuple[str, str]]:
    """What the model card shows, each as "hits of exercises"."""

    def told(found: dict[str, Any]) -> str:
        return f"{found['right']} of {found['of']}"

    return [
        ("arithmetic, thinking", told(figures["arithmetic"]["with_thinking"])),
        ("arithmetic, no thinking", told(figures["arithmetic"]["without_thinking"])),
        ("look-up in notes", told(figures["lookup"])),
        ("right topic", told(figures["topics"]["right_topic"])),
        ("sorting requests", told(figures["sorting"])),
        ("JSON with a grammar", told(figures["extraction"]["with_grammar"])),
        ("JSON without a grammar", told(figures["extraction"]["without_grammar"])),
        ("one-sentence summary", told(figures["summaries"])),
        ("about itself", told(figures["talk"]["about_itself"])),
        ("says it does not know", told(figures["talk"]["says_it_does_not_know"])),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("assets/models/demo-F16.gguf"))
    parser.add_argument("--quantization", help="such as Q4_K_M: made beforehand, in a temporary folder")
    parser.add_argument("--count", type=int, default=200, help="exercises of each kind")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", action="append", help="one kind, such as arithmetic or recall; may be repeated")
    parser.add_argument("--card", type=Path, help="also write the figures for the model card here")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model = quantized(arguments.model, arguments.quantization, Path(folder))
        size_bytes = model.stat().st_size
        answers = Answers(model, Path(folder), arguments.threads)
        try:
            evaluation = Evaluation(answers, arguments.count, arguments.seed)
            if arguments.only:
                figures = {name: getattr(evaluation, name)() for name in arguments.only}
            else:
                figures = evaluation.all() | {"recall": evaluation.recall()}
        finally:
            answers.close()
    result = {
        "model": model.name,
        "size_bytes": size_bytes,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - started, 1),
        **figures,
    }
    print(json.dumps(result, indent=1))
    if arguments.card:
        arguments.card.write_text(json.dumps(card_pairs(figures)))


if __name__ == "__main__":
    main()
