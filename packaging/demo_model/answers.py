"""Asks a GGUF model for the answers to dialogues, through the workbench's own engine, greedily and many at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dialogue import Dialogue

from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.engine.quantizer import quantize_file
from workbench.runs.spec import ChatOptions, EngineOptions, Limits, Message, ModelRef, Sampling

LONGEST_ANSWER = 540
AT_ONCE = 8


def quantized(model: Path, type_name: str | None, folder: Path) -> Path:
    """The quantization that llama.cpp makes of an F16 file, in `folder`; the file itself when there is no name."""
    if not type_name:
        return model
    made = folder / f"{model.stem.removesuffix('-F16')}-{type_name}.gguf"
    quantize_file(model, made, type_name)
    return made


class Answers:
    """One loaded model. `close` ends its process."""

    def __init__(self, model: Path, log_dir: Path, threads: int | None = None) -> None:
        self._engine = LocalEngine(log_dir=log_dir)
        options = EngineOptions(context_length=2048, parallel=AT_ONCE, threads=threads)
        self._engine.load(ModelRef(path=str(model.resolve()), name=model.stem), options)

    def close(self) -> None:
        self._engine.close()

    def ask(
        self, dialogues: Sequence[Dialogue], *, thinking: bool | None = None, schemas: Sequence[Any] = ()
    ) -> list[str]:
        """The texts after any thinking, in the order of the dialogues; empty when the thought never ends.

        `thinking` None takes each dialogue's own; `schemas` are JSON schemas for the answers, one for each.
        Raises RuntimeError when the engine fails.
        """
        requests = [
            api.EngineRequest(
                id=str(index),
                messages=tuple(Message(role, content) for role, content in dialogue.messages),  # type: ignore[arg-type]
                chat=ChatOptions(thinking="on" if (dialogue.thinking if thinking is None else thinking) else "off"),
                sampling=Sampling(
                    temperature=0.0, min_p=0.0, json_schema=json.dumps(schemas[index]) if schemas else None
                ),
                limits=Limits(max_tokens=LONGEST_ANSWER),
            )
            for index, dialogue in enumerate(dialogues)
        ]
        texts = [""] * len(requests)
        for event in self._engine.run(requests):
            if isinstance(event, api.Tokens):
                parts = zip(event.texts, event.is_thinking, strict=True)
                texts[int(event.request_id)] += "".join(text for text, is_thought in parts if not is_thought)
            elif isinstance(event, api.RequestFailed):
                raise RuntimeError(event.message)
        return [text.strip() for text in texts]
