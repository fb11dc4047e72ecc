"""The figures of a run beside the conversation: one tile each, against the budget and the run before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from ui import theme
from ui.definitions import TOPIC, sentences_of
from ui.state.run_view import Figures
from ui.widgets.metric_tile import DeltaTone, MetricTile
from workbench import units
from workbench.glossary import Glossary
from workbench.metrics.slo import BudgetVerdict, judge
from workbench.profiles import SurfaceProfile
from workbench.runs.record import CostEstimate, TelemetrySample

CostKind = Literal["api", "gpu", "electricity"]
PURPOSES = ("weights", "kv", "compute", "repacked", "recurrent", "output")
WIDTH = 316
GAP, GAP_TIGHT = 6, 4
TITLES = {
    "ttft": "Time to first token", "ttfa": "First answer token", "prefill": "Prefill", "speed": "Decode speed",
    "itl": "Between tokens", "memory": "Memory of the run", "cost": "Cost of this answer",
}  # fmt: skip
SHORT_TITLES = {
    "ttft": "TTFT", "ttfa": "TTFA", "prefill": "Prefill", "speed": "Decode", "itl": "ITL", "memory": "Memory",
    "cost": "Cost",
}  # fmt: skip
TOPICS = {
    "ttft": "ttft", "ttfa": "ttfa", "prefill": "prefillspeed", "speed": "tps", "itl": "itl", "memory": "resident",
    "cost": "apicost",
}  # fmt: skip
# What the glossary does not say: how the tile's own figure is meant.
NOTES = {
    "itl": "The figure is the median; a stall is four times that.",
    "memory": "The figure is what is resident; beside and below it stands what llama.cpp reserved for what.",
    "cost": "The figure is an estimate; the other two, for a rented GPU and for power here, are never added to it.",
}


class MetricColumn(QWidget):
    """`chart_requested` carries the key of the tile that was pressed: "ttft", "speed", "itl", "memory", "cost" ...
    `term_requested` carries the glossary's id of a term.
    """

    chart_requested = Signal(str)
    term_requested = Signal(str)

    def __init__(self, glossary: Glossary, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sentences = {key: sentences_of(glossary.topic(TOPICS[key]), NOTES.get(key, "")) for key in TITLES}
        said = self._sentences
        self.ttft = MetricTile(TITLES["ttft"], said["ttft"])
        self.speed = MetricTile(TITLES["speed"], said["speed"], with_sparkline=True)
        self.itl = MetricTile(TITLES["itl"], said["itl"], with_sparkline=True)
        self.ttfa = MetricTile(TITLES["ttfa"], said["ttfa"])
        self.prefill = MetricTile(TITLES["prefill"], said["prefill"])
        self.memory = MetricTile(TITLES["memory"], said["memory"], with_bar=True)
        self.cost = MetricTile(TITLES["cost"], said["cost"])
        if self.itl.sparkline is not None:
            self.itl.sparkline.set_role("good")
        self.tiles = {
            "ttft": self.ttft, "ttfa": self.ttfa, "prefill": self.prefill, "speed": self.speed, "itl": self.itl,
            "memory": self.memory, "cost": self.cost,
        }  # fmt: skip
        for key, tile in self.tiles.items():
            tile.clicked.connect(lambda key=key: self.chart_requested.emit(key))
            tile.setProperty(TOPIC, TOPICS[key])
            action = QAction(f"Explain {glossary.topic(TOPICS[key]).title}", tile)
            action.triggered.connect(lambda _=False, key=key: self.term_requested.emit(TOPICS[key]))
            tile.addAction(action)
            tile.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self._shown: dict[tuple[MetricTile, str], tuple[object, ...]] = {}
        self._is_strip = False
        self._pair = QHBoxLayout()
        self._pair.setSpacing(6)
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(GAP)
        inner = QWidget()
        theme.set_role(inner, "scrolled")
        inner.setLayout(self._box)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._area)
        theme.current().changed.connect(self._arrange)
        self._arrange()

    def set_strip(self, is_strip: bool) -> None:
        """One row of small tiles instead of a column."""
        if is_strip != self._is_strip:
            self._is_strip = is_strip
            self._arrange()

    def set_pinned(self, key: str | None) -> None:
        for name, tile in self.tiles.items():
            tile.set_pinned(name == key)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._set_titles()
        self._fit_height()

    def _fit_height(self) -> None:
        """Smaller tiles when the column is too low for them as they are."""
        if self._is_strip:
            return
        pair = max(self.ttfa.height_when(False), self.prefill.height_when(False))
        others = [self.ttft, self.speed, self.itl, self.memory, self.cost]
        needed = pair + sum(tile.height_when(False) for tile in others) + GAP * len(others)
        is_tight = needed > self.height()
        spacing = GAP_TIGHT if is_tight else GAP
        if spacing != self._box.spacing():  # setting it lays the column out anew, also when it is the same
            self._box.setSpacing(spacing)
        for tile in self.tiles.values():
            tile.set_tight(is_tight)

    def _set_titles(self) -> None:
        """The field's abbreviations where the names find no room."""
        is_short = self._is_strip and not all(tile.fits_title(TITLES[key]) for key, tile in self.tiles.items())
        for key, tile in self.tiles.items():
            tile.set_title((SHORT_TITLES if is_short else TITLES)[key])

    def _arrange(self) -> None:
        while self._box.count():
            self._box.takeAt(0)
        while self._pair.count():
            self._pair.takeAt(0)
        self._box.setDirection(QBoxLayout.Direction.LeftToRight if self._is_strip else QBoxLayout.Direction.TopToBottom)
        for tile in self.tiles.values():
            tile.set_compact(self._is_strip or tile in (self.ttfa, self.prefill))
            tile.set_tight(False)
            tile.setMinimumWidth(80 if self._is_strip else 0)
        self._set_titles()
        if self._is_strip:
            self._box.setSpacing(GAP)
            for tile in self.tiles.values():
                self._box.addWidget(tile, 1)
            self.setMinimumWidth(0)
            self.setMaximumWidth(16_777_215)
            self.setFixedHeight(self.ttft.sizeHint().height())
        else:
            self._pair = QHBoxLayout()
            self._pair.setSpacing(6)
            self._pair.addWidget(self.ttfa)
            self._pair.addWidget(self.prefill)
            self._box.addWidget(self.ttft)
            self._box.addLayout(self._pair)
            for tile in (self.speed, self.itl, self.memory, self.cost):
                self._box.addWidget(tile)
            self._box.addStretch(1)
            self.setFixedWidth(WIDTH)
            self.setMinimumHeight(0)
            self.setMaximumHeight(16_777_215)
            self._fit_height()

    # --- showing -----------------------------------------------------------------------------------------

    def show_figures(self, now: Figures, before: Figures | None, surface: SurfaceProfile | None) -> None:
        verdicts = {verdict.metric: verdict for verdict in judge(now.metrics, surface)} if surface else {}
        self._show_first(now, before, verdicts.get("ttft"))
        self._show_answer(now, before, verdicts.get("ttfa"))
        self._show_speed(now, before)
        self._show_gaps(now, before, surface)
        self._show_memory(now)
        self._show_cost(now.costs)
        self._fit_height()

    def _set(self, tile: MetricTile, what: str, *values: object) -> None:
        """Calls `set_<what>` only for new values: a tile repaints at each call."""
        if self._shown.get((tile, what)) != values:
            self._shown[tile, what] = values
            getattr(tile, f"set_{what}")(*values)

    def _show_first(self, now: Figures, before: Figures | None, verdict: BudgetVerdict | None) -> None:
        self._set(self.ttft, "value", *units.ms_parts(now.metrics.ttft_ms))
        self._set(self.ttft, "delta", *_time_delta(now.metrics.ttft_ms, before.metrics.ttft_ms if before else None))
        shown = f"shown after {units.ms_text(now.shown_ms)}" if now.shown_ms is not None else ""
        cold_start_ms = now.load.cold_start_ms if now.load and now.load.reused != "model" else None
        if cold_start_ms is not None and now.metrics.ttft_ms is not None:
            shown = f"plus {units.ms_text(cold_start_ms)} cold start"
        if verdict is None:
            self.ttft.clear_budget()
            self._shown.pop((self.ttft, "budget"), None)
            self._set(self.ttft, "note", "no budget on this surface", shown, "no budget")
            return
        value = verdict.value_ms
        self._set(self.ttft, "budget", value / verdict.budget_ms if value is not None else None, verdict.within)
        said = verdict.text if value is not None else f"budget {units.ms_text(verdict.budget_ms)}"
        self._set(self.ttft, "note", said, shown, _gap_verdict(value, verdict.budget_ms))

    def _show_answer(self, now: Figures, before: Figures | None, verdict: BudgetVerdict | None) -> None:
        self._set(self.ttfa, "value", *units.ms_parts(now.metrics.ttfa_ms))
        if now.metrics.thinking_tokens:
            count = f"{now.metrics.thinking_tokens:,}"
            self._set(self.ttfa, "note", f"{count} thinking tokens", "", f"{count} thinking")
        else:
            self._set(self.ttfa, "note", _gap_verdict(now.metrics.ttfa_ms, verdict.budget_ms if verdict else None))
        self._set(self.prefill, "value", *units.rate_parts(now.metrics.prefill_tps))
        tokens, cached = now.metrics.prompt_tokens, now.metrics.cached_tokens
        if tokens is None:
            self._set(self.prefill, "note", "")
        elif cached:
            self._set(self.prefill, "note", f"{cached:,} of {tokens:,} cached", "", f"{cached:,} cached")
        else:
            self._set(self.prefill, "note", f"{tokens:,} tokens")

    def _show_speed(self, now: Figures, before: Figures | None) -> None:
        rate = now.metrics.tps if now.is_final else now.tps_now
        self._set(self.speed, "value", *units.rate_parts(rate))
        self._set(self.speed, "delta", *_rate_delta(now.metrics.tps, before.metrics.tps if before else None))
        ghost = before.speed_series if before else ()
        if self.speed.sparkline is not None:
            self.speed.sparkline.set_series(now.speed_series)
            self.speed.sparkline.set_ghost(ghost)
        tokens = now.metrics.output_tokens
        said = f"{tokens:,} tokens" if tokens else ""
        self._set(self.speed, "note", said, f"dotted: run before, {before.mode}" if before and ghost else "")

    def _show_gaps(self, now: Figures, before: Figures | None, surface: SurfaceProfile | None) -> None:
        self._set(self.itl, "value", *units.ms_parts(now.itl_p50_ms))
        if now.itl_p50_ms is not None:
            stalls = "1 stall" if now.stalls == 1 else f"{now.stalls} stalls"
            self._set(self.itl, "delta", stalls if now.stalls else "no stalls", "bad" if now.stalls else "good")
        else:
            self._set(self.itl, "delta", "", "dim")
        budget = surface.itl_ms if surface else None
        line = self.itl.sparkline
        if line is not None:
            line.set_series(now.itl_series)
            line.set_ghost(before.itl_series if before else ())
            # A budget far above all values would press them flat; the note says it then.
            near = budget is not None and bool(now.itl_series) and max(now.itl_series) * 4 >= budget
            line.set_line(budget if near else None, f"budget {units.ms_text(budget)}")
        p95 = f"p95 {units.ms_text(now.itl_p95_ms)}" if now.itl_p95_ms is not None else ""
        self._set(self.itl, "note", p95, _gap_verdict(now.itl_p95_ms, budget))

    def _show_memory(self, now: Figures) -> None:
        sample, load = now.sample, now.load
        resident = sample.engine_resident_bytes if sample else None
        figure, unit = units.bytes_parts(resident)
        self._set(self.memory, "value", figure, f"{unit} resident" if unit else "")
        self._set(self.memory, "strip_words", unit, "resident" if unit else "not measured")
        parts: list[tuple[str, float, str]] = []
        if load is not None:
            parts = [(p, float(load.reserved_bytes(p) or 0), p) for p in PURPOSES]
        reserved = sum(part[1] for part in parts)
        total = max(float(resident or 0), reserved)
        self._set(self.memory, "delta", f"{units.bytes_text(reserved)} reserved" if parts else "", "dim")
        if self.memory.bar is not None:
            self.memory.bar.set_parts(parts, total)
        named = "  ".join(_part_text(name, amount, unit) for name, amount, _ in parts[:3] if amount)
        self._set(self.memory, "note", named)
        self._set(self.memory, "details", _memory_tooltip(now, self._sentences["memory"]))

    def _show_cost(self, costs: tuple[CostEstimate, ...]) -> None:
        by_kind = {estimate.kind: estimate for estimate in costs}
        api = by_kind.get("api")
        if api is None or api.usd is None:
            self._set(self.cost, "value", "—", "")
            self._set(self.cost, "strip_words", "", "no estimate")
        else:
            self._set(self.cost, "value", units.usd_text(api.usd), "estimated")
            self._set(self.cost, "strip_words", "", "est. API")
        note = f"{_api_line(api)}\n{_other_costs(by_kind)}"
        self._set(self.cost, "note", note)
        self._set(self.cost, "details", f"{self._sentences['cost']}\n{note}".rstrip())


