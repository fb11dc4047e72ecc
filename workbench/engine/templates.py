"""Renders chat templates, which are programs from strangers, in a process of their own that can be killed.

Jinja's sandbox keeps a template from reaching anything. Nothing inside one process can stop a template that
doubles a string forty times or repeats for an hour inside one C call, so both limits are set from outside: the
address space by the system, the time by whoever waits.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, BinaryIO

from workbench.engine import protocol
from workbench.engine.places import Part, locate
from workbench.errors import WorkbenchError

TIME_LIMIT_S = 2.0
# Python with jinja2 starts slower than this only when the machine is badly overloaded.
START_LIMIT_S = 30.0
OUTPUT_LIMIT_CHARACTERS = 8_000_000
ADDRESS_SPACE_BYTES = 1024**3
# With this the process says that it was refused memory at a place where it could not answer any more.
_MEMORY_EXIT = 77
_MEMORY_WORDS = ("MemoryError", "bad_alloc", "Cannot allocate memory")
_STDERR_LINES = 20
_DEATH_WAIT_S = 1.0
# A template that took longer is not rendered once more to find the messages in its text.
_LOCATE_BELOW_S = 0.2
_MEMORY_SENTENCE = "The model's chat template used more memory than it may and was stopped."


class TemplateFailed(WorkbenchError):
    """The template of the model cannot be rendered; the sentence says why."""

    code = "template_failed"


class TemplateRenderer:
    """The parent's side: one renderer process, started early, replaced when it had to be killed."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[protocol.Message | None] = queue.SimpleQueue()
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._stderr_reader = threading.Thread()
        self._is_up = False

    def start(self) -> None:
        """Begins to start the process; does not wait for it."""
        with self._lock:
            if self._process is None:
                self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self._answers = queue.SimpleQueue()
        self._stderr = deque(maxlen=_STDERR_LINES)
        self._stderr_reader = threading.Thread(
            target=_forward, args=(self._process.stderr, self._stderr), name="template-errors", daemon=True
        )
        self._stderr_reader.start()
        threading.Thread(
            target=_collect, args=(self._process.stdout, self._answers), name="template-answers", daemon=True
        ).start()
        self._is_up = False

    def render(self, template: str, variables: dict[str, Any]) -> str:
        """Raises TemplateFailed with a sentence; takes at most a little more than `TIME_LIMIT_S` once started."""
        return self.render_located(template, variables, ()).text

    def render_located(
        self, template: str, variables: dict[str, Any], parts: tuple[Part, ...]
    ) -> protocol.Rendered:  # fmt: skip
        """`render` that also tells where these parts of the messages stand in the text, as far as it finds out."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            process = self._process
            assert process is not None
            assert process.stdin is not None
            if not self._is_up:
                self._wait(START_LIMIT_S, "The process that renders chat templates did not start.")
                self._is_up = True
            try:
                _write_all(process.stdin, protocol.encode(protocol.Render(template, variables, parts)))
            except OSError as error:
                raise self._death() from error
            answer = self._wait(
                TIME_LIMIT_S,
                f"The model's chat template ran for more than {TIME_LIMIT_S:.0f} seconds and was stopped. "
                "Choose another template variant or another model file.",
            )
        if isinstance(answer, protocol.RenderFailed):
            raise TemplateFailed(answer.message)
        assert isinstance(answer, protocol.Rendered)
        return answer

    def _wait(self, limit_s: float, sentence: str) -> protocol.Message:
        try:
            answer = self._answers.get(timeout=limit_s)
        except queue.Empty:
            self._kill()
            raise TemplateFailed(sentence) from None
        if answer is None:
            raise self._death()
        return answer

    def _death(self) -> TemplateFailed:
        """What is known of a process that ended by itself."""
        assert self._process is not None
        try:
            code: int | None = self._process.wait(_DEATH_WAIT_S)
        except subprocess.TimeoutExpired:
            code = None
        self._kill()
        self._stderr_reader.join(_DEATH_WAIT_S)
        lines = "\n".join(self._stderr)
        if code == _MEMORY_EXIT or any(word in lines for word in _MEMORY_WORDS):
            return TemplateFailed(_MEMORY_SENTENCE, detail=lines or None)
        how = "stopped answering" if code is None else f"ended unexpectedly (exit code {code})"
        return TemplateFailed(f"The process that renders the model's chat template {how}.", detail=lines or None)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None

    def close(self) -> None:
        with self._lock:
            self._kill()


def _write_all(stream: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _forward(stream: Any, lines: deque[str]) -> None:
    """Into the log of the engine, and the last lines into memory."""
    with stream:
        while data := stream.readline():
            lines.append(data.decode("utf-8", "replace").rstrip())
            os.write(2, data)


def _collect(stream: Any, answers: queue.SimpleQueue[protocol.Message | None]) -> None:
    with stream:
        while True:
            try:
                answer = protocol.read_frame(stream)
            except protocol.ProtocolError:
                answer = None
            answers.put(answer)
            if answer is None:
                return


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """The renderer process: answers one `Render` after the other until its input ends."""
    _limit_memory()
    _environment()
    pending: queue.SimpleQueue[protocol.Message] = queue.SimpleQueue()
    threading.Thread(target=_watch, args=(requests, pending), daemon=True).start()
    protocol.write_frame(answers, protocol.Hello(os.getpid()))
    while True:
        request = pending.get()
        assert isinstance(request, protocol.Render)
        try:
            protocol.write_frame(answers, _answer(request))
        except MemoryError:
            os._exit(_MEMORY_EXIT)


def _answer(request: protocol.Render) -> protocol.Message:
    start = time.perf_counter()
    try:
        text = _render(request.template, request.variables)
    except TemplateFailed as error:
        return protocol.RenderFailed(error.message)
    if not request.parts or time.perf_counter() - start > _LOCATE_BELOW_S:
        return protocol.Rendered(text)

    def render(messages: list[dict[str, Any]]) -> str:
        return _render(request.template, {**request.variables, "messages": messages})

    try:
        return protocol.Rendered(text, locate(render, request.variables["messages"], request.parts, text))
    except TemplateFailed:
        # The template refuses marked contents only; whoever asked then searches for the plain ones.
        return protocol.Rendered(text)


def _watch(requests: BinaryIO, pending: queue.SimpleQueue[protocol.Message]) -> None:
    # A thread of its own, so that the end of the engine is seen while a template loops.
    while (message := protocol.read_frame(requests)) is not None:
        pending.put(message)
    os._exit(0)


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


def _render(template: str, variables: dict[str, Any]) -> str:
    from jinja2 import TemplateError

    parts: list[str] = []
    size = 0
    try:
        for part in _compiled(template).generate(**variables):
            size += len(part)
            if size > OUTPUT_LIMIT_CHARACTERS:
                raise TemplateFailed(
                    f"The model's chat template wrote more than {OUTPUT_LIMIT_CHARACTERS:,} characters and was stopped."
                )
            parts.append(part)
        return "".join(parts)
    except TemplateFailed:
        raise
    except MemoryError:
        parts.clear()
        raise TemplateFailed(_MEMORY_SENTENCE) from None
    except TemplateError as error:
        reason = _ended(error.message or type(error).__name__)
        raise TemplateFailed(f"The model's chat template refused: {reason}") from error
    except Exception as error:
        reason = _ended(f"{type(error).__name__}: {error}")
        raise TemplateFailed(f"The model's chat template failed: {reason}") from error


def _ended(reason: str) -> str:
    reason = reason.rstrip()
    return reason if reason.endswith(("!", "?")) else reason.rstrip(".") + "."


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # The settings and additions that templates on the Hub are written for (transformers' chat templates).
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals.pop("lipsum", None)
    return environment


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_ignored: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    from datetime import datetime

    return datetime.now().astimezone().strftime(form)
