from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.run_records import START_NS, finished, full_spec, one_pass, running
from workbench.errors import HistoryError
from workbench.history.migrations import STEPS, migrate
from workbench.history.model_figures import CheckedPart, MemoryCheck
from workbench.history.store import HistoryStore
from workbench.runs.measured_speed import MeasuredSpeed
from workbench.runs.record import PassRecord, RunRecord
from workbench.runs.spec import ModelRef, RunSpec

HASH = "cd" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture
def store(file: Path) -> Iterator[HistoryStore]:
    store = HistoryStore(file)
    yield store
    store.close()


def spec_of(path: str, sha256: str | None = HASH) -> RunSpec:
    spec = full_spec()
    return replace(spec, model=ModelRef(path, "A model", "Q8_0", sha256), engine=replace(spec.engine, parallel=1))


def answer(gap_ms: int, prefill_ms: int = 100, tokens: int = 17) -> PassRecord:
    """32 prompt tokens computed in `prefill_ms`, then a token every `gap_ms`."""
    plain = one_pass(0, tokens, gap_ns=gap_ms * 1_000_000)
    return replace(
        plain, timings=replace(plain.timings, prefill_end_ns=START_NS + 1 + prefill_ms * 1_000_000)
    )  # fmt: skip


def closed(
    store: HistoryStore, run_id: str, second: int, path: str = "/m/a.gguf", sha256: str | None = HASH, **changes: object
) -> RunRecord:
    record = running(run_id, second, spec_of(path, sha256))
    store.open_run(record)
    changes = {"passes": (answer(10),), "cancelled_by": None, "error": None, **changes}
    record = replace(finished(record), **changes)  # type: ignore[arg-type]
    store.close_run(record)
    return record


def test_use_has_last_time_number_and_medians_by_path_and_by_hash(store: HistoryStore) -> None:
    for second, (gap_ms, prefill_ms) in enumerate([(10, 100), (20, 200), (40, 400)]):
        closed(store, f"run-{second}", second, passes=(answer(gap_ms, prefill_ms),))
    use = store.model_use()
    assert set(use) == {"/m/a.gguf", HASH}
    assert use[HASH] == use["/m/a.gguf"]
    found = use[HASH]
    assert (found.last_used_at, found.runs) == ("2026-11-21T00:00:02.000+00:00", 3)
    assert found.decode_tps == pytest.approx(50)  # one token in 20 ms
    assert found.prefill_tps == pytest.approx(160)  # 32 tokens in 200 ms


def test_moved_file_is_known_by_its_hash(store: HistoryStore) -> None:
    closed(store, "one", 1, path="/old/a.gguf")
    closed(store, "two", 2, path="/new/a.gguf")
    use = store.model_use()
    assert use["/old/a.gguf"].runs == use["/new/a.gguf"].runs == 1
    assert use[HASH].runs == 2


def test_medians_are_of_the_newest_runs_only(store: HistoryStore) -> None:
    for second in range(4):
        closed(store, f"old-{second}", second, passes=(answer(40),))
    for second in range(4, 7):
        closed(store, f"new-{second}", second, passes=(answer(10),))
    assert store.model_use(recent=3)[HASH].decode_tps == pytest.approx(100)
    assert store.model_use(recent=7)[HASH].decode_tps == pytest.approx(25)


def test_failed_runs_count_as_use_and_not_as_speed_and_deleted_ones_as_neither(store: HistoryStore) -> None:
    closed(store, "failed", 1, status="failed", passes=())
    assert store.model_use()[HASH].runs == 1
    assert store.model_use()[HASH].decode_tps is None
    assert store.model_use()[HASH].prefill_tps is None
    closed(store, "deleted", 2)
    store.delete(["deleted", "failed"])
    assert store.model_use() == {}


def test_measured_speed_carries_what_a_prediction_depends_on(store: HistoryStore) -> None:
    record = closed(store, "one", 1)
    (found,) = store.measured_speeds()
    assert record.load is not None
    assert found == MeasuredSpeed(
        run_id="one", model_path="/m/a.gguf", sha256=HASH, quantization="Q8_0", tps=100.0, prefill_tps=320.0,
        prompt_tokens=40, evaluated_tokens=32, output_tokens=17, context_length=2048, threads=2, gpu_layers=0,
        engine_build="b1234", cpu="Test",
    )  # fmt: skip


def test_runs_that_say_nothing_about_speed_are_left_out(store: HistoryStore) -> None:
    closed(store, "short", 1, passes=(answer(10, tokens=15),))
    closed(store, "two passes", 2, passes=(answer(10), replace(answer(10), index=1)))
    closed(store, "failed", 3, status="failed")
    closed(store, "no load", 4, load=None)
    several = running("several at once", 5)  # two sequences share the context
    store.open_run(several)
    store.close_run(replace(finished(several, tokens=20), passes=(answer(10),)))
    assert store.measured_speeds() == ()
    closed(store, "good", 6)
    closed(store, "better", 7)
    assert [item.run_id for item in store.measured_speeds()] == ["better", "good"]
    assert [item.run_id for item in store.measured_speeds(limit=1)] == ["better"]


def check(number: int = 0, path: str = "/m/a.gguf", sha256: str | None = HASH) -> MemoryCheck:
    parts = (CheckedPart("weights", 400_000_000, 399_000_000), CheckedPart("kv", 96 * 2**20, 96 * 2**20))
    return MemoryCheck(f"2026-11-21T00:00:{number:02d}+00:00", path, sha256, 8192, "q8_0", -1, "engine", parts)


