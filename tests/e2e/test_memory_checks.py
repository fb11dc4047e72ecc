"""Predictions of memory beside what loads took, through the real program: after a run, after a chat, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.program import run, run_json


def checks(model: str = "demo") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run_json("models", "show", model)["memory_checks"]
    return found


def test_a_run_leaves_a_check_and_show_tells_its_errors() -> None:
    assert checks() == []
    result = run("run", "What is TTFT?", "--max-tokens", "3", "--context", "512", "--kv-type", "q8_0")
    assert result.returncode == 0, result.stderr
    (check,) = checks()
    assert (check["context_length"], check["kv_type"], check["basis"]) == (512, "q8_0", "engine")
    parts = {part["purpose"]: part for part in check["parts"]}
    assert parts["kv"]["predicted_bytes"] == parts["kv"]["measured_bytes"] > 0
    assert abs(parts["weights"]["error"]) < 0.01
    assert run_json("run", "What is TTFT?", "--max-tokens", "3")["status"] == "finished"
    assert [item["context_length"] for item in checks()] == [2048, 512], "the newest first, with --json too"
    shown = run("models", "show", "demo").stdout
    assert "Memory of past loads, predicted and measured:" in shown
    assert "What llama.cpp reserved: median" in shown
    assert "off over 2 loads" in shown
    assert "KV cache" in shown


def test_a_full_context_has_its_total_measured(endless_model: Path) -> None:
    name = str(endless_model)
    result = run("run", "say", "--model", name, "--max-tokens", "480", "--context", "512", "--mode", "deterministic")
    assert result.returncode == 0, result.stderr
    parts = {part["purpose"]: part for part in checks(name)[0]["parts"]}
    assert parts["total resident"]["error"] == pytest.approx(0, abs=0.25)
    assert "In all, with a filled context: " in run("models", "show", name).stdout


def test_a_chat_leaves_one_check_for_all_its_turns() -> None:
    result = run("chat", "--max-tokens", "3", stdin="What is TTFT?\nAnd TPS?\nAnd ITL?\n")
    assert result.returncode == 0, result.stderr
    assert len(checks()) == 1


def test_a_run_that_did_not_finish_leaves_none() -> None:
    assert run("run", "one two three " * 400, "--context", "256").returncode != 0
    assert checks() == []
