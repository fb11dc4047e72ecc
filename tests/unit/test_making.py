from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.fakes import tiny_models
from tests.fakes.importance_files import columns_of, write_matrix
from tests.fakes.tiny_adapters import random_pairs, write_adapter
from workbench.engine.file_types import QuantizeOptions
from workbench.errors import ModelFileError, ModelNotFound, UserError
from workbench.hub.gguf import describe
from workbench.hub.lineage import lineage_file, lineage_of
from workbench.hub.lock import file_lock
from workbench.making import make_quantization, target_of
from workbench.paths import Paths

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "assets" / "models" / "demo-F16.gguf"


@pytest.fixture
def paths(workbench_home: Path) -> Paths:
    return Paths.below(workbench_home).create()


@pytest.fixture
def source(paths: Paths) -> Path:
    """A model in the program's own folder."""
    return tiny_models.write_llama(
        paths.models / "Small-F16.gguf", vocabulary=320, width=256, layers=1, feed_forward=256
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_quantization_lies_beside_its_source_and_says_where_it_comes_from(source: Path, paths: Paths) -> None:
    seen: list[float | None] = []
    made = make_quantization(source, "q4_k_m", paths, on_progress=seen.append, threads=1)
    assert made == source.with_name("Small-Q4_K_M.gguf")
    assert describe(made).quantization == "Q4_K_M"
    lineage = lineage_of(made)
    assert lineage is not None
    assert (lineage.type_name, lineage.source, lineage.source_sha256) == ("Q4_K_M", str(source), sha256(source))
    assert lineage.source_quantization == "F16"
    assert lineage.size_bytes == made.stat().st_size
    assert "llama.cpp" in lineage.engine_build
    assert lineage.made_at.startswith("20")
    assert lineage.matrix is None
    assert 1.0 in seen
    assert names_in(paths.models) == {"Small-F16.gguf", "Small-Q4_K_M.gguf", "Small-Q4_K_M.gguf.lineage.json"}


def test_the_lineage_names_the_matrix_and_the_options(source: Path, paths: Paths, tmp_path: Path) -> None:
    matrix = write_matrix(tmp_path / "small.imatrix.gguf", columns_of(source))
    options = QuantizeOptions(matrix=str(matrix), embedding_type="Q8_0")
    lineage = lineage_of(make_quantization(source, "IQ3_XXS", paths, options=options, threads=1))
    assert lineage is not None
    assert (lineage.matrix, lineage.matrix_sha256) == (str(matrix), sha256(matrix))
    assert lineage.embedding_type == "Q8_0"


def test_a_known_hash_is_not_computed_again(source: Path, paths: Paths) -> None:
    asked: list[tuple[Path, ...]] = []

    def hash_of(files: object) -> str:
        asked.append(tuple(files))  # type: ignore[call-overload]
        return "known"

    lineage = lineage_of(make_quantization(source, "Q8_0", paths, hash_of=hash_of, threads=1))
    assert lineage is not None
    assert lineage.source_sha256 == "known"
    assert asked == [(source,)]


def test_what_is_made_of_foreign_and_read_only_files_goes_into_the_own_folder(
    source: Path, paths: Paths, tmp_path: Path
) -> None:
    described = describe(source)
    foreign = tmp_path / "lm-studio" / "Small-F16.gguf"
    folder = tmp_path / "mine" / "below"
    folder.mkdir(parents=True)
    own = folder / "Small-F16.gguf"

    def target(file: Path) -> Path:
        return target_of(file, described, "Q8_0", paths, [tmp_path / "mine"])

    assert target(source) == paths.models / "Small-Q8_0.gguf"
    assert target(foreign) == paths.models / "Small-Q8_0.gguf"
    assert target(own) == folder / "Small-Q8_0.gguf"
    own.symlink_to(source)
    assert target(own) == paths.models / "Small-Q8_0.gguf"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_gets_nothing(paths: Paths, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    model = tiny_models.write_llama(folder / "Small-F16.gguf")
    folder.chmod(0o500)
    assert target_of(model, describe(model), "Q8_0", paths, [folder]).parent == paths.models


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("Qwen3-0.6B-BF16.gguf", "Qwen3-0.6B-Q8_0.gguf"),
        ("qwen.gguf", "qwen-Q8_0.gguf"),
        ("big-F16-00001-of-00003.gguf", "big-Q8_0.gguf"),
        ("ggml-model-f16.gguf", "Tiny-model-1-Q8_0.gguf"),
        ("sha256-00ff", "Tiny-model-1-Q8_0.gguf"),
    ],
)
def test_names_come_from_the_file_else_from_the_model(tmp_path: Path, paths: Paths, file: str, expected: str) -> None:
    model = tiny_models.write_llama(tmp_path / "x.gguf", name="Tiny: model/1")
    assert target_of(tmp_path / file, describe(model), "Q8_0", paths, ()).name == expected


def test_nothing_is_overwritten(source: Path, paths: Paths) -> None:
    taken = paths.models / "Small-Q8_0.gguf"
    taken.write_bytes(b"somebody's work")
    with pytest.raises(UserError, match="exists already") as caught:
        make_quantization(source, "Q8_0", paths, threads=1)
    assert caught.value.code == "quantization_exists"
    assert taken.read_bytes() == b"somebody's work"
    with pytest.raises(UserError, match="is the source itself"):
        make_quantization(source, "F16", paths, threads=1)
    with pytest.raises(UserError, match=r"does not end with \.gguf"):
        make_quantization(source, "Q8_0", paths, target=paths.models / "other", threads=1)
    made = make_quantization(source, "Q8_0", paths, target=paths.models / "other.gguf", threads=1)
    assert made.name == "other.gguf"
    assert lineage_of(made) is not None


