"""What the Models page knows: searches that overtake each other, estimates of siblings, downloads, the library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from tests.fakes import gguf_files
from tests.ui.models_fakes import (
    DEMOS,
    FREE,
    GATED,
    QWEN,
    FakeModels,
    checked,
    estimate_of,
    offline,
    repository,
    summary,
)
from ui.state import models_fit, models_words
from ui.state.models import ModelsState
from ui.state.models_downloads import download_item
from ui.state.models_search import Filters, ResultItem
from workbench.core import Workbench
from workbench.errors import HubError, StorageFull
from workbench.history.model_figures import CheckedPart, ModelUse
from workbench.hub.memory import CurvePoint, Verdict
from workbench.hub.repository import RemoteFiles, RepoFile
from workbench.hub.speed import SpeedEstimate
from workbench.hub.transfers import DownloadOrder, DownloadView
from workbench.runs.spec import EngineOptions


@pytest.fixture
def state(models_state: ModelsState) -> ModelsState:
    return models_state


def listed(state: ModelsState) -> list[ResultItem]:
    """Collects what the list is told."""
    items: list[ResultItem] = []

    def reset(found: list[ResultItem]) -> None:
        items[:] = found

    state.search.items_reset.connect(reset)
    state.search.items_added.connect(items.extend)
    return items


def shown(qtbot: QtBot, state: ModelsState, repo_id: str = QWEN) -> None:
    state.choice.show_repository(repo_id)
    qtbot.waitUntil(lambda: bool(state.choice.curve()))


def test_the_shelf_has_what_is_here_and_the_catalogue(qtbot: QtBot, state: ModelsState) -> None:
    items = listed(state)
    state.start()
    qtbot.waitUntil(lambda: len(items) > 15)
    qtbot.waitUntil(lambda: items[0].title == "Demo model")
    assert ("here", "good") in items[0].pills
    phi = next(item for item in items if item.title == "Phi-4-mini")
    assert phi.entry == "Phi-4-mini"
    qwen = next(item for item in items if item.repo_id == QWEN)
    assert ("thinks", "thinking") in qwen.pills
    assert qwen.why
    assert state.search.text == "Starter catalogue and this machine"


def test_an_older_search_does_not_replace_a_newer_one(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    models.pages = {"slow": [(summary("a/slow-GGUF"),)], "quick": [(summary("b/quick-GGUF"),)]}
    gate = models.hold("search")
    items = listed(state)
    state.search.search("slow")
    qtbot.waitUntil(lambda: len(models.asked) == 1)
    del models.gates["search"]
    state.search.search("quick")
    qtbot.waitUntil(lambda: [item.title for item in items] == ["quick"])
    gate.set()
    qtbot.wait(80)
    assert [item.title for item in items] == ["quick"]


def test_pages_are_asked_for_one_by_one(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    models.pages["qwen"] = [tuple(summary(f"a/m{page}-{i}-GGUF") for i in range(20)) for page in range(2)]
    items = listed(state)
    state.search.search("qwen")
    qtbot.waitUntil(lambda: len(items) == 20)
    assert state.search.text == "20 from the Hub, more below"
    state.search.load_more()
    state.search.load_more()
    qtbot.waitUntil(lambda: len(items) == 40)
    state.search.load_more()
    qtbot.waitUntil(lambda: not state.search.has_more)
    assert state.search.text == "40 from the Hub"


def test_filters_reach_the_question(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    state.search.set_filters(Filters(author="Qwen", license="mit", size="small", sort="likes"))
    qtbot.waitUntil(lambda: state.search.status == "empty")
    query = models.asked[0][1]
    assert (query.author, query.license, query.sort) == ("Qwen", "mit", "likes")  # type: ignore[attr-defined]
    assert (query.min_parameters, query.max_parameters) == (10**9, 4 * 10**9)  # type: ignore[attr-defined]


def test_offline_shows_what_can_be_named_and_says_why(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    items = listed(state)
    state.start()
    qtbot.waitUntil(lambda: any(item.title == "Phi-4-mini" for item in items))
    models.problem = offline()
    state.search.search("phi")
    qtbot.waitUntil(lambda: state.search.status == "offline")
    assert "does not answer" in state.search.problem
    assert "Phi-4-mini" in [item.title for item in items]
    assert all("phi" in f"{item.title} {item.repo_id}".lower() for item in items)
    models.problem = None
    models.pages["phi"] = [(summary("a/phi-GGUF"),)]
    state.search.again()
    qtbot.waitUntil(lambda: [item.title for item in items] == ["phi"])
    assert state.search.problem == ""


def test_an_error_of_a_later_page_keeps_the_first(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    models.pages["qwen"] = [(summary("a/one-GGUF"),), (summary("a/two-GGUF"),)]
    items = listed(state)
    state.search.search("qwen")
    qtbot.waitUntil(lambda: len(items) == 1)

    def broken() -> Iterator[object]:
        raise HubError("The Hub answered with an error.")
        yield

    state.search._pages = broken()  # type: ignore[assignment]
    state.search.load_more()
    qtbot.waitUntil(lambda: state.search.problem == "The Hub answered with an error.")
    assert [item.title for item in items] == ["one"]


@pytest.mark.parametrize("text", [QWEN, f"https://huggingface.co/{QWEN}", f"hf.co/{QWEN}"])
def test_a_repository_is_opened_without_a_search(
    qtbot: QtBot, state: ModelsState, models: FakeModels, text: str
) -> None:
    items = listed(state)
    state.search.search(text)
    qtbot.waitUntil(lambda: state.choice.head.status == "ready")
    assert [kind for kind, _ in models.asked if kind == "search"] == []
    assert [item.repo_id for item in items] == [QWEN]


def sizes_asked(models: FakeModels) -> list[int]:
    """Of the rows that llama.cpp was asked about, each once, in order."""
    sizes: dict[int, None] = {}
    for kind, asked in models.asked:
        source = asked[0] if isinstance(asked, tuple) else asked
        if kind in ("estimate", "curve") and isinstance(source, RemoteFiles):
            sizes[source.files[0].size_bytes] = None
    return list(sizes)


def exact_lines(state: ModelsState) -> set[str]:
    return {line.name for line in state.choice.curve() if line.is_exact}


def test_the_recommended_row_is_asked_about_and_siblings_are_estimated_until_it_is_their_turn(
    qtbot: QtBot, state: ModelsState, models: FakeModels
) -> None:
    gate = models.hold("curve of 296000000")
    shown(qtbot, state)
    rows = {row.key: row for row in state.choice.rows()}
    exact = estimate_of(484_000_000, EngineOptions(context_length=8192))
    assert rows["Q4_K_M"].fit.reserved_bytes == exact.reserved_bytes()
    assert (rows["Q4_K_M"].fit.verdict, rows["Q4_K_M"].fit.tone) == ("fits", "good")
    assert rows["Q4_K_M"].badge == "take this"
    assert rows["Q8_0"].fit.verdict == "fits, est."
    assert "Estimated from Q4_K_M" in rows["Q8_0"].fit.tip
    kv = next(part for part in rows["Q8_0"].fit.parts if part.label == "KV")
    assert kv.reserved_bytes == 8192 * 112_000
    assert len({row.fit.scale_bytes for row in rows.values()}) == 1, "one scale for all bars"
    assert exact_lines(state) == {"Q4_K_M"}
    assert state.choice.curve_basis() == "Q4_K_M: exact, planned by llama.cpp; dotted lines estimated from it"
    gate.set()


def test_all_rows_become_exact_one_after_the_other(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    gate = models.hold("curve of 551000000")
    shown(qtbot, state)
    qtbot.waitUntil(lambda: exact_lines(state) == {"Q4_K_M", "Q2_K"})
    words = [row.fit.verdict for row in state.choice.rows()]
    assert words == ["fits", "fits", "fits, est.", "fits, est.", "fits, est."]
    assert "dotted" in state.choice.curve_basis()
    gate.set()
    qtbot.waitUntil(lambda: len(exact_lines(state)) == 5)
    qtbot.waitUntil(lambda: {row.fit.verdict for row in state.choice.rows()} == {"fits"})
    assert sizes_asked(models) == [484_000_000, 296_000_000, 551_000_000, 805_000_000, 1_510_000_000]
    for row in state.choice.rows():
        exact = estimate_of(row.size_bytes or 0, EngineOptions(context_length=8192))
        assert row.fit.reserved_bytes == exact.reserved_bytes()
    assert state.choice.curve_basis() == "Q4_K_M: exact, planned by llama.cpp; so are the other lines"


def test_a_repository_that_is_left_is_not_asked_about_further(
    qtbot: QtBot, state: ModelsState, models: FakeModels
) -> None:
    models.repositories["a/other-GGUF"] = repository("a/other-GGUF", [("Q8_0", 100_000_000, 8.5)])
    gate = models.hold("curve of 296000000")
    shown(qtbot, state)
    qtbot.waitUntil(lambda: 296_000_000 in sizes_asked(models))
    state.choice.show_repository("a/other-GGUF")
    qtbot.waitUntil(lambda: [row.key for row in state.choice.rows()] == ["Q8_0"])
    gate.set()
    qtbot.waitUntil(lambda: exact_lines(state) == {"Q8_0"})
    assert sizes_asked(models) == [484_000_000, 296_000_000, 100_000_000]


def test_no_row_is_asked_about_beside_one_that_fails(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    models.fit_problem = offline()
    state.choice.show_repository(QWEN)
    qtbot.waitUntil(lambda: state.choice.curve_problem() != "")
    qtbot.waitUntil(lambda: bool(state.choice.curve()))
    qtbot.wait(50)
    assert sizes_asked(models) == [484_000_000]


def test_a_row_that_fails_beside_another_keeps_its_estimate_until_it_is_looked_at(
    qtbot: QtBot, state: ModelsState, models: FakeModels
) -> None:
    models.curve_problems[805_000_000] = offline()
    shown(qtbot, state)
    qtbot.waitUntil(lambda: exact_lines(state) == {"Q2_K", "Q4_K_M", "Q5_K_M", "F16"})
    row = next(row for row in state.choice.rows() if row.key == "Q8_0")
    assert row.fit.verdict == "fits, est."
    del models.curve_problems[805_000_000]
    state.choice.look_at("Q8_0")
    qtbot.waitUntil(lambda: len(exact_lines(state)) == 5)
    assert next(row for row in state.choice.rows() if row.key == "Q8_0").fit.verdict == "fits"


def test_many_rows_and_split_files_wait_until_they_are_looked_at(
    qtbot: QtBot, state: ModelsState, models: FakeModels
) -> None:
    many = repository(sizes=[(f"Q{n}_X", 100_000_000 + n, 4.0) for n in range(16)])
    parts = (RepoFile("big-00001-of-00002.gguf", 10), RepoFile("big-00002-of-00002.gguf", 11))
    split = replace(many.quantizations[0], label="Q8_0", files=parts)
    models.repositories[QWEN] = replace(many, quantizations=(split, *many.quantizations))
    state.choice.show_repository(QWEN)
    qtbot.waitUntil(lambda: len(exact_lines(state)) == 12)
    qtbot.wait(50)
    assert len(sizes_asked(models)) == 12
    assert {row.fit.verdict for row in state.choice.rows()} == {"fits", "fits, est."}
    state.choice.look_at("Q8_0")
    qtbot.waitUntil(lambda: "Q8_0" in exact_lines(state))


def test_a_row_that_is_looked_at_becomes_exact_first(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    gate = models.hold("curve of 296000000")
    shown(qtbot, state)
    state.choice.look_at("Q8_0")
    gate.set()
    qtbot.waitUntil(lambda: len(exact_lines(state)) == 5)
    assert sizes_asked(models)[:3] == [484_000_000, 296_000_000, 805_000_000]
    assert next(line for line in state.choice.curve() if line.is_current).name == "Q8_0"


def test_another_context_changes_the_bars_before_the_answer_comes(
    qtbot: QtBot, state: ModelsState, models: FakeModels
) -> None:
    shown(qtbot, state)
    gate = models.hold("estimate")
    state.choice.set_context(16_384)
    row = next(row for row in state.choice.rows() if row.key == "Q4_K_M")
    assert next(part for part in row.fit.parts if part.label == "KV").reserved_bytes == 16_384 * 112_000
    assert row.fit.verdict == "fits, est."
    gate.set()
    qtbot.waitUntil(lambda: next(r for r in state.choice.rows() if r.key == "Q4_K_M").fit.verdict == "fits")


def test_the_kv_type_changes_the_need(qtbot: QtBot, state: ModelsState) -> None:
    shown(qtbot, state)
    state.choice.set_kv_type("q8_0")
    exact = estimate_of(484_000_000, EngineOptions(context_length=8192, kv_type_k="q8_0"))
    qtbot.waitUntil(
        lambda: next(r for r in state.choice.rows() if r.key == "Q4_K_M").fit.reserved_bytes == exact.reserved_bytes()
    )


def test_an_answer_about_the_model_before_is_dropped(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    small = repository("a/other-GGUF", [("Q8_0", 100_000_000, 8.5)])
    models.repositories["a/other-GGUF"] = small
    gate = models.hold("estimate")
    state.choice.show_repository(QWEN)
    qtbot.waitUntil(lambda: any(kind == "estimate" for kind, _ in models.asked))
    state.choice.show_repository("a/other-GGUF")
    qtbot.waitUntil(lambda: [row.key for row in state.choice.rows()] == ["Q8_0"])
    gate.set()
    wanted = estimate_of(100_000_000, EngineOptions(context_length=8192)).reserved_bytes()
    qtbot.waitUntil(lambda: state.choice.rows()[0].fit.reserved_bytes == wanted)


def test_what_cannot_be_judged_says_why(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    models.fit_problem = HubError("The header could not be read.")
    state.choice.show_repository(QWEN)
    qtbot.waitUntil(lambda: state.choice.curve_problem() == "The header could not be read.")
    row = next(row for row in state.choice.rows() if row.key == "Q4_K_M")
    assert row.fit.text == "The header could not be read."
    assert row.action == ("pull", "Download"), "it can be downloaded all the same"


def test_a_file_that_is_here_is_used_and_not_downloaded(
    qtbot: QtBot, state: ModelsState, models: FakeModels, workbench: Workbench
) -> None:
    here = workbench.paths.models / "Phi-4-mini-Q8_0.gguf"
    size = here.stat().st_size
    found = repository("a/Phi-4-mini-GGUF", [("Q8_0", size, 8.5), ("F16", 2 * size, 16.0)])
    models.repositories["a/Phi-4-mini-GGUF"] = found
    state.library.load()
    qtbot.waitUntil(lambda: state.library.is_loaded)
    state.choice.show_repository("a/Phi-4-mini-GGUF")
    qtbot.waitUntil(lambda: len(state.choice.rows()) == 2)
    assert [row.action[0] for row in state.choice.rows()] == ["use", "pull"]
    assert state.choice.variant("Q8_0").model == str(here)  # type: ignore[union-attr]


def test_offline_a_repository_falls_back_to_its_files_here(
    qtbot: QtBot, state: ModelsState, models: FakeModels
) -> None:
    state.library.load()
    qtbot.waitUntil(lambda: state.library.is_loaded)
    entries = tuple(
        replace(entry, files=tuple(replace(file, repo_id="a/Phi-4-mini-GGUF") for file in entry.files))
        for entry in state.library.entries
        if entry.name == "Phi-4-mini"
    )
    state.choice.set_entries(entries)
    models.problem = offline()
    state.choice.show_repository("a/Phi-4-mini-GGUF")
    qtbot.waitUntil(lambda: state.choice.head.status == "ready")
    assert "Offline" in state.choice.head.basis
    assert [row.action[0] for row in state.choice.rows()] == ["use"]


def test_a_gated_repository_says_so(qtbot: QtBot, state: ModelsState) -> None:
    state.choice.show_repository(GATED)
    qtbot.waitUntil(lambda: state.choice.head.status == "failed")
    assert state.choice.head.problem_code == "denied"
    assert "gated" in state.choice.head.problem


def test_measured_error_and_speed_stand_beside_the_row(qtbot: QtBot, state: ModelsState, models: FakeModels) -> None:
    models.checks = (checked(CheckedPart("weights", 1000, 1000), CheckedPart("total resident", 1010, 1000)),)
    path = str(models.library.models_folder / "Phi-4-mini-Q8_0.gguf")
    models.used[path] = ModelUse("2026-11-20T10:00:00+00:00", 4, 61.3)
    state.library.load()
    qtbot.waitUntil(lambda: state.library.is_loaded)
    state.choice.show_entry("Phi-4-mini")
    qtbot.waitUntil(lambda: state.choice.rows()[0].error == "+1.0 %")
    assert state.choice.rows()[0].speed == "61.3"
    assert state.choice.rows()[0].is_speed_measured


def test_a_download_is_ordered_paused_and_resumed_from_its_row(
    qtbot: QtBot, state: ModelsState, models: FakeModels
) -> None:
    busy: list[bool] = []
    state.downloads.busy_changed.connect(busy.append)
    shown(qtbot, state)
    state.choice.act("Q8_0")
    qtbot.waitUntil(lambda: bool(models.downloads.orders))
    row = next
    for wanted, deed in (("pause", "paused"), ("resume", "running")):
        qtbot.waitUntil(lambda w=wanted: row(r for r in state.choice.rows() if r.key == "Q8_0").action[0] == w)
        state.choice.act("Q8_0")
        qtbot.waitUntil(lambda d=deed: models.downloads.orders[0].state == d)
    qtbot.waitUntil(lambda: busy == [True, False, True])


def test_a_finished_download_reads_the_library_anew(
    qtbot: QtBot, state: ModelsState, models: FakeModels, workbench: Workbench
) -> None:
    state.library.load()
    qtbot.waitUntil(lambda: state.library.count == DEMOS + 1)
    found = models.repositories[QWEN]
    download_id = models.pull(found, found.quantizations[0])
    path = gguf_files.write_model(workbench.paths.models / "Qwen3-0.6B-Q2_K.gguf", name="Qwen3", file_type=10)
    models.downloads.move(download_id, state="finished", path=path)
    qtbot.waitUntil(lambda: state.library.count == DEMOS + 2)


ORDER = DownloadOrder(QWEN, "a" * 40, "Q8_0", (RepoFile("x.gguf", 805_000_000),))


@pytest.mark.parametrize(
    ("changes", "detail", "actions"),
    [
        ({"state": "queued"}, "waits for its turn, 805 MB", ["pause", "cancel"]),
        (
            {"done_bytes": 499_000_000, "bytes_per_s": 24e6, "remaining_s": 13, "resumed": 2},
            "499 of 805 MB, 24.0 MB/s, 13 s left, resumed twice",
            ["pause", "cancel"],
        ),
        (
            {"done_bytes": 99_000_000, "note": "the server is busy: retry 3 of 7 in 8 s"},
            "99.0 of 805 MB, the server is busy: retry 3 of 7 in 8 s",
            ["pause", "cancel"],
        ),
        ({"state": "paused", "done_bytes": 1_000}, "paused, 1.00 kB of 805 MB", ["resume", "cancel"]),
        ({"state": "verifying"}, "checking the SHA-256 of 805 MB", ["pause", "cancel"]),
        ({"state": "finished"}, "805 MB, SHA-256 verified", ["use", "folder"]),
        ({"state": "cancelled"}, "cancelled", ["again"]),
        ({"state": "failed", "error": "Cut."}, "not started", ["retry", "forget"]),
        (
            {"state": "failed", "error": "Gated.", "error_code": "hub_access_denied"},
            "not started",
            ["page", "token", "retry", "forget"],
        ),
        ({"state": "failed", "error": "Full.", "error_code": StorageFull.code}, "not started",
         ["space", "retry", "forget"]),
    ],
)  # fmt: skip
def test_a_download_in_words(changes: dict[str, object], detail: str, actions: list[str]) -> None:
    view = replace(DownloadView("d", ORDER, "running"), **changes)  # type: ignore[arg-type]
    item = download_item(view)
    assert item.detail == detail
    assert [key for key, _ in item.actions] == actions
    assert item.problem == (view.error or "")
    assert item.title == "Q8_0  Qwen3-0.6B"


def test_delete_and_undo_move_real_files(
    qtbot: QtBot, state: ModelsState, models: FakeModels, workbench: Workbench
) -> None:
    path = workbench.paths.models / "Phi-4-mini-Q8_0.gguf"
    content = path.read_bytes()
    said: list[tuple[str, str]] = []
    state.said.connect(lambda tone, text, action, word: said.append((tone, text)))
    state.library.load()
    qtbot.waitUntil(lambda: state.library.count == DEMOS + 1)
    state.library.delete([str(path)])
    qtbot.waitUntil(lambda: state.library.count == DEMOS)
    assert not path.exists()
    assert said[-1][1].startswith("Deleted ")
    state.library.undo_delete()
    qtbot.waitUntil(lambda: state.library.count == DEMOS + 1)
    assert path.read_bytes() == content


def test_adding_tells_of_each_file(qtbot: QtBot, state: ModelsState, tmp_path: Path) -> None:
    good = gguf_files.write_model(tmp_path / "Own-Q8_0.gguf", name="Own", weights=4096, file_type=7)
    (tmp_path / "bad.gguf").write_bytes(b"no model at all")
    said: list[tuple[str, str]] = []
    state.said.connect(lambda tone, text, action, word: said.append((tone, text)))
    state.library.add([good, tmp_path / "bad.gguf"])
    qtbot.waitUntil(lambda: any(entry.name == "Own" for entry in state.library.entries))
    assert said[0][0] == "warn"
    assert "Own-Q8_0.gguf was added where it lies" in said[0][1]
    assert "bad.gguf" in said[0][1]


def test_verify_tells_what_is_wrong(qtbot: QtBot, state: ModelsState, workbench: Workbench) -> None:
    path = workbench.paths.models / "Phi-4-mini-Q8_0.gguf"
    said: list[tuple[str, str]] = []
    state.said.connect(lambda tone, text, action, word: said.append((tone, text)))
    state.library.load()
    qtbot.waitUntil(lambda: state.library.count == DEMOS + 1)
    state.library.verify(str(path))
    qtbot.waitUntil(lambda: len(said) == 2)
    assert said[1][0] == "good"
    with path.open("r+b") as file:
        file.truncate(200)
    state.library.verify(str(path))
    qtbot.waitUntil(lambda: len(said) == 4)
    assert said[3][0] == "bad"


def test_a_making_shows_its_share_and_can_be_cancelled(
    qtbot: QtBot, state: ModelsState, models: FakeModels, workbench: Workbench
) -> None:
    state.library.load()
    qtbot.waitUntil(lambda: state.library.count == DEMOS + 1)
    models.hold("quantize")
    key = str(workbench.paths.models / "Phi-4-mini-Q8_0.gguf")
    making = state.making_of(key)
    assert making is not None
    assert "loses more" in making.warning
    making.choose("Q4_K_M", None)
    qtbot.waitUntil(lambda: "%" in making.size_text)
    making.start()
    qtbot.waitUntil(lambda: [item.detail for item in state.downloads.items] == ["40 % done"])
    assert state.downloads.is_busy
    state.downloads.cancel(state.downloads.items[0].id)
    qtbot.waitUntil(lambda: state.downloads.items[0].detail == "cancelled, nothing was kept")
    assert not state.downloads.is_busy


def test_a_type_that_needs_a_matrix_is_refused_before_it_is_made(
    qtbot: QtBot, state: ModelsState, workbench: Workbench
) -> None:
    state.library.load()
    qtbot.waitUntil(lambda: state.library.count == DEMOS + 1)
    making = state.making_of(str(workbench.paths.models / "Phi-4-mini-Q8_0.gguf"))
    assert making is not None
    making.choose("IQ2_M", None)
    assert "importance matrix" in making.problem
    making.choose("Q2_K", None)
    qtbot.waitUntil(lambda: "too short" in making.problem)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        (Verdict("fits", ""), ("fits", "good")),
        (Verdict("less_context", "", context_length=8192), ("fits with 8k context", "warn")),
        (Verdict("fewer_gpu_layers", "", gpu_layers=12), ("fits with 12 GPU layers", "warn")),
        (Verdict("does_not_fit", ""), ("will not fit", "bad")),
    ],
)
def test_verdicts_are_words_and_tones(verdict: Verdict, word: tuple[str, str]) -> None:
    assert models_fit.verdict_word(verdict) == word


def test_a_sibling_moves_weights_and_scales_the_cache() -> None:
    known = estimate_of(1_000_000_000, EngineOptions(context_length=4096))
    other = models_fit.sibling(known, 500_000_000, 8192, "q8_0", "Q4_K_M")
    assert other.reserved_bytes("weights") == 1_500_000_000
    assert other.reserved_bytes("kv") == pytest.approx(4096 * 112_000 * 2 * (34 / 32) / 2, rel=1e-6)
    assert other.reserved_bytes("compute") == known.reserved_bytes("compute")
    assert other.basis == "arithmetic"
    points = models_fit.moved((CurvePoint(2048, 10, 8),), 5)
    assert points == (CurvePoint(2048, 15, 13),)


def test_resident_and_reserved_are_kept_apart() -> None:
    figures = models_fit.fit_figures(estimate_of(484_000_000, EngineOptions(context_length=8192)), None, FREE)
    compute = next(part for part in figures.parts if part.label == "compute")
    assert compute.resident_bytes < compute.reserved_bytes
    assert "300 MB reserved, 43.0 MB of it used" in figures.tip


def test_words() -> None:
    assert models_words.parameters_text(596_049_920) == "596 M"
    assert models_words.parameters_text(1_240_000_000) == "1.2 B"
    assert models_words.parameters_text(None) == ""
    assert models_words.large_count_text(1_234_567) == "1.2 M"
    assert models_words.large_count_text(999) == "999"
    assert models_words.license_text("apache-2.0") == "Apache 2.0"
    assert models_words.error_text(-0.0001) == "0.0 %"
    assert models_words.error_text(-0.031) == "−3.1 %"
    assert models_words.speed_text(SpeedEstimate(41.2, 46.9, 1, 2, "")) == "41–47"
    assert models_words.speed_text(SpeedEstimate(2449, 2812, 1, 2, "")) == "2.4–2.8k"
    assert models_words.title_of("Qwen3-0.6B-GGUF") == "Qwen3-0.6B"
