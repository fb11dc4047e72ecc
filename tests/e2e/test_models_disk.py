"""`workbench models` with what is on the disk: list, add, judge, make, compare, delete."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.program import ROOT, interrupt_group, run, run_json, start, wait_until
from tests.fakes.keyring_store import clear_surroundings
from tests.fakes.tiny_models import write_large_vocabulary

DEMO = ROOT / "assets" / "models" / "demo-F16.gguf"


@pytest.fixture(autouse=True)
def no_models_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_surroundings(monkeypatch, tmp_path / "hugging-face")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model of another name and content than the demo model."""
    path = tmp_path / "mine" / "Mine-F16.gguf"
    path.parent.mkdir()
    content = bytearray(DEMO.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_list_tells_where_a_model_comes_from_and_what_it_did(own: Path) -> None:
    assert run("models", "add", str(own)).returncode == 0
    ran = run_json("run", "hello", "--model", str(own), "--max-tokens", "8")
    demo, *_, mine = run_json("models", "list")
    assert (demo["demo"], demo["files"][0]["origin"], mine["files"][0]["origin"]) == (True, "demo", "registered")
    assert demo["files"][0]["last_used_at"] is None
    assert (mine["files"][0]["runs"], mine["files"][0]["last_used_at"][:10]) == (1, ran["started_at"][:10])
    assert mine["files"][0]["tps"] == pytest.approx(ran["tps"])
    assert mine["files"][0]["prefill_tps"] == pytest.approx(ran["prefill_tps"])
    shown = run("models", "list").stdout.splitlines()
    assert shown[0].split("\t")[4:8] == ["from", "repository", "last used", "speed"]


def test_add_leaves_copies_moves_or_links(own: Path, workbench_home: Path) -> None:
    folder = workbench_home / "data" / "models"
    assert run("models", "add", str(own), "--copy", "--move").returncode == 2
    (added,) = run_json("models", "add", str(own), "--copy")["added"]
    assert Path(added["path"]) == folder / own.name
    assert sha256(folder / own.name) == sha256(own)
    again = run("models", "add", str(own))
    assert again.returncode == 0
    assert "already" in again.stderr
    missing = run("models", "add", str(own.with_name("nothing.gguf")))
    assert missing.returncode == 3
    text = own.with_name("text.gguf")
    text.write_text("no model", encoding="utf-8")
    assert run("models", "add", str(text)).returncode == 3


def test_verify_proves_an_untouched_file_and_finds_one_turned_bit(own: Path) -> None:
    run_json("models", "add", str(own), "--copy")
    (first,) = run_json("models", "verify", "Mine")
    assert (first["sound"], first["sha256"]) == (True, sha256(own))
    path = Path(first["path"])
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    (second,) = run_json("models", "verify", "Mine", code=3)
    assert (second["sound"], second["sha256"]) == (False, sha256(path))
    assert "DAMAGED" in run("models", "verify", "Mine").stdout


def test_rm_asks_first_and_tells_the_space(own: Path) -> None:
    run_json("models", "add", str(own), "--copy")
    path = Path(run_json("models", "verify", "Mine")[0]["path"])
    assert run("models", "rm", "Mine").returncode == 2, "nobody was asked"
    assert path.is_file()
    found = run_json("models", "rm", "Mine", "--yes")
    assert not path.exists()
    assert found["reclaimed_bytes"] >= own.stat().st_size
    assert own.is_file(), "the original stays"
    assert all(entry["demo"] for entry in run_json("models", "list"))
    assert not list(path.parent.rglob("*.gguf"))
    refused = run("models", "rm", "demo", "--yes")
    assert refused.returncode == 2
    assert "comes with the program" in refused.stderr


def test_demo_always_means_the_model_of_the_program(own: Path) -> None:
    called_so = own.rename(own.with_name("demo-Q8_0.gguf"))
    assert run("models", "add", str(called_so), "--copy").returncode == 0
    assert run("models", "rm", "demo", "--yes").returncode == 2
    assert [entry["demo"] for entry in run_json("models", "list")][-2:] == [True, False]
    for command in (("show", "demo:Q8_0"), ("quantize", "demo:Q8_0", "Q4_K_M")):
        unmade = run("models", *command)
        assert (unmade.returncode, "made on first use. Run it once" in unmade.stderr) == (3, True)


@pytest.fixture
def killed(own: Path, workbench_home: Path) -> Path:
    """Where a model lay that a program deleted before it was killed."""
    path = Path(run_json("models", "add", str(own), "--copy")["added"][0]["path"])
    script = (
        "import sys\nfrom workbench.core import Workbench\nworkbench = Workbench.open()\n"
        "workbench.models.delete([workbench.library.list()[-1].files[0]])\nprint('deleted', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "deleted\n"
        running = run("models", "undelete")
        assert (running.returncode, running.stderr) == (0, "Nothing is left in the trash.\n"), "it may still undo"
        program.kill()
    assert not path.exists()
    return path


def test_what_a_killed_program_had_deleted_is_told_and_comes_back(own: Path, killed: Path) -> None:
    assert "workbench models undelete" in run("models", "list").stderr
    notes = [item["text"] for item in run_json("doctor")["findings"] if item["area"] == "models"]
    assert any(f"ended abruptly: {own.name}" in text for text in notes)
    killed.write_bytes(b"of somebody")
    hindered = run_json("models", "undelete", code=2)
    assert (hindered["restored"], len(hindered["errors"])) == ([], 1)
    killed.unlink()
    assert run_json("models", "undelete")["restored"] == [own.name]
    assert sha256(killed) == sha256(own)
    assert "undelete" not in run("models", "list").stderr
    assert list((killed.parents[1] / "trash").iterdir()) == []


def test_what_was_lost_in_the_trash_is_not_said_to_be_back(own: Path, killed: Path) -> None:
    (trashed,) = (path for path in killed.parents[1].rglob(f"*{own.name}*") if path.is_file())
    trashed.unlink()
    result = run("models", "undelete")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "is not in the trash any more: something else has removed it." in result.stderr


def test_what_cannot_be_removed_is_not_said_to_be_gone(own: Path, killed: Path) -> None:
    (trashed,) = (path for path in killed.parents[1].rglob(f"*{own.name}*") if path.is_file())
    moved = trashed.rename(own.with_name("aside.gguf"))
    trashed.mkdir()  # no user, root neither, can unlink a folder
    found = run_json("models", "undelete", "--discard", code=1)
    assert (found["discarded"], found["reclaimed_bytes"], len(found["errors"])) == ([], 0, 1)
    trashed.rmdir()
    moved.rename(trashed)
    assert run_json("models", "undelete")["restored"] == [own.name]


def test_what_a_killed_program_had_deleted_can_be_discarded(own: Path, killed: Path) -> None:
    size = own.stat().st_size
    found = run_json("models", "undelete", "--discard")
    assert (found["discarded"], found["reclaimed_bytes"] >= size) == ([own.name], True)
    assert [path.name for path in killed.parent.rglob("*") if path.name != ".adding.lock"] == []
    assert run("models", "undelete").stderr == "Nothing is left in the trash.\n"


def test_rm_of_a_repository_leaves_what_was_made_from_it(tmp_path: Path, workbench_home: Path) -> None:
    snapshot = tmp_path / "hugging-face" / "hub" / "models--someone--Mine-GGUF" / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "Mine-F16.gguf").write_bytes(DEMO.read_bytes())
    made = Path(run_json("models", "quantize", "someone/Mine-GGUF", "Q4_K_M")["path"])
    assert run_json("models", "rm", "someone/Mine-GGUF:Q4_K_M", "--yes", code=3)["error"]["code"] == "model_not_found"
    assert run_json("models", "rm", "someone/Mine-GGUF", "--yes")["deleted"] == ["Mine-F16.gguf"]
    assert made.is_file()
    assert not (snapshot / "Mine-F16.gguf").exists()


@pytest.mark.usefixtures("known_speed")
def test_fit_judges_a_file_on_disk(own: Path) -> None:
    found = run_json("models", "fit", str(own), "--context", "256")
    assert found["memory"]["context_length"] == 256
    assert found["verdict"]["kind"] == "fits"
    huge = run_json("models", "fit", str(own), "--context", "16000000", code=4)
    assert huge["verdict"]["kind"] != "fits"


def test_quantize_makes_a_model_that_runs_and_knows_its_source(own: Path) -> None:
    assert run("models", "add", str(own)).returncode == 0
    made = run_json("models", "quantize", "Mine", "q4_k_m")
    assert (made["quantization"], made["lineage"]["source_sha256"]) == ("Q4_K_M", sha256(own))
    assert made["size_bytes"] < own.stat().st_size / 2
    card = run_json("models", "show", made["path"])
    assert card["lineage"] == made["lineage"]
    answer = run_json("run", "hello", "--model", made["path"], "--max-tokens", "3")
    assert answer["model"]["quantization"] == "Q4_K_M"
    twice = run("models", "quantize", "Mine:F16", "Q4_K_M")
    assert twice.returncode == 2
    assert "exists already" in twice.stderr
    needs_matrix = run("models", "quantize", "Mine:F16", "IQ1_S")
    assert needs_matrix.returncode == 3


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_leaves_nothing_of_a_quantization(tmp_path: Path) -> None:
    source = write_large_vocabulary(tmp_path / "Large-F32.gguf")
    target = tmp_path / "made" / "Large-IQ4_XS.gguf"
    process = start("models", "quantize", str(source), "IQ4_XS", "--output", str(target), "--threads", "1")
    assert wait_until(lambda: any(target.parent.glob("*")) if target.parent.is_dir() else False)
    interrupt_group(process)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in errors
    assert list(target.parent.glob("*.gguf*")) == []


def test_a_token_is_read_without_echo_and_never_an_argument() -> None:
    assert run("models", "token", "set", "hf_abc").returncode == 2
    empty = run("models", "token", "set", stdin="\n")
    assert empty.returncode == 2
    assert run_json("models", "token", "status") == {"source": None}


def test_help_of_every_command_names_its_exit_codes() -> None:
    names = "search", "catalog", "show", "fit", "pull", "list", "add", "verify", "rm", "undelete", "quantize"
    for name in (*names, "token set"):
        result = run("models", *name.split(), "--help")
        assert result.returncode == 0
        assert "130 cancelled" in result.stdout
        assert "--json" in result.stdout or name == "token set"


def test_a_name_alone_means_the_file_with_the_most_bits(workbench_home: Path) -> None:
    models = workbench_home / "data" / "models"
    models.mkdir(parents=True)
    shutil.copy(DEMO, models / "Small-F16.gguf")
    assert run("models", "quantize", "Small", "Q4_K_M").returncode == 0
    made = run("models", "quantize", "Small", "Q5_K_M")
    assert made.returncode == 0, made.stderr
    assert (models / "Small-Q5_K_M.gguf").is_file()
    assert run("models", "search", "x", "--min-size", "9" * 500).returncode == 2
