"""Whether a window can be shown here at all; asked before Qt, which ends the process when it cannot."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path

_WITHOUT_SCREEN = ("offscreen", "minimal", "vnc", "eglfs", "linuxfb", "minimalegl")


def display_problem() -> str | None:
    """A sentence why there can be no window, or None."""
    if not sys.platform.startswith(("linux", "freebsd", "openbsd")):
        return None
    platform = os.environ.get("QT_QPA_PLATFORM", "").split(":")[0].split(";")[0]
    if platform in _WITHOUT_SCREEN:
        return None
    if os.environ.get("WAYLAND_DISPLAY") and platform != "xcb":
        return None
    display = os.environ.get("DISPLAY", "")
    if not display:
        return "There is no display: neither DISPLAY nor WAYLAND_DISPLAY is set."
    if not _answers(display):
        return f"The display {display} does not answer."
    if not _has_library("libxcb-cursor.so.0"):
        return "Qt needs the library libxcb-cursor (Debian and Ubuntu: apt install libxcb-cursor0)."
    return None


def _answers(display: str) -> bool:
    host, _, rest = display.rpartition(":")
    number = rest.split(".")[0]
    if not number.isdigit():
        return True  # a form this function does not know; Qt will tell
    if host in ("", "unix"):
        return Path(f"/tmp/.X11-unix/X{number}").exists() or _is_abstract(number)
    if "/" in host:
        return True
    try:
        with socket.create_connection((host, 6000 + int(number)), timeout=1.0):
            return True
    except OSError:
        return False


def _is_abstract(number: str) -> bool:
    """X servers also listen on a name that is no file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(f"\0/tmp/.X11-unix/X{number}")
        except OSError:
            return False
        return True


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
