"""From messages to prompt tokens that fit the context: rendering, tokenizing, overflow policies, segments."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from workbench.engine import chat
from workbench.engine.api import EngineRequest
from workbench.engine.spans import find_spans, sources_of
from workbench.engine.templates import TemplateFailed, TemplateRenderer
from workbench.engine.weights import Weights
from workbench.errors import PromptTooLong, UserError
from workbench.runs.record import Dropped, Segment, SegmentKind, ThinkingSwitch
from workbench.runs.spec import Message

_MAX_ROOM_TOKENS = 128
# Noncharacters of Unicode: never part of a text that means something, so one of them can mark a place in it.
_MARKS = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What a model's file says about its prompts. `templates` maps variant names to template texts."""

    templates: dict[str, str]
    switch: ThinkingSwitch
    control_texts: tuple[str, ...]
    markup_texts: tuple[str, ...] = ()
    default_template: str = "default"


@dataclass(slots=True)
class Prompt:
    """A prompt that fits. `keep_tokens` is the beginning that a context shift never drops (the system part)."""

    request: EngineRequest
    text: str
    tokens: list[int]
    spans: list[tuple[int, int, SegmentKind]]
    keep_tokens: int
    starts_thinking: bool
    tags: chat.ThinkingTags | None
    budget: int | None
    dropped: Dropped | None = None
    cut: list[int] = field(default_factory=list)
    cut_at: int = 0


