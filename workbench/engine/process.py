"""`LocalEngine`: runs models in a child process, and turns whatever happens to that process into events."""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.engine import api, protocol
from workbench.engine.child import Child, default_command
from workbench.engine.crash_log import gpu_failure
from workbench.engine.engine_log import EngineLog
from workbench.errors import EngineCrashed, EngineStartFailed, OutOfMemory, UserError, WorkbenchError
from workbench.runs.record import LoadReport
from workbench.runs.spec import EngineOptions, ModelRef


@dataclass(slots=True)
class _Open:
    """A request that has not ended. `cancel_asked`: somebody asked, so an end without a word is a cancel."""

    events: queue.SimpleQueue[api.EngineEvent]
    cancel_asked: bool = False


@dataclass(slots=True)
class _Ended:
    """The child's last words to a waiting `load`."""

    code: int


@dataclass(slots=True)
class _Session:
    """One life of the child: its process, and what is known about how it ended."""

    child: Child
    load_answers: queue.SimpleQueue[protocol.Message | _Ended] = field(default_factory=queue.SimpleQueue)
    oom_kills_before: int | None = None
    was_ended_by_us: bool = False
    is_over: bool = False


class LocalEngine:
    """The `Engine` of this machine. Nothing is started before the first `load`."""

    def __init__(
        self,
        *,
        log_dir: Path | None = None,
        command: Sequence[str] | None = None,
        memory_check: bool = True,
        cancel_grace_s: float = 2.0,
        load_timeout_s: float = 120.0,
        start_timeout_s: float = 60.0,
        idle_gpu_advice: Callable[[], str | None] | None = None,
    ) -> None:
        """`log_dir`: where `engine.log` goes; None keeps it in a temporary file. `command` starts a worker.

        `idle_gpu_advice` gives the sentence for a machine whose GPU a build for the CPU cannot use; it is asked
        once, beside the first load. `load_timeout_s` is the longest silence during a load before the child counts as
        hung.
        """
        self._command = tuple(command) if command is not None else default_command()
        self._log_dir = log_dir
        self._memory_check = memory_check
        self._cancel_grace_s, self._load_timeout_s = cancel_grace_s, load_timeout_s
        self._start_timeout_s = start_timeout_s
        self._lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._session: _Session | None = None
        self._log: EngineLog | None = None
        self._is_loading = False
        self._load_cancelled = threading.Event()
        self._idle_gpu_advice = idle_gpu_advice
        self._advice: str | None = None
        self._advisor: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        session = self._session
        return None if session is None or session.is_over else session.child.pid

    # -- loading

    def load(self, model: ModelRef, options: EngineOptions, on_progress: api.ProgressSink | None = None) -> LoadReport:
        with self._load_lock:
            self._load_cancelled.clear()
            self._is_loading = True
            self._start_advisor()
            try:
                session, start_ms = self._ready_session(on_progress)
                if not session.child.send(protocol.Load(model, options, self._memory_check)):
                    raise self._end_error(self._wait_for_end(session), session)
                report = self._await_load(session, on_progress)
            finally:
                self._is_loading = False
        return replace(report, start_ms=start_ms, warnings=(*report.warnings, *self._gpu_warnings(report)))

    def _start_advisor(self) -> None:
        if self._idle_gpu_advice is not None and self._advisor is None:
            # Asking NVML takes 50 ms, which pass while the child loads.
            self._advisor = threading.Thread(target=self._take_advice, name="gpu-advice", daemon=True)
            self._advisor.start()

    def _take_advice(self) -> None:
        assert self._idle_gpu_advice is not None
        self._advice = self._idle_gpu_advice()

    def _gpu_warnings(self, report: LoadReport) -> tuple[str, ...]:
        if self._advisor is None or any(device.kind in ("gpu", "igpu") for device in report.devices):
            return ()
        self._advisor.join()
        return () if self._advice is None else (self._advice,)

    def cancel_load(self) -> None:
        """Ends a `load` under way, from another thread: it raises UserError with the code "load_cancelled"."""
        session = self._session
        if not self._is_loading or session is None:
            return
        self._load_cancelled.set()
        session.child.send(protocol.CancelLoad())
        timer = threading.Timer(self._cancel_grace_s, self._end_if_still_loading, args=(session,))
        timer.daemon = True
        timer.start()

    def _end_if_still_loading(self, session: _Session) -> None:
        if self._is_loading and self._load_cancelled.is_set():
            self._end(session)

    def _ready_session(self, on_progress: api.ProgressSink | None) -> tuple[_Session, float | None]:
        """The running child, or a fresh one and the milliseconds it took to come up."""
        if self._log is None:
            self._log = EngineLog(self._log_dir)
        self._log.rotate_when_large()
        session = self._session
        if session is not None and not session.is_over:
            if not session.was_ended_by_us:
                return session, None
            self._wait_for_end(session)
        if on_progress is not None:
            on_progress("start", None)
        start = time.perf_counter_ns()
        session = self._start(self._log)
        try:
            answer = session.load_answers.get(timeout=self._start_timeout_s)
        except queue.Empty:
            self._end(session)
            raise EngineStartFailed("The engine's process did not answer after it was started.") from None
        if not isinstance(answer, protocol.Hello):
            detail = self._log.tail(session.child.log_start)
            raise EngineStartFailed("The engine's process ended while it started.", detail=detail)
        return session, (time.perf_counter_ns() - start) / 1e6

    def _start(self, log: EngineLog) -> _Session:
        child = Child(
            self._command, "engine", log, lambda m: self._on_message(session, m), lambda c: self._on_end(session, c)
        )
        session = _Session(child, oom_kills_before=_count_oom_kills())
        child.start()
        self._session = session
        return session

    def _await_load(self, session: _Session, on_progress: api.ProgressSink | None) -> LoadReport:
        while True:
            try:
                answer = session.load_answers.get(timeout=self._load_timeout_s)
            except queue.Empty:
                self._end(session)
                raise EngineCrashed(
                    f"The engine gave no sign of life for {self._load_timeout_s:.0f} seconds while loading and was "
                    "ended. The model file may be damaged.",
                    detail=self._log_tail(session),
                ) from None
            if isinstance(answer, protocol.LoadProgressed):
                if on_progress is not None:
                    on_progress(answer.step, answer.fraction)
            elif isinstance(answer, protocol.LoadDone):
                return answer.report
            elif isinstance(answer, protocol.WorkFailed):
                raise answer.error()
            elif isinstance(answer, _Ended):
                raise self._end_error(answer, session)

    def _wait_for_end(self, session: _Session) -> _Ended:
        session.child.end()
        while not isinstance(answer := session.load_answers.get(), _Ended):
            pass
        return answer

    def _end_error(self, ended: _Ended, session: _Session) -> WorkbenchError:
        if self._load_cancelled.is_set():
            return UserError("Loading was cancelled.", code="load_cancelled")
        return _crash_error(ended.code, session, self._log_tail(session))

    # -- running

    def run(self, requests: Sequence[api.EngineRequest]) -> Iterator[api.EngineEvent]:
        events: queue.SimpleQueue[api.EngineEvent] = queue.SimpleQueue()
        session = self._session
        with self._lock:
            for request in requests:
                self._open[request.id] = _Open(events)
        for request in requests:
            if session is None or session.is_over or not session.child.send(protocol.Run(request)):
                self._fail(request.id, "no_model", "The engine is not running; load a model first.")
        return self._events([request.id for request in requests], events)

    def _events(
        self, request_ids: Sequence[str], events: queue.SimpleQueue[api.EngineEvent]
    ) -> Iterator[api.EngineEvent]:
        open_ids = set(request_ids)
        try:
            while open_ids:
                event = events.get()
                if isinstance(event, api.REQUEST_TERMINAL):
                    open_ids.discard(event.request_id)
                yield event
        finally:
            # Nobody listens any more to what is still open.
            for request_id in open_ids:
                self.cancel(request_id)

    def cancel(self, request_id: str) -> None:
        session = self._session
        with self._lock:
            request = self._open.get(request_id)
            if request is None or request.cancel_asked:
                return
            request.cancel_asked = True
        if session is None or not session.child.send(protocol.Cancel(request_id)):
            return
        timer = threading.Timer(self._cancel_grace_s, self._end_if_still_open, args=(session, request_id))
        timer.daemon = True
        timer.start()

    def _end_if_still_open(self, session: _Session, request_id: str) -> None:
        with self._lock:
            is_needed = request_id in self._open and session is self._session
            if is_needed:
                # Before the request can end by itself: the next load must not count on this child.
                session.was_ended_by_us = True
        if is_needed:
            self._end(session)

    def answer_now(self, request_id: str) -> None:
        session = self._session
        if session is not None and request_id in self._open:
            session.child.send(protocol.AnswerNow(request_id))

    def close(self) -> None:
        session = self._session
        if session is not None:
            self._end(session)
        with self._load_lock:
            if self._log is not None:
                self._log.close()
                self._log = None

    # -- what the child says (its own thread)

    def _on_message(self, session: _Session, message: protocol.Message) -> None:
        if isinstance(
            message,
            protocol.Hello | protocol.LoadProgressed | protocol.LoadDone | protocol.WorkFailed,
        ):
            session.load_answers.put(message)
            return
        request_id = getattr(message, "request_id", None)
        if request_id is None:
            return
        is_terminal = isinstance(message, api.REQUEST_TERMINAL)
        with self._lock:
            request = self._open.pop(request_id, None) if is_terminal else self._open.get(request_id)
        if request is not None:
            request.events.put(message)  # type: ignore[arg-type]

    def _on_end(self, session: _Session, code: int) -> None:
        now = time.perf_counter_ns()
        error = _crash_error(code, session, self._log_tail(session))
        session.is_over = True
        session.load_answers.put(_Ended(code))
        with self._lock:
            ended, self._open = self._open, {}
        for request_id, request in ended.items():
            if request.cancel_asked:
                request.events.put(api.RequestCancelled(request_id, "killed", now))
            else:
                request.events.put(api.RequestFailed(request_id, error.code, error.message, now, error.detail))

    def _fail(self, request_id: str, code: str, message: str) -> None:
        with self._lock:
            request = self._open.pop(request_id, None)
        if request is not None:
            request.events.put(api.RequestFailed(request_id, code, message, time.perf_counter_ns()))

    def _end(self, session: _Session) -> None:
        session.was_ended_by_us = True
        session.child.end()

    def _log_tail(self, session: _Session) -> str | None:
        return None if self._log is None else self._log.tail(session.child.log_start)


def _crash_error(code: int, session: _Session, detail: str | None) -> WorkbenchError:
    """What an exit code means to the person at the screen."""
    if session.was_ended_by_us:
        return EngineCrashed("The engine was ended, because something else that it did could not be stopped otherwise.")
    if code == -9 and _count_oom_kills() != session.oom_kills_before:
        return OutOfMemory(
            "The system ended the engine because the machine ran out of memory. Choose a shorter context, a smaller "
            "quantization or a smaller model.",
            detail=detail,
        )
    failure = gpu_failure(detail)
    if failure is not None:
        return failure
    return EngineCrashed(f"The engine stopped unexpectedly ({_exit_description(code)}).", detail=detail)


def _exit_description(code: int) -> str:
    if code < 0:
        try:
            return f"signal {-code}, {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


def _count_oom_kills() -> int | None:
    """Processes that this system's kernel has killed for lack of memory so far; None where it does not tell."""
    if sys.platform != "linux":
        return None
    try:
        text = Path("/proc/vmstat").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), None)
