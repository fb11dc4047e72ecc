"""The knobs of a machine with several GPUs, in the real panel on a scripted engine that says it has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from tests.fakes.scripted_engine import REPORT, ScriptedEngine
from ui.bridge import Bridge
from ui.pages.run_advanced import AdvancedPopup
from ui.state.run import RunState
from ui.state.run_placement import parse_shares, placement_choices
from ui.tasks import Tasks
from workbench.core import Workbench
from workbench.runs.record import DeviceDescription, LoadReport
from workbench.runs.spec import Placement

GPUS = tuple(DeviceDescription(f"CUDA{index}", "Test GPU", "gpu", 10**9, 10**9) for index in range(2))
TWO = replace(REPORT, devices=(*GPUS, *REPORT.devices))

Show = Callable[..., QWidget]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(report=TWO)


def popup(qtbot: QtBot, workbench: Workbench, tasks: Tasks, load: LoadReport | None) -> AdvancedPopup:
    """The panel of a page whose engine has answered with this report."""
    state = RunState(workbench, Bridge(), tasks)
    state.prepare()
    wanted = load is not None
    qtbot.waitUntil(lambda: (workbench.engine_state.status == "ready") is wanted, timeout=10_000)
    holder = QWidget()
    qtbot.addWidget(holder)
    panel = AdvancedPopup(state, holder)
    panel.show_under(holder)
    return panel


def labels(panel: AdvancedPopup) -> list[str]:
    return [name for name, _ in panel.placement.rows()]


def test_two_gpus_can_be_chosen_and_shared_and_the_cost_stands_below(
    qtbot: QtBot, workbench: Workbench, tasks: Tasks
) -> None:
    panel = popup(qtbot, workbench, tasks, TWO)
    assert labels(panel) == ["GPUs", "Shares of the GPUs"]
    fields = panel.placement
    texts = [fields.way.itemText(index) for index in range(fields.way.count())]
    assert texts == ["All, each with whole layers", "All, with rows of each matrix", "CUDA0 alone", "CUDA1 alone"]
    fields.shares.setFocus()
    qtbot.keyClicks(fields.shares, "3, 1")
    qtbot.keyClick(fields.shares, Qt.Key.Key_Return)
    state = panel._state
    assert state.view.values.placement == Placement("layer", 0, (3.0, 1.0))
    assert "again, to share them over the GPUs otherwise" in panel.fact.text()
    fields.way.setFocus()
    qtbot.keyClick(fields.way, Qt.Key.Key_End)
    assert state.view.values.placement == Placement("none", 1)
    assert not fields.shares.isEnabled()
    spec = state.planned_spec()
    assert spec is not None
    assert spec.engine.placement == Placement("none", 1)


def test_shares_that_are_no_numbers_get_a_red_edge_and_change_nothing(
    qtbot: QtBot, workbench: Workbench, tasks: Tasks
) -> None:
    panel = popup(qtbot, workbench, tasks, TWO)
    panel.placement.shares.setFocus()
    qtbot.keyClicks(panel.placement.shares, "most")
    qtbot.keyClick(panel.placement.shares, Qt.Key.Key_Return)
    assert panel.placement.shares.property("invalid")
    assert panel._state.view.values.placement is None


def test_one_gpu_or_none_has_nothing_to_share(
    qtbot: QtBot, workbench: Workbench, tasks: Tasks, engine: ScriptedEngine
) -> None:
    engine.report = replace(REPORT, devices=(GPUS[0], *REPORT.devices))
    assert labels(popup(qtbot, workbench, tasks, engine.report)) == []


def test_a_placement_of_an_older_run_stays_a_choice_where_its_gpu_is_gone() -> None:
    choices = placement_choices(("CUDA0",), Placement("none", 3))
    assert choices[-1] == ("GPU 3 alone", ("none", 3))
    assert parse_shares("") == ()
    assert parse_shares("1 2,0.5") == (1.0, 2.0, 0.5)
    assert parse_shares("-1, 2") is None
    assert parse_shares("nan") is None