def test_sources_of_no_use_are_sentences(paths: Paths, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        make_quantization(tmp_path / "gone.gguf", "Q8_0", paths)
    with pytest.raises(ModelFileError, match="is no model"):
        make_quantization(write_adapter(tmp_path / "a.gguf", random_pairs(source)), "Q8_0", paths)
    first = tmp_path / "m-00001-of-00002.gguf"
    first.write_bytes(source.read_bytes())
    with pytest.raises(ModelNotFound, match="m-00002-of-00002"):
        make_quantization(first, "Q8_0", paths)
    assert names_in(paths.models) == {"Small-F16.gguf"}


def test_a_failure_leaves_neither_file_nor_lineage(source: Path, paths: Paths) -> None:
    with pytest.raises(UserError, match="importance matrix"):
        make_quantization(source, "IQ1_S", paths, threads=1)
    cancel = threading.Event()
    with pytest.raises(UserError) as caught:
        make_quantization(source, "IQ4_XS", paths, on_progress=lambda part: cancel.set(), cancel=cancel, threads=1)
    assert caught.value.code == "cancelled"
    assert names_in(paths.models) == {"Small-F16.gguf"}


def test_a_cancel_is_heard_while_another_process_makes_the_file(source: Path, paths: Paths) -> None:
    cancel = threading.Event()
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from workbench.hub.lock import file_lock
        from workbench.making import lock_path
        from workbench.paths import Paths
        with file_lock(lock_path(Paths.below(Path(sys.argv[1])), Path(sys.argv[2]))):
            print("held", flush=True)
            time.sleep(60)
        """
    )
    arguments = [str(paths.data.parent), str(source.with_name("Small-Q8_0.gguf"))]
    other = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        threading.Timer(0.2, cancel.set).start()
        start = time.monotonic()
        with pytest.raises(UserError) as caught:
            make_quantization(source, "Q8_0", paths, cancel=cancel, threads=1)
        assert caught.value.code == "cancelled"
        assert time.monotonic() - start < 2
    finally:
        other.kill()
        other.communicate()
    assert make_quantization(source, "Q8_0", paths, threads=1).is_file()


MAKE = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from workbench.errors import UserError
    from workbench.making import make_quantization
    from workbench.paths import Paths
    home, source, kind = sys.argv[1:]
    def report(fraction):
        print("progress" if fraction else "waits", flush=True)
    print("made", make_quantization(Path(source), kind, Paths.below(Path(home)), on_progress=report, threads=1).name)
    """
)


def maker(paths: Paths, source: Path, kind: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", MAKE, str(paths.data.parent), str(source), kind]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)


def test_two_processes_at_once_make_it_once(paths: Paths, source: Path) -> None:
    both = [maker(paths, source, "IQ4_XS") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all(out.splitlines()[-1] == b"made Small-IQ4_XS.gguf" for out, _errors in outputs)
    assert sum(b"progress" in out for out, _errors in outputs) == 1
    assert names_in(paths.models) == {"Small-F16.gguf", "Small-IQ4_XS.gguf", "Small-IQ4_XS.gguf.lineage.json"}


def test_after_a_kill_in_the_middle_the_next_one_starts_clean(paths: Paths) -> None:
    source = paths.models / "demo-F16.gguf"
    source.write_bytes(DEMO.read_bytes())
    process = maker(paths, source, "IQ4_XS")
    assert process.stdout is not None
    while process.stdout.readline() != b"progress\n":
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (paths.models / "demo-IQ4_XS.gguf").exists()
    made = make_quantization(source, "IQ4_XS", paths, threads=1)
    assert names_in(paths.models) == {"demo-F16.gguf", made.name, lineage_file(made).name}
    whole = make_quantization(source, "IQ4_XS", paths, target=paths.models / "again.gguf", threads=1)
    assert sha256(whole) == sha256(made)


def test_a_lineage_holds_for_the_file_it_was_written_for_only(source: Path, paths: Paths) -> None:
    made = make_quantization(source, "Q8_0", paths, threads=1)
    with made.open("ab") as file:
        file.write(b"more")
    assert lineage_of(made) is None
    assert lineage_of(source) is None
    lineage_file(source).write_text("{broken", encoding="utf-8")
    assert lineage_of(source) is None
    lineage_file(source).write_text(json.dumps({"unknown": 1}), encoding="utf-8")
    assert lineage_of(source) is None
    lineage_file(source).write_bytes(b"\xff\xfe")
    assert lineage_of(source) is None


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
def test_a_pipe_or_a_bomb_in_place_of_a_lineage_is_none(source: Path) -> None:
    lineage_file(source).write_text("[" * 200_000, encoding="utf-8")
    assert lineage_of(source) is None
    lineage_file(source).unlink()
    os.mkfifo(lineage_file(source))
    assert lineage_of(source) is None


def test_a_lock_is_free_after_a_wait_that_was_cancelled(paths: Paths) -> None:
    path = paths.cache / "locks" / "x.lock"
    cancel = threading.Event()
    cancel.set()
    with file_lock(path), pytest.raises(UserError):
        file_lock(path, cancel).__enter__()
    with file_lock(path, threading.Event()):
        assert path.is_file()
