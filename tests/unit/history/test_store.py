from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.run_records import finished, full_spec, running
from workbench.errors import Bug, HistoryError, StorageFull, UserError
from workbench.history.owner import Owner
from workbench.history.store import HistoryStore
from workbench.runs.record import RunRecord
from workbench.runs.spec import Message, ModelRef


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.sqlite3"


@pytest.fixture
def store(file: Path) -> Iterator[HistoryStore]:
    store = HistoryStore(file)
    yield store
    store.close()


def closed(store: HistoryStore, run_id: str, second: int = 0, **changes: object) -> RunRecord:
    record = running(run_id, second)
    store.open_run(record)
    record = replace(finished(record), **changes)  # type: ignore[arg-type]
    store.close_run(record)
    return record


def test_closed_run_comes_back_equal(store: HistoryStore) -> None:
    record = closed(store, "one")
    assert store.get("one") == record


def test_run_without_passes_comes_back_equal(store: HistoryStore) -> None:
    record = closed(store, "one", passes=(), telemetry=(), costs=(), load=None, error=None, machine=())
    assert store.get("one") == record
    assert store.list()[0].output_tokens is None


def test_run_comes_back_equal_after_reopening_the_file(file: Path) -> None:
    first = HistoryStore(file)
    record = closed(first, "one")
    first.close()
    second = HistoryStore(file)
    assert second.get("one") == record
    second.close()


def test_closing_twice_keeps_the_later_state(store: HistoryStore) -> None:
    record = closed(store, "one")
    again = replace(record, passes=record.passes[:1], text="Other.", telemetry=record.telemetry[:1])
    store.close_run(again)
    assert store.get("one") == again


def test_closing_a_run_that_was_never_opened_keeps_it(store: HistoryStore) -> None:
    record = finished(running("stray"))
    store.close_run(record)
    assert store.get("stray") == record


def test_statuses_that_make_no_sense_are_bugs(store: HistoryStore) -> None:
    with pytest.raises(Bug):
        store.open_run(finished(running("one")))
    with pytest.raises(Bug):
        store.close_run(running("one"))


def test_opening_an_id_twice_is_a_bug(store: HistoryStore) -> None:
    store.open_run(running("one"))
    with pytest.raises(Bug):
        store.open_run(running("one"))


def test_text_with_lone_surrogates_is_kept_with_marks(store: HistoryStore) -> None:
    closed(store, "one", text="a\ud800b\x00c")
    assert store.get("one").text == "a?b\x00c"


def test_summary_has_derived_figures_and_beginnings(store: HistoryStore) -> None:
    spec = full_spec(prompt="p" * 500)
    spec = replace(spec, messages=(*spec.messages, Message("assistant", "not this")))
    store.open_run(running("one", spec=spec))
    record = finished(running("one", spec=spec), text="t" * 500)
    store.close_run(record)
    summary = store.list()[0]
    assert (summary.prompt, summary.text) == ("p" * 200, "t" * 300)
    assert summary.ttft_ms == 500.0
    assert summary.ttfa_ms == record.metrics.ttfa_ms
    assert summary.tps == record.metrics.tps
    assert summary.ttlt_ms == record.metrics.ttlt_ms
    assert summary.output_tokens == 5
    assert summary.cost_api_usd == 0.00021
    assert (summary.model, summary.quantization, summary.context_length) == ("Demo model", "Q4_K_M", 2048)
    assert (summary.mode, summary.surface, summary.status) == ("thoughtful", "chat", "finished")


def test_list_is_newest_first_and_pages(store: HistoryStore) -> None:
    for second in (3, 1, 2, 5, 4):
        closed(store, f"run-{second}", second)
    assert [item.id for item in store.list(limit=2)] == ["run-5", "run-4"]
    assert [item.id for item in store.list(limit=2, offset=2)] == ["run-3", "run-2"]
    assert store.count() == 5


def test_list_by_status(store: HistoryStore) -> None:
    closed(store, "one", 1)
    closed(store, "two", 2, status="failed")
    store.open_run(running("three", 3))
    assert [item.id for item in store.list(status="failed")] == ["two"]
    assert [item.id for item in store.list(status="running")] == ["three"]
    assert store.count(status="finished") == 1


def test_search_finds_all_words_in_prompt_model_and_whole_answer(store: HistoryStore) -> None:
    closed(store, "long", 1, text="x" * 5000 + " needle")
    closed(store, "other", 2, text="100% sure_thing")
    assert [item.id for item in store.list(search="NEEDLE context")] == ["long"]
    assert [item.id for item in store.list(search="0% e_t")] == ["other"]
    assert [item.id for item in store.list(search="demo")] == ["other", "long"]
    assert store.list(search="needle absent") == []
    assert store.count(search="needle") == 1


def test_unknown_run_is_a_sentence(store: HistoryStore) -> None:
    with pytest.raises(UserError, match="no run 'nope'") as caught:
        store.get("nope")
    assert caught.value.code == "run_not_found"


