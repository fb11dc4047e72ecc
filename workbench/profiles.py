"""Finds profiles: the built-in ones and the user's own, which win by name; a wrong file is reported, never fatal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Literal, Protocol, TypeVar

from workbench.errors import ProfileError
from workbench.profile_kinds import (
    BUDGET_METRICS,
    MACHINE_KEYS,
    MODE_KEYS,
    SURFACE_KEYS,
    BudgetMetric,
    MachineProfile,
    ModeProfile,
    SurfaceProfile,
    parse_machine,
    parse_mode,
    parse_surface,
)
from workbench.profile_parsing import read_profile_file, suggestion

__all__ = [
    "BUDGET_METRICS",
    "BudgetMetric",
    "MachineProfile",
    "ModeProfile",
    "ProfileProblem",
    "ProfileStore",
    "SurfaceProfile",
]

ProfileKind = Literal["modes", "surfaces", "machines"]
_MODE_ORDER: Final = ("fast", "thoughtful", "draft-then-refine", "vote", "deterministic")
_DEFAULT_MACHINE: Final = "l4"  # the smallest GPU of its generation that is rented for inference
_SURFACE_ORDER: Final = ("autocomplete", "chat", "summarization", "document-analysis", "background-job")


@dataclass(frozen=True, slots=True)
class ProfileProblem:
    """A file that was skipped, and the sentence that says why."""

    path: Path
    message: str


class Profile(Protocol):
    @property
    def name(self) -> str: ...


P = TypeVar("P", ModeProfile, SurfaceProfile, MachineProfile)


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[P]):
    profiles: tuple[P, ...]
    problems: tuple[ProfileProblem, ...]


class ProfileStore:
    """Reads `<folder>/{modes,surfaces,machines}/*.toml` of two folders on first use; the user's names win.

    A wrong file is skipped and listed by `problems`; it never stops the program.
    """

    def __init__(self, builtin: Path, user: Path) -> None:
        self._builtin = builtin
        self._user = user
        self.reload()

    def reload(self) -> None:
        """Forgets what was read; the next question reads the files again."""
        self._modes: _Loaded[ModeProfile] | None = None
        self._surfaces: _Loaded[SurfaceProfile] | None = None
        self._machines: _Loaded[MachineProfile] | None = None

    def modes(self) -> tuple[ModeProfile, ...]:
        """Fast, thoughtful, draft-then-refine, vote, other built-in ones, then the user's by name."""
        return self._read_modes().profiles

    def surfaces(self) -> tuple[SurfaceProfile, ...]:
        """From the shortest wait to the longest, then the user's by name."""
        return self._read_surfaces().profiles

    def machines(self) -> tuple[MachineProfile, ...]:
        """By price per hour, the cheapest first."""
        return self._read_machines().profiles

    def mode(self, name: str) -> ModeProfile:
        """Raises ProfileError, naming the known modes, as do `surface` and `machine` for theirs."""
        return _named("mode", self.modes(), name)

    def surface(self, name: str) -> SurfaceProfile:
        return _named("surface", self.surfaces(), name)

    def machine(self, name: str) -> MachineProfile:
        return _named("machine", self.machines(), name)

    def rented_gpu(self, setting: str | None) -> MachineProfile | None:
        """The machine that a setting names; for None, "auto" and names that are gone an L4, else the cheapest."""
        machines = {machine.name: machine for machine in self.machines()}
        cheapest = next(iter(machines.values()), None)
        return machines.get(setting or "") or machines.get(_DEFAULT_MACHINE) or cheapest

    def problems(self) -> tuple[ProfileProblem, ...]:
        """The files that were skipped, built-in ones included."""
        return (*self._read_modes().problems, *self._read_surfaces().problems, *self._read_machines().problems)

    def check(self, paths: Sequence[Path] | None = None) -> tuple[ProfileProblem, ...]:
        """Problems of these files, or of all profiles read anew. A file's kind is told by its folder or its keys."""
        if paths is None:
            self.reload()
            return self.problems()
        found = (_problem(path) for path in paths)
        return tuple(problem for problem in found if problem is not None)

    def _read_modes(self) -> _Loaded[ModeProfile]:
        if self._modes is None:
            self._modes = self._read("modes", parse_mode, _rank(_MODE_ORDER))
        return self._modes

    def _read_surfaces(self) -> _Loaded[SurfaceProfile]:
        if self._surfaces is None:
            self._surfaces = self._read("surfaces", parse_surface, _rank(_SURFACE_ORDER))
        return self._surfaces

    def _read_machines(self) -> _Loaded[MachineProfile]:
        if self._machines is None:
            self._machines = self._read("machines", parse_machine, lambda item: (item.usd_per_hour, item.name))
        return self._machines

    def _read(self, kind: ProfileKind, parse: Callable[[Path], P], key: Callable[[P], tuple[float, str]]) -> _Loaded[P]:
        return _merged(_read_folder(self._builtin / kind, parse), _read_folder(self._user / kind, parse), key)


def _merged(shipped: _Loaded[P], own: _Loaded[P], key: Callable[[P], tuple[float, str]]) -> _Loaded[P]:
    by_name = {profile.name: profile for profile in shipped.profiles}
    for profile in own.profiles:
        by_name[profile.name] = dataclasses.replace(
            profile, builtin=False, overrides_builtin=any(item.name == profile.name for item in shipped.profiles)
        )
    return _Loaded(tuple(sorted(by_name.values(), key=key)), (*shipped.problems, *own.problems))


def _read_folder(folder: Path, parse: Callable[[Path], P]) -> _Loaded[P]:
    profiles: dict[str, P] = {}
    problems: list[ProfileProblem] = []
    for path in _toml_files(folder, problems):
        try:
            profile = parse(path)
        except ProfileError as error:
            problems.append(ProfileProblem(path, error.message))
            continue
        if profile.name in profiles:
            other = profiles[profile.name].path
            problems.append(ProfileProblem(path, f"{path}: name {profile.name!r} is already taken by {other}."))
        else:
            profiles[profile.name] = profile
    return _Loaded(tuple(profiles.values()), tuple(problems))


def _toml_files(folder: Path, problems: list[ProfileProblem]) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(ProfileProblem(folder, f"{folder}: cannot be read: {error.strerror or error}."))
        return []


def _problem(path: Path) -> ProfileProblem | None:
    try:
        _parser_for(path)(path)
    except ProfileError as error:
        return ProfileProblem(path, error.message)
    return None


def _parser_for(path: Path) -> Callable[[Path], object]:
    parsers: dict[str, Callable[[Path], object]] = {
        "modes": parse_mode,
        "surfaces": parse_surface,
        "machines": parse_machine,
    }
    if path.parent.name in parsers:
        return parsers[path.parent.name]
    table = read_profile_file(path, (*MODE_KEYS, *SURFACE_KEYS, *MACHINE_KEYS))
    if table.has("usd_per_hour"):
        return parse_machine
    return parse_surface if table.has("budgets") or table.has("judged_on") else parse_mode


def _named(kind: str, profiles: Sequence[P], name: str) -> P:
    for profile in profiles:
        if profile.name == name:
            return profile
    known = [profile.name for profile in profiles]
    listed = ", ".join(known) if known else "none"
    raise ProfileError(f"There is no {kind} {name!r}.{suggestion(name, known)} Known: {listed}.")


def _rank(order: Iterable[str]) -> Callable[[Profile], tuple[float, str]]:
    ranks = {name: float(rank) for rank, name in enumerate(order)}
    return lambda profile: (ranks.get(profile.name, float("inf")), profile.name)
