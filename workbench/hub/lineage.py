"""Where a model file that was made on this machine comes from, kept in a small JSON file beside it."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.errors import SpecError
from workbench.paths import write_atomically
from workbench.runs.spec import from_json

log = logging.getLogger(__name__)
_SUFFIX = ".lineage.json"
_LARGEST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Lineage:
    """`source` is the first part's path at the time; its hash covers all parts. `made_at` is ISO 8601 in UTC.

    `size_bytes` is of the made file, by which one that was put in its place since is told apart. `notes` are
    sentences about what may disappoint.
    """

    type_name: str
    source: str
    source_sha256: str
    source_quantization: str | None
    engine_build: str
    made_at: str
    size_bytes: int
    matrix: str | None = None
    matrix_sha256: str | None = None
    output_type: str | None = None
    embedding_type: str | None = None
    keep_output: bool = False
    pure: bool = False
    notes: tuple[str, ...] = ()


def lineage_file(model: Path) -> Path:
    """Where the lineage of `model` is or would be; it belongs to the model and goes where that goes."""
    return model.with_name(model.name + _SUFFIX)


def write_lineage(model: Path, lineage: Lineage) -> None:
    """Raises OSError."""
    write_atomically(lineage_file(model), json.dumps(asdict(lineage), ensure_ascii=False, indent=2) + "\n")


def lineage_of(model: Path) -> Lineage | None:
    """None when the file was not made here, or is not the file any more that was made."""
    path = lineage_file(model)
    try:
        # A folder of models may come from anywhere: a pipe of this name would be waited at for ever.
        if path.exists() and not path.is_file():
            log.warning("%s is no file", path)
            return None
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES).decode("utf-8")
        size_bytes = model.stat().st_size
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read: %s", path, error)
        return None
    try:
        lineage = from_json(Lineage, text)
    except (SpecError, ValueError, RecursionError) as error:
        log.warning("%s is no lineage: %s", path, error)
        return None
    return lineage if lineage.size_bytes == size_bytes else None
