"""What REPO, MODEL and their quantization mean: a file that is here, or files of a repository of the Hub."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from workbench.cli.models_text import split_tag
from workbench.cli.options import UsageProblem
from workbench.core import Workbench
from workbench.errors import ModelNotFound
from workbench.hub.gguf import ModelFile
from workbench.hub.grouping import ModelEntry, parts_of
from workbench.hub.names import as_path, find_entry
from workbench.hub.repository import RemoteFiles, RepoQuantization, Repository
from workbench.hub.search import repo_id_of
from workbench.runs.spec import ModelRef
from workbench.units import bytes_text

_NAMED_IN_A_SENTENCE = 12


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to judge: files that are here, or files of the Hub."""

    name: str
    source: tuple[Path, ...] | RemoteFiles
    trained_context: int | None


def find_subject(workbench: Workbench, text: str, quantization: str | None) -> Subject:
    """The file on disk where there is one, else the repository's. Raises ModelNotFound, HubError."""
    name, label = wanted(text, quantization)
    ref = local_model(workbench, name, label)
    if ref is not None:
        return _local_subject(workbench, ref)
    repository = workbench.models.repository(name)
    chosen = choose(repository, label)
    title = f"{repository.summary.repo_id}:{chosen.label}"
    return Subject(title, remote_files(repository, chosen), repository.summary.context_trained)


def _local_subject(workbench: Workbench, ref: ModelRef) -> Subject:
    path = made_file(ref)
    title = f"{ref.name} {ref.quantization or ''}".rstrip()
    return Subject(title, parts_of(path), workbench.library.trained_context(ref))


def made_file(ref: ModelRef) -> Path:
    """Its file. Raises ModelNotFound for a quantization that is made on first use and was not used."""
    path = Path(ref.path)
    if not path.is_file():
        run = f"workbench run --model {shlex.quote(ref.name)} --quant {ref.quantization} hello"
        raise ModelNotFound(f"{ref.name} {ref.quantization} is made on first use. Run it once: {run}")
    return path


def wanted(text: str, quantization: str | None) -> tuple[str, str | None]:
    """REPO[:QUANT] and --quant as a name and a quantization; the option has the last word."""
    if Path(text).exists():
        return text, quantization
    name, tag = split_tag(text)
    return name, quantization or tag


def local_model(workbench: Workbench, name: str, quantization: str | None) -> ModelRef | None:
    """The model on disk; None when there is none and the name can be one of the Hub. Raises ModelNotFound."""
    try:
        return workbench.library.resolve(name, quantization)
    except ModelNotFound:
        if repo_id_of(name) is None:
            raise
        return None


def choose(repository: Repository, label: str | None) -> RepoQuantization:
    """The quantization with this label, without one the recommended. Raises ModelNotFound, UsageProblem."""
    repo_id, known = repository.summary.repo_id, repository.quantizations
    labels = _few([item.label for item in known])
    if not known:
        raise ModelNotFound(f"{repo_id} has no GGUF model. Search for one: workbench models search NAME")
    if label is not None:
        found = repository.named(label)
        if found is None:
            raise ModelNotFound(f"{repo_id} has no {label}; it has: {labels}.")
        return found
    marked = [item for item in known if item.is_recommended]
    if not marked and len(known) > 1:
        raise UsageProblem(f"{repo_id} has several models. Say which with --quant: {labels}.")
    return (marked or list(known))[0]


def _few(labels: list[str]) -> str:
    """For a sentence: a repository may hold thousands."""
    more = len(labels) - _NAMED_IN_A_SENTENCE
    return ", ".join(labels[:_NAMED_IN_A_SENTENCE]) + (f" and {more:,} more" if more > 0 else "")


def best_source(workbench: Workbench, model: str) -> ModelRef:
    """The file to make others from: what the name says, and without a quantization in it the one with the most bits."""
    ref = workbench.library.resolve(model)
    entry = workbench.library.entry_of(Path(ref.path))
    if as_path(model) is not None or split_tag(model)[1] is not None or entry is None:
        return ref
    usable = [file for file in entry.files if file.problem is None and file.bits_per_weight is not None]
    best = max(usable, key=lambda file: file.bits_per_weight or 0, default=None)
    return ref if best is None else workbench.library.resolve(str(best.path))


def remote_files(repository: Repository, chosen: RepoQuantization) -> RemoteFiles:
    return RemoteFiles(repository.summary.repo_id, repository.revision, chosen.files)


def choice_sentence(repository: Repository, chosen: RepoQuantization, label: str | None) -> str:
    """Which one is taken, how large it is, and why where nobody said which."""
    name = f"{repository.summary.repo_id}:{chosen.label}, {bytes_text(chosen.size_bytes)}."
    return name if label is not None or chosen.reason is None else f"{name} {chosen.reason}"


def files_named(workbench: Workbench, text: str) -> tuple[ModelEntry, tuple[ModelFile, ...]]:
    """The model of this name and those of its files that are meant, broken ones too: all of them, the one that a path
    or :QUANT names, or for a repository only what came from it. Raises ModelNotFound.
    """
    path = as_path(text)
    if path is not None:
        entry = workbench.library.entry_of(path)
        if entry is None:
            raise ModelNotFound(f"There is no model file {path}. Check the path, or name a model.")
        return entry, tuple(file for file in entry.files if path in (*file.parts, *file.also_at))
    entry, label = find_entry(workbench.library.list(), text)
    repo_id = repo_id_of(text)
    files = tuple(
        file
        for file in entry.files
        if (label is None or file.quantization == label)
        and (repo_id is None or (file.repo_id or "").casefold() == repo_id.casefold())
    )
    if not files:
        there = ", ".join(entry.quantizations) or "none"
        raise ModelNotFound(f"{text} is not on this machine; of {entry.name} there are: {there}.")
    return entry, files
