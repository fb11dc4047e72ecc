"""Draws what training logged and what the evaluation found as SVG pictures for docs/demo-model.md.

    python packaging/demo_model/curves.py training --work build/demo_model --out docs/images/demo-model-training.svg
    python packaging/demo_model/curves.py recall demo.json demo-small.json --out docs/images/demo-model-recall.svg

Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

COLOURS = ("#3b82c4", "#d97706", "#2f9e5f", "#c2416b", "#7c5cc4", "#0e8f9b", "#8a8a2a", "#6b7280")
WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 110, 28, 38

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One chart: `lines` by their names, axes with their ticks; `is_log` for a logarithmic vertical axis."""

    title: str
    x_title: str
    lines: dict[str, Points]
    y_ticks: tuple[float, ...]
    x_ticks: tuple[float, ...]
    is_log: bool = False

    def x(self, value: float) -> float:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high, at = self.y_ticks[0], self.y_ticks[-1], value
        if self.is_log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, low))
        share = min(1.0, max(0.0, (at - low) / (high - low)))
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def svg(self, offset: float) -> str:
        parts = [f'<g transform="translate({offset} 0)">', _text(LEFT, 16, self.title, weight="bold")]
        for tick in self.y_ticks:
            y = self.y(tick)
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#888" stroke-opacity=".3"/>')
            parts.append(_text(LEFT - 6, y + 4, f"{tick:g}", anchor="end"))
        for tick in self.x_ticks:
            parts.append(_text(self.x(tick), HEIGHT - BOTTOM + 16, f"{tick:g}", anchor="middle"))
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, self.x_title, anchor="middle"))
        labels = sorted((self.y(points[-1][1]), name) for name, points in self.lines.items() if points)
        for (_, name), y in zip(labels, spread([y for y, _ in labels]), strict=True):
            parts.append(_text(WIDTH - RIGHT + 6, y + 4, name, colour=self._colour(name)))
        for name, points in self.lines.items():
            path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
            parts.append(f'<path d="M{path}" fill="none" stroke="{self._colour(name)}" stroke-width="2"/>')
        return "\n".join([*parts, "</g>"])

    def _colour(self, name: str) -> str:
        return COLOURS[list(self.lines).index(name) % len(COLOURS)]


def spread(heights: Sequence[float], apart: float = 13, lowest: float = HEIGHT - BOTTOM) -> list[float]:
    """The sorted heights of labels, moved so far that none overlaps another or lies below the axis."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + apart) if placed else height)
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], lowest - apart * (len(placed) - 1 - index))
    return placed


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#777", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def picture(panels: Sequence[Panel]) -> str:
    width = WIDTH * len(panels)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
        f'font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, *(panel.svg(WIDTH * index) for index, panel in enumerate(panels)), "</svg>", ""])


def read_log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ticks(most: float) -> tuple[float, ...]:
    """Five to seven round ticks from 0 to the least such value that is no less than `most`."""
    magnitude = 10 ** math.floor(math.log10(most / 6))
    steps = [factor * magnitude for factor in (1, 2, 2.5, 5, 10)]
    _, count, step = min((step * count, count, step) for step in steps for count in (4, 5, 6) if step * count >= most)
    return tuple(step * index for index in range(count + 1))


def smooth(points: Points, share: float = 0.2) -> list[tuple[float, float]]:
    """An exponential mean: the loss of half a minute and a share of two dozen dialogues are noisy."""
    smoothed: list[tuple[float, float]] = []
    for x, y in points:
        smoothed.append((x, y if not smoothed else smoothed[-1][1] + share * (y - smoothed[-1][1])))
    return smoothed


def training_panels(work: Path) -> list[Panel]:
    logs = {path.stem.removeprefix("log-"): read_log(path) for path in sorted(work.glob("log-*.jsonl"))}
    x_ticks = ticks(max(log[-1]["tokens"] for log in logs.values()) / 1e6)
    losses = {
        name: smooth([(line["tokens"] / 1e6, line["loss"]) for line in log if line["loss"]])
        for name, log in logs.items()
    }
    title = "million tokens"
    panels = [Panel("Training loss per token", title, losses, (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), x_ticks, is_log=True)]
    for name, log in logs.items():
        told = [line for line in log if "held_out" in line]
        lines = {
            kind: smooth([(line["tokens"] / 1e6, 100 * line["held_out"][kind]["exact"]) for line in told], 0.35)
            for kind in (told[0]["held_out"] if told else ())
        }
        panels.append(
            Panel(f"{name}: held-out, word for word, % (smoothed)", title, lines, (0, 25, 50, 75, 100), x_ticks)
        )
    return panels


def recall_panel(paths: Sequence[Path]) -> Panel:
    lines = {}
    for path in paths:
        figures = json.loads(path.read_text())
        lines[figures["model"].removesuffix("-F16.gguf")] = [
            (point["facts"], 100 * point["share"]) for point in figures["recall"]
        ]
    most = max(x for points in lines.values() for x, _ in points)
    return Panel("Facts found, %", "facts in the note", lines, (0, 25, 50, 75, 100), ticks(most))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("training", "recall"))
    parser.add_argument("figures", type=Path, nargs="*", help="what evaluate.py printed, for recall")
    parser.add_argument("--work", type=Path, default=Path("build/demo_model"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    panels = training_panels(arguments.work) if arguments.what == "training" else [recall_panel(arguments.figures)]
    arguments.out.write_text(picture(panels))


if __name__ == "__main__":
    main()
