"""From memory estimates to what a row shows: three groups, a verdict in a word, and estimates of siblings."""

from __future__ import annotations

from dataclasses import replace

from ui.figures import FitFigures, FitPart
from ui.state.models_words import tokens_text
from workbench import units
from workbench.hub.memory import CurvePoint, MemoryEstimate, MemoryPart, Purpose, Verdict

# Three groups say enough in a row; the tooltip has every part.
GROUPS: tuple[tuple[str, str, tuple[Purpose, ...]], ...] = (
    ("weights", "weights", ("weights", "repacked")),
    ("KV", "kv", ("kv", "recurrent")),
    ("compute", "compute", ("compute", "output", "books", "program")),
)
PURPOSES = {
    "weights": "Weights", "repacked": "Weights repacked for the CPU", "kv": "KV cache", "recurrent": "Recurrent state",
    "compute": "Compute buffers", "output": "Output buffer", "books": "Book-keeping", "program": "The program itself",
    "total resident": "In all, resident",
}  # fmt: skip
KV_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_0": 18 / 32}


def resident(part: MemoryPart) -> int:
    known = part.reserved_bytes if part.resident_bytes is None else part.resident_bytes
    return min(known, part.reserved_bytes)


def sibling(
    known: MemoryEstimate, weights_change: int, context_length: int, kv_type: str, source: str = ""
) -> MemoryEstimate:
    """The estimate of the same model in another size of weights, context or KV type, from one that is known.

    The KV cache is taken in proportion to context and bytes per element, the compute buffers as they are: shown
    until llama.cpp has planned the thing itself, and labelled as estimated.
    """
    ratio = context_length / known.context_length if known.context_length else 1.0
    ratio *= KV_BYTES.get(kv_type, 2.0) / KV_BYTES.get(known.kv_type, 2.0)
    total = max(1, known.reserved_bytes("weights"))
    parts = tuple(_changed(part, weights_change, total, ratio) for part in known.parts)
    note = f"Estimated from {source}: weights by file size, KV cache in proportion." if source else known.note
    return replace(known, parts=parts, context_length=context_length, kv_type=kv_type, basis="arithmetic", note=note)


def _changed(part: MemoryPart, weights_change: int, weights_total: int, ratio: float) -> MemoryPart:
    if part.purpose == "weights":
        factor = max(0.0, 1 + weights_change / weights_total)
    elif part.purpose == "kv":
        factor = ratio
    else:
        return part
    kept = None if part.resident_bytes is None else round(part.resident_bytes * factor)
    return replace(part, reserved_bytes=round(part.reserved_bytes * factor), resident_bytes=kept)


def moved(points: tuple[CurvePoint, ...], change: int) -> tuple[CurvePoint, ...]:
    """The curve of a sibling whose weights are larger by `change` bytes."""
    return tuple(
        replace(p, reserved_bytes=p.reserved_bytes + change, resident_bytes=p.resident_bytes + change) for p in points
    )


def fit_figures(estimate: MemoryEstimate, verdict: Verdict | None, free_bytes: int | None) -> FitFigures:
    """What a row shows of an estimate. `verdict` None: it is judged from the figures alone, and said so."""
    parts = tuple(_group(estimate, *group) for group in GROUPS)
    word, tone = verdict_word(verdict) if verdict else _guess(estimate, free_bytes)
    total = sum(part.resident_bytes for part in parts)
    figures, unit = amounts([part.resident_bytes for part in parts])
    named = [f"{figure} {part.label}" for figure, part in zip(figures, parts, strict=True) if figure.strip("0.")]
    return FitFigures(
        parts=parts,
        free_bytes=free_bytes,
        text=f"{' + '.join(named)} {unit}",
        short=units.bytes_text(total),
        verdict=word,
        tone=tone,
        tip=_tip(estimate, verdict),
    )


def verdict_word(verdict: Verdict) -> tuple[str, str]:
    """In two or three words, and the tone they have."""
    if verdict.kind == "fits":
        return "fits", "good"
    if verdict.kind == "less_context":
        length = f" {tokens_text(verdict.context_length)}" if verdict.context_length else " less"
        return f"fits with{length} context", "warn"
    if verdict.kind == "fewer_gpu_layers":
        layers = f"{verdict.gpu_layers}" if verdict.gpu_layers is not None else "fewer"
        return f"fits with {layers} GPU layers", "warn"
    return "will not fit", "bad"


def _guess(estimate: MemoryEstimate, free_bytes: int | None) -> tuple[str, str]:
    if free_bytes is None:
        return "", "dim"
    need = estimate.resident_bytes()
    if need > free_bytes:
        return "will not fit, est.", "bad"
    return ("fits, est.", "good") if need < 0.9 * free_bytes else ("close, est.", "warn")


def _group(estimate: MemoryEstimate, label: str, colour: str, purposes: tuple[Purpose, ...]) -> FitPart:
    parts = [part for part in estimate.parts if part.purpose in purposes]
    return FitPart(label, sum(map(resident, parts)), sum(part.reserved_bytes for part in parts), colour)


def _tip(estimate: MemoryEstimate, verdict: Verdict | None) -> str:
    lines = [verdict.sentence] if verdict else []
    many = len(estimate.devices) > 1
    for device in estimate.devices if many else ():
        shared = ", in the machine's memory" if device in estimate.shared_devices else ""
        lines.append(f"On {device}{shared}: {units.bytes_text(estimate.resident_bytes(device=device))} in all")
    for part in sorted(estimate.parts, key=lambda part: -part.reserved_bytes):
        if part.reserved_bytes:
            where = f", {part.device}" if many else ""
            kept = units.bytes_text(part.resident_bytes)
            same = part.resident_bytes is None or part.resident_bytes == part.reserved_bytes
            said = units.bytes_text(part.reserved_bytes) + ("" if same else f" reserved, {kept} of it used")
            lines.append(f"{PURPOSES[part.purpose]}{where}: {said}")
    exact = "Exact: llama.cpp planned it without loading." if estimate.basis == "engine" else "Estimated."
    lines.append(estimate.note or exact)
    return "\n".join(lines)


def amounts(counts: list[int]) -> tuple[list[str], str]:
    """All in the unit of the largest, three digits for it: (["1.51", "0.92"], "GB")."""
    largest = max([*counts, 1])
    unit, size = next(((name, size) for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if largest >= size),
                      ("B", 1.0))  # fmt: skip
    decimals = 2 if largest < 9.995 * size and unit == "GB" else 1 if largest < 99.95 * size and unit != "B" else 0
    return [f"{count / size:,.{decimals}f}" for count in counts], unit
