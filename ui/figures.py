"""Plain figures that states make and widgets paint: a memory need, a curve, a piece of work in the tray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitPart:
    """`colour` is a part name of the theme ("weights", "kv"). Resident is never more than reserved."""

    label: str
    resident_bytes: int
    reserved_bytes: int
    colour: str


@dataclass(frozen=True)
class FitFigures:
    """`text` stands under the bar at the left (`short` where it finds no room), `verdict` at the right in the colour
    of `tone`. No parts: the need is not known. `scale_bytes` is the whole width of the bar; None: what is free.
    """

    parts: tuple[FitPart, ...] = ()
    free_bytes: int | None = None
    text: str = ""
    short: str = ""
    verdict: str = ""
    tone: str = "dim"
    tip: str = ""
    scale_bytes: int | None = None

    @property
    def reserved_bytes(self) -> int:
        return sum(part.reserved_bytes for part in self.parts)


@dataclass(frozen=True)
class CurveLine:
    """`points` are (context length, bytes). A line that is not exact is dotted; the current one is drawn strong."""

    name: str
    points: tuple[tuple[int, int], ...]
    role: str
    is_exact: bool = True
    is_current: bool = False


@dataclass(frozen=True)
class TrayItem:
    """One piece of work. `fraction` None: how much it is is not known. `actions` are (key, word), the likeliest first.

    `is_over`: nothing is left to do; it stands among the folded ones.
    """

    id: str
    title: str
    detail: str
    fraction: float | None
    tone: str = "dim"
    problem: str = ""
    actions: tuple[tuple[str, str], ...] = ()
    is_over: bool = False
    tip: str = ""