def _api_line(api: CostEstimate | None) -> str:
    if api is None:
        return "API: after the first run"
    if api.usd is None:
        return f"API: {api.reason or 'not known'}"
    return f"API: {api.label}"


def _other_costs(costs: Mapping[CostKind, CostEstimate]) -> str:
    said = []
    gpu, power = costs.get("gpu"), costs.get("electricity")
    if gpu is not None:
        said.append(
            f"{gpu.label.removeprefix('NVIDIA ')}: {units.usd_text(gpu.usd) if gpu.usd is not None else 'not known'}"
        )
    if power is not None:
        said.append(f"electricity: {units.usd_text(power.usd) if power.usd is not None else 'not measured'}")
    return "   ".join(said)


def _time_delta(now_ms: float | None, before_ms: float | None) -> tuple[str, DeltaTone]:
    if now_ms is None or before_ms is None:
        return "", "dim"
    change = now_ms - before_ms
    if abs(change) < max(1.0, 0.02 * before_ms):
        return "as before", "dim"
    return f"{units.ms_text(abs(change))} {'slower' if change > 0 else 'faster'}", "bad" if change > 0 else "good"


def _rate_delta(now: float | None, before: float | None) -> tuple[str, DeltaTone]:
    if now is None or before is None:
        return "", "dim"
    change = now - before
    if abs(change) < 0.02 * before:
        return "as before", "dim"
    figure = units.rate_parts(abs(change))[0]
    return f"{'+' if change > 0 else '−'}{figure}", "good" if change > 0 else "bad"


