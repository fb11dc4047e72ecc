"""The files of a repository as a person chooses among them: quantizations, projectors and the rest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from workbench.hub.gguf import split_name
from workbench.hub.repository import RepoFile, RepoQuantization

# Taken when nobody says which: the usual compromise first, then the next better, then smaller ones.
PREFERRED = ("Q4_K_M", "Q5_K_M", "Q4_K_S", "Q6_K", "Q8_0", "IQ4_XS", "Q4_0", "Q3_K_M", "F16", "BF16")
_COMPROMISE_BITS = 4.8
_PLAUSIBLE_BITS = (0.5, 40.0)
_LONGEST_NAME = 1024
_FLOATS = {"FP16": "F16", "FP32": "F32", "FLOAT16": "F16", "FLOAT32": "F32"}
_NOMINAL = {"F16": 16.0, "BF16": 16.0, "F32": 32.0, "MXFP4": 4.25, "MXFP4_MOE": 4.25, "NVFP4": 4.5}

_PART = re.compile(r"^(?P<base>.+)-(?P<part>\d{5})-of-(?P<count>\d{5})$", re.IGNORECASE)
_PROJECTOR = re.compile(r"mmproj", re.IGNORECASE)
_NO_MODEL = re.compile(r"imatrix|(?:^|[-_.])(?:lora|adapter|vocab)(?:[-_.]|$)", re.IGNORECASE)
# Small models that only guess for a large one.
_DRAFT = re.compile(r"(?:^|[-_./])(?:draft|mtp|eagle\d*)(?:[-_./]|$)", re.IGNORECASE)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SortedFiles:
    """`others` holds whatever is no model to run: documents, drafts, adapters, splits with a part missing."""

    quantizations: tuple[RepoQuantization, ...]
    projectors: tuple[RepoFile, ...]
    others: tuple[RepoFile, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Files that make one model. `base` is the name without quantization, `folder` where they lie."""

    base: str
    folder: str
    quantization: str | None
    files: tuple[RepoFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def sort_files(files: Iterable[RepoFile], parameters: int | None) -> SortedFiles:
    """`parameters` of the model, where the Hub knows them, give the bits per weight."""
    everything = sorted(files, key=lambda file: file.name)
    models = [file for file in everything if file.name.lower().endswith(".gguf") and not _is_hidden(file.name)]
    projectors = [file for file in models if _PROJECTOR.search(file.name)]
    set_apart = set(projectors)
    models = [file for file in models if file not in set_apart and not _NO_MODEL.search(_stem(file.name))]
    # Where every file has the word, it is the name of the model.
    full = [file for file in models if not _DRAFT.search(file.name)] or models
    candidates = _candidates(full)
    taken = {file.name for candidate in candidates for file in candidate.files} | {file.name for file in projectors}
    return SortedFiles(
        _recommended(_labelled(candidates, parameters), candidates),
        tuple(projectors),
        tuple(file for file in everything if file.name not in taken),
    )


def is_safe_name(name: str) -> bool:
    """Whether a file of this name stays inside the folder it is put into, on every system."""
    parts = name.split("/")
    return (
        0 < len(name) <= _LONGEST_NAME
        and name.isprintable()
        and not any(sign in name for sign in '\\:*?"<>|')
        and all(part not in ("", ".", "..") and part[-1] not in ". " for part in parts)
        and not any(_RESERVED.fullmatch(part) for part in parts)
    )


def quantization_in(name: str) -> tuple[str, str | None]:
    """Name without the quantization, and the quantization; a folder's name counts where the file's has none."""
    path = PurePosixPath(name)
    stem = _whole_stem(path.stem)
    base, tag = _split(stem)
    if tag is not None:
        return base, tag
    by_folder = (_split(folder)[1] for folder in reversed(path.parent.parts))
    return stem, next((tag for tag in by_folder if tag is not None), None)


def _split(text: str) -> tuple[str, str | None]:
    """Like `split_name`, and for types inside a name (model-Q4_K_M-imat) and other words for floats (fp16)."""
    base, tag = split_name(text)
    if tag is not None:
        return base, tag
    for word in reversed(re.split(r"[-. ]", text)):
        before, tag = split_name(word)
        tag = _FLOATS.get(word.upper()) or (tag if not before else None)
        if tag is not None:
            at = text.rfind(word)
            return text[:at].rstrip("-. ") + text[at + len(word) :], tag
    return text, None


def _candidates(files: Sequence[RepoFile]) -> list[_Candidate]:
    """Single files and whole splits; a split with a part missing or doubled gives none."""
    groups: dict[tuple[str, int], dict[int, RepoFile]] = {}
    for file in files:
        path = PurePosixPath(file.name)
        match = _PART.match(path.stem)
        base, part, count = (match["base"], int(match["part"]), int(match["count"])) if match else (path.stem, 1, 1)
        key = f"{path.parent}/{base}" + ("" if match else " "), count  # a joined file may lie beside its own split
        groups.setdefault(key, {})[part] = file
    return [
        _candidate(tuple(parts[number] for number in sorted(parts)))
        for (_, count), parts in groups.items()
        if count >= 1 and len(parts) == count and sorted(parts) == list(range(1, count + 1))
    ]


def _candidate(files: tuple[RepoFile, ...]) -> _Candidate:
    base, tag = quantization_in(files[0].name)
    return _Candidate(base.rstrip("-._ "), PurePosixPath(files[0].name).parent.as_posix(), tag, files)


def _labelled(candidates: Sequence[_Candidate], parameters: int | None) -> list[RepoQuantization]:
    """In the order of the candidates."""
    # The Hub counts the parameters of one file: with several models inside, nobody knows of which.
    known = parameters if len({candidate.base.casefold() for candidate in candidates}) == 1 else None
    plain = [candidate.quantization or _whole_stem(_stem(candidate.files[0].name)) for candidate in candidates]
    return [
        RepoQuantization(label, candidate.quantization, candidate.files, _bits(candidate.size_bytes, known))
        for label, candidate in zip(_distinct(plain, candidates), candidates, strict=True)
    ]


def _distinct(labels: Sequence[str], candidates: Sequence[_Candidate]) -> list[str]:
    """Labels that occur once stay; others get what tells them apart: model, folder, both, or the file."""
    extras: tuple[Callable[[_Candidate], str], ...] = (
        lambda candidate: candidate.base,
        lambda candidate: "" if candidate.folder == "." else candidate.folder,
        lambda candidate: candidate.files[0].name,
    )
    result = list(labels)
    open_labels = {label for label, times in Counter(label.casefold() for label in labels).items() if times > 1}
    for label in open_labels:
        members = [index for index, text in enumerate(labels) if text.casefold() == label]
        for extra in extras:
            told = [extra(candidates[index]) for index in members]
            if len({text.casefold() for text in told}) == len(members):
                for index, text in zip(members, told, strict=True):
                    result[index] = f"{labels[index]} ({text})" if text else labels[index]
                break
        else:  # names that differ in case alone
            for index in members:
                result[index] = f"{labels[index]} ({candidates[index].files[0].name})"
    return result


def _recommended(
    quantizations: Sequence[RepoQuantization], candidates: Sequence[_Candidate]
) -> tuple[RepoQuantization, ...]:
    """Sorted from the fewest bits to the most, with one marked where the choice is clear."""
    ordered = sorted(quantizations, key=_by_bits)
    base = _main_base(candidates)
    if base is None:
        return tuple(ordered)
    of_base = {candidate.files for candidate in candidates if candidate.base.casefold() == base}
    choice = min((q for q in ordered if q.files in of_base), key=lambda q: (_rank(q.quantization), q.size_bytes))
    return tuple(replace(q, reason=_reason(choice, len(ordered))) if q is choice else q for q in ordered)


def _main_base(candidates: Sequence[_Candidate]) -> str | None:
    """The model with the most files; None when two have as many."""
    counts = Counter(candidate.base.casefold() for candidate in candidates).most_common(2)
    is_clear = len(counts) == 1 or (len(counts) == 2 and counts[0][1] > counts[1][1])
    return counts[0][0] if is_clear else None


def _reason(choice: RepoQuantization, count: int) -> str:
    if count == 1:
        return "The only one of this repository."
    if _without_prefix(choice.quantization) == PREFERRED[0]:
        return "Best compromise of size and quality for most uses."
    return f"Nearest to the usual compromise of size and quality, {PREFERRED[0]}, which is not offered here."


def _rank(quantization: str | None) -> float:
    plain = _without_prefix(quantization)
    if plain in PREFERRED:
        return PREFERRED.index(plain) + (0.5 if plain != quantization else 0.0)
    nominal = _nominal_bits(quantization)
    return len(PREFERRED) + (abs(nominal - _COMPROMISE_BITS) if nominal is not None else 100.0)


def _without_prefix(quantization: str | None) -> str | None:
    return quantization.removeprefix("UD-") if quantization else None


def _by_bits(quantization: RepoQuantization) -> tuple[float, int, str]:
    bits = quantization.bits_per_weight or _nominal_bits(quantization.quantization)
    return (bits if bits is not None else float("inf"), quantization.size_bytes, quantization.label)


def _nominal_bits(quantization: str | None) -> float | None:
    """What the name of a type tells, for an order among them: Q4 with its scales takes about 4.5."""
    plain = _without_prefix(quantization)
    if plain is None:
        return None
    if plain in _NOMINAL:
        return _NOMINAL[plain]
    digit = re.match(r"[A-Z]+(\d)", plain)
    return int(digit[1]) + 0.5 if digit else None


def _bits(size_bytes: int, parameters: int | None) -> float | None:
    bits = 8 * size_bytes / parameters if parameters else None
    return bits if bits is not None and _PLAUSIBLE_BITS[0] <= bits <= _PLAUSIBLE_BITS[1] else None


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _whole_stem(stem: str) -> str:
    match = _PART.match(stem)
    return match["base"] if match else stem