def test_memory_checks_come_back_newest_first_by_path_and_by_hash(file: Path) -> None:
    first = HistoryStore(file)
    for number in range(3):
        first.add_memory_check(check(number))
    first.add_memory_check(check(9, path="/m/b.gguf", sha256=None))
    first.close()
    second = HistoryStore(file)
    assert second.memory_checks("/m/a.gguf") == (check(2), check(1), check(0))
    assert second.memory_checks(HASH, limit=1) == (check(2),)
    assert second.memory_checks(Path("/m/b.gguf")) == (check(9, path="/m/b.gguf", sha256=None),)
    assert second.memory_checks("/m/none.gguf") == ()
    second.close()


def test_only_the_newest_hundred_checks_of_a_model_are_kept(store: HistoryStore) -> None:
    store.add_memory_check(check(1, path="/m/other.gguf"))
    for number in range(103):
        store.add_memory_check(replace(check(), context_length=number))
    kept = store.memory_checks("/m/a.gguf", limit=1000)
    assert [item.context_length for item in kept] == list(range(102, 2, -1))
    assert len(store.memory_checks("/m/other.gguf")) == 1


def test_path_that_is_no_utf8_is_a_key_of_its_own(store: HistoryStore) -> None:
    store.add_memory_check(check(1, path="/m/\udcff.gguf", sha256=None))
    assert len(store.memory_checks("/m/\udcff.gguf")) == 1
    assert store.memory_checks("/m/?.gguf") == ()


def test_damaged_check_is_a_sentence(store: HistoryStore, file: Path) -> None:
    store.add_memory_check(check())
    connection = sqlite3.connect(file)
    connection.execute("UPDATE memory_checks SET parts = '[{\"purpose\": 1}]'")
    connection.commit()
    connection.close()
    with pytest.raises(HistoryError, match="damaged") as caught:
        store.memory_checks(HASH)
    assert caught.value.code == "history_damaged"


@pytest.mark.parametrize(
    "damage",
    [
        "parts = '{\"x\": 1}'", "parts = '['", "parts = 7", "parts = x'ff00'", "context_length = 'much'",
        "checked_at = x'00ff'", "sha256 = x'00ff'",
        f"parts = '[{{\"purpose\": \"kv\", \"predicted_bytes\": {10**400}, \"measured_bytes\": 1}}]'",
        "parts = '[{\"purpose\": \"kv\", \"predicted_bytes\": 1e400, \"measured_bytes\": 1}]'",
        "parts = '[{\"purpose\": \"kv\", \"predicted_bytes\": -1, \"measured_bytes\": 1}]'",
    ],
)  # fmt: skip
def test_one_damaged_check_does_not_hinder_the_others(store: HistoryStore, file: Path, damage: str) -> None:
    for number in range(3):
        store.add_memory_check(check(number))
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE memory_checks SET {damage} WHERE number = 2")
    with pytest.raises(HistoryError, match=r"check of /m/a\.gguf in the history is damaged"):
        store.memory_checks("/m/a.gguf")
    unreadable: list[HistoryError] = []
    assert store.memory_checks("/m/a.gguf", on_unreadable=unreadable.append) == (check(2), check(0))
    assert [error.code for error in unreadable] == ["history_damaged"]


def test_runs_of_an_older_history_count_and_checks_can_be_added(file: Path) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    migrate(connection, STEPS[:2])
    connection.execute(
        "INSERT INTO runs (id, status, started_at, model, model_path, context_length, prompt, tps, model_sha256) "
        "VALUES ('old', 'finished', '2026-01-01T00:00:00+00:00', 'M', '/m/a.gguf', 2048, 'Hi', 25.0, ?)",
        (HASH,),
    )
    connection.close()
    store = HistoryStore(file)
    use = store.model_use()
    assert (use[HASH].last_used_at, use[HASH].runs, use[HASH].decode_tps) == ("2026-01-01T00:00:00+00:00", 1, 25.0)
    assert use[HASH].prefill_tps is None
    store.add_memory_check(check())
    assert store.memory_checks(HASH) == (check(),)
    store.close()


def test_fifty_thousand_runs_of_thirty_models_are_summed_up_fast(file: Path) -> None:
    store = HistoryStore(file)
    closed(store, "template", 0)
    connection = store._database._connection
    assert connection is not None
    connection.execute("BEGIN")
    columns = "status, model, quantization, context_length, prompt, preview, tps, output_tokens"
    connection.execute(
        f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) "
        f"INSERT INTO runs (number, id, started_at, model_path, model_sha256, {columns}) SELECT i, 'run-' || i, "
        f"strftime('%Y-%m-%dT%H:%M:%S', 1700000000 + i * 60, 'unixepoch'), '/m/' || (i % 30), 'h' || (i % 30), "
        f"{columns} FROM n, runs WHERE runs.id = 'template'"
    )
    for table in ("contents (number, text, spec, load)", "passes (number, position, record, token_ns, is_thinking)"):
        others = table.partition("(number, ")[2].rstrip(")")
        connection.execute(
            f"INSERT INTO {table} SELECT runs.number, {', '.join(f't.{name}' for name in others.split(', '))} "
            f"FROM runs, {table.split()[0]} AS t WHERE t.number = 1 AND runs.number > 1"
        )
    connection.execute("COMMIT")
    started = time.perf_counter()
    use = store.model_use()
    use_s = time.perf_counter() - started
    speeds = store.measured_speeds()
    speeds_s = time.perf_counter() - started - use_s
    print(f"use {use_s * 1000:.1f} ms, speeds {speeds_s * 1000:.1f} ms")
    assert (len(use), use["/m/5"].runs, len(speeds)) == (62, 1667, 200)
    assert use_s < 0.5
    assert speeds_s < 0.5
    store.close()