def test_id_is_found_by_its_beginning_and_by_last(store: HistoryStore) -> None:
    for run_id, second in (("abc", 1), ("abcd", 2), ("xyz", 3)):
        closed(store, run_id, second)
    assert store.find_id("abc") == "abc"
    assert store.find_id("abcd") == "abcd"
    assert store.find_id("x") == "xyz"
    assert store.find_id("last") == "xyz"
    with pytest.raises(UserError) as caught:
        store.find_id("ab")
    assert caught.value.code == "run_ambiguous"
    with pytest.raises(UserError) as caught:
        store.find_id("")
    assert caught.value.code == "run_not_found"


def test_last_finished_skips_failed_and_deleted(store: HistoryStore) -> None:
    first = closed(store, "one", 1)
    closed(store, "two", 2, status="failed")
    closed(store, "three", 3)
    store.delete(["three"])
    assert store.last_finished(limit=5) == [first]


def test_deleted_runs_come_back_until_the_store_is_closed(file: Path) -> None:
    store = HistoryStore(file)
    closed(store, "one", 1)
    closed(store, "two", 2)
    assert store.delete(["one", "two", "absent"]) == 2
    assert store.count() == 0
    assert store.restore(["two"]) == 1
    assert [item.id for item in store.list()] == ["two"]
    store.close()
    again = HistoryStore(file)
    assert again.restore(["one"]) == 0
    assert again.count() == 1
    again.close()
    with sqlite3.connect(file) as connection:
        for table in ("contents", "passes", "telemetry"):
            assert connection.execute(f"SELECT count(DISTINCT number) FROM {table}").fetchone() == (1,)
    connection.close()


def test_another_window_keeps_its_undo(file: Path) -> None:
    first, second = HistoryStore(file), HistoryStore(file)
    closed(first, "one")
    first.delete(["one"])
    second.close()
    assert first.restore(["one"]) == 1
    first.close()


def test_more_ids_than_one_statement_takes(store: HistoryStore) -> None:
    closed(store, "one")
    assert store.delete([f"absent-{number}" for number in range(3000)] + ["one"]) == 1


def test_progress_survives_and_open_runs_of_a_closed_store_are_interrupted(file: Path) -> None:
    store = HistoryStore(file)
    store.open_run(running("one"))
    store.save_progress("one", "Half an ans", "hm")
    store.close()
    store.close()
    again = HistoryStore(file)
    record = again.get("one")
    assert (record.status, record.text, record.thinking) == ("interrupted", "Half an ans", "hm")
    assert again.list()[0].text == "Half an ans"
    again.close()


def test_progress_after_the_end_changes_nothing(store: HistoryStore) -> None:
    record = closed(store, "one")
    store.save_progress("one", "late", "late")
    assert store.get("one") == record


def test_rows_of_a_living_program_are_not_interrupted(store: HistoryStore) -> None:
    store.open_run(running("one"))
    assert store.mark_interrupted() == 0
    assert store.list()[0].status == "running"


def test_owner_is_known_by_pid_and_start() -> None:
    me = Owner.this_process()
    assert me.is_alive()
    assert not replace(me, created=me.created - 60).is_alive()
    assert not Owner(2**22 + 5, me.created).is_alive()


def test_closed_store_says_so(file: Path) -> None:
    store = HistoryStore(file)
    store.close()
    with pytest.raises(HistoryError) as caught:
        store.list()
    assert caught.value.code == "history_closed"


def test_hash_is_remembered_for_the_same_content_only(store: HistoryStore) -> None:
    assert store.model_hash("/m.gguf", 10, 20) is None
    store.remember_model_hash("/m.gguf", 10, 20, "aa")
    assert store.model_hash("/m.gguf", 10, 20) == "aa"
    assert store.model_hash("/m.gguf", 11, 20) is None
    store.remember_model_hash("/m.gguf", 11, 21, "bb")
    assert (store.model_hash("/m.gguf", 10, 20), store.model_hash("/m.gguf", 11, 21)) == (None, "bb")


def test_hash_found_later_is_filled_into_runs_with_that_content(store: HistoryStore) -> None:
    spec = replace(full_spec(), model=ModelRef("/m.gguf", "m"))
    store.close_run(finished(running("before", 10, spec)))
    store.close_run(finished(running("after", 30, spec)))
    written_ns = 1_795_219_220 * 10**9  # 2026-11-21T00:00:20Z
    store.remember_model_hash("/m.gguf", 1, written_ns, "cc")
    assert store.get("before").spec.model.sha256 is None
    assert store.get("after").spec.model.sha256 == "cc"


@pytest.mark.parametrize("format", ["jsonl", "csv", "markdown"])
def test_export_of_nothing(store: HistoryStore, format: str) -> None:
    assert "|" not in "".join(store.export(None, format))  # type: ignore[arg-type]


