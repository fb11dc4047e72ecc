"""The starter catalogue: small models worth a first look, as a list that works offline and can be checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from workbench.errors import HubAccessDenied
from workbench.hub.client import HubClient
from workbench.hub.repository import Repository
from workbench.hub.repository_reader import read_repository
from workbench.hub.search import is_repo_id
from workbench.profile_parsing import Table, read_profile_file

ModelKind = Literal["instruct", "thinking", "code", "embedding"]
ThinkingSwitch = Literal["enable_thinking", "thinking", "reasoning_effort", "always_on", "none"]
Difference = Literal["gone", "renamed", "no_gguf", "quantization", "license", "gated", "parameters"]

KINDS: tuple[ModelKind, ...] = ("instruct", "thinking", "code", "embedding")
SWITCHES: tuple[ThinkingSwitch, ...] = ("enable_thinking", "thinking", "reasoning_effort", "always_on", "none")
_KEYS = ("repo_id", "name", "parameters", "architecture", "kind", "why", "license", "thinking", "context_trained",
         "gated", "quantization")  # fmt: skip
# Output weights that are shared with the input count once for the makers and may lie twice in a file.
_SAME_SIZE = 0.25
# The Hub's words for a licence that it has no id for.
_UNNAMED_LICENSES = frozenset({"other", "unknown"})


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model and why one would take it. `quantization` is the one to begin with."""

    repo_id: str
    name: str
    parameters: int
    architecture: str
    kind: ModelKind
    why: str
    license: str
    thinking: ThinkingSwitch
    context_trained: int
    is_gated: bool
    quantization: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """`date` (YYYY-MM-DD) is when the list was last looked through."""

    date: str
    entries: tuple[CatalogEntry, ...]

    def entry(self, repo_id: str) -> CatalogEntry | None:
        wanted = repo_id.casefold()
        return next((entry for entry in self.entries if entry.repo_id.casefold() == wanted), None)


@dataclass(frozen=True, slots=True)
class CatalogFinding:
    """Where the catalogue and the Hub do not agree."""

    repo_id: str
    difference: Difference
    sentence: str


def load_catalog(path: Path, own: Path | None = None) -> Catalog:
    """The catalogue in `path`; entries of a user's `own` file, where it exists, come first and replace its namesakes.

    Raises ProfileError naming file and key.
    """
    built_in = _read(path)
    if own is None or not own.exists():
        return built_in
    added = _read(own)
    names = {entry.repo_id.casefold() for entry in added.entries}
    kept = tuple(entry for entry in built_in.entries if entry.repo_id.casefold() not in names)
    return Catalog(max(built_in.date, added.date), (*added.entries, *kept))


def check_catalog(
    client: HubClient, catalog: Catalog, progress: Callable[[CatalogEntry], None] | None = None
) -> tuple[CatalogFinding, ...]:
    """Asks the Hub for every entry, one after another (some 2 requests each); `progress` hears which is next.

    Raises HubOffline without a network, and any other HubError that concerns more than one entry.
    """
    findings: list[CatalogFinding] = []
    for entry in catalog.entries:
        if progress is not None:
            progress(entry)
        findings += _check(client, entry)
    return tuple(findings)


def _read(path: Path) -> Catalog:
    table = read_profile_file(path, ("date", "model"))
    entries: list[CatalogEntry] = []
    for item in table.tables("model", _KEYS):
        entry = _entry(item)
        if any(entry.repo_id.casefold() == other.repo_id.casefold() for other in entries):
            raise item.error("repo_id", f"is {entry.repo_id!r} for the second time; each repository stands once.")
        entries.append(entry)
    return Catalog(table.date("date"), tuple(entries))


def _entry(table: Table) -> CatalogEntry:
    repo_id = table.text("repo_id", longest=200)
    if not is_repo_id(repo_id):
        raise table.error("repo_id", f"is {repo_id!r}; a repository id looks like author/name.")
    gated = table.maybe_flag("gated")
    if gated is None:
        raise table.error("gated", "is missing; it must be true or false.")
    return CatalogEntry(
        repo_id=repo_id,
        name=table.text("name", longest=60),
        parameters=table.integer("parameters", 1_000_000, 1_000_000_000_000),
        architecture=table.text("architecture", longest=40),
        kind=cast(ModelKind, _choice(table, "kind", KINDS)),
        why=table.text("why", longest=200),
        license=table.text("license", longest=60),
        thinking=cast(ThinkingSwitch, _choice(table, "thinking", SWITCHES)),
        context_trained=table.integer("context_trained", 128, 100_000_000),
        is_gated=gated,
        quantization=table.text("quantization", longest=20),
    )


def _choice(table: Table, key: str, allowed: tuple[str, ...]) -> str:
    value = table.maybe_choice(key, allowed)
    if value is None:
        raise table.error(key, f"is missing; it must be one of {', '.join(allowed)}.")
    return value


def _check(client: HubClient, entry: CatalogEntry) -> Iterator[CatalogFinding]:
    try:
        repository = read_repository(client, entry.repo_id)
    except HubAccessDenied as error:
        if error.code == "hub_token_refused":
            raise
        # A gated repository still shows its record, so a refusal means more than an unaccepted licence.
        yield CatalogFinding(entry.repo_id, "gone", f"{entry.name}: {error.message}")
        return
    for difference, sentence in _differences(entry, repository):
        yield CatalogFinding(entry.repo_id, difference, f"{entry.name} ({entry.repo_id}): {sentence}")


def _differences(entry: CatalogEntry, found: Repository) -> Iterator[tuple[Difference, str]]:
    summary = found.summary
    if summary.repo_id != entry.repo_id:
        yield "renamed", f"the repository is called {summary.repo_id} on the Hub."
    if not found.quantizations:
        yield "no_gguf", "the repository has no GGUF model any more."
    elif found.named(entry.quantization) is None:
        offered = ", ".join(quantization.label for quantization in found.quantizations)
        yield "quantization", f"{entry.quantization} is recommended and not offered; there are: {offered}."
    if summary.license not in (None, entry.license, *_UNNAMED_LICENSES):
        yield "license", f"the licence is {summary.license} on the Hub and {entry.license} here."
    if summary.is_gated != entry.is_gated:
        states = {True: "gated", False: "open to everybody"}
        yield "gated", f"it is {states[summary.is_gated]} on the Hub and {states[entry.is_gated]} here."
    if summary.parameters and abs(summary.parameters / entry.parameters - 1) > _SAME_SIZE:
        yield "parameters", f"it has {summary.parameters:,} parameters on the Hub and {entry.parameters:,} here."
