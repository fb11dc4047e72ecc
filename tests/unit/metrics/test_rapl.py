from __future__ import annotations

import time
from pathlib import Path

import pytest

from workbench.metrics.rapl import PackagePower


def package(root: Path, name: str, energy_uj: int, kind: str = "package-0", range_uj: int = 1000_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder / "energy_uj"


def test_power_is_energy_over_time_of_all_packages(tmp_path: Path) -> None:
    first = package(tmp_path, "intel-rapl:0", 1_000_000)
    second = package(tmp_path, "intel-rapl:1", 5_000_000, "package-1")
    package(tmp_path, "intel-rapl:0:0", 9, "core")
    package(tmp_path, "intel-rapl:2", 9, "psys")
    started = time.perf_counter()
    power = PackagePower(tmp_path)
    time.sleep(0.1)
    first.write_text("3000000\n")
    second.write_text("6000000\n")
    watts = power.read()
    assert watts == pytest.approx(3.0 / (time.perf_counter() - started), rel=0.1)


def test_counter_that_begins_again_at_zero(tmp_path: Path) -> None:
    energy = package(tmp_path, "intel-rapl:0", 999_000_000)
    power = PackagePower(tmp_path)
    time.sleep(0.1)
    energy.write_text("1000000\n")
    watts = power.read()
    assert watts is not None
    assert watts == pytest.approx(20, rel=0.3)


def test_no_counters_and_counters_that_vanish_are_none(tmp_path: Path) -> None:
    assert PackagePower(tmp_path).read() is None
    energy = package(tmp_path, "intel-rapl:0", 1)
    power = PackagePower(tmp_path)
    energy.unlink()
    assert power.read() is None
