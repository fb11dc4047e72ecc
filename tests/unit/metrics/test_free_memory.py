from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from workbench.metrics.free_memory import cgroup_free_bytes, free_bytes

MB = 1_000_000
UNLIMITED_V1 = 9_223_372_036_854_771_712


def process_in(root: Path, *lines: str) -> None:
    """What /proc tells of the process's place."""
    file = root / "proc/self/cgroup"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def group(root: Path, path: str, limit: int | str, used: int, inactive: int = 0) -> None:
    """A folder of cgroup v2."""
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\nfile 9\nactive_file 7\ninactive_file {inactive}\n")


def old_group(root: Path, path: str, limit: int, used: int, inactive: int = 0) -> None:
    """A folder of cgroup v1."""
    folder = root / "sys/fs/cgroup/memory" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"inactive_file 3\ntotal_inactive_file {inactive}\n")


def test_a_container_limits_what_is_free(tmp_path: Path) -> None:
    process_in(tmp_path, "0::/")
    group(tmp_path, "", 500 * MB, 300 * MB, 40 * MB)
    assert cgroup_free_bytes(tmp_path) == 240 * MB
    assert free_bytes(tmp_path) == min(240 * MB, psutil.virtual_memory().available)


def test_the_tightest_folder_above_the_process_counts(tmp_path: Path) -> None:
    process_in(tmp_path, "0::/user.slice/session.scope")
    group(tmp_path, "user.slice/session.scope", "max", 100 * MB)
    group(tmp_path, "user.slice", 900 * MB, 850 * MB)
    assert cgroup_free_bytes(tmp_path) == 50 * MB
    group(tmp_path, "user.slice/session.scope", 110 * MB, 100 * MB)
    assert cgroup_free_bytes(tmp_path) == 10 * MB


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    process_in(tmp_path, "0::/")
    group(tmp_path, "", 100 * MB, 101 * MB)
    assert free_bytes(tmp_path) == 0


@pytest.mark.parametrize("place", ["docker/abc", ""], ids=["seen from the host", "seen from inside"])
def test_the_first_version_is_read_also_where_the_path_is_that_of_the_host(tmp_path: Path, place: str) -> None:
    process_in(tmp_path, "5:devices:/docker/abc", "4:cpu,memory:/docker/abc", "0::/")
    old_group(tmp_path, place, 700 * MB, 600 * MB, 20 * MB)
    assert cgroup_free_bytes(tmp_path) == 120 * MB


def test_without_a_limit_the_machine_decides(tmp_path: Path) -> None:
    assert cgroup_free_bytes(tmp_path) is None
    process_in(tmp_path, "4:memory:/", "0::/")
    group(tmp_path, "", "max", 300 * MB)
    assert cgroup_free_bytes(tmp_path) is None
    old_group(tmp_path, "", UNLIMITED_V1, 300 * MB)
    assert free_bytes(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
