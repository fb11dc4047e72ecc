"""The knobs of the Run page: what can be chosen, and what a choice will cost before it is made."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ui.state.run_view import Attachment, Choice, KnobChoices, KnobValues
from workbench import units
from workbench.core import Knobs, Workbench
from workbench.errors import UserError, WorkbenchError
from workbench.hub.gguf import ModelFile
from workbench.hub.library import ModelEntry
from workbench.runs.record import LoadReport
from workbench.runs.spec import Adapter, Message, ModelRef, RunSpec

SMALLEST_CONTEXT = 512
LARGEST_CONTEXT = 131_072
LARGEST_ATTACHMENT_BYTES = 4_000_000
PROBE = "?"


def knobs_of(
    values: KnobValues, prompt: str, history: tuple[Message, ...] = (), attachment: Attachment | None = None
) -> Knobs:
    return Knobs(
        prompt=prompt,
        history=history,
        system=values.system,
        document=attachment.text if attachment else None,
        document_name=attachment.name if attachment else None,
        model=values.model,
        quantization=values.quantization,
        context_length=values.context_length,
        mode=values.mode,
        surface=values.surface,
        seed=values.seed,
        temperature=values.temperature,
        max_tokens=values.max_tokens,
        threads=values.threads,
        gpu_layers=values.gpu_layers,
        kv_type=values.kv_type,
        placement=values.placement,
        overflow=values.overflow,
        adapters=values.adapters,
    )


def model_changes(model: object) -> dict[str, Any]:
    """What another model takes with it: its files, its context and the adapters that were trained on it."""
    return {"model": model, "quantization": None, "context_length": None, "adapters": ()}


def read_adapter(workbench: Workbench, path: Path, values: KnobValues) -> Adapter:
    """An adapter with the hash of its file; reads all of it. Raises UserError for any other file."""
    path = Path(os.path.abspath(path))
    if any(Path(adapter.path) == path for adapter in values.adapters):
        raise UserError(f"{path.name} is in the list of adapters already.")
    file = workbench.library.describe(path)
    if file.problem is not None:
        raise UserError(f"{path.name} cannot be used as an adapter: {file.problem}")
    if file.kind != "adapter":
        kind = "a model" if file.kind == "model" else f"of the kind {file.kind!r}"
        raise UserError(
            f"{path.name} cannot be used as an adapter: it is {kind}, not an adapter. "
            "Choose a LoRA adapter in GGUF format."
        )
    return Adapter(str(path), 1.0, workbench.library.compute_sha256(ModelRef(str(path), path.name)))


def read_choices(workbench: Workbench, values: KnobValues) -> KnobChoices:
    """Looks into folders and profiles: call it off the main thread. Raises WorkbenchError.

    Adapters are left aside: none of these depends on them, and a file that is gone would take all choices away.
    """
    entries = workbench.library.list()
    spec = workbench.build_spec(knobs_of(replace(values, adapters=()), PROBE))
    entry = next((item for item in entries if item.name == spec.model.name), None)
    trained = workbench.library.trained_context(spec.model)
    chosen = _described(workbench, entry, spec.model)
    models = [Choice(item.name, item.name, _model_note(item)) for item in entries if item.is_usable]
    if entry is None:
        models.append(Choice(values.model or spec.model.path, spec.model.name, spec.model.path))
    return KnobChoices(
        models=tuple(models),
        quantizations=tuple(_quantization(name, entry, chosen) for name in workbench.library.siblings(spec.model)),
        contexts=context_ladder(trained, spec.engine.context_length),
        modes=tuple(Choice(m.name, m.title, m.summary, m.icon) for m in workbench.profiles.modes()),
        surfaces=tuple(Choice(s.name, s.title, s.summary) for s in workbench.profiles.surfaces()),
        model_key=entry.name if entry else (values.model or spec.model.path),
        quantization=spec.model.quantization or "",
        trained_context=trained,
        is_demo=bool(entry and entry.demo),
    )


def lacks_adapter(values: KnobValues) -> bool:
    return any(not Path(adapter.path).is_file() for adapter in values.adapters)


def context_ladder(trained: int | None, current: int) -> tuple[int, ...]:
    """Powers of two up to what the model was trained for, and whatever is set."""
    top = min(trained or 32_768, LARGEST_CONTEXT)
    steps = {current, top}
    length = SMALLEST_CONTEXT
    while length <= top:
        steps.add(length)
        length *= 2
    return tuple(sorted(steps))


def _model_note(entry: ModelEntry) -> str:
    if entry.demo:
        return "to learn with, not to judge"
    sizes = [file.size_bytes for file in entry.files]
    smallest, largest = units.bytes_text(min(sizes)), units.bytes_text(max(sizes))
    return smallest if smallest == largest else f"{smallest} to {largest}"


def _described(workbench: Workbench, entry: ModelEntry | None, model: ModelRef) -> ModelFile | None:
    """The file that the next run loads, also one that lies outside every known folder."""
    path = Path(model.path)
    found = next((file for file in entry.files if path in (file.path, *file.parts)), None) if entry else None
    if found is not None or not path.is_file():
        return found
    described = workbench.library.describe(path)
    return described if described.problem is None else None  # the run will say what is wrong with it


def _quantization(name: str, entry: ModelEntry | None, chosen: ModelFile | None) -> Choice:
    """`chosen` is the file that is set now; the others are those of the entry."""
    file = chosen if chosen is not None and chosen.quantization == name else None
    if file is None and entry is not None:
        file = next((item for item in entry.files if item.quantization == name), None)
    if file is None:
        return Choice(name, name, "made on first use" if entry is not None and name in entry.makeable else "")
    bits = f"  {file.bits_per_weight:.1f} bpw" if file.bits_per_weight else ""
    return Choice(name, f"{name}{bits}", f"{units.bytes_text(file.size_bytes)} of weights")


def consequence(workbench: Workbench, values: KnobValues, changes: dict[str, Any], load: LoadReport | None) -> str:
    """What the next run pays for these changes, in a few words, before they are made.

    Where an adapter's file is gone, `changes` are told without it, and no changes with what is wrong.
    """
    try:
        new = workbench.build_spec(knobs_of(replace(values, **changes), PROBE))
        cost = workbench.explain_change(None, new)
    except WorkbenchError as error:
        if changes and lacks_adapter(values):
            return consequence(workbench, replace(values, adapters=()), changes, load)
        return error.message
    if cost.kind != "new_context":
        return cost.text
    about = f"about {units.ms_text(cost.estimate_ms)}" if cost.estimate_ms is not None else None
    facts = [text for text in (_memory_change(new, load), about) if text]
    return f"new context: {', '.join(facts)}" if facts else "new context"


def _memory_change(new: RunSpec, load: LoadReport | None) -> str | None:
    """How many bytes the KV cache grows or shrinks; it is proportional to the context length."""
    held = load.reserved_bytes("kv") if load else None
    if load is None or held is None or not load.context_length:
        return None
    change = held / load.context_length * (new.engine.context_length - load.context_length)
    if abs(change) < 0.5:
        return None
    return f"{'+' if change > 0 else '−'}{units.bytes_text(abs(change))}"


def read_attachment(path: Path) -> Attachment:
    """The text of a file. Raises UserError with a sentence when it is none, or too large."""
    limit = LARGEST_ATTACHMENT_BYTES
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path.name} is no regular file; only text files can be attached.")
        # Files of the system say that they are empty and may have no end.
        with path.open("rb") as file:
            content = file.read(limit + 1) if status.st_size <= limit else b""
        if max(status.st_size, len(content)) > limit:
            size = (
                units.bytes_text(status.st_size) if status.st_size > limit else f"more than {units.bytes_text(limit)}"
            )
            raise UserError(f"{path.name} has {size}; text files up to {units.bytes_text(limit)} can be attached.")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not UTF-8 text; save it as text and attach it again.") from error
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if "\0" in text:
        raise UserError(f"{path.name} is not a text file.")
    if not text.strip():
        raise UserError(f"{path.name} is empty.")
    return Attachment(path.name, text)


def smaller_context(contexts: Sequence[int], current: int) -> int | None:
    return next((length for length in reversed(contexts) if length < current), None)


def short_count(tokens: int) -> str:
    """4096 as 4k, for buttons."""
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else f"{tokens:,}"
