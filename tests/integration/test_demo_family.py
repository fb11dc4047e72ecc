"""Two demo models through the real llama.cpp: each is quantized from its own file and runs under its own name."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.fakes.tiny_models import finish
from workbench.core import Knobs, Workbench
from workbench.paths import resources
from workbench.runs.record import RunRecord


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's files in a bundle with a sibling of the demo model: the same weights under another name."""
    whole, bundle = resources(), tmp_path / "bundle"
    shutil.copytree(whole.profiles, bundle / "profiles")
    models = bundle / "assets" / "models"
    models.mkdir(parents=True)
    shutil.copy(whole.assets / "models" / "demo-F16.gguf", models)
    shutil.copy(whole.glossary, bundle / "assets")
    rename(models / "demo-F16.gguf", models / "demo-small-F16.gguf", "Small demo model")
    monkeypatch.setattr(sys, "_MEIPASS", str(bundle), raising=False)
    return bundle


def rename(source: Path, target: Path, name: str) -> None:
    """The same model with another `general.name`."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(str(target), "llama")
    writer.add_name(name)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", "general.name"):
            is_array = field.types[0] is gguf.GGUFValueType.ARRAY
            writer.add_key_value(key, field.contents(), field.types[0], field.types[-1] if is_array else None)
    finish(writer, target, {tensor.name: np.array(tensor.data) for tensor in reader.tensors})


@pytest.fixture
def family(bundle: Path, workbench_home: Path) -> Iterator[Workbench]:
    opened = Workbench.open()
    yield opened
    opened.close()


def ask(workbench: Workbench, model: str, quantization: str) -> RunRecord:
    knobs = Knobs(prompt="What is TTFT?", model=model, quantization=quantization, mode="fast", max_tokens=12)
    return workbench.run(workbench.build_spec(knobs), lambda event: None)


def test_each_member_is_quantized_and_run(family: Workbench, bundle: Path) -> None:
    main, small = family.library.list()
    assert [main.short_name, small.short_name] == ["demo", "demo-small"]
    records = {name: ask(family, name, "Q4_K_M") for name in ("demo", "demo-small")}
    assert {record.status for record in records.values()} == {"finished"}
    assert [record.spec.model.name for record in records.values()] == [main.name, "Small demo model"]
    made = [Path(record.spec.model.path) for record in records.values()]
    assert [path.name for path in made] == ["demo-Q4_K_M.gguf", "demo-small-Q4_K_M.gguf"]
    assert all(family.paths.derived_models in path.parents for path in made)
    names = [gguf.GGUFReader(path).fields["general.name"].contents() for path in made]
    assert names == [main.name, "Small demo model"]
    assert records["demo"].text == records["demo-small"].text, "the same weights, asked the same"
