"""The batching loop: requests join and leave one running batch; each has its sampler, stamps and cancel."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from workbench.engine import api
from workbench.engine.context import ABORTED, DECODED, NO_SLOT, Context
from workbench.engine.generation import Generation, Post
from workbench.engine.prompt import Prompt, decode_pieces, segments_of
from workbench.engine.sampling import Sampler
from workbench.engine.slots import Slot, choose_slot, reuse_prefix
from workbench.engine.spinning import Patience, sleeping_pool
from workbench.engine.weights import Weights
from workbench.errors import SpecError
from workbench.runs.record import Dropped

# While others decode, a step takes about this long at most, so that their token latency does not explode. The more
# requests wait for their first token, the longer it may take: eight at once waited 3.4 s in steps of 0.1 s, as each
# step reads all weights again, and 1.6 s in whole prompts.
_STEP_BESIDE_OTHERS_S = 0.1
_LONGEST_STEP_BESIDE_OTHERS_S = 1.0
_SMALLEST_CHUNK = 16
_ROOM_TO_FORCE = 32

NOTE_NO_SHIFT = "The memory of this model cannot be shifted; the answer ends when the context is full."

LazyPost = Callable[[Callable[[], api.EngineEvent]], None]


class Scheduler:
    """Drives one context. Everything but `cancel` and `answer_now` belongs to the thread that calls `step`."""

    def __init__(
        self, weights: Weights, context: Context, post: Post, post_lazily: LazyPost, log_tail: Callable[[], str]
    ) -> None:
        self._weights, self._context = weights, context
        self._post, self._post_lazily, self._log_tail = post, post_lazily, log_tail
        self._slots = [Slot(sequence) for sequence in range(context.parallel)]
        # In the order in which they began.
        self._active: list[Slot] = []
        self._waiting: deque[Prompt] = deque()
        self._cancelled: set[str] = set()
        self._answer_now: set[str] = set()
        self._prefill_rate = 0.0
        self._begun = 0
        self._patience = Patience(sleeping_pool())

    # -- from other threads

    def cancel(self, request_id: str) -> None:
        self._cancelled.add(request_id)
        self._context.abort.trip(request_id)

    def answer_now(self, request_id: str) -> None:
        self._answer_now.add(request_id)

    # -- the loop's thread

    @property
    def is_idle(self) -> bool:
        return not self._waiting and not self._active

    def add(self, prompt: Prompt) -> None:
        self._waiting.append(prompt)

    def step(self) -> None:
        """Admits what fits, evaluates one batch, samples one token for every sequence that is ready."""
        if self._cancelled or self._answer_now:
            self._heed_commands()
        if self._waiting:
            self._admit()
        active = self._active
        if len(active) == 1 and self._is_plain_decode(active[0]):
            self._decode_one(active[0])
        elif active:
            self._evaluate(active)
        self._patience.check(time.perf_counter_ns())

    def _heed_commands(self) -> None:
        if self._cancelled:
            now = time.perf_counter_ns()
            for prompt in [p for p in self._waiting if p.request.id in self._cancelled]:
                self._waiting.remove(prompt)
                self._cancelled.discard(prompt.request.id)
                self._post(api.RequestCancelled(prompt.request.id, "flag", now))
            for slot in list(self._active):
                if slot.generation is not None and slot.generation.request_id in self._cancelled:
                    slot.generation.cancelled(now)
                    self._release(slot)
        if self._answer_now:
            for slot in self._active:
                if slot.generation is not None and slot.generation.request_id in self._answer_now:
                    self._answer_now.discard(slot.generation.request_id)
                    if slot.generation.is_thinking:
                        slot.generation.answer_now = True

    def _release(self, slot: Slot) -> None:
        if slot.generation is not None:
            self._cancelled.discard(slot.generation.request_id)
            self._answer_now.discard(slot.generation.request_id)
            slot.generation = None
            self._active.remove(slot)

    # -- admission

    def _admit(self) -> None:
        while self._waiting:
            prompt = self._waiting[0]
            slot = choose_slot(self._slots, prompt.tokens)
            if slot is None:
                return
            self._waiting.popleft()
            self._begin(slot, prompt)

    def _begin(self, slot: Slot, prompt: Prompt) -> None:
        request = prompt.request
        try:
            sampler = Sampler(self._weights, request.sampling, self._context.context_length)
        except SpecError as error:
            now = time.perf_counter_ns()
            self._post(api.RequestFailed(request.id, error.code, error.message, now, self._log_tail()))
            return
        cached, note = reuse_prefix(slot, prompt.tokens, self._context, self._weights)
        if request.chat.overflow == "shift" and not self._context.can_shift:
            note = " ".join(filter(None, [note, NOTE_NO_SHIFT]))
        sampler.remember(prompt.tokens)
        length = self._context.context_length
        generation = Generation(
            prompt, sampler, self._weights, self._post,
            announce=lambda: self._post_lazily(lambda: _prompt_ready(prompt, self._weights, cached, note, length)),
        )  # fmt: skip
        generation.pending = prompt.tokens[cached:]
        slot.generation = generation
        self._active.append(slot)
        self._begun += 1
        slot.last_used = self._begun
        # The pieces and segments of a long prompt take milliseconds of a processor that a prefill uses as well: after
        # 1,459 cached tokens 34 more took 10 ms beside them and 7 ms without. A long prefill is announced before it.
        if len(generation.pending) > self._context.ubatch_size:
            generation.announce_prompt()

    # -- evaluation

    def _is_plain_decode(self, slot: Slot) -> bool:
        generation = slot.generation
        return generation is not None and len(generation.pending) == 1 and not generation.in_prefill

    def _decode_one(self, slot: Slot) -> None:
        """One token of the only sequence: `_evaluate` without the lists, for the loop that must be fast."""
        generation = slot.generation
        assert generation is not None
        if generation.is_thinking:
            self._force(slot)
            if len(generation.pending) > 1:
                self._evaluate(self._active)
                return
        context = self._context
        context.batch.set_one(generation.pending[0], len(slot.tokens), slot.sequence)
        context.abort.arm((generation.request_id,))
        result = context.decode()
        if result != DECODED:
            self._recover(result, [(slot, 1, 0)])
            return
        if slot.exact == len(slot.tokens):
            slot.exact += 1
        slot.tokens.append(generation.pending[0])
        self._take_sample(slot, generation, 0)

    def _evaluate(self, active: list[Slot]) -> None:
        context, batch = self._context, self._context.batch
        batch.clear()
        # While the prompt is prepared for a closed thinking part, the forced tokens belong to the first chunk.
        for slot in active:
            self._force(slot)
        outputs = self._fill(active)
        taken = {slot.sequence for slot, _count, _index in outputs}
        prefilling = [s for s in active if s.generation and s.generation.in_prefill and s.sequence in taken]
        self._stamp_prefill_start(prefilling)
        context.abort.arm(self._stoppable(outputs))
        if self._cancelled:
            # Asked between `step` and here, before there was a decode call to stop.
            return
        engine_ms = context.prompt_and_decode_ms() if prefilling else 0.0
        start = time.perf_counter_ns()
        result = context.decode()
        context.synchronize()
        if result == DECODED:
            if prefilling:
                self._account_prefill(outputs, prefilling, engine_ms, start)
            self._sample(outputs)
        else:
            self._recover(result, outputs)

    def _stoppable(self, outputs: list[tuple[Slot, int, int]]) -> tuple[str, ...]:
        """Requests for whose cancel the next decode call may be stopped; the others then repeat this one step.

        A running state cannot go back a step, so there only a request alone is stopped.
        """
        if self._weights.is_recurrent and len(outputs) > 1:
            return ()
        return tuple(slot.generation.request_id for slot, _count, _index in outputs if slot.generation is not None)

    def _force(self, slot: Slot) -> None:
        generation = slot.generation
        assert generation is not None
        if not generation.is_thinking:
            return
        room = self._context.context_length - len(slot.tokens) - len(generation.pending)
        # Without room for the closing tag and a word of answer, the context ends the request anyway.
        if room > _ROOM_TO_FORCE:
            generation.pending += generation.tokens_to_force()

    def _fill(self, active: list[Slot]) -> list[tuple[Slot, int, int]]:
        """Puts work into the batch; (slot, number of tokens, index of the output or -1) for each slot in it."""
        batch = self._context.batch
        outputs: list[tuple[Slot, int, int]] = []
        # In the order of the sequences: llama.cpp joins neighbours into one micro-batch.
        for slot, count in sorted(self._shares(active), key=lambda share: share[0].sequence):
            generation = slot.generation
            assert generation is not None
            is_last = count == len(generation.pending)
            tokens = generation.pending if is_last else generation.pending[:count]
            index = batch.add(tokens, len(slot.tokens), slot.sequence, output_last=is_last)
            outputs.append((slot, count, index if is_last else -1))
        return outputs

    def _shares(self, active: list[Slot]) -> list[tuple[Slot, int]]:
        """How many tokens each slot may evaluate in this step: one for a decoding one, the rest by age."""
        waiting = {slot.sequence: len(slot.generation.pending) for slot in active if slot.generation is not None}
        decoding = sum(1 for count in waiting.values() if count == 1)
        chunk = self._chunk_tokens(reading=len(waiting) - decoding, beside_others=decoding > 0)
        budget = min(chunk, self._context.batch.capacity - decoding)
        shares = []
        for slot in active:
            count = waiting[slot.sequence]
            if count > 1:
                count = min(count, budget)
                budget -= count
            if count > 0:
                shares.append((slot, count))
        return shares

    def _chunk_tokens(self, *, reading: int, beside_others: bool) -> int:
        """Prompt tokens to evaluate in one step: a micro-batch, or what fits into a short step beside others."""
        whole = self._context.ubatch_size
        if not beside_others:
            return whole
        step_s = min(_STEP_BESIDE_OTHERS_S * (2 * reading - 1), _LONGEST_STEP_BESIDE_OTHERS_S)
        return max(_SMALLEST_CHUNK, min(whole, int(self._prefill_rate * step_s)))

    def _stamp_prefill_start(self, prefilling: list[Slot]) -> None:
        for slot in prefilling:
            generation = slot.generation
            if generation is not None and generation.prefill_start_ns is None:
                generation.prefill_start_ns = time.perf_counter_ns()
                self._post(api.PrefillStarted(generation.request_id, generation.prefill_start_ns))

    def _account_prefill(
        self, outputs: list[tuple[Slot, int, int]], prefilling: list[Slot], engine_ms: float, start_ns: int
    ) -> None:
        now = time.perf_counter_ns()
        spent_ms = self._context.prompt_and_decode_ms() - engine_ms
        tokens = sum(count for _slot, count, _index in outputs)
        if tokens >= _SMALLEST_CHUNK:
            self._prefill_rate = tokens * 1e9 / max(now - start_ns, 1)
        for slot, count, index in outputs:
            generation = slot.generation
            if generation is None or slot not in prefilling:
                continue
            generation.evaluated_prompt += count
            generation.engine_prompt_ms = (generation.engine_prompt_ms or 0.0) + spent_ms
            total = generation.evaluated_prompt + len(generation.pending) - count
            self._post(api.PrefillProgress(generation.request_id, generation.evaluated_prompt, total, now))
            if index >= 0:
                generation.in_prefill = False
                self._post(api.PrefillEnded(generation.request_id, now))

    def _sample(self, outputs: list[tuple[Slot, int, int]]) -> None:
        for slot, count, index in outputs:
            generation = slot.generation
            assert generation is not None
            slot.tokens += generation.pending if index >= 0 else generation.pending[:count]
            if slot.exact + count == len(slot.tokens):
                slot.exact += count
            if index < 0:
                del generation.pending[:count]
                continue
            self._take_sample(slot, generation, index)

    def _take_sample(self, slot: Slot, generation: Generation, index: int) -> None:
        context = self._context
        token = generation.sample(context.pointer, index)
        now = time.perf_counter_ns()
        reason = generation.accept(token, now)
        if reason is None and len(slot.tokens) >= context.context_length and not self._shift(slot, generation):
            reason = "context_full"
        if reason is not None:
            generation.finish(reason, now)
            self._release(slot)
        else:
            generation.pending = [token]

    # -- a full context

    def _shift(self, slot: Slot, generation: Generation) -> bool:
        """Drops the older half after the kept beginning, when the request allows it and the memory can."""
        if generation.prompt.request.chat.overflow != "shift" or not self._context.can_shift:
            return False
        keep = generation.prompt.keep_tokens
        count = (len(slot.tokens) - keep) // 2
        if count <= 0 or not self._context.cut(slot.sequence, keep, keep + count):
            return False
        self._context.move(slot.sequence, keep + count, -count)
        del slot.tokens[keep : keep + count]
        slot.exact = min(slot.exact, keep)
        total = generation.shifted.tokens + count
        generation.shifted = Dropped(
            "shift", total, 0, f"{total:,} of the oldest tokens after the first {keep:,} left the context."
        )
        self._post(api.Shifted(generation.request_id, generation.shifted))
        return True

    # -- a decode that did not succeed

    def _recover(self, result: int, outputs: list[tuple[Slot, int, int]]) -> None:
        """Makes the books agree with the memory again. An abort is a cancel, or a race that is simply repeated."""
        for slot, _count, _index in outputs:
            # llama.cpp keeps the micro-batches that it finished; going back to before the call is always right.
            if not self._context.cut(slot.sequence, len(slot.tokens)):
                self._restart(slot)
        if result == ABORTED:
            return
        now = time.perf_counter_ns()
        message = (
            "llama.cpp found no room in its context memory for the next tokens."
            if result == NO_SLOT
            else f"llama.cpp could not evaluate the batch (code {result})."
        )
        for slot, _count, _index in outputs:
            if slot.generation is not None:
                slot.generation.failed("decode_failed", message, now, self._log_tail())
            self._release(slot)
            slot.forget(self._context)

    def _restart(self, slot: Slot) -> None:
        """A running state cannot be cut back: everything it held has to be evaluated again."""
        held = list(slot.tokens)
        slot.forget(self._context)
        if slot.generation is not None:
            slot.generation.pending = held + slot.generation.pending


def _prompt_ready(
    prompt: Prompt, weights: Weights, cached: int, note: str | None, context_length: int
) -> api.PromptReady:
    return api.PromptReady(
        prompt.request.id,
        prompt.text,
        decode_pieces([weights.piece(token) for token in prompt.tokens]),
        segments_of(prompt, weights.piece),
        len(prompt.tokens),
        cached,
        context_length,
        prompt.dropped,
        note,
    )
