"""How much memory this program may still take: what the system calls available, and no more than its cgroup allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class _Names:
    """The files of one version of cgroups; `inactive` is the line of memory.stat with what can be given back."""

    mount: str
    limit: str
    used: str
    inactive: str


_V1 = _Names("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Names("", "memory.max", "memory.current", "inactive_file")


def free_bytes(root: Path = ROOT) -> int:
    """The smaller of the system's available memory and what the limit of a container or service leaves.

    A limit below `root`/sys/fs/cgroup counts; psutil tells of the whole machine also inside a container.
    """
    import psutil  # 45 ms

    available = int(psutil.virtual_memory().available)
    limited = cgroup_free_bytes(root)
    return available if limited is None else min(available, limited)


def cgroup_free_bytes(root: Path = ROOT) -> int | None:
    """What the tightest of this process's memory limits leaves, at least 0; None: nothing limits it.

    Each folder above the process's own has a limit for all below it. Cached file pages that nobody used lately count
    as free: the kernel gives them up first, as it does for the whole machine.
    """
    left = [free for folder, names in _folders(root) if (free := _left_in(folder, names)) is not None]
    return max(0, min(left)) if left else None


def _folders(root: Path) -> Iterator[tuple[Path, _Names]]:
    """The process's cgroup and those above it. Inside a container the path may be the host's, and not be there."""
    text = _read_text(root / "proc/self/cgroup") or ""
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        names = _V2 if not controllers else _V1 if "memory" in controllers.split(",") else None
        if names is None:
            continue
        mount = root / "sys/fs/cgroup" / names.mount
        own = PurePosixPath(path.lstrip("/"))
        for part in (own, *own.parents):
            yield mount / part, names


def _left_in(folder: Path, names: _Names) -> int | None:
    limit, used = _number(_read_text(folder / names.limit)), _number(_read_text(folder / names.used))
    if limit is None or used is None:
        return None
    lines = (_read_text(folder / "memory.stat") or "").splitlines()
    inactive = next((_number(line.split()[-1]) for line in lines if line.startswith(f"{names.inactive} ")), None)
    return limit - used + (inactive or 0)


def _number(text: str | None) -> int | None:
    """None for "max", which is no limit."""
    stripped = (text or "").strip()
    return int(stripped) if stripped.isdecimal() else None


def _read_text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
