"""The models of an Ollama folder: its manifests name blobs that have no names of their own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.hub.places import Beat, FoundFile, Place

MODEL_LAYER = "application/vnd.ollama.image.model"
LICENSE_LAYER = "application/vnd.ollama.image.license"
ADAPTER_LAYER = "application/vnd.ollama.image.adapter"
LARGEST_MANIFEST_BYTES = 1024 * 1024
_DEFAULT_HOST, _DEFAULT_NAMESPACE = "registry.ollama.ai", "library"
_DIGEST = re.compile(r"^sha256[:-](?P<hex>[0-9a-f]{64})$")
_LICENSE_LENGTH = 80
_DEPTH = 4  # host, namespace, model, tag


def ollama_files(place: Place, problems: list[str], beat: Beat) -> list[FoundFile]:
    """Each model once, by the shortest of its names; the others are its aliases. A bad manifest is a sentence."""
    found: dict[Path, list[FoundFile]] = {}
    for manifest in _manifests(place.root / "manifests", problems, beat):
        try:
            file = _model_of(manifest, place)
        except ValueError as error:
            shown = str(manifest).encode("utf-8", "replace").decode()
            problems.append(f"The Ollama manifest {shown} cannot be used: {error}.")
            continue
        if file is not None:
            found.setdefault(file.parts[0], []).append(file)
    return [_merged(files) for _, files in sorted(found.items())]


def _merged(files: list[FoundFile]) -> FoundFile:
    named = sorted(files, key=lambda file: ((file.label or "").endswith(":latest"), len(file.label or ""), file.label))
    return replace(named[0], aliases=tuple(file.label for file in named[1:] if file.label))


def _manifests(root: Path, problems: list[str], beat: Beat) -> Iterator[Path]:
    def note(error: OSError) -> None:
        problems.append(f"The folder {error.filename} cannot be read: {error.strerror}.")

    for folder, below, names in os.walk(root, onerror=note if os.path.isdir(root) else None):
        beat()
        depth = len(Path(folder).relative_to(root).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if depth < _DEPTH - 1 else []
        if depth == _DEPTH - 1:
            yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _model_of(manifest: Path, place: Place) -> FoundFile | None:
    """None: the manifest has no model layer. Raises ValueError with the reason why it cannot be read."""
    layers = _layers(manifest)
    digest = next((_hex(layer) for layer in layers if layer.get("mediaType") == MODEL_LAYER), None)
    if digest is None:
        return None
    label = _label(manifest.relative_to(place.root / "manifests").parts)
    blob = _blob(place.root, digest)
    problem = None
    if not os.path.isfile(blob):
        problem = f"Ollama lists {label}, but its content is missing. Run `ollama pull {label}` to get it back."
    elif any(layer.get("mediaType") == ADAPTER_LAYER for layer in layers):
        problem = f"{label} is a model with an adapter of its own, which only Ollama puts together."
    license_hex = next((_hex(layer) for layer in layers if layer.get("mediaType") == LICENSE_LAYER), None)
    return FoundFile(
        (blob,),
        place,
        label=label,
        license=_first_line(_blob(place.root, license_hex)) if license_hex else None,
        sha256=digest,
        problem=problem,
    )


def _layers(manifest: Path) -> list[dict[str, Any]]:
    try:
        with manifest.open("rb") as file:
            content = file.read(LARGEST_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    if len(content) > LARGEST_MANIFEST_BYTES:
        raise ValueError(f"it has more than {LARGEST_MANIFEST_BYTES:,} bytes")
    try:
        plain = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise ValueError("it is no whole JSON text") from error
    layers = plain.get("layers") if isinstance(plain, dict) else None
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ValueError("it has no list of layers")
    return layers


def _hex(layer: dict[str, Any]) -> str:
    match = _DIGEST.match(str(layer.get("digest")))
    if match is None:  # anything else could be a path out of the folder
        raise ValueError("a layer in it has no SHA-256 digest")
    return match["hex"]


def _blob(root: Path, digest: str) -> Path:
    return root / "blobs" / f"sha256-{digest}"


def _label(names: tuple[str, ...]) -> str:
    """The name that `ollama list` shows: library models and the usual host are left out."""
    host, namespace, model, tag = names
    short = (host if host != _DEFAULT_HOST else "", namespace if namespace != _DEFAULT_NAMESPACE else "", model)
    return "/".join(name for name in short if name) + f":{tag}"


def _first_line(path: Path) -> str | None:
    """What a licence text begins with; None when it is not there, or says nothing."""
    try:
        with path.open("rb") as file:
            text = file.read(2_000).decode("utf-8", "replace")
    except OSError:
        return None
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line[:_LICENSE_LENGTH] or None
