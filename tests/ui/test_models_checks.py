"""How well memory was foretold, in the details of a model; and what of the planning waits for runs."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
from PySide6.QtGui import QTextTable
from pytestqt.qtbot import QtBot

from tests.ui.models_fakes import QWEN, FakeModels, checked
from ui.state.models import ModelsState
from ui.state.models_details import SHOWN_LOADS
from ui.widgets.fact_sheet import FactSheet
from workbench.errors import UserError
from workbench.history.model_figures import CheckedPart, MemoryCheck
from workbench.hub.speed import SpeedEstimate

DEMO = Path(__file__).parents[2] / "assets" / "models" / "demo-F16.gguf"

PLANNED = ("estimate", "curve")


def show_demo(qtbot: QtBot, state: ModelsState) -> dict[str, tuple[tuple[str, ...], ...]]:
    """The sections of the details by their headings; the table of errors has none."""
    state.library.load()
    qtbot.waitUntil(lambda: state.library.is_loaded)
    demo = next(row for row in state.library.rows() if row.file.origin == "demo")
    state.show_details_of(demo.key)
    qtbot.waitUntil(lambda: any(row[0] == "Layers" for _, rows in state.details.sections for row in rows))
    return dict(state.details.sections)


def loads(count: int) -> tuple[MemoryCheck, ...]:
    """Newest first; every second one filled its context."""
    return tuple(
        checked(
            CheckedPart("weights", 1000, 1000), CheckedPart("repacked", 500, 500), CheckedPart("kv", 900 + n, 1000),
            *([CheckedPart("total resident", 1020 + n, 1000)] if n % 2 == 0 else []),
            day=28 - n, context=4096 * (n + 1), kv_type="q8_0",
        )
        for n in range(count)
    )  # fmt: skip


def test_details_tell_metadata_and_the_newest_load_item_by_item(
    qtbot: QtBot, models_state: ModelsState, models: FakeModels
) -> None:
    models.checks = (checked(CheckedPart("kv", 917, 920)), checked(CheckedPart("kv", 1, 920)))
    sections = show_demo(qtbot, models_state)
    facts = {row[0]: row[1:] for rows in sections.values() for row in rows}
    assert facts["Architecture"] == ("llama",)
    assert facts["Vocabulary"] == (f"{len(gguf.GGUFReader(DEMO).fields['tokenizer.ggml.tokens'].contents()):,} tokens",)
    assert facts["KV cache"] == ("917 B", "920 B", "−0.3")


def test_the_errors_of_all_loads_are_listed_with_a_summary(
    qtbot: QtBot, models_state: ModelsState, models: FakeModels
) -> None:
    models.checks = loads(3)
    sections = show_demo(qtbot, models_state)
    assert sections["Errors in %, all 3 loads"] == (
        ("What llama.cpp reserved: median 4.0 %, worst 4.0 % off over 3 loads. "
         "In all, with a filled context: median 2.1 %, worst 2.2 % off over 2 loads. "
         "A plus means: more was predicted than measured.",),
    )  # fmt: skip
    assert sections[""] == (
        ("loaded\ncontext, KV", "weights", "KV", "compute", "in all"),
        ("2026-11-28\n4,096, q8_0", "0.0", "−10.0", "—", "+2.0"),
        ("2026-11-27\n8,192, q8_0", "0.0", "−9.9", "—", "—"),
        ("2026-11-26\n12,288, q8_0", "0.0", "−9.8", "—", "+2.2"),
    )


def test_a_long_history_is_cut_and_counted(qtbot: QtBot, models_state: ModelsState, models: FakeModels) -> None:
    models.checks = loads(20)
    sections = show_demo(qtbot, models_state)
    assert "over 20 loads" in sections["Errors in %, newest 12 of 20 loads"][0][0]
    assert len(sections[""]) == 1 + SHOWN_LOADS
    assert sections[""][1][0].startswith("2026-11-28")


def test_without_a_load_the_details_say_when_errors_are_known(qtbot: QtBot, models_state: ModelsState) -> None:
    sections = show_demo(qtbot, models_state)
    assert sections["Predicted against measured"] == (("Known after the first load on this machine.",),)


def test_one_load_is_no_median(qtbot: QtBot, models_state: ModelsState, models: FakeModels) -> None:
    models.checks = loads(1)
    said = show_demo(qtbot, models_state)["Errors in %, 1 load"][0][0]
    assert said.startswith(
        "What llama.cpp reserved: 4.0 % off in 1 load. In all, with a filled context: 2.0 % off in 1 load."
    )


def test_a_load_since_the_page_was_left_is_in_details_and_row(
    qtbot: QtBot, models_state: ModelsState, models: FakeModels
) -> None:
    show_demo(qtbot, models_state)
    models_state.choice.show_entry("Phi-4-mini")
    qtbot.waitUntil(lambda: bool(models_state.choice.curve()))
    qtbot.wait(50)
    assert models_state.choice.rows()[0].error == "—"
    models.checks = loads(1)
    models_state.start()
    qtbot.waitUntil(lambda: "Errors in %, 1 load" in dict(models_state.details.sections))
    qtbot.waitUntil(lambda: models_state.choice.rows()[0].error == "+2.0 %")
    assert any(row[0] == "Layers" for _, rows in models_state.details.sections for row in rows)


def test_a_sheet_shows_sentences_pairs_and_tables_of_figures(qtbot: QtBot) -> None:
    sheet = FactSheet("Facts")
    qtbot.addWidget(sheet)
    table = (("loaded", "weights", "KV", "in all"), ("today\n4,096, f16", "0.0", "+1.0", "—"))
    sheet.show_sections([("One", (("A whole sentence.",),)), ("Two", (("Name", "value"),)), ("", table)])
    tables = [child for child in sheet.document().rootFrame().childFrames() if isinstance(child, QTextTable)]
    assert [(item.rows(), item.columns()) for item in tables] == [(1, 1), (1, 2), (2, 4)]
    text = sheet.toPlainText()
    for part in ("One", "A whole sentence.", "value", "today\n4,096, f16", "+1.0"):
        assert part in text


# --- beside a run


def asked_sizes(models: FakeModels) -> set[int]:
    """The sizes of the files about which llama.cpp was asked."""
    sources = [what[0] if isinstance(what, tuple) else what for kind, what in models.asked if kind in PLANNED]
    return {sum(file.size_bytes for file in source.files) for source in sources}


def test_siblings_are_planned_after_the_run(qtbot: QtBot, models_state: ModelsState, models: FakeModels) -> None:
    models.is_busy = True
    models_state.choice.show_repository(QWEN)
    qtbot.waitUntil(lambda: bool(models_state.choice.curve()))
    qtbot.wait(700)
    current = models_state.choice.current
    assert current is not None
    assert asked_sizes(models) == {current.size_bytes}, "only the row that is looked at"
    models.is_busy = False
    qtbot.waitUntil(lambda: len(asked_sizes(models)) == 5, timeout=5_000)
    qtbot.waitUntil(lambda: all(line.is_exact for line in models_state.choice.curve()), timeout=5_000)


def test_a_row_that_is_looked_at_is_planned_beside_a_run(
    qtbot: QtBot, models_state: ModelsState, models: FakeModels
) -> None:
    models.is_busy = True
    models_state.choice.show_repository(QWEN)
    qtbot.waitUntil(lambda: bool(models_state.choice.curve()))
    models_state.choice.look_at("F16")
    qtbot.waitUntil(lambda: 1_510_000_000 in asked_sizes(models))
    assert len(asked_sizes(models)) == 2


def test_a_speed_that_must_be_measured_comes_after_the_run(
    qtbot: QtBot, models_state: ModelsState, models: FakeModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bool] = []

    def speed(source: object) -> SpeedEstimate:
        tried.append(models.is_busy)
        if models.is_busy:
            raise UserError("A run is going on.", code="run_going_on")
        return SpeedEstimate(40, 50, 300, 400, "measured")

    monkeypatch.setattr(models, "speed", speed)
    models.is_busy = True
    models_state.choice.show_repository(QWEN)
    qtbot.waitUntil(lambda: tried == [True])
    qtbot.wait(700)
    assert tried == [True], "it is not asked again and again"
    assert {row.speed for row in models_state.choice.rows()} == {"—"}
    models.is_busy = False
    qtbot.waitUntil(lambda: all(row.speed == "40–50" for row in models_state.choice.rows()), timeout=5_000)