class PromptMaker:
    """Makes prompts for one loaded model. Used by one thread beside the decode loop."""

    def __init__(self, weights: Weights, form: ChatFormat, renderer: TemplateRenderer, context_length: int) -> None:
        self._weights, self._form, self._renderer = weights, form, renderer
        self._context_length = context_length
        self._controls = _by_first(form.control_texts)
        self._controls_and_markup = _by_first((*form.control_texts, *form.markup_texts))

    def make(self, request: EngineRequest) -> Prompt:
        """Raises TemplateFailed, PromptTooLong, and UserError "prompt_empty"."""
        if request.prompt is not None:
            tokens = self._weights.tokenize(request.prompt, add_special=True, parse_special=True)
            whole: list[tuple[int, int, SegmentKind]] = [(0, len(request.prompt.encode()), "question")]
            prompt = self._prompt(request, request.prompt, tokens, whole)
            return self._fit(prompt, None)
        prompt = self._render(request, request.messages)
        return self._fit(prompt, lambda messages: self._render(request, messages))

    def _render(self, request: EngineRequest, messages: Sequence[Message]) -> Prompt:
        mark, safe = self._defuse(messages)
        variables: dict[str, Any] = {
            "messages": chat.as_dicts(safe),
            "add_generation_prompt": True,
            "bos_token": self._weights.special_text(self._weights.bos),
            "eos_token": self._weights.special_text(self._weights.eos),
            "tools": None,
            **chat.template_variables(request.chat, self._form.switch),
        }
        sources = sources_of(safe)
        rendered = self._renderer.render_located(
            self._template(request.chat.template), variables, tuple(source.part for source in sources)
        )
        marked = rendered.text
        text = marked.replace(mark, "") if mark else marked
        tokens = self._tokenize(marked.split(mark) if mark else [marked])
        return self._prompt(request, text, tokens, find_spans(marked, sources, rendered.places, mark))

    def _template(self, name: str | None) -> str:
        name = name or self._form.default_template
        try:
            return self._form.templates[name]
        except KeyError:
            known = ", ".join(self._form.templates)
            raise TemplateFailed(f"This model has no chat template named {name!r}; it has: {known}.") from None

    def _prompt(
        self, request: EngineRequest, text: str, tokens: list[int], spans: list[tuple[int, int, SegmentKind]]
    ) -> Prompt:
        tags = chat.tags_of(self._form.switch)
        return Prompt(
            request,
            text,
            tokens,
            spans,
            keep_tokens=0,
            starts_thinking=tags is not None and text.rstrip().endswith(tags.open),
            tags=tags,
            budget=chat.thinking_budget(request.chat, self._form.switch),
        )

    def _tokenize(self, parts: list[str]) -> list[int]:
        """The template writes control tokens; `parts` are cut where a message only looks like one."""
        begins_with_bos = self._weights.bos >= 0 and parts[0].startswith(
            self._weights.special_text(self._weights.bos) or "\0"
        )
        tokens: list[int] = []
        for index, part in enumerate(parts):
            special = index == 0 and self._weights.add_bos and not begins_with_bos
            tokens += self._weights.tokenize(part, add_special=special, parse_special=True)
            if special and self._weights.add_eos and tokens and tokens[-1] == self._weights.eos:
                # "Special" adds an end mark for some models, which has no place before the answer.
                tokens.pop()
        return tokens

    def _defuse(self, messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
        """Puts a mark into every text of a message that spells a control token or a tag, so that it stays mere text.

        The tags of an answer are the model's own: templates look for them there, to leave out old thinking.
        """
        mark = next((m for m in _MARKS if not any(m in message.full_content for message in messages)), _MARKS[0])
        safe = [
            dataclasses.replace(
                message,
                content=_mark_texts(message.content, mark, texts),
                document=message.document and _mark_texts(message.document, mark, texts),
            )
            for message in messages
            for texts in [self._controls if message.role == "assistant" else self._controls_and_markup]
        ]
        if all(new.full_content == old.full_content for new, old in zip(safe, messages, strict=True)):
            return "", messages
        return mark, safe

    # -- fitting into the context

    def _fit(self, prompt: Prompt, render: Callable[[Sequence[Message]], Prompt] | None) -> Prompt:
        if not prompt.tokens:
            raise UserError("The prompt is empty. Type something.", code="prompt_empty")
        overflow = prompt.request.chat.overflow
        room = answer_room(prompt.request.limits.max_tokens, self._context_length, overflow)
        limit = self._context_length - room
        if len(prompt.tokens) > limit:
            full = len(prompt.tokens)
            if overflow == "drop_oldest" and render is not None:
                prompt = self._drop_oldest(prompt, render, limit)
            elif overflow == "keep_head_tail":
                prompt = _keep_head_tail(prompt, limit)
            if len(prompt.tokens) > limit:
                raise PromptTooLong(_too_long(full, len(prompt.tokens), self._context_length, room))
        self._attribute_kept(prompt)
        return prompt

    def _drop_oldest(self, prompt: Prompt, render: Callable[[Sequence[Message]], Prompt], limit: int) -> Prompt:
        """Leaves out as few of the oldest turns as needed, never a system message nor the last user message on."""
        messages = prompt.request.messages
        last_user = max((i for i, m in enumerate(messages) if m.role == "user"), default=len(messages) - 1)
        turns = _turns(messages, last_user)
        low, high, best = 1, len(turns), None
        while low <= high:
            middle = (low + high) // 2
            gone = {index for turn in turns[:middle] for index in turn}
            shorter = render([m for i, m in enumerate(messages) if i not in gone])
            if len(shorter.tokens) <= limit:
                best, high = (middle, shorter), middle - 1
            else:
                low = middle + 1
        if best is None:
            return prompt
        count, shorter = best
        tokens = len(prompt.tokens) - len(shorter.tokens)
        noun = "turn" if count == 1 else "turns"
        shorter.dropped = Dropped("drop_oldest", tokens, count, f"The oldest {count} {noun} ({tokens:,} tokens).")
        return shorter

    def _attribute_kept(self, prompt: Prompt) -> None:
        """How many tokens at the start a context shift keeps: everything up to the end of the system part."""
        if prompt.request.chat.overflow != "shift":
            return
        end = max((end for _start, end, kind in prompt.spans if kind == "system"), default=0)
        size, count = 0, 0
        begins_with_bos = bool(prompt.tokens) and prompt.tokens[0] == self._weights.bos
        for token in prompt.tokens:
            if size >= end:
                break
            size += len(self._weights.piece(token))
            count += 1
        prompt.keep_tokens = max(count, 1 if begins_with_bos else 0)


def _by_first(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    grouped: dict[str, tuple[str, ...]] = {}
    for text in texts:
        grouped[text[0]] = (*grouped.get(text[0], ()), text)
    return grouped


def _mark_texts(text: str, mark: str, texts: dict[str, tuple[str, ...]]) -> str:
    """llama.cpp finds user-defined tokens in any text; only cutting them, so that they come in pieces, helps."""
    places: set[int] = set()
    for first, spelled in texts.items():
        at = text.find(first)
        while at >= 0:
            if text.startswith(spelled, at):
                places.add(at + 1)
            at = text.find(first, at + 1)
    parts, start = [], 0
    for place in sorted(places):
        parts.append(text[start:place])
        start = place
    return mark.join([*parts, text[start:]])


def answer_room(max_tokens: int | None, context_length: int, overflow: str) -> int:
    """Tokens that a prompt must leave free: an eighth of the context, at most 128 and at most `max_tokens`.

    A context that shifts makes its own room, so one token is enough there.
    """
    if overflow == "shift":
        return 1
    return max(1, min(max_tokens or _MAX_ROOM_TOKENS, _MAX_ROOM_TOKENS, context_length // 8))


def segments_of(prompt: Prompt, piece: Callable[[int], bytes]) -> tuple[Segment, ...]:
    """Attributes every token to the source of its first byte; neighbours of one kind make one segment."""
    tokens = prompt.tokens[: prompt.cut_at] + prompt.cut + prompt.tokens[prompt.cut_at :]
    starts = [0, *accumulate(len(piece(token)) for token in tokens)]
    # A tokenizer may put a beginning-of-text mark or a space before the text; nothing else is ever added.
    shift = max(starts[-1] - len(prompt.text.encode("utf-8", "replace")), 0)
    borders = [start for start, _end, _kind in prompt.spans]
    segments: list[Segment] = []
    for number, start in enumerate(starts[:-1]):
        if prompt.cut_at <= number < prompt.cut_at + len(prompt.cut):
            continue
        index = bisect_right(borders, start - shift) - 1
        inside = index >= 0 and start - shift < prompt.spans[index][1]
        kind: SegmentKind = prompt.spans[index][2] if inside else "template"
        if segments and segments[-1].kind == kind:
            segments[-1] = Segment(kind, segments[-1].tokens + 1)
        else:
            segments.append(Segment(kind, 1))
    return tuple(segments)


def decode_pieces(pieces: Sequence[bytes]) -> tuple[str, ...]:
    """The pieces as text; a character that spans several tokens is shown at the last of them."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return tuple(decoder.decode(piece) for piece in pieces)


def _turns(messages: Sequence[Message], end: int) -> list[list[int]]:
    """Indexes of the messages before `end`, grouped into turns that begin with a user message."""
    turns: list[list[int]] = []
    for index in range(end):
        if messages[index].role == "system":
            continue
        if messages[index].role == "user" or not turns:
            turns.append([])
        turns[-1].append(index)
    return turns


def _keep_head_tail(prompt: Prompt, limit: int) -> Prompt:
    head = limit // 2
    tail = limit - head
    count = len(prompt.tokens) - limit
    prompt.cut_at, prompt.cut = head, prompt.tokens[head:-tail]
    prompt.tokens = prompt.tokens[:head] + prompt.tokens[-tail:]
    prompt.dropped = Dropped(
        "keep_head_tail", count, 0, f"Tokens {head + 1:,} to {head + count:,} of {limit + count:,}, from the middle."
    )
    return prompt


def _too_long(full: int, left: int, context_length: int, room: int) -> str:
    shorter = f" ({left:,} after dropping what may be dropped)" if left < full else ""
    return (
        f"The prompt has {full:,} tokens{shorter}, but the context holds {context_length:,} and {room:,} of them are "
        f"kept free for the answer. Make the context at least {left + room:,} tokens long, shorten the prompt, or "
        "choose what may be left out."
    )
