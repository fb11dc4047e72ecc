"""Runs requests against an engine and gathers what came back, for the tests of this folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.runs.record import LoadReport
from workbench.runs.spec import ChatOptions, EngineOptions, Limits, Message, ModelRef, Sampling

_numbers = itertools.count()
GREEDY = Sampling(temperature=0)


@dataclass
class Answer:
    """Everything that one request brought back."""

    events: list[api.EngineEvent] = field(default_factory=list)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def end(self) -> Any:
        assert isinstance(self.events[-1], api.REQUEST_TERMINAL)
        return self.events[-1]

    @property
    def ready(self) -> api.PromptReady:
        (event,) = self.of(api.PromptReady)
        return event

    def _texts(self, thinking: bool) -> str:
        return "".join(
            text
            for event in self.of(api.Tokens)
            for text, flag in zip(event.texts, event.is_thinking, strict=True)
            if flag is thinking
        )

    @property
    def text(self) -> str:
        return self._texts(False)

    @property
    def thinking(self) -> str:
        return self._texts(True)

    @property
    def ids(self) -> list[int]:
        return [token for event in self.of(api.Tokens) for token in event.ids]

    @property
    def stamps(self) -> list[int]:
        return [stamp for event in self.of(api.Tokens) for stamp in event.stamps_ns]

    @property
    def flags(self) -> list[bool]:
        return [flag for event in self.of(api.Tokens) for flag in event.is_thinking]


def new_id() -> str:
    return f"r{next(_numbers)}"


def request(
    prompt: str | list[Message] = "Hello", *, sampling: Sampling = GREEDY, max_tokens: int | None = 16,
    stop: tuple[str, ...] = (), raw: str | None = None, **chat: Any,
) -> api.EngineRequest:  # fmt: skip
    messages = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    return api.EngineRequest(new_id(), messages, ChatOptions(**chat), sampling, Limits(max_tokens, stop), raw)


class Asker:
    """An engine with shortcuts. One thread is enough for these models, and steady beside other programs."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine

    def load(self, path: Path | str, *, context_length: int = 512, threads: int = 1, **options: Any) -> LoadReport:
        return self.engine.load(
            ModelRef(str(path), "test"), EngineOptions(context_length=context_length, threads=threads, **options)
        )

    def ask(self, *arguments: Any, **keywords: Any) -> Answer:
        return self.run([request(*arguments, **keywords)])[0]

    def run(
        self, requests: list[api.EngineRequest], on_event: Callable[[api.EngineEvent], None] | None = None
    ) -> list[Answer]:
        answers = {item.id: Answer() for item in requests}
        for event in self.engine.run(requests):
            answers[event.request_id].events.append(event)
            if on_event is not None:
                on_event(event)
        return list(answers.values())
