"""The quantizations of one model as rows, from a repository of the Hub or from files on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ui.figures import FitFigures
from ui.state import models_words as words
from workbench import units
from workbench.hub.gguf import ModelFile
from workbench.hub.grouping import ModelEntry
from workbench.hub.repository import RemoteFiles, RepoQuantization, Repository
from workbench.hub.speed import SpeedEstimate
from workbench.hub.transfers import DownloadView

Source = tuple[Path, ...] | RemoteFiles
_PREFERRED = ("Q4_K_M", "Q5_K_M", "Q4_K_S", "Q6_K", "Q8_0")


@dataclass(frozen=True)
class Variant:
    """One quantization: where its bytes are, and what is offered. `model` is what the Run page takes as its name."""

    key: str
    label: str
    size_bytes: int | None
    bits_per_weight: float | None
    source: Source | None
    reason: str | None = None
    model: str | None = None
    quantization: str | None = None
    remote: RepoQuantization | None = None
    file: ModelFile | None = None
    problem: str | None = None

    @property
    def is_local(self) -> bool:
        return isinstance(self.source, tuple)


@dataclass(frozen=True)
class QuantizationRow:
    """A line of the table; every text is ready to be shown. `action` is (key, word), with an empty key for none."""

    key: str
    label: str
    bits: str
    size: str
    size_bytes: int | None
    badge: str = ""
    tip: str = ""
    fit: FitFigures = field(default_factory=FitFigures)
    speed: str = units.UNKNOWN
    speed_tip: str = ""
    speed_rate: float | None = None
    is_speed_measured: bool = False
    error: str = units.UNKNOWN
    error_tip: str = ""
    error_share: float | None = None
    action: tuple[str, str] = ("", "")
    is_primary: bool = False
    is_local: bool = False


def variants_of_repository(repository: Repository, entries: Sequence[ModelEntry]) -> list[Variant]:
    """In the repository's order; what is on this machine with the same name and size is taken from there."""
    files = [file for entry in entries for file in entry.files]
    found = []
    for quantization in repository.quantizations:
        remote = RemoteFiles(repository.summary.repo_id, repository.revision, quantization.files)
        here = _same_file(quantization, files)
        variant = Variant(
            key=quantization.label, label=quantization.label, size_bytes=quantization.size_bytes,
            bits_per_weight=quantization.bits_per_weight, source=remote, reason=quantization.reason,
            quantization=quantization.quantization, remote=quantization,
        )  # fmt: skip
        if here is not None:
            variant = replace(variant, source=here.parts or (here.path,), file=here, model=str(here.path))
        found.append(variant)
    return found


def variants_of_entry(entry: ModelEntry) -> list[Variant]:
    """From the fewest bits to the most, as in a repository; those that are made on first use among them."""
    files = {file.quantization or file.path.name: file for file in reversed(entry.files)}
    found = [_of_file(label, file, entry) for label, file in files.items()]
    for name in entry.makeable:
        if name not in files:
            found.append(Variant(name, name, None, None, None, model=entry.name, quantization=name))
    known = [v for v in found if v.bits_per_weight is not None]
    return sorted(known, key=lambda v: v.bits_per_weight or 0) + [v for v in found if v.bits_per_weight is None]


def _of_file(label: str, file: ModelFile, entry: ModelEntry) -> Variant:
    return Variant(
        key=label, label=label, size_bytes=file.size_bytes, bits_per_weight=file.bits_per_weight,
        source=None if file.problem else file.parts or (file.path,), model=str(file.path),
        quantization=file.quantization, file=file, problem=file.problem,
    )  # fmt: skip


def _same_file(quantization: RepoQuantization, files: Iterable[ModelFile]) -> ModelFile | None:
    """A usable file of the same name and size: the Hub's cache, or one that was put into a folder by hand."""
    first = Path(quantization.files[0].name).name.casefold() if quantization.files else ""
    for file in files:
        if file.problem is None and file.path.name.casefold() == first and file.size_bytes == quantization.size_bytes:
            return file
    return None


def first_choice(variants: Sequence[Variant]) -> Variant | None:
    """The one that is looked at first: the recommended one, else the usual compromise of those that are here."""
    recommended = next((v for v in variants if v.reason), None)
    if recommended is not None:
        return recommended
    ranks = {name: rank for rank, name in enumerate(_PREFERRED)}
    usable = [v for v in variants if v.source is not None] or list(variants)
    return min(usable, key=lambda v: ranks.get(v.quantization or "", len(ranks)), default=None)


def row_of(
    variant: Variant,
    fit: FitFigures,
    speed: SpeedEstimate | None,
    measured_tps: float | None,
    download: DownloadView | None,
) -> QuantizationRow:
    bits = f"{variant.bits_per_weight:.1f} bpw" if variant.bits_per_weight else ""
    if variant.size_bytes is None:
        bits = "made on first use"
    action = _action(variant, download)
    return QuantizationRow(
        key=variant.key,
        label=variant.label,
        bits=bits,
        size=units.bytes_text(variant.size_bytes),
        size_bytes=variant.size_bytes,
        badge="take this" if variant.reason else "",
        tip=variant.problem or variant.reason or _files_tip(variant),
        fit=fit,
        speed=units.rate_parts(measured_tps)[0] if measured_tps is not None else words.speed_text(speed),
        speed_tip="Measured: the median of earlier runs on this machine" if measured_tps is not None
        else words.speed_tip(speed),
        speed_rate=measured_tps if measured_tps is not None else (speed.decode_low if speed else None),
        is_speed_measured=measured_tps is not None,
        action=action,
        is_primary=bool(variant.reason) and action[0] in ("pull", "use"),
        is_local=variant.is_local,
    )  # fmt: skip


def _files_tip(variant: Variant) -> str:
    if variant.remote is not None:
        names = [file.name for file in variant.remote.files]
        return names[0] if len(names) == 1 else f"{len(names)} parts, from {names[0]}"
    return str(variant.file.path) if variant.file is not None else ""


def _action(variant: Variant, download: DownloadView | None) -> tuple[str, str]:
    if variant.problem:
        return "", ""
    if variant.model is not None:
        return "use", "Use"
    if download is not None and download.state in ("queued", "running", "verifying"):
        return "pause", "Pause"
    if download is not None and download.state == "paused":
        return "resume", "Resume"
    return "pull", "Download"


def sibling_speed(speed: SpeedEstimate, known: Variant, wanted: Variant) -> SpeedEstimate | None:
    """Decoding reads every weight once, so its speed goes with the inverse of the size; prefill is left as it is."""
    if not known.size_bytes or not wanted.size_bytes:
        return None
    ratio = known.size_bytes / wanted.size_bytes
    basis = f"Scaled from {known.label} by file size, until this row's own header has been read."
    return replace(speed, decode_low=speed.decode_low * ratio, decode_high=speed.decode_high * ratio, basis=basis)
