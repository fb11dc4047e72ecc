"""What the makers of a model say of it, in the details of the Models page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from tests.fakes import gguf_files
from tests.ui.models_fakes import FakeModels
from ui.pages.models_details import DetailsDrawer
from ui.state.models_details import ModelsDetails
from ui.tasks import Tasks
from workbench.core import Workbench
from workbench.hub.gguf import ModelFile, describe


@pytest.fixture
def file(workbench: Workbench) -> ModelFile:
    keys: dict[str, gguf_files.Value] = {
        "general.description": "To learn with, <b>not</b> to judge.",
        "general.author": "The authors",
        "workbench.card.date": "2026-11-21",
        "workbench.card.trained_tokens": 52_000_000,
        "workbench.card.data": "Dialogues from a script.",
        "workbench.card.figures": json.dumps([["Sums, thinking", "91 %"]]),
    }
    return describe(gguf_files.write_model(workbench.paths.models / "Carded-F16.gguf", name="Carded", extra=keys))


@pytest.fixture
def drawer(qtbot: QtBot, workbench: Workbench, tasks: Tasks) -> DetailsDrawer:
    made = DetailsDrawer(ModelsDetails(FakeModels(workbench.library), tasks))  # type: ignore[arg-type]
    qtbot.addWidget(made)
    return made


def shown(qtbot: QtBot, drawer: DetailsDrawer, file: ModelFile) -> str:
    drawer._state.show_file(file, "A model")
    qtbot.waitUntil(lambda: "Tensors" in drawer.sheet.toPlainText())
    return drawer.sheet.toPlainText()


def test_the_details_show_the_card_as_plain_text(qtbot: QtBot, drawer: DetailsDrawer, file: ModelFile) -> None:
    text = shown(qtbot, drawer, file)
    lines = text.splitlines()
    assert lines[lines.index("Model card") + 1] == "To learn with, <b>not</b> to judge."
    for name, value in (
        ("Author", "The authors"), ("Made on", "2026-11-21"), ("Trained on", "52,000,000 tokens"),
        ("Sums, thinking", "91 %"), ("Trained from", "Dialogues from a script."),
    ):  # fmt: skip
        assert lines[lines.index(name) + 1] == value
    assert "Measured by its makers" in lines


def test_figures_of_a_quantization_made_here_are_told_as_those_of_its_source(
    qtbot: QtBot, drawer: DetailsDrawer, file: ModelFile
) -> None:
    text = shown(qtbot, drawer, replace(file, origin="demo"))
    assert "Measured by its makers, of the file that this one was made from" in text


def test_a_model_without_a_card_shows_what_it_has(qtbot: QtBot, drawer: DetailsDrawer, workbench: Workbench) -> None:
    plain = describe(gguf_files.write_model(workbench.paths.models / "Plain-F16.gguf"))
    text = shown(qtbot, drawer, plain)
    assert "Model card" not in text
    assert "Measured by" not in text
