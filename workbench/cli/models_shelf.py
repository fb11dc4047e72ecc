"""Models on disk as rows and sentences: what a file is, where it lies, where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.cli.figures import Row
from workbench.cli.models_text import ORIGINS, THINKING, bits_text, joined_words, parameters_text
from workbench.history.model_figures import ModelUse
from workbench.hub.deletion import Deletion
from workbench.hub.gguf import ModelFile
from workbench.hub.grouping import ModelEntry
from workbench.hub.lineage import Lineage
from workbench.units import UNKNOWN, bytes_text, count_text, rate_text

FILE_HEADERS = ("quantization", "size", "bits per weight", "from", "file")
FILE_RIGHT = frozenset({1, 2})
FILE_SPARE = (4,)


def fact_rows(name: str, file: ModelFile) -> list[Row]:
    """What the header of a model file says."""
    templates = ", ".join(file.chat_templates) or "none: a plain one is used"
    return [
        Row("Model", name, file.problem or file.warning or "", "bad" if file.problem or file.warning else ""),
        Row("Architecture", file.architecture or UNKNOWN),
        Row("Parameters", parameters_text(file.parameters), f"{count_text(file.parameters)} in the file"),
        Row("Trained context", count_text(file.context_trained), "tokens"),
        Row("Chat template", templates),
        Row("Thinking", THINKING.get(file.thinking or "none", UNKNOWN), _switch(file)),
        Row("Licence", file.license or UNKNOWN),
        *([Row("Author", file.author)] if file.author else []),
        Row("Repository", file.repo_id or UNKNOWN),
        Row("Lies in", ORIGINS[file.origin], "read-only for this program" if file.is_read_only else ""),
        Row("File", "", str(file.path)),
        *_card_rows(file),
    ]


def _card_rows(file: ModelFile) -> list[Row]:
    """What the makers say of the model, as far as they do."""
    rows = [Row("About", "", file.description)] if file.description else []
    if file.card is not None:
        rows += [Row(name, "", value) for name, value in file.card.facts]
        rows += [Row("Trained from", "", file.card.data)] if file.card.data else []
        origin = "by its makers, of the file it was made from" if file.is_derived else "by its makers"
        rows += [Row(name, value, origin) for name, value in file.card.figures]
    return rows


def _switch(file: ModelFile) -> str:
    switched = file.thinking in ("enable_thinking", "thinking", "reasoning_effort")
    return f"by {file.thinking} of its template" if switched else ""


def file_cells(file: ModelFile) -> list[str]:
    parts = f"{len(file.parts)} parts from " if len(file.parts) > 1 else ""
    return [
        file.quantization or UNKNOWN,
        bytes_text(file.size_bytes),
        bits_text(file.bits_per_weight),
        ORIGINS[file.origin],
        file.problem or f"{parts}{file.path}",
    ]


def lineage_sentence(lineage: Lineage) -> str:
    """From what it was made, when, and with what."""
    matrix = f" with the importance matrix {lineage.matrix}" if lineage.matrix else ""
    source = joined_words([lineage.source, lineage.source_quantization])
    build = lineage.engine_build.split(";")[0]
    return f"Made here from {source}{matrix}, {lineage.made_at[:10]}, by {build}."


def leftover_sentence(left: Sequence[Deletion]) -> str:
    """What a program that ended abruptly left in the trash, and what can be done about it."""
    names = ", ".join(name for deletion in left for name in deletion.names)
    size = bytes_text(sum(deletion.reclaimed_bytes for deletion in left))
    return (
        f"In the trash of a program that ended abruptly: {names}, {size}. `workbench models undelete` brings it back, "
        "`workbench models undelete --discard` removes it for good."
    )


def library_rows(entries: Sequence[ModelEntry], uses: Mapping[Path, ModelUse | None]) -> list[list[str]]:
    """A row for each file, and one for each quantization that is made on first use."""
    rows = []
    for entry in entries:
        for file in entry.files:
            use = uses.get(file.path)
            rows.append([
                entry.name,
                file.quantization or UNKNOWN,
                bytes_text(file.size_bytes),
                parameters_text(file.parameters),
                ORIGINS[file.origin],
                file.repo_id or UNKNOWN,
                UNKNOWN if use is None else use.last_used_at[:10],
                rate_text(use.decode_tps if use else None),
                file.problem or str(file.path),
            ])  # fmt: skip
        rows += [[entry.name, f"({name})", *[""] * 6, "made on first use"] for name in entry.makeable]
    return rows
