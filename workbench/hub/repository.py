"""What the Hub says about a repository, as plain data: no network here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SortBy = Literal["downloads", "likes", "recent"]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What to look for among GGUF repositories. Bounds are numbers of parameters, not bytes."""

    text: str = ""
    author: str | None = None
    sort: SortBy = "downloads"
    license: str | None = None
    min_parameters: int | None = None
    max_parameters: int | None = None


@dataclass(frozen=True, slots=True)
class RepoSummary:
    """A repository as a search lists it; None: the Hub did not say. `updated_at` is ISO 8601 in UTC."""

    repo_id: str
    downloads: int | None = None
    likes: int | None = None
    updated_at: str | None = None
    license: str | None = None
    is_gated: bool = False
    is_private: bool = False
    parameters: int | None = None
    architecture: str | None = None
    context_trained: int | None = None
    tags: tuple[str, ...] = ()

    @property
    def author(self) -> str:
        return self.repo_id.split("/")[0]

    @property
    def name(self) -> str:
        return self.repo_id.split("/")[-1]


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file of a repository. `name` is its path there; `sha256` None: the Hub keeps it without LFS."""

    name: str
    size_bytes: int
    sha256: str | None = None
    is_xet: bool = False


@dataclass(frozen=True, slots=True)
class RepoQuantization:
    """One quantization: a file, or all parts of a split one in order. `label` tells same-named ones apart.

    `bits_per_weight` is exact once a header was read, before that from size and parameters (None without both).
    `reason` says in a sentence why this one is recommended; None for all others.
    """

    label: str
    quantization: str | None
    files: tuple[RepoFile, ...]
    bits_per_weight: float | None = None
    reason: str | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def is_recommended(self) -> bool:
        return self.reason is not None


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit. `quantizations` from the fewest bits to the most; the rest is no model to run."""

    summary: RepoSummary
    revision: str
    quantizations: tuple[RepoQuantization, ...]
    projectors: tuple[RepoFile, ...] = ()
    others: tuple[RepoFile, ...] = ()

    def named(self, label: str) -> RepoQuantization | None:
        """The quantization with this label or type, whatever its case."""
        wanted = label.casefold()
        found = [q for q in self.quantizations if wanted in (q.label.casefold(), (q.quantization or "").casefold())]
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class RemoteFiles:
    """The files of one quantization where they lie on the Hub."""

    repo_id: str
    revision: str
    files: tuple[RepoFile, ...]