def test_export_jsonl_holds_everything(store: HistoryStore) -> None:
    closed(store, "one", 1)
    closed(store, "two", 2)
    lines = [json.loads(line) for line in store.export(None, "jsonl")]
    assert [line["id"] for line in lines] == ["two", "one"]
    assert lines[0]["passes"][0]["timings"]["token_ns"] == list(store.get("two").passes[0].timings.token_ns)
    assert lines[0]["metrics"]["ttft_ms"] == 500.0


def test_export_of_chosen_ids_and_unknown_ones(store: HistoryStore) -> None:
    closed(store, "one", 1)
    closed(store, "two", 2)
    assert len(list(store.export(["one"], "jsonl"))) == 1
    with pytest.raises(UserError):
        list(store.export(["absent"], "jsonl"))
    with pytest.raises(UserError, match="xml"):
        store.export(None, "xml")  # type: ignore[arg-type]


def test_damaged_file_is_a_sentence_and_can_be_set_aside(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(HistoryError) as caught:
        HistoryStore(file)
    assert caught.value.code == "history_damaged"
    aside = HistoryStore.recover(file)
    assert aside.read_bytes().startswith(b"this is not")
    store = HistoryStore(file)
    assert store.count() == 0
    store.close()


def test_damaged_pages_are_a_sentence(file: Path) -> None:
    store = HistoryStore(file)
    for number in range(50):
        closed(store, f"run-{number}", number)
    store.close()
    content = bytearray(file.read_bytes())
    content[4096 * 2 :] = b"\xa5" * (len(content) - 4096 * 2)
    file.write_bytes(content)
    with pytest.raises(HistoryError) as caught:  # noqa: PT012 - either may be the first to meet the damage
        damaged = HistoryStore(file)
        try:
            damaged.list(limit=100)
            damaged.get("run-7")
        finally:
            damaged._database.close()
    assert caught.value.code == "history_damaged"


def test_damaged_record_is_a_sentence(store: HistoryStore, file: Path) -> None:
    closed(store, "one")
    connection = sqlite3.connect(file)
    connection.execute("UPDATE contents SET spec = '{\"model\": 1}'")
    connection.commit()
    connection.close()
    with pytest.raises(HistoryError) as caught:
        store.get("one")
    assert caught.value.code == "history_damaged"


def test_folder_in_the_place_of_the_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot be opened"):
        HistoryStore(tmp_path)


def test_file_in_the_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(HistoryError, match="cannot be made"):
        HistoryStore(tmp_path / "data" / "history.sqlite3")


def test_full_disk_is_storage_full_and_the_store_goes_on(store: HistoryStore) -> None:
    record = closed(store, "one")
    connection = store._database._connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")
    big = replace(finished(running("two", 1)), text="x" * 1_000_000)
    with pytest.raises(StorageFull):
        store.close_run(big)
    connection.execute("PRAGMA max_page_count=1000000")
    assert store.get("one") == record
    store.close_run(big)
    assert store.get("two") == big


def test_read_only_file_is_a_sentence(store: HistoryStore) -> None:
    connection = store._database._connection
    assert connection is not None
    connection.execute("PRAGMA query_only=ON")
    with pytest.raises(HistoryError, match="read-only"):
        store.open_run(running("one"))
    connection.execute("PRAGMA query_only=OFF")


def test_fifty_thousand_runs_list_and_search_fast(file: Path) -> None:
    store = HistoryStore(file)
    closed(store, "template", text="An ordinary answer of some length. " * 40)
    connection = store._database._connection
    assert connection is not None
    connection.execute("BEGIN")
    columns = "status, started_at, model, model_path, quantization, context_length, prompt, preview"
    connection.execute(
        f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) "
        f"INSERT INTO runs (number, id, {columns}) SELECT i, 'run-' || i, status, "
        f"strftime('%Y-%m-%dT%H:%M:%S', 1700000000 + i * 60, 'unixepoch'), model, model_path, quantization, "
        f"context_length, prompt || i, preview FROM n, runs WHERE runs.id = 'template'"
    )
    connection.execute(
        "INSERT INTO contents (number, text, spec) SELECT runs.number, template.text, template.spec "
        "FROM runs, contents AS template WHERE template.number = 1 AND runs.number > 1"
    )
    connection.execute("COMMIT")
    timings = {}
    for name, ask in {
        "list": lambda: store.list(limit=100),
        "page": lambda: store.list(limit=100, offset=40_000),
        "count": lambda: store.count(),
        "search": lambda: store.list(limit=100, search="memory?4321"),
        "find": lambda: store.find_id("run-4999"),
    }.items():
        started = time.perf_counter()
        with contextlib.suppress(UserError):
            ask()
        timings[name] = time.perf_counter() - started
    print({name: f"{seconds * 1000:.1f} ms" for name, seconds in timings.items()})
    assert timings["list"] < 0.05
    assert timings["page"] < 0.5
    assert timings["count"] < 0.2
    assert timings["search"] < 3.0
    store.close()
