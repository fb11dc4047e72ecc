"""What a person means by the name of a model: a path, a name of the library, a repository, a quantization behind it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import ModelNotFound
from workbench.hub.demo_model import DEMO_NAMES
from workbench.hub.gguf import ModelFile, split_name
from workbench.hub.grouping import ModelEntry, stem

_SHOWN_LENGTH = 300
_REPOSITORY = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
# Taken when nobody says which: the usual compromise first, then the next better, then smaller ones.
_PREFERRED = ("Q4_K_M", "Q5_K_M", "Q4_K_S", "Q6_K", "Q8_0", "IQ4_XS", "Q4_0", "Q3_K_M", "F16", "BF16")

Match = tuple[ModelEntry, str | None]  # and the quantization, when the name was that of one file


def as_path(model: str) -> Path | None:
    """A path when it looks like one; a bare name or a repository is looked up in the library first."""
    path = os.path.expanduser(model)
    if os.path.isabs(path) or os.path.isfile(path):
        return Path(os.path.abspath(path))
    looks_like_one = os.sep in model or "/" in model
    is_local = model.startswith(("./", "../", f".{os.sep}", f"..{os.sep}", "~")) or model.lower().endswith(".gguf")
    if looks_like_one and (is_local or not _REPOSITORY.match(_split_off(model)[0])):
        return Path(os.path.abspath(path))
    return None


def find_entry(entries: Sequence[ModelEntry], model: str) -> Match:
    """The model of this name. Raises ModelNotFound, with what is near or what it could be."""
    found, verb = _matches(entries, model)
    name, quantization = _split_off(model)
    if not found and quantization is not None:
        found, verb = _matches(entries, name)
        found = [(entry, quantization) for entry, _ in found]
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(entry.name for entry, _ in found)
        raise ModelNotFound(f"Several models {verb} {shortened(model)!r}: {named}. Give more of the name.")
    raise _not_found(model, [entry.name for entry in entries])


def preferred(files: Sequence[ModelFile]) -> ModelFile:
    """The file to take when nobody says which."""
    ranks = {name: rank for rank, name in enumerate(_PREFERRED)}
    return min(files, key=lambda file: ranks.get(file.quantization or "", len(ranks)))


def shortened(text: str) -> str:
    """For a sentence: a name of thousands of characters is nobody's model."""
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _matches(entries: Sequence[ModelEntry], model: str) -> tuple[list[Match], str]:
    """The best kind of match there is, and the verb for it. The name itself and that of a file mean one model."""
    wanted = model.casefold().removesuffix(".gguf")
    short: list[Match] = [(entry, None) for entry in entries if entry.short_name == wanted]
    if short or wanted == DEMO_NAMES[0]:  # whatever else is called so
        return short, "are"
    exact: list[Match] = [(entry, None) for entry in entries if entry.name.casefold() == wanted]
    by_file: list[Match] = [
        (entry, file.quantization) for entry in entries for file in entry.files if wanted in _file_names(file)
    ]
    of_repository: list[Match] = [
        (entry, None) for entry in entries if any((file.repo_id or "").casefold() == wanted for file in entry.files)
    ]
    starts: list[Match] = [(entry, None) for entry in entries if entry.name.casefold().startswith(wanted)]
    for found, verb in ((exact[:1], "are"), (by_file[:1], "are"), (of_repository, "are of"), (starts, "begin with")):
        if found:
            return found, verb
    return [], ""


def _file_names(file: ModelFile) -> set[str]:
    labels = [name for name in (file.label, *file.aliases) if name]
    names = labels if labels else [stem(file.path)]
    return {name.casefold() for name in (*names, *(label.removesuffix(":latest") for label in labels))}


def _split_off(model: str) -> tuple[str, str | None]:
    """`Qwen/Qwen3-0.6B-GGUF:Q4_K_M` as its name and its quantization."""
    name, colon, tag = model.rpartition(":")
    if colon and name and split_name(tag)[1] is not None and not split_name(tag)[0]:
        return name, tag.upper()
    return model, None


def _not_found(model: str, names: list[str]) -> ModelNotFound:
    shown = shortened(model)
    if _REPOSITORY.match(_split_off(model)[0]):
        return ModelNotFound(
            f"There is no {shown!r} on this machine, as a repository or as a path. "
            f"`workbench models pull {shown}` downloads a repository of the Hugging Face Hub."
        )
    import difflib  # 6 ms, needed for this sentence only

    folded = {name.casefold(): name for name in names}
    near = [folded[name] for name in difflib.get_close_matches(model.casefold(), folded, n=3, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(names) or 'none'}."
    return ModelNotFound(f"There is no model {shown!r}. {hint} A path to a .gguf file works too.")
