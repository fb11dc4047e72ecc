"""Adapters from the knobs to the row in the history, with the real engine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.fakes import tiny_models
from tests.fakes.tiny_adapters import successor_pairs, write_adapter
from workbench.core import Knobs, Workbench
from workbench.errors import ModelNotFound
from workbench.runs.record import RunRecord
from workbench.runs.spec import Adapter, RunSpec

pytestmark = pytest.mark.usefixtures("real_engine")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return tiny_models.write_chain(
        tmp_path / "chain.gguf", [b"one", b" two"], branches={"!": [b" six"], "?": [b" ten"]}
    )


def spec_with(workbench: Workbench, chain: Path, *adapters: Adapter) -> RunSpec:
    return workbench.build_spec(
        Knobs(prompt="say", model=str(chain), temperature=0.0, max_tokens=8, threads=1, adapters=adapters)
    )


def run(workbench: Workbench, spec: RunSpec) -> RunRecord:
    return workbench.run(spec, lambda event: None)


def test_adapters_are_explained_run_and_kept_in_the_history(workbench: Workbench, chain: Path) -> None:
    six = write_adapter(chain.with_name("six.gguf"), successor_pairs(chain, (b"one", b" six")))
    ten = write_adapter(chain.with_name("ten.gguf"), successor_pairs(chain, (b"one", b" ten")))
    plain = spec_with(workbench, chain)
    assert run(workbench, plain).text == "one two"

    bent = spec_with(workbench, chain, Adapter(str(six)))
    (adapter,) = bent.engine.adapters
    assert adapter.sha256 == hashlib.sha256(six.read_bytes()).hexdigest()
    cost = workbench.explain_change(None, bent)
    assert cost.kind == "adapters"
    assert cost.text.startswith("loads six.gguf (")
    record = run(workbench, bent)
    assert record.text == "one six"
    assert record.load is not None
    assert record.load.reused == "weights"
    assert workbench.explain_change(None, bent).kind == "nothing"

    weaker = spec_with(workbench, chain, Adapter(str(six), 0.25))
    cost = workbench.explain_change(None, weaker)
    assert (cost.kind, cost.text, cost.estimate_ms) == ("adapters", "applies at once; the prompt is read again", 0.0)
    assert run(workbench, weaker).text == "one two"

    both = spec_with(workbench, chain, Adapter(str(six), 0.7), Adapter(str(ten), 0.9))
    assert "loads ten.gguf" in workbench.explain_change(None, both).text
    assert run(workbench, both).text == "one ten"
    assert workbench.history.get(record.id).spec.engine.adapters == (adapter,)


def test_a_missing_adapter_stops_before_a_run_begins(workbench: Workbench, chain: Path) -> None:
    with pytest.raises(ModelNotFound, match="no adapter file"):
        spec_with(workbench, chain, Adapter(str(chain.with_name("gone.gguf"))))


def test_an_adapter_that_fails_is_one_failed_run_and_the_next_one_works(workbench: Workbench, chain: Path) -> None:
    bad = chain.with_name("bad.gguf")
    bad.write_bytes(chain.read_bytes())
    record = run(workbench, spec_with(workbench, chain, Adapter(str(bad))))
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.code == "adapter_unusable"
    assert "it is a model, not an adapter" in record.error.message
    assert run(workbench, spec_with(workbench, chain)).text == "one two"
