"""History, profiles, models, doctor, chat and the bare program."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.program import PROGRAM, ROOT, environment, run, run_json
from workbench import __version__


def test_version_and_help() -> None:
    assert run("--version").stdout.strip() == f"workbench {__version__}"
    for command in ((), ("run",), ("chat",), ("history",), ("doctor",), ("profiles",), ("models",),
                    ("glossary",)):  # fmt: skip
        result = run(*command, "--help")
        assert result.returncode == 0
        assert result.stdout.startswith("Usage: workbench")
    assert "130 cancelled" in run("run", "--help").stdout


def test_help_comes_at_once() -> None:
    # The law is 0.35 s on a quiet machine (measured: 0.12 s); the bound is wide for machines that run other work.
    times = []
    for _ in range(3):
        before = time.perf_counter()
        subprocess.run([*PROGRAM, "--help"], capture_output=True, cwd=ROOT, env=environment(), check=True)
        times.append(time.perf_counter() - before)
    assert min(times) <= 1.0


def test_help_loads_neither_the_core_nor_rich() -> None:
    code = (
        "import sys, workbench.cli.app; "
        "print([m for m in ('workbench.core', 'rich', 'platformdirs', 'genai_prices', 'ui') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"


def test_without_a_display_the_bare_program_says_so_and_runs_a_demo_prompt() -> None:
    result = run(QT_QPA_PLATFORM="")
    assert result.returncode == 0, result.stderr
    assert "display" in result.stderr
    assert result.stdout.strip()
    assert "TTFT" in result.stderr


def test_history_lists_shows_exports_and_deletes(tmp_path: Path) -> None:
    first = run_json("run", "What is TTFT?", "--max-tokens", "10")
    second = run_json("run", "What is a token?", "--mode", "thoughtful", "--max-tokens", "10")
    rows = run_json("history", "list")
    assert [row["id"] for row in rows] == [second["run_id"], first["run_id"]]
    assert {"id", "status", "started_at", "model", "mode", "ttft_ms", "tps", "text"} <= set(rows[0])
    assert (rows[1]["text"], rows[1]["ttft_ms"], rows[1]["mode"]) == (first["text"], first["ttft_ms"], "fast")
    assert len(run_json("history", "list", "--limit", "1")) == 1
    assert run_json("history", "list", "--search", "token?")[0]["id"] == second["run_id"]
    assert run_json("history", "list", "--status", "failed") == []

    shown = run_json("history", "show", "last")
    assert (shown["run_id"], shown["text"], shown["tps"]) == (second["run_id"], second["text"], second["tps"])
    readable = run("history", "show", first["run_id"])
    assert "What is TTFT?" in readable.stdout
    assert "TTFT  " in readable.stdout

    target = tmp_path / "runs.csv"
    assert run("history", "export", "--format", "csv", "--output", str(target)).returncode == 0
    table = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    assert {row["id"] for row in table} == {first["run_id"], second["run_id"]}
    (line,) = run("history", "export", first["run_id"]).stdout.splitlines()
    assert json.loads(line)["id"] == first["run_id"]

    assert run("history", "delete", first["run_id"]).returncode == 2, "nobody was asked"
    assert run("history", "delete", first["run_id"], "--yes").returncode == 0
    assert [row["id"] for row in run_json("history", "list")] == [second["run_id"]]
    missing = run("history", "show", first["run_id"])
    assert missing.returncode == 2
    assert first["run_id"] in missing.stderr


def test_an_empty_history_says_what_to_do() -> None:
    assert run_json("history", "list") == []
    assert "workbench run" in run("history", "list").stderr


def test_profiles_are_listed_shown_and_checked(workbench_home: Path) -> None:
    names = {item["name"] for item in run_json("profiles", "list")}
    assert {"fast", "thoughtful", "chat", "autocomplete"} <= names
    assert 'name = "fast"' in run("profiles", "show", "fast").stdout
    assert run("profiles", "show", "no-such").returncode == 2
    assert run("profiles", "check").returncode == 0

    folder = workbench_home / "data" / "profiles" / "modes"
    folder.mkdir(parents=True)
    broken = folder / "mine.toml"
    broken.write_text('name = "mine"\nversion = 1\ntitle = "Mine"\nsummary = "x"\ntemprature = 1\n', encoding="utf-8")
    result = run("profiles", "check")
    assert result.returncode == 7
    assert str(broken) in result.stdout
    assert "temprature" in result.stdout
    (problem,) = run_json("profiles", "check", str(broken), code=7)
    assert problem["path"] == str(broken)
    assert run("profiles", "check", "profiles").returncode == 0
    doctor = run_json("doctor", code=1)
    assert [item["area"] for item in doctor["findings"] if item["state"] == "problem"] == ["profiles"]


def test_models_lists_the_demo_model_and_what_can_be_made() -> None:
    family = run_json("models", "list")
    for demo in family:
        assert demo["demo"] is True
        assert {"Q8_0", "Q4_K_M", "Q2_K"} <= set(demo["makeable"])
        assert Path(demo["files"][0]["path"]).is_file()
    assert Path(family[0]["files"][0]["path"]).name == "demo-F16.gguf"


def test_glossary_lists_and_explains_terms() -> None:
    listed = run("glossary").stdout.splitlines()
    assert listed[0] == "term\tin a sentence"
    assert any(line.startswith("TTFT\tTTFT is the time ") for line in listed)
    terms = [line.partition("\t")[0] for line in listed[1:]]
    assert terms == sorted(terms, key=str.casefold)
    one = run("glossary", "kv", "cache")
    assert one.returncode == 0
    assert one.stdout.startswith("KV cache\n")
    found = run_json("glossary", "key-value cache")
    assert one.stdout.split("\n\n")[1:] == [found["short"], f"{found['long']}\n"]
    assert [term["title"] for term in run_json("glossary")] == terms


def test_an_unknown_term_is_answered_with_the_nearest_names() -> None:
    asked = run("glossary", "TTF")
    assert asked.returncode == 2
    assert "Did you mean TTFT" in asked.stderr
    assert run_json("glossary", "TTF", code=2)["error"]["code"] == "term_unknown"


def test_doctor_asks_the_engine() -> None:
    found = run_json("doctor")
    assert found["fine"] is True
    assert found["engine"]["devices"]
    assert found["machine"]["logical_cores"] >= 1
    text = run("doctor").stdout
    assert "Everything works." in text
    assert run_json("history", "list") == [], "looking leaves no run behind"


def test_doctor_survives_a_history_that_is_no_database(workbench_home: Path) -> None:
    (workbench_home / "data").mkdir()
    (workbench_home / "data" / "history.sqlite3").write_bytes(b"this is no database" * 100)
    found = run_json("doctor", code=1)
    assert found["fine"] is False
    assert run("history", "list").returncode == 8


def test_chat_remembers_its_turns_and_takes_commands() -> None:
    lines = ["What is TTFT?", "/mode thoughtful", "/nonsense", "/stats", "And TPS?", "/reset", "Hello", "/exit", "no"]
    result = run("chat", "--max-tokens", "12", stdin="\n".join(lines) + "\n")
    assert result.returncode == 0, result.stderr
    assert "The mode is thoughtful." in result.stderr
    assert "There is no command /nonsense." in result.stderr
    assert "Memory reserved" in result.stderr
    shown = [run_json("history", "show", row["id"]) for row in run_json("history", "list")]
    roles = [[message["role"] for message in item["spec"]["messages"]] for item in reversed(shown)]
    assert roles == [["user"], ["user", "assistant", "user"], ["user"]]
    assert [item["spec"]["mode"]["name"] for item in reversed(shown)] == ["fast", "thoughtful", "thoughtful"]


def test_chat_with_a_wrong_mode_goes_on() -> None:
    result = run("chat", "--max-tokens", "3", stdin="/mode nonsense\nhello\n")
    assert result.returncode == 0
    assert "no mode 'nonsense'" in result.stderr
    assert len(run_json("history", "list")) == 1
