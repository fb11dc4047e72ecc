"""What the Hub and the library know of models, as words and cells of tables; nothing is computed or printed here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from workbench.cli.options import UsageProblem
from workbench.hub.catalog import CatalogEntry
from workbench.hub.repository import RepoQuantization, Repository, RepoSummary
from workbench.units import UNKNOWN, bytes_text, count_text

SEARCH_HEADERS = ("repository", "parameters", "downloads", "likes", "licence", "access")
SEARCH_RIGHT = frozenset({1, 2, 3})
QUANTIZATION_HEADERS = ("quantization", "size", "bits per weight", "files", "")
QUANTIZATION_RIGHT = frozenset({1, 2, 3})
CATALOG_HEADERS = ("repository", "parameters", "kind", "thinking", "licence", "access", "why")
CATALOG_RIGHT = frozenset({1})

ORIGINS = {
    "demo": "this program",
    "own": "models folder",
    "folder": "folder of yours",
    "registered": "added by path",
    "hub_cache": "Hugging Face cache",
    "lm_studio": "LM Studio",
    "ollama": "Ollama",
}
THINKING = {
    "enable_thinking": "can be switched",
    "thinking": "can be switched",
    "reasoning_effort": "effort can be set",
    "always_on": "always",
    "none": "no",
}

_AMOUNT = re.compile(r"(?P<figure>\d+(?:\.\d+)?)(?P<unit>[KMBT]?)", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_MOST_PARAMETERS = 1e15


def read_parameters(text: str | None, option: str) -> int | None:
    """A number of parameters as people write it: 0.5B, 500M, 494032768. Raises UsageProblem naming `option`."""
    if text is None:
        return None
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise UsageProblem(f"{option} is {text!r}; it must be a number of parameters, as 500M or 1.5B.")
    count = float(match["figure"]) * _UNITS[match["unit"].upper()]
    if count > _MOST_PARAMETERS:
        raise UsageProblem(f"{option} is more than any model has; it must be a number of parameters, as 500M or 1.5B.")
    return round(count)


def parameters_text(count: float | None) -> str:
    """494M, 1.54B, 14.8B."""
    if count is None:
        return UNKNOWN
    # 999.6M is 1.00B: the unit is chosen for the rounded figure.
    unit, size = next(((name, size) for name, size in reversed(_UNITS.items()) if count >= 0.9995 * size), ("", 1))
    figure = count / size
    decimals = 0 if figure >= 99.95 or not unit else 1 if figure >= 9.995 else 2
    return f"{figure:.{decimals}f}{unit}"


def bits_text(bits: float | None) -> str:
    return UNKNOWN if bits is None else f"{bits:.2f}"


def access_text(summary: RepoSummary) -> str:
    words = [word for word, is_so in (("gated", summary.is_gated), ("private", summary.is_private)) if is_so]
    return ", ".join(words) or "open"


def search_cells(summary: RepoSummary) -> list[str]:
    return [
        summary.repo_id,
        parameters_text(summary.parameters),
        count_text(summary.downloads),
        count_text(summary.likes),
        summary.license or UNKNOWN,
        access_text(summary),
    ]


def repository_lines(repository: Repository) -> list[str]:
    """What is known of a repository beside its files, a line for each thing."""
    summary = repository.summary
    facts = [
        summary.architecture,
        f"{parameters_text(summary.parameters)} parameters" if summary.parameters else None,
        f"context {count_text(summary.context_trained)}" if summary.context_trained else None,
        f"licence {summary.license}" if summary.license else "licence not stated",
        access_text(summary),
    ]
    counts = [
        f"{count_text(summary.downloads)} downloads" if summary.downloads is not None else None,
        f"{count_text(summary.likes)} likes" if summary.likes is not None else None,
        f"changed {summary.updated_at[:10]}" if summary.updated_at else None,
    ]
    lines = [summary.repo_id, joined_words(facts), joined_words(counts), f"commit {repository.revision}"]
    return [line for line in lines if line]


def quantization_cells(item: RepoQuantization, on_disk: Iterable[str] = ()) -> list[str]:
    """`on_disk` are the labels of those that are here."""
    marks = [
        "recommended" if item.is_recommended else "",
        "on disk" if item.label in on_disk else "",
    ]
    return [
        item.label,
        bytes_text(item.size_bytes),
        bits_text(item.bits_per_weight),
        count_text(len(item.files)),
        joined_words(marks),
    ]


def catalog_cells(entry: CatalogEntry) -> list[str]:
    return [
        entry.repo_id,
        parameters_text(entry.parameters),
        entry.kind,
        THINKING.get(entry.thinking, entry.thinking),
        entry.license,
        "gated" if entry.is_gated else "open",
        entry.why,
    ]


def catalog_lines(entry: CatalogEntry) -> list[str]:
    """An entry on a screen, where a table with the reasons would be too wide."""
    access = "gated" if entry.is_gated else None
    kind = None if entry.kind == "thinking" else entry.kind
    thinking = {"none": None, "always_on": "always thinks"}.get(entry.thinking, "thinking can be switched")
    facts = [f"{parameters_text(entry.parameters)} parameters", kind, thinking, entry.license, access]
    return [entry.repo_id, f"  {joined_words(facts)}", f"  {entry.why}"]


def has_words(text: str, *names: str) -> bool:
    """Whether every word of `text` occurs in one of the names, whatever its case."""
    folded = [name.casefold() for name in names]
    return all(any(word in name for name in folded) for word in text.casefold().split())


def joined_words(words: Sequence[str | None]) -> str:
    return ", ".join(word for word in words if word)


def split_tag(text: str) -> tuple[str, str | None]:
    """REPO[:QUANT] as repository and quantization; the colons of a URL and of a Windows drive are no such mark."""
    name, colon, tag = text.rpartition(":")
    if not colon or not name or not tag or re.search(r"[/\\]", tag):
        return text, None
    return name, tag


def things(count: int, name: str) -> str:
    """1 file, 3 files, 1 quantization ..."""
    return f"{count_text(count)} {name}" if count == 1 else f"{count_text(count)} {name}s"