def _gap_verdict(p95_ms: float | None, budget_ms: float | None) -> str:
    if p95_ms is None or budget_ms is None:
        return ""
    if p95_ms <= budget_ms:
        return f"within {units.ms_text(budget_ms)}"
    return f"over by {units.ms_text(p95_ms - budget_ms)}"


def _part_text(name: str, size_bytes: float, headline_unit: str) -> str:
    """KV 104; with its unit where that is not the one of the headline."""
    figure, unit = units.bytes_parts(size_bytes)
    figure = f"{float(figure.replace(',', '')):.2g}" if len(figure) > 3 and "." in figure else figure
    return f"{'KV' if name == 'kv' else name} {figure}" + ("" if unit == headline_unit else f" {unit}")


def _memory_tooltip(now: Figures, sentences: str) -> str:
    lines = [sentences]
    sample, load = now.sample, now.load
    if sample is not None and sample.engine_resident_bytes is not None:
        lines.append(f"Resident: {units.mebibytes_text(sample.engine_resident_bytes)}")
    if sample is not None and sample.engine_file_mapped_bytes is not None:
        lines.append(f"of it mapped from the model file: {units.mebibytes_text(sample.engine_file_mapped_bytes)}")
    if sample is not None:
        lines.extend(_load_lines(sample))
    for item in load.memory if load else ():
        lines.append(f"Reserved for {item.purpose} on {item.device}: {units.mebibytes_text(item.size_bytes)}")
    return "\n".join(lines)


def _load_lines(sample: TelemetrySample) -> list[str]:
    """What else was measured at the same moment; nothing for what was not."""
    lines = []
    if sample.engine_cpu_percent is not None:
        lines.append(f"CPU of the engine: {units.percent_text(sample.engine_cpu_percent)} of one core")
    if sample.machine_memory_used_bytes is not None:
        total = units.bytes_text(sample.machine_memory_total_bytes)
        lines.append(f"Memory of the machine: {units.bytes_text(sample.machine_memory_used_bytes)} of {total} in use")
    if sample.gpu_engine_memory_bytes is not None:
        lines.append(f"GPU memory of the engine: {units.mebibytes_text(sample.gpu_engine_memory_bytes)}")
    if sample.gpu_util_percent is not None:
        lines.append(f"GPU load: {units.percent_text(sample.gpu_util_percent)}")
    if sample.gpu_power_w is not None:
        lines.append(f"GPU power: {sample.gpu_power_w:.0f} W")
    return lines
