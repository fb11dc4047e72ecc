"""Whether a download fits on the disk before its first byte is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

from workbench.errors import StorageFull
from workbench.hub.cached_file import Blob, RepoFolder, is_commit
from workbench.hub.client import cache_dir
from workbench.hub.transfers import DownloadOrder
from workbench.units import bytes_text

# A disk that is full to the last byte takes the programs that run from it along.
RESERVE_BYTES = 256 * 1024 * 1024


def missing_bytes(order: DownloadOrder) -> int:
    """What still has to arrive: all but whole files and the parts of files named by a hash."""
    folder = RepoFolder(cache_dir(), order.repo_id)
    missing = 0
    for file in order.files:
        if is_commit(order.revision) and folder.found(order.revision, file.name, file.size_bytes, file.sha256):
            continue
        blob = Blob(folder, file.sha256) if file.sha256 is not None else None
        if blob is None or not blob.is_whole(file.size_bytes):
            missing += max(0, file.size_bytes - (_size_bytes(blob.partial) if blob is not None else 0))
    return missing


def check_room(order: DownloadOrder, promised_bytes: int = 0, reserve_bytes: int = RESERVE_BYTES) -> None:
    """Raises StorageFull. `promised_bytes` is what other downloads are still going to write there."""
    folder = cache_dir()
    missing = missing_bytes(order)
    try:
        free = shutil.disk_usage(_existing(folder)).free
    except OSError:
        return  # not known here: the write that finds no room says so
    if missing == 0 or missing + promised_bytes + reserve_bytes <= free:
        return
    others = f", {bytes_text(promised_bytes)} for other downloads" if promised_bytes else ""
    raise StorageFull(
        f"{order.repo_id} {order.label} needs {bytes_text(missing)} more on the disk of {folder}{others} and "
        f"{bytes_text(reserve_bytes)} to spare; {bytes_text(free)} are free. Free some space, or set HF_HOME to a "
        "folder on another disk."
    )


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # none yet


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
