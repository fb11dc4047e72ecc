from __future__ import annotations

import csv
import io
from dataclasses import replace

from tests.fakes.run_records import finished, full_spec, running
from workbench.history.export import lines


def test_csv_has_one_header_and_empty_cells_for_what_was_not_measured() -> None:
    records = [finished(running("one")), replace(running("two", 1), status="failed")]
    rows = list(csv.DictReader(io.StringIO("".join(lines(records, "csv")))))
    assert [row["id"] for row in rows] == ["one", "two"]
    assert rows[0]["ttft_ms"] == "500.0"
    assert (rows[1]["ttft_ms"], rows[1]["cost_api_usd"]) == ("", "")


def test_csv_cells_are_no_formulas() -> None:
    record = finished(running("one", spec=full_spec(prompt="=1+1")), text="@SUM(A1)\nnext line")
    row = next(csv.DictReader(io.StringIO("".join(lines([record], "csv")))))
    assert (row["prompt"], row["text"]) == ("'=1+1", "'@SUM(A1)\nnext line")


def test_markdown_shows_prompt_thinking_and_answer_quoted() -> None:
    record = finished(running("one"), text="First line\n\n# not a heading")
    text = "".join(lines([record], "markdown"))
    assert "> # not a heading" in text
    assert "> Why does context cost memory?" in text
    assert "**thinking**" in text
    assert "| ttft_ms | 500 |" in text
    assert "| cost_electricity_usd | — |" in text
