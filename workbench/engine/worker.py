"""Entry point of the engine's child processes: `python -P -m workbench.engine.worker ROLE`.

Roles are engine, render, quantize, plan and devices.

The engine role loads models and runs requests; the others do one small dangerous thing each. All of them speak
the frames of `protocol` on standard input and output, and end when their input ends.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.engine import api, protocol
from workbench.engine.pipes import (
    EventWriter,
    die_with_parent,
    end_on_any_thread_error,
    read_commands,
    take_over_pipes,
    volunteer_for_the_kernel,
)
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.engine.prompt import Prompt, PromptMaker
    from workbench.engine.scheduler import Scheduler

# A thread that has something to send waits at most this long for the interpreter while another one runs Python.
_SWITCH_INTERVAL_S = 0.0005


def main(arguments: Sequence[str] | None = None) -> None:
    """`arguments`: the role; for the engine then the command line that starts a worker, to which a role is added."""
    role, *command = sys.argv[1:] if arguments is None else arguments
    # A backtrace by gdb after an abort takes seconds and says nothing to the person at the screen.
    os.environ["GGML_NO_BACKTRACE"] = "1"
    commands, events = take_over_pipes()
    if role == "render":
        from workbench.engine import templates

        templates.serve(commands, events)
    die_with_parent()
    volunteer_for_the_kernel()
    end_on_any_thread_error()
    if role == "quantize":
        from workbench.engine.quantization import serve

        serve(commands, EventWriter(events))
    elif role == "plan":
        from workbench.engine import plan

        plan.serve(commands, EventWriter(events))
    elif role == "devices":
        _list_devices(EventWriter(events))
    else:
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        EngineWorker(EventWriter(events), command).serve(commands)


def _list_devices(writer: EventWriter) -> None:
    from workbench.engine import llama
    from workbench.runs.record import EngineBuild

    log = llama.LogCapture()
    llama.start_backend()
    build = EngineBuild(llama.build_description(), llama.backends(), llama.processor_features(), llama.list_devices())
    writer.post(protocol.DevicesListed(build))
    # The parent closes the pipe when it has the answer, which ends this process; llama.cpp logs until then.
    threading.Event().wait()
    del log


class EngineWorker:
    """The engine role: one thread reads commands, one prepares prompts, one writes, and the main thread decodes."""

    def __init__(self, writer: EventWriter, command: Sequence[str]) -> None:
        from workbench.engine.templates import TemplateRenderer

        self._writer = writer
        self._renderer = TemplateRenderer([*command, "render"])
        # First of all: it comes up while this process loads llama.cpp and the weights.
        self._renderer.start()
        from workbench.engine import llama
        from workbench.engine.loading import Loader

        self._log = llama.LogCapture()
        llama.start_backend()
        self._loader = Loader(self._log, self._renderer)
        self._scheduler: Scheduler | None = None
        self._maker: PromptMaker | None = None
        self._inbox: queue.SimpleQueue[protocol.Load | Prompt] = queue.SimpleQueue()
        self._to_prepare: queue.SimpleQueue[api.EngineRequest] = queue.SimpleQueue()
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self._last_fraction = -1.0

    def serve(self, commands: Any) -> None:
        threading.Thread(target=read_commands, args=(commands, self._handle), name="commands", daemon=True).start()
        threading.Thread(target=self._prepare_prompts, name="prompts", daemon=True).start()
        self._writer.post(protocol.Hello(os.getpid()))
        while True:
            scheduler = self._scheduler
            if scheduler is None or scheduler.is_idle:
                self._take(self._inbox.get())
            while not self._inbox.empty():
                self._take(self._inbox.get())
            if self._scheduler is not None:
                self._scheduler.step()

    # -- the command thread

    def _handle(self, message: protocol.Message) -> None:
        if isinstance(message, protocol.Load):
            self._loader.expect_load()
            self._inbox.put(message)
        elif isinstance(message, protocol.CancelLoad):
            self._loader.cancel()
        elif isinstance(message, protocol.Run):
            with self._lock:
                self._open.add(message.request.id)
            self._to_prepare.put(message.request)
        elif isinstance(message, protocol.Cancel | protocol.AnswerNow):
            self._handle_wish(message)

    def _handle_wish(self, message: protocol.Cancel | protocol.AnswerNow) -> None:
        with self._lock:
            if message.request_id not in self._open or self._scheduler is None:
                return
            if isinstance(message, protocol.AnswerNow):
                self._scheduler.answer_now(message.request_id)
            else:
                self._scheduler.cancel(message.request_id)

    # -- the prompt thread

    def _prepare_prompts(self) -> None:
        while True:
            request = self._to_prepare.get()
            maker = self._maker
            try:
                if maker is None:
                    raise WorkbenchError("No model is loaded.", code="no_model")
                self._inbox.put(maker.make(request))
            except WorkbenchError as error:
                self._fail(request.id, error)

    def _fail(self, request_id: str, error: WorkbenchError) -> None:
        self._post(api.RequestFailed(request_id, error.code, error.message, time.perf_counter_ns(), error.detail))

    # -- the main thread

    def _take(self, item: protocol.Load | Prompt) -> None:
        if isinstance(item, protocol.Load):
            self._load(item)
        elif self._scheduler is not None:
            self._scheduler.add(item)

    def _load(self, command: protocol.Load) -> None:
        try:
            report = self._loader.load(
                command.model, command.options, memory_check=command.memory_check, progress=self._on_progress
            )
        except WorkbenchError as error:
            self._forget_model()
            self._writer.post(protocol.WorkFailed.of(error, self._log.tail_text() or None))
            return
        if report.reused != "model" or self._scheduler is None:
            self._use_model()
        self._writer.post(protocol.LoadDone(report))

    def _forget_model(self) -> None:
        if self._loader.loaded is None:
            with self._lock:
                self._scheduler = self._maker = None

    def _use_model(self) -> None:
        from workbench.engine.prompt import PromptMaker
        from workbench.engine.scheduler import Scheduler

        loaded = self._loader.loaded
        assert loaded is not None
        scheduler = Scheduler(loaded.weights, loaded.context, self._post, self._writer.post_lazily, self._log.tail_text)
        with self._lock:
            self._scheduler = scheduler
        self._maker = PromptMaker(loaded.weights, loaded.form, self._renderer, loaded.options.context_length)

    def _on_progress(self, step: api.LoadStep, fraction: float | None) -> None:
        # llama.cpp calls for every tensor; one message per percent is enough.
        if fraction is not None and fraction < 1 and abs(fraction - self._last_fraction) < 0.01:
            return
        self._last_fraction = fraction if fraction is not None else -1.0
        self._writer.post(protocol.LoadProgressed(step, fraction))

    def _post(self, event: api.EngineEvent) -> None:
        if isinstance(event, api.REQUEST_TERMINAL):
            with self._lock:
                self._open.discard(event.request_id)
        self._writer.post(event)


if __name__ == "__main__":
    main()
