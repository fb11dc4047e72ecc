"""Cancel, kill, crash, close: after each of them it is looked whether the process is really there or gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import gguf
import psutil
import pytest

from tests.fakes import tiny_models
from tests.integration.engine.asking import Asker, request
from workbench.engine import api
from workbench.engine.process import LocalEngine
from workbench.engine.quantizer import quantize_file
from workbench.errors import EngineStartFailed, ModelFileError, ModelNotFound, OutOfMemory, SpecError, UserError

GRACE_S = 0.4


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Asker]:
    """An engine for this test alone, with little patience."""
    engine = LocalEngine(log_dir=tmp_path / "logs", cancel_grace_s=GRACE_S)
    yield Asker(engine)
    engine.close()


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_cancel_while_decoding_keeps_the_child(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf", context_length=2000)
    pid = asker.engine.pid
    item = request(max_tokens=1900)
    (answer,) = asker.run([item], lambda e: asker.engine.cancel(item.id) if isinstance(e, api.Tokens) else None)
    assert isinstance(answer.end, api.RequestCancelled)
    assert answer.end.way == "flag"
    assert 0 < len(answer.ids) < 1900
    assert asker.engine.pid == pid
    assert asker.ask(max_tokens=4).text == "round and round and "


def test_cancel_while_prefilling_keeps_the_child(asker: Asker, demo: Path) -> None:
    asker.load(demo, context_length=16_384, ubatch_size=4096)
    item = request("word " * 8000, max_tokens=4)
    timer = threading.Timer(0.2, asker.engine.cancel, args=(item.id,))

    def start_timer(event: api.EngineEvent) -> None:
        if isinstance(event, api.PrefillStarted):
            timer.start()

    (answer,) = asker.run([item], start_timer)
    (started,) = answer.of(api.PrefillStarted)
    assert isinstance(answer.end, api.RequestCancelled)
    assert answer.end.way == "flag"
    assert not answer.of(api.Tokens)
    assert not answer.of(api.PrefillEnded)
    assert answer.end.t_ns - started.t_ns < 1.5e9
    assert asker.ask("Hi", max_tokens=4).end.reason == "length"


def test_cancel_before_anything_began(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf", context_length=1500)
    first, second = request(max_tokens=1000), request(max_tokens=1000)

    def cancel_both(event: api.EngineEvent) -> None:
        if isinstance(event, api.Tokens):
            asker.engine.cancel(second.id)
            asker.engine.cancel(first.id)

    answers = asker.run([first, second], cancel_both)
    assert [type(answer.end) for answer in answers] == [api.RequestCancelled] * 2
    assert not answers[1].of(api.Tokens)


def test_a_cancel_leaves_the_others_running(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf", context_length=700, parallel=2)
    first, second = request(max_tokens=600), request(max_tokens=300)

    def cancel_first(event: api.EngineEvent) -> None:
        if isinstance(event, api.Tokens):
            asker.engine.cancel(first.id)

    cancelled, finished = asker.run([first, second], cancel_first)
    assert isinstance(cancelled.end, api.RequestCancelled)
    assert finished.text == "round and " * 150


def test_cancelling_a_prefill_beside_others_leaves_them_as_they_were(asker: Asker, demo: Path) -> None:
    # Several micro-batches: the prompt is announced when its prefill starts, and there is time to cancel it.
    asker.load(demo, context_length=4000, parallel=3, ubatch_size=128)
    alone = asker.ask("What is TTFT?", max_tokens=60)
    asker.load(demo, context_length=4001, parallel=3, ubatch_size=128)
    first = request("What is TTFT?", max_tokens=60)
    second, third = (request(word * 1500, max_tokens=1000) for word in ("word ", "more "))

    def cancel_long_ones(event: api.EngineEvent) -> None:
        if isinstance(event, api.PrefillStarted) and event.request_id in (second.id, third.id):
            asker.engine.cancel(event.request_id)

    answers = asker.run([first, second, third], cancel_long_ones)
    assert [type(answer.end).__name__ for answer in answers] == ["RequestFinished", *["RequestCancelled"] * 2]
    assert answers[0].ids == alone.ids
    assert asker.ask("word " * 1500, max_tokens=2).end.reason == "length"


def _cancel_at_first_tokens(engine: LocalEngine, asked: set[str], event: api.EngineEvent) -> None:
    if isinstance(event, api.Tokens) and event.request_id not in asked:
        asked.add(event.request_id)
        engine.cancel(event.request_id)


def test_a_child_that_is_being_ended_never_gets_the_next_load(models: Path) -> None:
    """With no grace, the flag and the signal come at the same moment, and either may win."""
    engine = LocalEngine(cancel_grace_s=0.0)
    asker = Asker(engine)
    ways = set()
    try:
        for _ in range(12):
            asker.load(models / "loops.gguf", context_length=1999)
            item = request(max_tokens=1900)
            cancel = partial(_cancel_at_first_tokens, engine, set())
            (answer,) = asker.run([item], cancel)
            ways.add(answer.end.way)
    finally:
        engine.close()
    assert ways <= {"flag", "killed"}


def test_unknown_and_ended_ids_are_ignored(asker: Asker, models: Path) -> None:
    asker.load(models / "says.gguf")
    item = request()
    asker.run([item])
    asker.engine.cancel(item.id)
    asker.engine.cancel("nobody")
    asker.engine.answer_now("nobody")
    assert asker.ask().text


def test_a_reader_that_leaves_cancels_its_requests(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf", context_length=1999)
    events = asker.engine.run([request(max_tokens=1900)])
    for event in events:
        if isinstance(event, api.Tokens):
            break
    events.close()  # type: ignore[attr-defined]
    start = time.monotonic()
    assert asker.ask(max_tokens=2).text == "round and "
    assert time.monotonic() - start < 5


def test_concurrent_calls_share_the_batch(asker: Asker, models: Path) -> None:
    asker.load(models / "loops.gguf", context_length=400, parallel=3)
    texts: dict[int, str] = {}

    def work(number: int) -> None:
        texts[number] = asker.ask(f"{number}", max_tokens=200).text

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert texts == dict.fromkeys(range(5), "round and " * 100)


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_child_that_does_not_answer_is_killed(own: Asker, models: Path) -> None:
    own.load(models / "loops.gguf", context_length=2000)
    pid = own.engine.pid
    assert pid is not None
    children = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    item = request(max_tokens=1900)

    def stop_and_cancel(event: api.EngineEvent) -> None:
        if isinstance(event, api.PrefillStarted):
            os.kill(pid, signal.SIGSTOP)
            own.engine.cancel(item.id)

    start = time.monotonic()
    (answer,) = own.run([item], stop_and_cancel)
    assert isinstance(answer.end, api.RequestCancelled)
    assert answer.end.way == "killed"
    assert GRACE_S <= time.monotonic() - start < GRACE_S + 3
    assert is_gone(pid)
    assert all(is_gone(child) for child in children)
    assert own.engine.pid is None
    report = own.load(models / "says.gguf")
    assert report.reused == "nothing"
    assert report.start_ms is not None
    assert own.ask().text


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_killed_child_fails_its_requests_and_the_next_load_works(own: Asker, models: Path) -> None:
    own.load(models / "loops.gguf", context_length=2000, parallel=2)
    pid = own.engine.pid
    assert pid is not None
    items = [request(max_tokens=1900), request(max_tokens=1900)]
    answers = own.run(items, lambda e: os.kill(pid, signal.SIGKILL) if isinstance(e, api.Tokens) else None)
    for answer in answers:
        assert isinstance(answer.end, api.RequestFailed)
        assert answer.end.code == "engine_crashed"
        assert "SIGKILL" in answer.end.message
    assert is_gone(pid)
    end = own.ask().end
    assert isinstance(end, api.RequestFailed)
    assert end.code == "no_model"
    assert own.load(models / "says.gguf").reused == "nothing"
    assert own.ask().text


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_an_abort_inside_the_child_brings_the_end_of_its_log(own: Asker, models: Path) -> None:
    own.load(models / "loops.gguf", context_length=2000)
    pid = own.engine.pid
    assert pid is not None
    (answer,) = own.run(
        [request(max_tokens=1900)], lambda e: os.kill(pid, signal.SIGABRT) if isinstance(e, api.Tokens) else None
    )
    assert answer.end.code == "engine_crashed"
    assert "SIGABRT" in answer.end.message
    assert "llama_context" in answer.end.detail


def test_close_twice_and_without_a_start() -> None:
    engine = LocalEngine()
    engine.close()
    engine.close()
    assert engine.pid is None


def test_close_ends_the_child_and_its_requests(own: Asker, models: Path) -> None:
    own.load(models / "loops.gguf", context_length=2000)
    pid = own.engine.pid
    assert pid is not None
    (answer,) = own.run(
        [request(max_tokens=1900)], lambda e: own.engine.close() if isinstance(e, api.PrefillEnded) else None
    )
    assert isinstance(answer.end, api.RequestFailed)
    assert is_gone(pid)
    own.engine.close()


def test_the_child_survives_the_thread_that_started_it(own: Asker, models: Path) -> None:
    thread = threading.Thread(target=own.load, args=(models / "says.gguf",))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert own.ask().text


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("busy", [True, False])
def test_the_child_dies_with_its_parent(tmp_path: Path, models: Path, busy: bool) -> None:
    script = (
        "import sys, time\n"
        "from tests.integration.engine.asking import Asker, request\n"
        "from workbench.engine.process import LocalEngine\n"
        "asker = Asker(LocalEngine())\n"
        f"asker.load({str(models / 'loops.gguf')!r}, context_length=100000)\n"
        f"events = asker.engine.run([request(max_tokens=90000)]) if {busy} else None\n"
        "print(asker.engine.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root)
    assert parent.stdout is not None
    with parent, parent.stdout:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert is_gone(pid)


def test_ctrl_c_at_the_terminal_is_not_for_the_child(own: Asker, models: Path) -> None:
    own.load(models / "says.gguf")
    pid = own.engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    time.sleep(0.1)
    assert own.ask().text
    assert own.engine.pid == pid


# -- loading


def test_only_what_changed_is_made_anew(own: Asker, models: Path) -> None:
    path = models / "tiny.gguf"
    first = own.load(path, context_length=256)
    assert first.reused == "nothing"
    assert first.start_ms is not None
    assert first.load_ms is not None
    assert first.context_ms is not None
    same = own.load(path, context_length=256)
    assert (same.reused, same.start_ms, same.load_ms, same.context_ms) == ("model", None, None, None)
    assert same.cold_start_ms is None
    threads = own.load(path, context_length=256, threads=2)
    assert (threads.reused, threads.threads) == ("model", 2)
    for change in (
        {"context_length": 512}, {"kv_type_k": "f32"}, {"batch_size": 512}, {"ubatch_size": 64}, {"parallel": 2},
        {"flash_attention": "on"},
    ):  # fmt: skip
        report = own.load(path, **{"context_length": 256, **change})  # type: ignore[arg-type]
        assert report.reused == "weights", change
        assert report.load_ms is None
        assert report.context_ms is not None
        assert own.ask("Hi", max_tokens=3).end.reason == "length"
    for change in ({"use_mmap": False}, {"repack": False}):
        assert own.load(path, **change).reused == "nothing", change  # type: ignore[arg-type]
    assert own.load(models / "says.gguf").reused == "nothing"


def test_the_report_says_what_was_reserved(own: Asker, demo: Path, demo_token_bytes: int) -> None:
    report = own.load(demo, context_length=4096)
    assert report.reserved_bytes("kv") == 4096 * demo_token_bytes
    halved = own.load(demo, context_length=4096, kv_type_k="q8_0", kv_type_v="q8_0")
    assert halved.reused == "weights"
    # Blocks of 32 values take 34 bytes in place of 64; llama.cpp tells hundredths of a MiB.
    assert halved.reserved_bytes("kv") == pytest.approx(4096 * demo_token_bytes * 34 / 64, abs=2**20 / 100)
    for purpose in ("weights", "compute"):
        assert halved.reserved_bytes(purpose)
    assert report.architecture == "llama"
    assert report.quantization == "F16"
    reader = gguf.GGUFReader(demo)
    assert report.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert report.vocabulary_size == len(reader.fields["tokenizer.ggml.tokens"].contents())
    assert report.trained_context_length == 2048
    assert report.devices[0].kind == "cpu"
    assert "llama-cpp-python" in report.engine_build
    assert any("4,096" in warning and "2,048" in warning for warning in report.warnings)


def test_repacked_weights_are_shown_apart(own: Asker, demo: Path, tmp_path: Path) -> None:
    path = tmp_path / "q4.gguf"
    quantize_file(demo, path, "Q4_0", threads=1)
    repacked = own.load(path).reserved_bytes("repacked")
    plain = own.load(path, repack=False).reserved_bytes("repacked")
    assert repacked is None or repacked > 100_000
    assert plain is None


def test_a_gpu_that_this_build_cannot_use_is_mentioned_with_every_load(models: Path) -> None:
    asked = []

    def advice() -> str:
        asked.append(1)
        return "Your GPU is idle."

    engine = LocalEngine(idle_gpu_advice=advice)
    try:
        asker = Asker(engine)
        reports = [asker.load(models / "says.gguf") for _ in range(2)]
        expected = () if any(d.kind == "gpu" for d in reports[0].devices) else ("Your GPU is idle.",)
        assert [report.warnings for report in reports] == [expected, expected]
        assert len(asked) == 1
    finally:
        engine.close()


def test_progress_is_told_step_by_step(own: Asker, models: Path) -> None:
    from workbench.runs.spec import EngineOptions, ModelRef

    steps: list[tuple[str, float | None]] = []
    own.engine.load(
        ModelRef(str(models / "tiny.gguf"), "t"),
        EngineOptions(threads=1),
        lambda step, part: steps.append((step, part)),
    )
    assert steps[0] == ("start", None)
    assert ("weights", 1.0) in steps
    assert steps[-1] == ("context", None)


def test_a_missing_file(own: Asker, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"nowhere\.gguf"):
        own.load(tmp_path / "nowhere.gguf")


def test_a_file_that_is_no_model(own: Asker, tmp_path: Path) -> None:
    path = tmp_path / "picture.gguf"
    path.write_bytes(b"\x89PNG" * 100)
    with pytest.raises(ModelFileError, match="is not a GGUF model"):
        own.load(path)


def test_a_truncated_file_says_how_much_is_missing(own: Asker, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    data = (models / "tiny.gguf").read_bytes()
    path.write_bytes(data[:-1000])
    with pytest.raises(ModelFileError, match=r"1,000 bytes are missing"):
        own.load(path)


def test_an_unknown_architecture_is_named(own: Asker, tmp_path: Path) -> None:
    path = tiny_models.write_llama(tmp_path / "new.gguf", architecture="fancy9")
    with pytest.raises(ModelFileError, match="fancy9") as caught:
        own.load(path)
    assert caught.value.code == "architecture_unsupported"
    assert "fancy9" in (caught.value.detail or "")


def test_models_that_continue_no_text_are_refused(own: Asker, models: Path, tmp_path: Path) -> None:
    for path in (
        tiny_models.write_bert(tmp_path / "b.gguf"),
        tiny_models.write_without_vocabulary(tmp_path / "n.gguf"),
    ):
        with pytest.raises(ModelFileError, match="continues a text") as caught:
            own.load(path)
        assert caught.value.code == "not_generative"
    assert own.load(models / "says.gguf").reused == "nothing"


def test_a_missing_part_of_a_split_model_is_named(own: Asker, models: Path, tmp_path: Path) -> None:
    path = tmp_path / "big-00001-of-00002.gguf"
    path.write_bytes((models / "tiny.gguf").read_bytes())
    with pytest.raises(ModelNotFound, match="big-00002-of-00002"):
        own.load(path)


def test_a_context_that_cannot_fit_is_refused_with_the_numbers(own: Asker, demo: Path, demo_token_bytes: int) -> None:
    kv = re.escape(f"{16 * demo_token_bytes / 1000:.1f}")
    with pytest.raises(OutOfMemory, match=rf"16,000,000 tokens {kv} GB, compute buffers 16\.4 GB") as caught:
        own.load(demo, context_length=16_000_000)
    assert "shorter context" in caught.value.message
    assert own.load(demo).reused == "nothing"
    with pytest.raises(OutOfMemory):
        own.load(demo, context_length=16_000_000)
    end = own.ask().end
    assert end.code == "no_model"


def test_memory_that_llama_cpp_does_not_get_is_a_sentence(demo: Path, tmp_path: Path) -> None:
    engine = LocalEngine(memory_check=False)
    try:
        with pytest.raises(OutOfMemory):
            Asker(engine).load(demo, context_length=12_000_000, kv_type_k="f32", kv_type_v="f32")
    finally:
        engine.close()


def test_a_quantized_v_cache_needs_flash_attention(own: Asker, models: Path) -> None:
    with pytest.raises(SpecError, match="flash attention"):
        own.load(models / "tiny.gguf", kv_type_v="q8_0", flash_attention="off")


def test_a_kv_type_that_does_not_suit_the_model_is_a_sentence(own: Asker, models: Path) -> None:
    with pytest.raises(ModelFileError, match="K cache type q8_0") as caught:
        own.load(models / "tiny.gguf", kv_type_k="q8_0")
    assert caught.value.code == "context_refused"


def test_a_failed_load_leaves_an_engine_that_loads(own: Asker, models: Path, tmp_path: Path) -> None:
    own.load(models / "says.gguf")
    pid = own.engine.pid
    with pytest.raises(ModelNotFound):
        own.load(tmp_path / "nowhere.gguf")
    own.load(models / "says.gguf")
    assert own.engine.pid == pid
    assert own.ask().text


def test_loading_can_be_cancelled(own: Asker, tmp_path: Path) -> None:
    from workbench.runs.spec import EngineOptions, ModelRef

    path = tiny_models.write_llama(tmp_path / "larger.gguf", width=256, layers=8, vocabulary=4096, feed_forward=1024)
    model = ModelRef(str(path), "t")
    options = EngineOptions(threads=1, use_mmap=False)
    with pytest.raises(UserError) as caught:
        own.engine.load(model, options, lambda step, part: own.engine.cancel_load() if step == "weights" else None)
    assert caught.value.code == "load_cancelled"
    assert own.engine.load(model, options).reused == "nothing"


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_load_that_hangs_is_ended(models: Path) -> None:
    engine = LocalEngine(load_timeout_s=0.6)
    try:
        Asker(engine).load(models / "says.gguf")
        pid = engine.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(Exception, match="no sign of life") as caught:
            Asker(engine).load(models / "tiny.gguf")
        assert getattr(caught.value, "code", "") == "engine_crashed"
        assert is_gone(pid)
        assert Asker(engine).load(models / "tiny.gguf").reused == "nothing"
    finally:
        engine.close()


@pytest.mark.parametrize(
    "command", [("/nowhere/python",), (sys.executable, "-c", "print('hello')"), (sys.executable, "-c", "exit(3)")]
)
def test_a_worker_that_does_not_start_is_a_sentence(models: Path, command: tuple[str, ...]) -> None:
    engine = LocalEngine(command=command, start_timeout_s=10)
    with pytest.raises(EngineStartFailed):
        Asker(engine).load(models / "says.gguf")
    engine.close()


def test_the_log_is_a_file_and_does_not_grow_for_ever(models: Path, tmp_path: Path) -> None:
    engine = LocalEngine(log_dir=tmp_path)
    log = tmp_path / "engine.log"
    try:
        Asker(engine).load(models / "says.gguf")
        assert "llama_model_loader" in log.read_text()
        with log.open("ab") as file:
            file.write(b"x" * 3_000_000)
        Asker(engine).load(models / "tiny.gguf")
        assert log.stat().st_size < 100_000
        assert "llama_model_loader" in log.read_text()
        assert (tmp_path / "engine.log.1").stat().st_size > 3_000_000
    finally:
        engine.close()
